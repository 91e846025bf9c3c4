// SPDX-License-Identifier: GPL-2.0-only
/*
 * A channel's beginning and end: numbers, limits, memory.
 */
#include <linux/cred.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "channel.h"
#include "memory.h"

/* Enough for every thread of a large host to have one. */
#define CHANNELS_PER_USER	256
#define CHANNELS_MAX		1024
/* Notices in the ready ring beside the frames. */
#define RX_NOTICES		64

static uint channels_per_user = CHANNELS_PER_USER;
module_param(channels_per_user, uint, 0644);
MODULE_PARM_DESC(channels_per_user, "channels that one user may have (default: 256)");

LIST_HEAD(u4dma_chans);

/* Channels by number; read under RCU. */
static DEFINE_XARRAY_ALLOC1(numbers);
/* Where the search for the next number begins; guarded by u4dma_lock. */
static u32 next_number;
static unsigned int channels;

unsigned int u4dma_chan_count(void)
{
	return READ_ONCE(channels);
}

/**
 * u4dma_chan_find() - The channel with a number
 * @number: the number
 *
 * Under RCU, which keeps the channel.
 */
struct u4dma_chan *u4dma_chan_find(u16 number)
{
	return xa_load(&numbers, number);
}

/**
 * u4dma_chan_wake_all() - Wake whoever sleeps: the generation has changed
 */
void u4dma_chan_wake_all(void)
{
	struct u4dma_chan *chan;

	lockdep_assert_held(&u4dma_lock);
	list_for_each_entry(chan, &u4dma_chans, list)
		u4dma_chan_wake(chan, U4DMA_ARMED_RX);
}

void u4dma_chan_limits(struct usb4_dma_query *cmd)
{
	cmd->frames_max = USB4_DMA_FRAMES_MAX;
	cmd->channels_max = CHANNELS_MAX;
	cmd->channels_per_user = READ_ONCE(channels_per_user);
}

static unsigned int channels_of(kuid_t uid)
{
	struct u4dma_chan *chan;
	unsigned int n = 0;

	list_for_each_entry(chan, &u4dma_chans, list)
		n += uid_eq(chan->uid, uid);
	return n;
}

/* Makes the channel known: it gets a number, and its frames are mapped for DMA. */
static int publish(struct u4dma_chan *chan)
{
	struct u4dma_nhi *nhi;
	u32 number;
	int ret;

	mutex_lock(&u4dma_lock);
	ret = -EUSERS;
	if (channels_of(chan->uid) >= READ_ONCE(channels_per_user))
		goto err_unlock;
	ret = -ENOSPC;
	if (channels >= CHANNELS_MAX)
		goto err_unlock;
	/*
	 * Beginning anywhere: frames to a channel of the module's last life are
	 * not to find one of this.
	 */
	if (!next_number)
		next_number = 1 + get_random_u32() % U16_MAX;
	list_for_each_entry(nhi, &u4dma_nhis, list) {
		ret = u4dma_memory_map(chan, nhi);
		if (ret)
			goto err_unmap;
	}
	ret = xa_alloc_cyclic(&numbers, &number, NULL, XA_LIMIT(1, U16_MAX - 1), &next_number,
			      GFP_KERNEL);
	if (ret < 0) {
		ret = ret == -EBUSY ? -ENOSPC : ret;
		goto err_unmap;
	}
	chan->number = number;
	WRITE_ONCE(channels, channels + 1);
	list_add_tail(&chan->list, &u4dma_chans);
	/* Release: who finds the channel finds it whole. */
	xa_store(&numbers, number, chan, GFP_KERNEL);
	mutex_unlock(&u4dma_lock);
	return 0;

err_unmap:
	list_for_each_entry(nhi, &u4dma_nhis, list)
		u4dma_memory_unmap(chan, nhi);
err_unlock:
	mutex_unlock(&u4dma_lock);
	return ret;
}

/**
 * u4dma_chan_setup() - Make a channel of a handle
 * @chan: the handle; its lock is held
 * @cmd: the caller's wishes; the answer
 */
