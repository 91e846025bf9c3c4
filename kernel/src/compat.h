/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What differs between Linux 6.1 and 7.3, in one place. The rest of the module
 * is written for 7.3.
 */
#ifndef U4DMA_COMPAT_H
#define U4DMA_COMPAT_H

#include <linux/hrtimer.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/thunderbolt.h>
#include <linux/version.h>
#include <linux/workqueue.h>

#if KERNEL_VERSION(6, 1, 0) > LINUX_VERSION_CODE
#error "usb4_dma needs Linux 6.1 or newer"
#endif

/* 7.3 dropped the matching id from the arguments of a service driver's probe. */
#if KERNEL_VERSION(7, 3, 0) > LINUX_VERSION_CODE
#define U4DMA_PROBE_ARGS	struct tb_service *svc, const struct tb_service_id *id
#else
#define U4DMA_PROBE_ARGS	struct tb_service *svc
#endif

#if KERNEL_VERSION(7, 2, 0) > LINUX_VERSION_CODE
#ifndef TB_MAX_FRAME_SIZE
#define TB_MAX_FRAME_SIZE	4096
#endif

static inline size_t tb_ring_frame_size(const struct ring_frame *frame)
{
	return frame->size ? frame->size : TB_MAX_FRAME_SIZE;
}

static inline size_t tb_ring_size(const struct tb_ring *ring)
{
	return ring->size;
}

/* The core then moderates all rings alike, with 128 us. */
static inline int tb_ring_throttling(struct tb_ring *ring, unsigned int interval_nsec)
{
	return -EOPNOTSUPP;
}
#endif

/* 7.2 made the NHI's device any device, not a PCI one alone. */
static inline struct device *u4dma_nhi_device(const struct tb_nhi *nhi)
{
#if KERNEL_VERSION(7, 2, 0) > LINUX_VERSION_CODE
	return &nhi->pdev->dev;
#else
	return nhi->dev;
#endif
}

/* 7.0 brought allocation by type. */
#ifndef kzalloc_obj
#define kzalloc_obj(obj, gfp)	kzalloc(sizeof(obj), gfp)
#endif

/* Before 6.3 the flags of a mapping were written in place. */
#if KERNEL_VERSION(6, 3, 0) > LINUX_VERSION_CODE
static inline void u4dma_vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				      unsigned long clear)
{
	vma->vm_flags = (vma->vm_flags | set) & ~clear;
}
#else
static inline void u4dma_vm_flags_mod(struct vm_area_struct *vma, unsigned long set,
				      unsigned long clear)
{
	vm_flags_mod(vma, set, clear);
}
#endif

/* 6.18 wants said what was the default before. */
#if KERNEL_VERSION(6, 18, 0) > LINUX_VERSION_CODE
#define WQ_PERCPU	0
#endif

/* 6.13 brought hrtimer_setup(), and hrtimer_init() went soon after. */
#if KERNEL_VERSION(6, 13, 0) > LINUX_VERSION_CODE
static inline void hrtimer_setup(struct hrtimer *timer,
				 enum hrtimer_restart (*function)(struct hrtimer *),
				 clockid_t clock, enum hrtimer_mode mode)
{
	hrtimer_init(timer, clock, mode);
	timer->function = function;
}
#endif

/**
 * u4dma_link_lanes() - Lanes of a cable in each direction
 * @xd: the XDomain
 * @tx: lanes that carry what this host sends
 * @rx: lanes that carry what it receives
 *
 * 6.1 has the number of lanes there, later kernels an enum of bits whose first
 * two values are the same numbers.
 */
static inline void u4dma_link_lanes(const struct tb_xdomain *xd, u8 *tx, u8 *rx)
{
	switch ((unsigned int)xd->link_width) {
	case 2:
		*tx = 2;
		*rx = 2;
		break;
	case 4:
		*tx = 3;
		*rx = 1;
		break;
	case 8:
		*tx = 1;
		*rx = 3;
		break;
	default:
		*tx = 1;
		*rx = 1;
		break;
	}
}

#endif /* U4DMA_COMPAT_H */
