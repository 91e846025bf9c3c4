// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receive side of a rail.
 *
 * Whoever holds rx_lock polls the ring, for all channels: a KICK, or the worker
 * that an interrupt started. An interrupt masks itself. Who unmasks it again
 * depends on who wants to know:
 *
 *   nobody polls      the worker, as soon as the ring is empty
 *   a process KICKs   nobody, while it comes back often enough and finds the
 *                     ring empty; the timer looks after it and calls the
 *                     worker if it does not
 *   a process arms    the process, before it sleeps
 */
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "demux.h"
#include "rail.h"
#include "trace.h"

/* Frames that the worker handles before it lets others run. */
#define WORK_BUDGET		64
/* Frames that a process handles before it sleeps. */
#define ARM_BUDGET		64
/*
 * How long a process that polls may stay away. A ring of 512 frames takes
 * 1.3 ms to fill at the 13 Gb/s that an NHI's ring reaches.
 */
#define POLL_TIMEOUT_NS		(500 * NSEC_PER_USEC)
/*
 * Moderation of the receive interrupts. The core's own is 128 us, which would
 * be most of a sleeper's latency.
 */
#define MODERATION_NS		8192
/* A moderated interrupt may come that late after its frame. */
#define QUIET_US		200
#define QUIET_TRIES		50

static void receive(struct u4dma_rail *rail, struct u4dma_rx_buffer *buffer)
{
	struct u4dma_rail_stats *stats = u4dma_rail_stats(rail);
	struct ring_frame *frame = &buffer->frame;
	size_t len = tb_ring_frame_size(frame);

	if (frame->flags & RING_DESC_CRC_ERROR) {
		stats->rx_crc++;
		trace_usb4_dma_drop(0, rail->number, U4DMA_DROP_CRC);
		return;
	}
	if (frame->flags & RING_DESC_BUFFER_OVERRUN) {
		stats->rx_overrun++;
		trace_usb4_dma_drop(0, rail->number, U4DMA_DROP_OVERRUN);
		return;
	}
	dma_sync_single_for_cpu(rail->nhi->dev, frame->buffer_phy, len, DMA_FROM_DEVICE);
	u4dma_demux(rail, frame->eof, buffer->data, len);
	dma_sync_single_for_device(rail->nhi->dev, frame->buffer_phy, len, DMA_FROM_DEVICE);
}

/* Handles received frames and posts their buffers again. */
static u32 poll(struct u4dma_rail *rail, u32 budget)
{
	struct ring_frame *frame;
	u32 n = 0;

	lockdep_assert_held(&rail->rx_lock);
	while (n < budget && (frame = tb_ring_poll(rail->rx))) {
		receive(rail, container_of(frame, struct u4dma_rx_buffer, frame));
		tb_ring_rx(rail->rx, frame);
		n++;
	}
	return n;
}

static void unmask(struct u4dma_rail *rail)
{
	lockdep_assert_held(&rail->rx_lock);
	/* First: the interrupt may come at once, and masks again. */
	WRITE_ONCE(rail->is_masked, false);
	tb_ring_poll_complete(rail->rx);
}

/* In the interrupt handler, with the core's locks held. */
static void start_poll(void *data)
{
	struct u4dma_rail *rail = data;
	struct u4dma_rail_stats *stats = u4dma_rail_stats(rail);

	WRITE_ONCE(rail->is_masked, true);
	WRITE_ONCE(stats->irqs, stats->irqs + 1);
	trace_usb4_dma_irq(rail->number);
	queue_work(u4dma_wq, &rail->poll_work);
}

static void poll_work(struct work_struct *work)
{
	struct u4dma_rail *rail = container_of(work, struct u4dma_rail, poll_work);
	bool again = false;

	spin_lock(&rail->rx_lock);
	if (!rail->can_poll)
		goto out;
	if (poll(rail, WORK_BUDGET) == WORK_BUDGET)
		again = true;
	else if (READ_ONCE(rail->was_polled))
		hrtimer_start(&rail->timer, ns_to_ktime(POLL_TIMEOUT_NS), HRTIMER_MODE_REL);
	else if (READ_ONCE(rail->is_masked))
		unmask(rail);
out:
	spin_unlock(&rail->rx_lock);
	if (again)
		queue_work(u4dma_wq, &rail->poll_work);
}

static enum hrtimer_restart poll_timeout(struct hrtimer *timer)
{
	struct u4dma_rail *rail = container_of(timer, struct u4dma_rail, timer);

	if (!READ_ONCE(rail->is_masked))
		return HRTIMER_NORESTART;
	if (READ_ONCE(rail->was_polled)) {
		WRITE_ONCE(rail->was_polled, false);
		/* Not forwarded: the worker may start it at the same time. */
		hrtimer_start(timer, ns_to_ktime(POLL_TIMEOUT_NS), HRTIMER_MODE_REL);
		return HRTIMER_NORESTART;
	}
	queue_work(u4dma_wq, &rail->poll_work);
	return HRTIMER_NORESTART;
}

/**
 * u4dma_rail_kick() - Poll for a process that comes again
 * @rail: the rail
 * @budget: frames to handle at most
 *
 * Return: how many were handled. If somebody else polls just now: none, for
 * then nothing is missed.
 */
u32 u4dma_rail_kick(struct u4dma_rail *rail, u32 budget)
{
	u32 n = 0;

	if (!spin_trylock(&rail->rx_lock))
		return 0;
	if (rail->can_poll) {
		n = poll(rail, budget);
		if (n)
			u4dma_rail_stats(rail)->polls++;
		/* Who leaves frames to others does not stand in for them. */
		if (n < budget && !READ_ONCE(rail->was_polled))
			WRITE_ONCE(rail->was_polled, true);
	}
	spin_unlock(&rail->rx_lock);
	return n;
}