int u4dma_chan_setup(struct u4dma_chan *chan, struct usb4_dma_setup *cmd)
{
	u32 tx_entries, rx_entries;
	int ret, i;

	lockdep_assert_held(&chan->lock);
	if (chan->is_set_up)
		return -EBADFD;
	if (!cmd->tx_frames || !cmd->rx_frames || cmd->tx_frames > USB4_DMA_FRAMES_MAX ||
	    cmd->rx_frames > USB4_DMA_FRAMES_MAX - cmd->tx_frames)
		return -EINVAL;

	chan->tx_frames = cmd->tx_frames;
	chan->rx_frames = cmd->rx_frames;
	chan->uid = current_uid();
	chan->node = u4dma_node_identity(NULL)->node;
	chan->incarnation = get_random_u64();
	tx_entries = roundup_pow_of_two(chan->tx_frames);
	rx_entries = roundup_pow_of_two(chan->rx_frames + RX_NOTICES);
	/*
	 * Channels that were closed give their memory and their places back in
	 * free_work(). Who closes one and sets up the next at once must not meet
	 * a limit because of the first.
	 */
	flush_workqueue(u4dma_wq);
	ret = u4dma_memory_alloc(chan, tx_entries, rx_entries);
	if (ret)
		return ret;

	chan->counters = chan->memory[USB4_DMA_REGION_COUNTERS];
	u4dma_ring_init(&chan->submit, chan->memory[USB4_DMA_REGION_SUBMIT], tx_entries);
	u4dma_ring_init(&chan->complete, chan->memory[USB4_DMA_REGION_COMPLETE], tx_entries);
	u4dma_ring_init(&chan->fill, chan->memory[USB4_DMA_REGION_FILL], rx_entries);
	u4dma_ring_init(&chan->ready, chan->memory[USB4_DMA_REGION_READY], rx_entries);
	WRITE_ONCE(chan->submit.head->flags, USB4_DMA_RING_NEED_KICK);

	ret = publish(chan);
	if (ret) {
		u4dma_memory_free(chan);
		return ret;
	}

	cmd->incarnation = chan->incarnation;
	cmd->node = chan->node;
	cmd->channel = chan->number;
	cmd->tx_entries = tx_entries;
	cmd->rx_entries = rx_entries;
	for (i = 0; i < USB4_DMA_REGIONS; i++) {
		cmd->regions[i].offset = i * U4DMA_REGION_STRIDE;
		cmd->regions[i].bytes = chan->bytes[i];
	}
	/* Release: poll and mmap look without the lock. */
	smp_store_release(&chan->is_set_up, true);
	return 0;
}

/* The last frame is back, or there was none. */
static void free_work(struct work_struct *work)
{
	struct u4dma_chan *chan = container_of(work, struct u4dma_chan, free_work);
	struct u4dma_nhi *nhi;

	if (chan->is_set_up) {
		/* Receivers that found the channel before it was erased. */
		synchronize_rcu();
		mutex_lock(&u4dma_lock);
		list_for_each_entry(nhi, &u4dma_nhis, list)
			u4dma_memory_unmap(chan, nhi);
		list_del(&chan->list);
		WRITE_ONCE(channels, channels - 1);
		mutex_unlock(&u4dma_lock);
		u4dma_memory_free(chan);
	}
	mutex_destroy(&chan->lock);
	kfree(chan);
}

static void release(struct kref *kref)
{
	struct u4dma_chan *chan = container_of(kref, struct u4dma_chan, kref);

	INIT_WORK(&chan->free_work, free_work);
	queue_work(u4dma_wq, &chan->free_work);
}

/**
 * u4dma_chan_put() - Let go of a channel
 * @chan: the channel
 *
 * Callable in atomic context.
 */
void u4dma_chan_put(struct u4dma_chan *chan)
{
	kref_put(&chan->kref, release);
}

/**
 * u4dma_chan_close() - The handle is closed
 * @chan: the channel
 *
 * Frames that an NHI still reads keep the memory for as long.
 */
void u4dma_chan_close(struct u4dma_chan *chan)
{
	if (chan->is_set_up)
		xa_erase(&numbers, chan->number);
	u4dma_chan_put(chan);
}
