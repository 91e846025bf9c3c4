// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel's memory.
 *
 * All of it is the kernel's: user space maps it and never lends its own, so
 * nothing is pinned and a frame that an NHI still reads stays when its process
 * is gone. The transmit frames are mapped for DMA once for each NHI, which is
 * what keeps the IOMMU out of the data path.
 */
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/vmalloc.h>

#include "channel.h"
#include "compat.h"
#include "memory.h"
#include "trace.h"

static size_t ring_bytes(u32 entries, size_t entry_bytes)
{
	return PAGE_ALIGN(USB4_DMA_RING_ENTRIES + (size_t)entries * entry_bytes);
}

/* A page of the pool holds whole frames, and a frame does not cross pages. */
static_assert(PAGE_SIZE % USB4_DMA_FRAME_SIZE == 0);

/**
 * u4dma_memory_alloc() - Allocate a channel's regions
 * @chan: the channel; its numbers of frames are set
 * @tx_entries: entries of the submit and of the complete ring
 * @rx_entries: entries of the fill and of the ready ring
 *
 * Return: 0, -EDQUOT if RLIMIT_MEMLOCK does not allow it, or -ENOMEM.
 */
int u4dma_memory_alloc(struct u4dma_chan *chan, u32 tx_entries, u32 rx_entries)
{
	size_t frames = (size_t)chan->tx_frames + chan->rx_frames;
	size_t *bytes = chan->bytes;
	unsigned long pages = 0;
	int i;

	bytes[USB4_DMA_REGION_NODE] = PAGE_SIZE;
	bytes[USB4_DMA_REGION_COUNTERS] = PAGE_ALIGN(sizeof(struct usb4_dma_counters));
	bytes[USB4_DMA_REGION_SUBMIT] = ring_bytes(tx_entries, sizeof(struct usb4_dma_tx));
	bytes[USB4_DMA_REGION_COMPLETE] = ring_bytes(tx_entries, sizeof(struct usb4_dma_tx_done));
	bytes[USB4_DMA_REGION_FILL] = ring_bytes(rx_entries, sizeof(u32));
	bytes[USB4_DMA_REGION_READY] = ring_bytes(rx_entries, sizeof(struct usb4_dma_rx));
	bytes[USB4_DMA_REGION_POOL] = PAGE_ALIGN(frames * USB4_DMA_FRAME_SIZE);

	chan->memory[USB4_DMA_REGION_NODE] = u4dma_node_page;
	for (i = USB4_DMA_REGION_NODE + 1; i < USB4_DMA_REGIONS; i++)
		pages += bytes[i] >> PAGE_SHIFT;

	if (account_locked_vm(current->mm, pages, true))
		return -EDQUOT;
	mmgrab(current->mm);
	chan->mm = current->mm;
	chan->locked_pages = pages;

	for (i = USB4_DMA_REGION_NODE + 1; i < USB4_DMA_REGIONS; i++) {
		chan->memory[i] = __vmalloc(bytes[i], GFP_KERNEL_ACCOUNT | __GFP_ZERO);
		if (!chan->memory[i])
			goto err_free;
	}
	return 0;

err_free:
	u4dma_memory_free(chan);
	return -ENOMEM;
}

/**
 * u4dma_memory_free() - Free a channel's regions
 * @chan: the channel; nobody uses them
 */
void u4dma_memory_free(struct u4dma_chan *chan)
{
	int i;

	for (i = USB4_DMA_REGION_NODE + 1; i < USB4_DMA_REGIONS; i++) {
		vfree(chan->memory[i]);
		chan->memory[i] = NULL;
	}
	if (chan->mm) {
		account_locked_vm(chan->mm, chan->locked_pages, false);
		mmdrop(chan->mm);
		chan->mm = NULL;
	}
}

/* Maps all pages now: no access of user space faults later. */
static int insert_pages(struct vm_area_struct *vma, void *memory, size_t bytes)
{
	size_t at;
	int ret;

	for (at = 0; at < bytes; at += PAGE_SIZE) {
		ret = vm_insert_page(vma, vma->vm_start + at, vmalloc_to_page(memory + at));
		if (ret)
			return ret;
		cond_resched();
	}
	return 0;
}

/**
 * u4dma_memory_mmap() - Map a region into a process
 * @chan: the channel; it is set up
 * @vma: where
 */
