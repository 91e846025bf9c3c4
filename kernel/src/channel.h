/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Channels: one opening of /dev/usb4dma each.
 */
#ifndef U4DMA_CHANNEL_H
#define U4DMA_CHANNEL_H

#include <linux/atomic.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/uidgid.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "node.h"
#include "ring.h"

/* What a sleeping channel wants to be woken for. */
#define U4DMA_ARMED_RX	BIT(0)
#define U4DMA_ARMED_TX	BIT(1)

/**
 * struct u4dma_chan - An open handle, and the channel that SETUP made of it
 * @kref: the handle, and each of the channel's frames that an NHI holds
 * @free_work: frees the channel from a context that may sleep
 * @lock: serialises SETUP and KICK; guards @is_set_up and @submit
 * @is_set_up: SETUP has been done; written once, under @lock, read without it
 *	by poll and mmap
 * @seen_generation: generation that RAILS returned last
 * @list: in u4dma_chans, guarded by u4dma_lock
 * @uid: who set it up, for the limit of channels
 * @mm: whose locked memory it is counted in
 * @locked_pages: how many pages are counted
 * @number: channel number
 * @node: node number, in private memory
 * @incarnation: random number
 * @tx_frames: frames of the pool for transmit
 * @rx_frames: frames of the pool for receive
 * @memory: what is mapped, by &enum usb4_dma_region_id
 * @bytes: sizes of these
 * @dma: bus addresses of the transmit frames for each NHI; written under
 *	u4dma_lock while no rail of the NHI is up
 * @counters: region COUNTERS
 * @submit: ring; guarded by @lock
 * @done_lock: guards @complete, @open_entries and the tx_down counters
 * @complete: ring; guarded by @done_lock
 * @open_entries: entries taken and not completed; guarded by @done_lock
 * @rx_lock: guards @fill and @ready and the receive counters
 * @fill: ring; guarded by @rx_lock
 * @ready: ring; guarded by @rx_lock
 * @in_flight: frames on each rail; each guarded by its rail's tx_lock
 * @armed: what to wake it for, U4DMA_ARMED_*; see u4dma_chan_wake()
 * @wait: who sleeps in poll
 */
struct u4dma_chan {
	struct kref kref;
	struct work_struct free_work;
	struct mutex lock; /* SETUP and KICK */
	bool is_set_up;
	u32 seen_generation;
	struct list_head list;
	kuid_t uid;
	struct mm_struct *mm;
	unsigned long locked_pages;
	u16 number;
	u32 node;
	u64 incarnation;
	u32 tx_frames;
	u32 rx_frames;
	void *memory[USB4_DMA_REGIONS];
	size_t bytes[USB4_DMA_REGIONS];
	dma_addr_t *dma[U4DMA_NHIS_MAX];
	struct usb4_dma_counters *counters;
	struct u4dma_ring submit;
	spinlock_t done_lock; /* @complete, @open_entries */
	struct u4dma_ring complete;
	u32 open_entries;
	spinlock_t rx_lock; /* @fill, @ready */
	struct u4dma_ring fill;
	struct u4dma_ring ready;
	u16 in_flight[USB4_DMA_RAILS_MAX];
	atomic_t armed;
	wait_queue_head_t wait;
};

/* All channels, guarded by u4dma_lock. */
extern struct list_head u4dma_chans;

int u4dma_chan_init(void);
void u4dma_chan_admit(void);
void u4dma_chan_exit(void);
struct device *u4dma_chan_device(void);
void u4dma_chan_wake(struct u4dma_chan *chan, int why);

/* setup.c */
unsigned int u4dma_chan_count(void);
struct u4dma_chan *u4dma_chan_find(u16 number);
void u4dma_chan_put(struct u4dma_chan *chan);
void u4dma_chan_wake_all(void);
void u4dma_chan_limits(struct usb4_dma_query *cmd);
int u4dma_chan_setup(struct u4dma_chan *chan, struct usb4_dma_setup *cmd);
void u4dma_chan_close(struct u4dma_chan *chan);

/* transmit.c */
u32 u4dma_transmit(struct u4dma_chan *chan, bool *left);
void u4dma_transmit_done(struct u4dma_chan *chan, u32 frame, u8 rail, u64 cookie,
			 enum usb4_dma_tx_status status);

/* Frame @index of the pool. */
static inline void *u4dma_chan_frame(const struct u4dma_chan *chan, u32 index)
{
	return chan->memory[USB4_DMA_REGION_POOL] + (size_t)index * USB4_DMA_FRAME_SIZE;
}

#endif /* U4DMA_CHANNEL_H */
