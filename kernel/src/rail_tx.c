// SPDX-License-Identifier: GPL-2.0-only
/*
 * Transmit side of a rail.
 *
 * The NHI's ring is shared by all channels. Each may hold an equal part of it,
 * so one that never stops sending does not lock the others out. Frames come
 * back by interrupt, in the core's worker; when the ring or a channel's share
 * is exhausted the sender looks for finished frames itself first.
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include "channel.h"
#include "compat.h"
#include "rail.h"
#include "trace.h"

/* What a channel may hold of a rail however many others there are. */
#define SHARE_MIN	8

/* Notices share one page, each with cache lines of its own. */
#define NOTICE_BYTES	64

static_assert(U4DMA_NOTICES * NOTICE_BYTES <= PAGE_SIZE);
static_assert(sizeof(struct usb4_dma_header) <= NOTICE_BYTES);

static unsigned int slot_count(const struct u4dma_rail *rail)
{
	/* One entry stays empty: that is how the NHI tells full from empty. */
	return rail->size - 1 - U4DMA_NOTICES;
}

/**
 * u4dma_rail_depth() - Frames that a channel may have under way
 * @rail: the rail
 */
u32 u4dma_rail_depth(const struct u4dma_rail *rail)
{
	return max_t(u32, SHARE_MIN, slot_count(rail) / max(1U, u4dma_chan_count()));
}

/* Takes back a slot that the NHI has done with. */
static void slot_done(struct u4dma_rail *rail, struct u4dma_tx_slot *slot, bool canceled)
{
	struct u4dma_chan *chan = slot->chan;

	lockdep_assert_held(&rail->tx_lock);
	slot->is_busy = false;
	if (!chan) {
		list_add_tail(&slot->frame.list, &rail->free_notices);
		return;
	}

	slot->chan = NULL;
	list_add(&slot->frame.list, &rail->free_slots);
	WRITE_ONCE(u4dma_node_page->rails[rail->number].tx_backlog, --rail->busy);
	chan->in_flight[rail->number]--;
	if (canceled)
		u4dma_rail_stats(rail)->tx_canceled++;
	u4dma_transmit_done(chan, slot->index, rail->number, slot->cookie,
			    canceled ? USB4_DMA_TX_DOWN : USB4_DMA_TX_SENT);
	u4dma_chan_put(chan);
}

/* From the core's worker, after an interrupt or because the ring was stopped. */
static void tx_callback(struct tb_ring *ring, struct ring_frame *frame, bool canceled)
{
	struct u4dma_tx_slot *slot = container_of(frame, struct u4dma_tx_slot, frame);
	struct u4dma_rail *rail = slot->rail;

	spin_lock(&rail->tx_lock);
	slot_done(rail, slot, canceled);
	spin_unlock(&rail->tx_lock);
}

/* Takes back what is finished without waiting for the interrupt. */
static void reap(struct u4dma_rail *rail)
{
	struct ring_frame *frame;

	while ((frame = tb_ring_poll(rail->tx)))
		slot_done(rail, container_of(frame, struct u4dma_tx_slot, frame), false);
}

int u4dma_rail_tx_alloc(struct u4dma_rail *rail)
{
	struct device *dev = rail->nhi->dev;
	unsigned int i;
	void *page;

	INIT_LIST_HEAD(&rail->free_slots);
	INIT_LIST_HEAD(&rail->free_notices);

	rail->slots = kvcalloc(slot_count(rail), sizeof(*rail->slots), GFP_KERNEL);
	if (!rail->slots)
		return -ENOMEM;
	for (i = 0; i < slot_count(rail); i++) {
		struct u4dma_tx_slot *slot = &rail->slots[i];

		slot->rail = rail;
		slot->frame.callback = tx_callback;
		slot->frame.sof = U4DMA_PDF_START;
		slot->frame.eof = U4DMA_PDF_DATA;
		list_add_tail(&slot->frame.list, &rail->free_slots);
	}

	page = (void *)get_zeroed_page(GFP_KERNEL);
	if (!page)
		goto err_free_slots;
	rail->notice_dma = dma_map_single(dev, page, PAGE_SIZE, DMA_TO_DEVICE);
	if (dma_mapping_error(dev, rail->notice_dma))
		goto err_free_page;
	for (i = 0; i < U4DMA_NOTICES; i++) {
		struct u4dma_tx_slot *slot = &rail->notices[i];

		rail->notice_data[i] = page + i * NOTICE_BYTES;
		slot->rail = rail;
		slot->index = i;
		slot->frame.callback = tx_callback;
		slot->frame.buffer_phy = rail->notice_dma + i * NOTICE_BYTES;
		slot->frame.size = sizeof(struct usb4_dma_header);
		slot->frame.sof = U4DMA_PDF_START;
		slot->frame.eof = U4DMA_PDF_GONE;
		list_add_tail(&slot->frame.list, &rail->free_notices);
	}
	return 0;

err_free_page:
	free_page((unsigned long)page);
err_free_slots:
	kvfree(rail->slots);
	return -ENOMEM;
}

