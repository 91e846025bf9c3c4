/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What exists once for each host: its number, the table of its rails, the NHIs
 * that do their DMA, and the page that tells every channel of changes.
 */
#ifndef U4DMA_NODE_H
#define U4DMA_NODE_H

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/kobject.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/workqueue.h>

#include "wire.h"

struct u4dma_rail;

/* NHIs that a host may have; each costs every channel a table of addresses. */
#define U4DMA_NHIS_MAX		8
/* Cables are numbered by the NHI's port that they are plugged into. */
#define U4DMA_CABLES_MAX	16

/**
 * struct u4dma_nhi - An NHI that at least one link uses
 * @list: in u4dma_nhis
 * @dev: its device, for DMA; counted
 * @index: its place in each channel's table of addresses
 * @users: links that use it
 *
 * All guarded by u4dma_lock.
 */
struct u4dma_nhi {
	struct list_head list;
	struct device *dev;
	unsigned int index;
	unsigned int users;
};

/**
 * struct u4dma_rail_stats - What a rail did for all channels
 * @tx_frames: frames that the NHI took; guarded by the rail's tx_lock
 * @tx_bytes: bytes of these
 * @tx_canceled: frames that were under way when the rail went down
 * @tx_full: frames refused because the ring or the channel's share was full
 * @rx_frames: frames delivered to a channel; guarded by the rail's rx_lock,
 *	as are all of the following but @irqs
 * @rx_bytes: bytes of these
 * @rx_no_buffer: dropped: the channel had no frame in its fill ring
 * @rx_no_channel: dropped: the channel does not exist
 * @rx_crc: dropped: damaged on the cable
 * @rx_overrun: dropped: longer than a buffer
 * @rx_malformed: dropped: routing words that cannot be
 * @polls: times that a KICK polled the ring and found something
 * @irqs: interrupts; written by the interrupt handler alone
 */
struct u4dma_rail_stats {
	u64 tx_frames;
	u64 tx_bytes;
	u64 tx_canceled;
	u64 tx_full;
	u64 rx_frames;
	u64 rx_bytes;
	u64 rx_no_buffer;
	u64 rx_no_channel;
	u64 rx_crc;
	u64 rx_overrun;
	u64 rx_malformed;
	u64 polls;
	u64 irqs;
};

/**
 * struct u4dma_slot - A rail number and what is known of it
 * @kobj: its folder in sysfs; exists from the first use of the number on
 * @is_hidden: the folder is gone, and nobody knows of @kobj
 * @rail: the rail while it is up; read under RCU by the data path
 * @info: as RAILS lists it; guarded by u4dma_lock
 * @index: its number on its cable
 * @stats: counters; they live on when the rail goes
 */
struct u4dma_slot {
	struct kobject kobj;
	struct completion is_hidden;
	struct u4dma_rail __rcu *rail;
	struct usb4_dma_rail info;
	unsigned int index;
	struct u4dma_rail_stats stats;
};

/* Guards the lists of channels and NHIs, and the table of rails. */
extern struct mutex u4dma_lock;
extern struct list_head u4dma_nhis;
extern struct workqueue_struct *u4dma_wq;
extern struct u4dma_slot u4dma_slots[USB4_DMA_RAILS_MAX];
/* USB4_DMA_REGION_NODE: written by the kernel, mapped read-only by all. */
extern struct usb4_dma_node *u4dma_node_page;

int u4dma_node_init(void);
void u4dma_node_exit(void);

const struct u4dma_identity *u4dma_node_identity(const uuid_t *router);
u32 u4dma_node_number(void);
u32 u4dma_node_generation(void);
void u4dma_node_changed(void);
u32 u4dma_node_rails_up(void);

int u4dma_node_cable(const char *nhi, u64 route);
int u4dma_node_slot_get(unsigned int cable, unsigned int index);
void u4dma_node_rail_up(struct u4dma_rail *rail, const struct usb4_dma_rail *info);
void u4dma_node_rail_down(struct u4dma_rail *rail);
u32 u4dma_node_list(struct usb4_dma_rail *rails, u32 *generation);

struct u4dma_nhi *u4dma_nhi_get(struct device *dev);
void u4dma_nhi_put(struct u4dma_nhi *nhi);

extern const struct attribute_group *u4dma_node_groups[];
int u4dma_sysfs_init(struct device *dev);
void u4dma_sysfs_exit(void);
int u4dma_sysfs_add(struct u4dma_slot *slot, unsigned int number);
void u4dma_sysfs_remove(struct u4dma_slot *slot);

#endif /* U4DMA_NODE_H */
