// SPDX-License-Identifier: GPL-2.0-only
/*
 * A rail's life: rings are started and the receive ring is primed before the
 * link enables the paths; the paths go before the rings stop.
 */
#include <linux/module.h>
#include <linux/slab.h>

#include "compat.h"
#include "rail.h"

#define RING_SIZE_MIN		64
#define RING_SIZE_MAX		4096
#define RING_SIZE_DEFAULT	512

/* Moderation of the transmit interrupts: the core's own. */
#define TX_MODERATION_NS	(128 * NSEC_PER_USEC)

static uint ring_size = RING_SIZE_DEFAULT;
module_param(ring_size, uint, 0444);
MODULE_PARM_DESC(ring_size, "frames in each ring of the hardware (64 to 4096, default: 512)");

unsigned int u4dma_rail_size(void)
{
	return clamp_t(uint, ring_size, RING_SIZE_MIN, RING_SIZE_MAX);
}

/**
 * u4dma_rail_alloc() - Take a pair of the NHI's rings
 * @tb_nhi: the NHI as the thunderbolt core knows it
 * @nhi: the same as we know it
 * @peer_dev: for log lines
 * @number: the rail's number
 * @node: own node
 *
 * Return: the rail, or an ERR_PTR; -ENOSPC if the NHI has no ring left.
 */
struct u4dma_rail *u4dma_rail_alloc(struct tb_nhi *tb_nhi, struct u4dma_nhi *nhi,
				    struct device *peer_dev, u8 number, u32 node)
{
	struct u4dma_rail *rail;
	int ret;

	rail = kzalloc_obj(*rail, GFP_KERNEL);
	if (!rail)
		return ERR_PTR(-ENOMEM);
	rail->number = number;
	rail->node = node;
	rail->nhi = nhi;
	rail->peer_dev = peer_dev;
	rail->size = u4dma_rail_size();
	spin_lock_init(&rail->tx_lock);
	spin_lock_init(&rail->rx_lock);

	ret = -ENOSPC;
	rail->tx = tb_ring_alloc_tx(tb_nhi, -1, rail->size, RING_FLAG_FRAME);
	if (!rail->tx)
		goto err_free_rail;
	/* Nobody waits for it: looking often costs more than it is worth. */
	tb_ring_throttling(rail->tx, TX_MODERATION_NS);
	ret = u4dma_rail_rx_alloc(rail, tb_nhi);
	if (ret)
		goto err_free_tx_ring;
	ret = u4dma_rail_tx_alloc(rail);
	if (ret)
		goto err_free_rx;
	return rail;

err_free_rx:
	u4dma_rail_rx_free(rail);
err_free_tx_ring:
	tb_ring_free(rail->tx);
err_free_rail:
	kfree(rail);
	return ERR_PTR(ret);
}

/**
 * u4dma_rail_free() - Give the rings back
 * @rail: the rail; it is stopped
 */
void u4dma_rail_free(struct u4dma_rail *rail)
{
	u4dma_rail_rx_free(rail);
	tb_ring_free(rail->tx);
	u4dma_rail_tx_free(rail);
	kfree(rail);
}

/**
 * u4dma_rail_start() - Start the rings and prime the receive ring
 * @rail: the rail
 * @peer_node: the node at the other end
 */
void u4dma_rail_start(struct u4dma_rail *rail, u32 peer_node)
{
	rail->peer_node = peer_node;
	tb_ring_start(rail->tx);
	u4dma_rail_rx_start(rail);
}

/**
 * u4dma_rail_enable() - Let channels send
 * @rail: the rail; both ends have enabled their paths
 */
void u4dma_rail_enable(struct u4dma_rail *rail)
{
	spin_lock(&rail->tx_lock);
	rail->can_send = true;
	spin_unlock(&rail->tx_lock);
}

/**
 * u4dma_rail_disable() - Keep channels from sending
 * @rail: the rail
 */
void u4dma_rail_disable(struct u4dma_rail *rail)
{
	spin_lock(&rail->tx_lock);
	rail->can_send = false;
	spin_unlock(&rail->tx_lock);
}

/**
 * u4dma_rail_stop() - Stop the rings
 * @rail: the rail; it is disabled, no channel finds it any more, and its
 *	paths are disabled
 *
 * Frames that the NHI held come back canceled.
 */
void u4dma_rail_stop(struct u4dma_rail *rail)
{
	u4dma_rail_rx_stop(rail);
	tb_ring_stop(rail->tx);
}