/**
 * u4dma_rail_arm() - Make sure that the next frame interrupts
 * @rail: the rail
 *
 * The caller looks at its ready ring afterwards.
 */
void u4dma_rail_arm(struct u4dma_rail *rail)
{
	bool again = false;

	spin_lock(&rail->rx_lock);
	if (rail->can_poll) {
		WRITE_ONCE(rail->was_polled, false);
		if (poll(rail, ARM_BUDGET) == ARM_BUDGET)
			again = true;
		else if (READ_ONCE(rail->is_masked))
			unmask(rail);
	}
	spin_unlock(&rail->rx_lock);
	if (again)
		queue_work(u4dma_wq, &rail->poll_work);
}

static unsigned int buffer_count(const struct u4dma_rail *rail)
{
	/* One entry stays empty: that is how the NHI tells full from empty. */
	return rail->size - 1;
}

static void free_buffers(struct u4dma_rail *rail)
{
	unsigned int i;

	for (i = 0; i < buffer_count(rail) && rail->buffers[i].data; i++) {
		dma_unmap_single(rail->nhi->dev, rail->buffers[i].frame.buffer_phy,
				 USB4_DMA_FRAME_SIZE, DMA_FROM_DEVICE);
		free_page((unsigned long)rail->buffers[i].data);
	}
	trace_usb4_dma_unmap(rail->nhi->dev, 0, i);
	kvfree(rail->buffers);
}

static int alloc_buffers(struct u4dma_rail *rail)
{
	struct device *dev = rail->nhi->dev;
	unsigned int i;

	rail->buffers = kvcalloc(buffer_count(rail), sizeof(*rail->buffers), GFP_KERNEL);
	if (!rail->buffers)
		return -ENOMEM;
	for (i = 0; i < buffer_count(rail); i++) {
		struct u4dma_rx_buffer *buffer = &rail->buffers[i];
		void *data = (void *)__get_free_page(GFP_KERNEL);

		if (!data)
			goto err_free;
		buffer->frame.buffer_phy = dma_map_single(dev, data, USB4_DMA_FRAME_SIZE,
							  DMA_FROM_DEVICE);
		if (dma_mapping_error(dev, buffer->frame.buffer_phy)) {
			free_page((unsigned long)data);
			goto err_free;
		}
		buffer->data = data;
		INIT_LIST_HEAD(&buffer->frame.list);
	}
	trace_usb4_dma_map(dev, 0, i);
	return 0;

err_free:
	free_buffers(rail);
	return -ENOMEM;
}

int u4dma_rail_rx_alloc(struct u4dma_rail *rail, struct tb_nhi *tb_nhi)
{
	int ret;

	INIT_WORK(&rail->poll_work, poll_work);
	hrtimer_setup(&rail->timer, poll_timeout, CLOCK_MONOTONIC, HRTIMER_MODE_REL);

	rail->rx = tb_ring_alloc_rx(tb_nhi, -1, rail->size, RING_FLAG_FRAME, 0,
				    BIT(U4DMA_PDF_START),
				    BIT(U4DMA_PDF_DATA) | BIT(U4DMA_PDF_GONE),
				    start_poll, rail);
	if (!rail->rx)
		return -ENOSPC;
	/* Where the core has no such call all rings keep its own 128 us. */
	tb_ring_throttling(rail->rx, MODERATION_NS);
	ret = alloc_buffers(rail);
	if (ret)
		tb_ring_free(rail->rx);
	return ret;
}

void u4dma_rail_rx_free(struct u4dma_rail *rail)
{
	tb_ring_free(rail->rx);
	/* The last interrupt may have come after the ring was stopped. */
	cancel_work_sync(&rail->poll_work);
	free_buffers(rail);
}

/**
 * u4dma_rail_rx_start() - Start the receive ring and prime it
 * @rail: the rail
 */
void u4dma_rail_rx_start(struct u4dma_rail *rail)
{
	unsigned int i;

	rail->is_masked = false;
	rail->was_polled = false;
	tb_ring_start(rail->rx);
	for (i = 0; i < buffer_count(rail); i++)
		tb_ring_rx(rail->rx, &rail->buffers[i].frame);
	spin_lock(&rail->rx_lock);
	rail->can_poll = true;
	spin_unlock(&rail->rx_lock);
}

/**
 * u4dma_rail_rx_stop() - Stop the receive ring
 * @rail: the rail; its paths are disabled, so nothing new arrives
 *
 * The core warns when a ring is stopped whose interrupt is masked. So late
 * frames are handled and the last interrupt is waited for.
 */
void u4dma_rail_rx_stop(struct u4dma_rail *rail)
{
	bool is_masked;
	int tries = 0;

	do {
		spin_lock(&rail->rx_lock);
		WRITE_ONCE(rail->was_polled, false);
		poll(rail, rail->size);
		if (READ_ONCE(rail->is_masked))
			unmask(rail);
		spin_unlock(&rail->rx_lock);
		usleep_range(QUIET_US, 2 * QUIET_US);
		is_masked = READ_ONCE(rail->is_masked);
	} while (is_masked && ++tries < QUIET_TRIES);

	spin_lock(&rail->rx_lock);
	rail->can_poll = false;
	spin_unlock(&rail->rx_lock);
	hrtimer_cancel(&rail->timer);
	cancel_work_sync(&rail->poll_work);
	tb_ring_stop(rail->rx);
}