/**
 * u4dma_rail_tx_free() - Free the transmit side
 * @rail: the rail; its transmit ring is freed
 *
 * A ring of an NHI that has gone away gives nothing back: what is still out
 * ends here.
 */
void u4dma_rail_tx_free(struct u4dma_rail *rail)
{
	unsigned int i;

	spin_lock(&rail->tx_lock);
	for (i = 0; i < slot_count(rail); i++)
		if (rail->slots[i].is_busy)
			slot_done(rail, &rail->slots[i], true);
	spin_unlock(&rail->tx_lock);

	dma_unmap_single(rail->nhi->dev, rail->notice_dma, PAGE_SIZE, DMA_TO_DEVICE);
	free_page((unsigned long)rail->notice_data[0]);
	kvfree(rail->slots);
}

static int post(struct u4dma_rail *rail, struct u4dma_tx_slot *slot, size_t len)
{
	int ret;

	/* No operation where DMA is coherent, and never one of the IOMMU. */
	dma_sync_single_for_device(rail->nhi->dev, slot->frame.buffer_phy, len, DMA_TO_DEVICE);
	list_del_init(&slot->frame.list);
	slot->is_busy = true;
	ret = tb_ring_tx(rail->tx, &slot->frame);
	if (ret)
		slot->is_busy = false;
	return ret;
}

/**
 * u4dma_rail_send() - Put a channel's frame on the ring
 * @rail: the rail
 * @chan: the channel
 * @tx: entry of the submit ring, checked
 *
 * Return: U4DMA_TX_UNDER_WAY if the entry will be completed later, or the
 * &enum usb4_dma_tx_status to complete it with now.
 */
u8 u4dma_rail_send(struct u4dma_rail *rail, struct u4dma_chan *chan,
		   const struct usb4_dma_tx *tx)
{
	struct u4dma_rail_stats *stats = u4dma_rail_stats(rail);
	const dma_addr_t *dma = chan->dma[rail->nhi->index];
	struct u4dma_tx_slot *slot;
	u8 status = U4DMA_TX_UNDER_WAY;
	u32 depth;

	spin_lock(&rail->tx_lock);
	if (!rail->can_send || !dma) {
		status = USB4_DMA_TX_DOWN;
		goto out;
	}
	depth = u4dma_rail_depth(rail);
	if (chan->in_flight[rail->number] >= depth || list_empty(&rail->free_slots))
		reap(rail);
	if (chan->in_flight[rail->number] >= depth || list_empty(&rail->free_slots)) {
		stats->tx_full++;
		status = USB4_DMA_TX_AGAIN;
		goto out;
	}

	slot = list_first_entry(&rail->free_slots, struct u4dma_tx_slot, frame.list);
	slot->cookie = tx->cookie;
	slot->index = tx->frame;
	slot->len = tx->len;
	/* 12 bits: 4096 becomes 0, which is what the NHI calls it. */
	slot->frame.size = tx->len;
	slot->frame.buffer_phy = dma[tx->frame];
	if (post(rail, slot, tx->len)) {
		list_add(&slot->frame.list, &rail->free_slots);
		status = USB4_DMA_TX_DOWN;
		goto out;
	}
	kref_get(&chan->kref);
	slot->chan = chan;
	chan->in_flight[rail->number]++;
	WRITE_ONCE(u4dma_node_page->rails[rail->number].tx_backlog, ++rail->busy);
	stats->tx_frames++;
	stats->tx_bytes += tx->len;
out:
	spin_unlock(&rail->tx_lock);
	return status;
}

/**
 * u4dma_rail_send_gone() - Tell the other kernel that a channel does not exist
 * @rail: the rail
 * @of: routing words of the frame that named the channel
 *
 * Best effort: with U4DMA_NOTICES under way there is no further one, so frames
 * to nowhere cost the ring nothing worth mentioning.
 */
void u4dma_rail_send_gone(struct u4dma_rail *rail, const struct u4dma_routing *of)
{
	struct u4dma_tx_slot *slot;

	spin_lock(&rail->tx_lock);
	if (!rail->can_send)
		goto out;
	if (list_empty(&rail->free_notices))
		reap(rail);
	if (list_empty(&rail->free_notices))
		goto out;
	slot = list_first_entry(&rail->free_notices, struct u4dma_tx_slot, frame.list);
	u4dma_routing_write_gone(rail->notice_data[slot->index], of);
	if (post(rail, slot, sizeof(struct usb4_dma_header)))
		list_add(&slot->frame.list, &rail->free_notices);
out:
	spin_unlock(&rail->tx_lock);
}
