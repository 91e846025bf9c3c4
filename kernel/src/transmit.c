// SPDX-License-Identifier: GPL-2.0-only
/*
 * From the submit ring to a rail or to the own node, and back to the complete
 * ring.
 */
#include <linux/nospec.h>

#include "channel.h"
#include "demux.h"
#include "rail.h"
#include "trace.h"

/* Entries that one KICK takes: bounds the time that it holds the channel. */
#define TX_BUDGET	256

/**
 * u4dma_transmit_done() - Complete an entry of the submit ring
 * @chan: the channel
 * @frame: of the entry
 * @rail: of the entry
 * @cookie: of the entry
 * @status: how it ended
 *
 * There is room: no entry is taken without it.
 */
void u4dma_transmit_done(struct u4dma_chan *chan, u32 frame, u8 rail, u64 cookie,
			 enum usb4_dma_tx_status status)
{
	struct usb4_dma_tx_done *done;

	spin_lock(&chan->done_lock);
	done = u4dma_ring_next(&chan->complete, sizeof(*done));
	*done = (struct usb4_dma_tx_done) {
		.cookie = cookie,
		.frame = frame,
		.rail = rail,
		.status = status,
	};
	u4dma_ring_publish(&chan->complete);
	chan->open_entries--;
	/* (Of an invalid entry the rail may be any number.) */
	if (status == USB4_DMA_TX_DOWN)
		chan->counters->rails[rail].tx_down++;
	spin_unlock(&chan->done_lock);
	u4dma_chan_wake(chan, U4DMA_ARMED_TX);
}

/* Reserves room in the complete ring for up to @wanted entries. */
static u32 reserve(struct u4dma_chan *chan, u32 wanted)
{
	bool bad = false;
	u32 room;

	spin_lock(&chan->done_lock);
	room = u4dma_ring_free(&chan->complete, &bad);
	chan->counters->ring_invalid += bad;
	room = room > chan->open_entries ? room - chan->open_entries : 0;
	room = min(room, wanted);
	chan->open_entries += room;
	spin_unlock(&chan->done_lock);
	return room;
}

static u8 send_over_rail(struct u4dma_chan *chan, const struct usb4_dma_tx *tx,
			 const struct u4dma_routing *routing)
{
	struct u4dma_rail *rail;
	u8 status;

	rcu_read_lock();
	rail = rcu_dereference(u4dma_slots[array_index_nospec(tx->rail, USB4_DMA_RAILS_MAX)].rail);
	if (!rail)
		status = USB4_DMA_TX_DOWN;
	else if (routing->dst_node != rail->peer_node)
		status = USB4_DMA_TX_INVALID;
	else
		status = u4dma_rail_send(rail, chan, tx);
	rcu_read_unlock();
	return status;
}

/*
 * Sends one entry. Checking the header keeps honest processes from mistakes;
 * a process that rewrites the frame while the NHI reads it gets past it, which
 * is why receivers trust no header but its token.
 */
static u8 send(struct u4dma_chan *chan, const struct usb4_dma_tx *tx)
{
	struct u4dma_routing routing;
	const void *frame;

	if (tx->flags || tx->frame >= chan->tx_frames ||
	    tx->len < sizeof(struct usb4_dma_header) || tx->len > USB4_DMA_FRAME_SIZE ||
	    tx->rail > USB4_DMA_RAIL_LOOPBACK)
		return USB4_DMA_TX_INVALID;
	frame = u4dma_chan_frame(chan, tx->frame);
	u4dma_routing_read(&routing, frame);
	if (!u4dma_routing_fits(&routing, tx->len) || routing.src_node != chan->node ||
	    routing.src_channel != chan->number)
		return USB4_DMA_TX_INVALID;

	if (tx->rail != USB4_DMA_RAIL_LOOPBACK)
		return send_over_rail(chan, tx, &routing);
	if (routing.dst_node != chan->node)
		return USB4_DMA_TX_INVALID;
	u4dma_demux_loopback(chan, &routing, frame, tx->len);
	return USB4_DMA_TX_SENT;
}

static void count(struct u4dma_chan *chan, const struct usb4_dma_tx *tx, u8 status)
{
	struct usb4_dma_counters *counters = chan->counters;

	switch (status) {
	case USB4_DMA_TX_INVALID:
		counters->tx_invalid++;
		break;
	case USB4_DMA_TX_AGAIN:
		counters->rails[tx->rail].tx_again++;
		break;
	case USB4_DMA_TX_SENT:
	case U4DMA_TX_UNDER_WAY:
		counters->rails[tx->rail].tx_frames++;
		counters->rails[tx->rail].tx_bytes += tx->len;
		break;
	}
}

/**
 * u4dma_transmit() - Take what the submit ring holds
 * @chan: the channel; its lock is held
 * @left: set if entries were left there
 *
 * Return: how many entries were taken.
 */
u32 u4dma_transmit(struct u4dma_chan *chan, bool *left)
{
	bool bad = false;
	u32 filled, n, i;

	lockdep_assert_held(&chan->lock);
	filled = u4dma_ring_filled(&chan->submit, &bad);
	chan->counters->ring_invalid += bad;
	n = filled ? reserve(chan, min_t(u32, filled, TX_BUDGET)) : 0;
	*left = n < filled;

	for (i = 0; i < n; i++) {
		struct usb4_dma_tx tx = u4dma_ring_read_tx(&chan->submit, i);
		u8 status = send(chan, &tx);

		trace_usb4_dma_tx(chan->number, tx.rail, tx.frame, tx.len, status);
		count(chan, &tx, status);
		if (status != U4DMA_TX_UNDER_WAY)
			u4dma_transmit_done(chan, tx.frame, tx.rail, tx.cookie, status);
	}
	u4dma_ring_release(&chan->submit, n);
	return n;
}
