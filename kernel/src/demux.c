// SPDX-License-Identifier: GPL-2.0-only
/*
 * Received frames to channels: the kernel's one copy.
 *
 * What came over a cable lies in a buffer that only the NHI writes; what is
 * looped back lies in the sender's pool, where the sender may write meanwhile.
 * So routing words are read once, and the receiver gets the words that were
 * checked.
 */
#include <linux/string.h>

#include "channel.h"
#include "demux.h"
#include "rail.h"
#include "trace.h"

/* Bytes that are copied from the private routing words. */
#define ROUTING_BYTES	sizeof(((struct u4dma_routing *)0)->words)

/* Wrong entries of a fill ring that one frame is kept waiting for. */
#define FILL_TRIES	8

static struct usb4_dma_rail_counters *counters(struct u4dma_chan *chan, u8 rail)
{
	return &chan->counters->rails[rail];
}

/*
 * Takes a receive frame's index from the fill ring. A process that fills in
 * nonsense only loses frames of its own.
 */
static bool take_fill(struct u4dma_chan *chan, u32 *index)
{
	bool bad = false;
	int tries;

	for (tries = 0; tries < FILL_TRIES; tries++) {
		if (!u4dma_ring_filled(&chan->fill, &bad))
			break;
		*index = u4dma_ring_take_fill(&chan->fill);
		if (*index >= chan->tx_frames && *index - chan->tx_frames < chan->rx_frames)
			return true;
		chan->counters->fill_invalid++;
	}
	chan->counters->ring_invalid += bad;
	return false;
}

static bool has_room(struct u4dma_chan *chan)
{
	bool bad = false;
	bool has = u4dma_ring_free(&chan->ready, &bad);

	chan->counters->ring_invalid += bad;
	return has;
}

static void publish(struct u4dma_chan *chan, const struct usb4_dma_rx *rx)
{
	memcpy(u4dma_ring_next(&chan->ready, sizeof(*rx)), rx, sizeof(*rx));
	u4dma_ring_publish(&chan->ready);
}

/* Copies a frame into a channel. Under RCU, which keeps the channel. */
static bool deliver(struct u4dma_chan *chan, const struct u4dma_routing *routing,
		    const void *frame, u16 len, u8 rail)
{
	struct usb4_dma_rx rx = {
		.len = len,
		.rail = rail,
		.src_node = routing->src_node,
		.src_channel = routing->src_channel,
	};
	bool taken;
	void *to;

	spin_lock(&chan->rx_lock);
	taken = has_room(chan) && take_fill(chan, &rx.frame);
	if (taken) {
		to = u4dma_chan_frame(chan, rx.frame);
		memcpy(to, routing->words, ROUTING_BYTES);
		memcpy(to + ROUTING_BYTES, frame + ROUTING_BYTES, len - ROUTING_BYTES);
		publish(chan, &rx);
		counters(chan, rail)->rx_frames++;
		counters(chan, rail)->rx_bytes += len;
	} else {
		counters(chan, rail)->rx_no_buffer++;
	}
	/* (C) once more, for all entries taken. */
	u4dma_ring_release(&chan->fill, 0);
	spin_unlock(&chan->rx_lock);

	if (taken) {
		trace_usb4_dma_rx(chan->number, rail, rx.frame, len);
		u4dma_chan_wake(chan, U4DMA_ARMED_RX);
	} else {
		trace_usb4_dma_drop(chan->number, rail, U4DMA_DROP_NO_BUFFER);
	}
	return taken;
}

/* Tells a channel that another one, which it sent something, does not exist. */
static void deliver_gone(struct u4dma_chan *chan, u32 node, u16 channel, u8 rail)
{
	const struct usb4_dma_rx rx = {
		.rail = rail,
		.flags = USB4_DMA_RX_GONE,
		.src_node = node,
		.src_channel = channel,
	};

	spin_lock(&chan->rx_lock);
	if (has_room(chan)) {
		publish(chan, &rx);
		counters(chan, rail)->rx_gone++;
	}
	spin_unlock(&chan->rx_lock);
	u4dma_chan_wake(chan, U4DMA_ARMED_RX);
}

static void demux_gone(struct u4dma_rail *rail, const struct u4dma_routing *routing)
{
	struct u4dma_chan *chan;

	rcu_read_lock();
	chan = u4dma_chan_find(routing->dst_channel);
	if (chan)
		deliver_gone(chan, routing->src_node, routing->src_channel, rail->number);
	rcu_read_unlock();
}

static void demux_data(struct u4dma_rail *rail, const struct u4dma_routing *routing,
		       const void *frame, u16 len)
{
	struct u4dma_rail_stats *stats = u4dma_rail_stats(rail);
	struct u4dma_chan *chan;

	rcu_read_lock();
	chan = u4dma_chan_find(routing->dst_channel);
	if (!chan) {
		stats->rx_no_channel++;
		trace_usb4_dma_drop(routing->dst_channel, rail->number, U4DMA_DROP_NO_CHANNEL);
		u4dma_rail_send_gone(rail, routing);
	} else if (deliver(chan, routing, frame, len, rail->number)) {
		stats->rx_frames++;
		stats->rx_bytes += len;
	} else {
		stats->rx_no_buffer++;
	}
	rcu_read_unlock();
}

/**
 * u4dma_demux() - Hand on what a rail received
 * @rail: the rail; its rx_lock is held
 * @pdf: what the NHI says that it is
 * @frame: the frame; nobody writes it
 * @len: its bytes
 *
 * The neighbour is not trusted: a frame that cannot be is dropped and counted.
 */
void u4dma_demux(struct u4dma_rail *rail, u8 pdf, const void *frame, size_t len)
{
	struct u4dma_routing routing;

	if (len < sizeof(struct usb4_dma_header))
		goto malformed;
	u4dma_routing_read(&routing, frame);
	if (!u4dma_routing_fits(&routing, len) || routing.src_node != rail->peer_node ||
	    routing.dst_node != rail->node)
		goto malformed;

	switch (pdf) {
	case U4DMA_PDF_DATA:
		demux_data(rail, &routing, frame, len);
		return;
	case U4DMA_PDF_GONE:
		demux_gone(rail, &routing);
		return;
	}

malformed:
	u4dma_rail_stats(rail)->rx_malformed++;
	trace_usb4_dma_drop(0, rail->number, U4DMA_DROP_MALFORMED);
	dev_warn_ratelimited(rail->peer_dev,
			     "usb4_dma: rail %u: the neighbour sent a malformed frame of %zu bytes, dropped; install the same usb4_dma release on both hosts\n",
			     rail->number, len);
}

/**
 * u4dma_demux_loopback() - Hand a frame to another channel of this node
 * @from: the channel that sends
 * @routing: routing words of the frame, checked
 * @frame: the frame, in the sender's pool
 * @len: its bytes
 */
void u4dma_demux_loopback(struct u4dma_chan *from, const struct u4dma_routing *routing,
			  const void *frame, u16 len)
{
	struct u4dma_chan *chan;

	rcu_read_lock();
	chan = u4dma_chan_find(routing->dst_channel);
	if (chan)
		deliver(chan, routing, frame, len, USB4_DMA_RAIL_LOOPBACK);
	else
		deliver_gone(from, routing->dst_node, routing->dst_channel,
			     USB4_DMA_RAIL_LOOPBACK);
	rcu_read_unlock();
}