int u4dma_memory_mmap(struct u4dma_chan *chan, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 id = offset / U4DMA_REGION_STRIDE;

	if (id >= USB4_DMA_REGIONS || offset % U4DMA_REGION_STRIDE)
		return -EINVAL;
	id = array_index_nospec(id, USB4_DMA_REGIONS);
	if (vma->vm_end - vma->vm_start != chan->bytes[id])
		return -EINVAL;
	if (!(vma->vm_flags & VM_SHARED) || vma->vm_flags & VM_EXEC)
		return -EPERM;
	if (id == USB4_DMA_REGION_NODE || id == USB4_DMA_REGION_COUNTERS) {
		if (vma->vm_flags & VM_WRITE)
			return -EPERM;
		u4dma_vm_flags_mod(vma, 0, VM_MAYWRITE);
	}
	/* A child shares the handle, but a ring has one user. */
	u4dma_vm_flags_mod(vma, VM_DONTCOPY | VM_DONTEXPAND | VM_DONTDUMP, VM_MAYEXEC);
	return insert_pages(vma, chan->memory[id], chan->bytes[id]);
}

static struct page *frame_page(const struct u4dma_chan *chan, u32 index)
{
	return vmalloc_to_page(u4dma_chan_frame(chan, index));
}

/**
 * u4dma_memory_map() - Map a channel's transmit frames for an NHI
 * @chan: the channel
 * @nhi: the NHI; no rail of it is up, or nobody can find the channel yet
 */
int u4dma_memory_map(struct u4dma_chan *chan, struct u4dma_nhi *nhi)
{
	dma_addr_t *dma;
	u32 i;

	lockdep_assert_held(&u4dma_lock);
	dma = kvcalloc(chan->tx_frames, sizeof(*dma), GFP_KERNEL_ACCOUNT);
	if (!dma)
		return -ENOMEM;

	for (i = 0; i < chan->tx_frames; i++) {
		void *frame = u4dma_chan_frame(chan, i);

		dma[i] = dma_map_page(nhi->dev, frame_page(chan, i), offset_in_page(frame),
				      USB4_DMA_FRAME_SIZE, DMA_TO_DEVICE);
		if (dma_mapping_error(nhi->dev, dma[i]))
			goto err_unmap;
		cond_resched();
	}
	trace_usb4_dma_map(nhi->dev, chan->number, chan->tx_frames);
	chan->dma[nhi->index] = dma;
	return 0;

err_unmap:
	while (i--)
		dma_unmap_page(nhi->dev, dma[i], USB4_DMA_FRAME_SIZE, DMA_TO_DEVICE);
	kvfree(dma);
	return -ENOMEM;
}

/**
 * u4dma_memory_unmap() - Undo u4dma_memory_map()
 * @chan: the channel
 * @nhi: the NHI; it holds none of the channel's frames
 */
void u4dma_memory_unmap(struct u4dma_chan *chan, struct u4dma_nhi *nhi)
{
	dma_addr_t *dma = chan->dma[nhi->index];
	u32 i;

	lockdep_assert_held(&u4dma_lock);
	if (!dma)
		return;
	for (i = 0; i < chan->tx_frames; i++) {
		dma_unmap_page(nhi->dev, dma[i], USB4_DMA_FRAME_SIZE, DMA_TO_DEVICE);
		cond_resched();
	}
	trace_usb4_dma_unmap(nhi->dev, chan->number, chan->tx_frames);
	chan->dma[nhi->index] = NULL;
	kvfree(dma);
}

/**
 * u4dma_memory_map_all() - Map all channels' transmit frames for a new NHI
 * @nhi: the NHI
 *
 * A channel for which it fails has no use of this NHI's rails: its entries end
 * with USB4_DMA_TX_DOWN. The others are not to suffer for it.
 */
void u4dma_memory_map_all(struct u4dma_nhi *nhi)
{
	struct u4dma_chan *chan;

	list_for_each_entry(chan, &u4dma_chans, list)
		if (u4dma_memory_map(chan, nhi))
			dev_warn(nhi->dev,
				 "usb4_dma: channel %u cannot be mapped for DMA and does not send here; free memory and reopen it\n",
				 chan->number);
}

void u4dma_memory_unmap_all(struct u4dma_nhi *nhi)
{
	struct u4dma_chan *chan;

	list_for_each_entry(chan, &u4dma_chans, list)
		u4dma_memory_unmap(chan, nhi);
}
