// SPDX-License-Identifier: GPL-2.0-only
/*
 * The rails of a link: taken, started, and taken down in reverse.
 */
#include <linux/module.h>
#include <linux/pm_runtime.h>

#include "compat.h"
#include "link.h"

/*
 * What is taken if nothing else is said. An NHI has 16 interrupts for its
 * rings: two cables with three rails each leave thunderbolt-net its pair, and
 * three rings carry what a cable of 40 Gb/s does.
 */
#define RAILS_DEFAULT_MAX	3

static uint rails;
module_param(rails, uint, 0644);
MODULE_PARM_DESC(rails, "rails of each cable (default: 0, all rings that are free, at most 3)");

/* Rings of each kind that nobody has; ring 0 is the control channel. */
static unsigned int free_rings(struct tb_nhi *nhi)
{
	unsigned int tx = 0, rx = 0;
	u32 i;

	spin_lock_irq(&nhi->lock);
	for (i = 1; i < nhi->hop_count; i++) {
		tx += !nhi->tx_rings[i];
		rx += !nhi->rx_rings[i];
	}
	spin_unlock_irq(&nhi->lock);
	return min(tx, rx);
}

static int alloc_rail(struct u4dma_link *link, int cable)
{
	unsigned int index = link->rails_allocated;
	struct u4dma_rail *rail;
	int number, hopid;

	number = u4dma_node_slot_get(cable, index);
	if (number < 0)
		return number;
	rail = u4dma_rail_alloc(link->xd->tb->nhi, link->nhi, &link->svc->dev, number,
				u4dma_node_identity(link->xd->local_uuid)->node);
	if (IS_ERR(rail))
		return PTR_ERR(rail);
	hopid = tb_xdomain_alloc_out_hopid(link->xd, -1);
	if (hopid < 0) {
		u4dma_rail_free(rail);
		return hopid;
	}
	rail->out_hopid = hopid;
	link->rails[link->rails_allocated++] = rail;
	return 0;
}

static void free_last_rail(struct u4dma_link *link)
{
	struct u4dma_rail *rail = link->rails[--link->rails_allocated];

	tb_xdomain_release_out_hopid(link->xd, rail->out_hopid);
	u4dma_rail_free(rail);
}

/**
 * u4dma_link_alloc_rails() - Take rings for as many rails as can be had
 * @link: the link; it has none
 *
 * Return: 0 if there is at least one.
 */
int u4dma_link_alloc_rails(struct u4dma_link *link)
{
	struct tb_nhi *tb_nhi = link->xd->tb->nhi;
	struct device *dev = u4dma_nhi_device(tb_nhi);
	unsigned int wanted = READ_ONCE(rails);
	struct u4dma_nhi *nhi;
	int cable, ret;

	wanted = wanted ? min_t(uint, wanted, U4DMA_LINK_RAILS_MAX) : RAILS_DEFAULT_MAX;
	wanted = min(wanted, free_rings(tb_nhi));
	if (!wanted)
		return -ENOSPC;
	cable = u4dma_node_cable(dev_name(dev), link->xd->route);
	if (cable < 0)
		return cable;
	nhi = u4dma_nhi_get(dev);
	if (IS_ERR(nhi))
		return PTR_ERR(nhi);
	link->nhi = nhi;

	do {
		ret = alloc_rail(link, cable);
	} while (!ret && link->rails_allocated < wanted);
	if (link->rails_allocated)
		return 0;
	link->nhi = NULL;
	u4dma_nhi_put(nhi);
	return ret;
}

/**
 * u4dma_link_free_rails() - Give all rings back
 * @link: the link; its rails are stopped
 */
void u4dma_link_free_rails(struct u4dma_link *link)
{
	while (link->rails_allocated)
		free_last_rail(link);
	if (link->nhi)
		u4dma_nhi_put(link->nhi);
	link->nhi = NULL;
}

static int start_rail(struct u4dma_link *link, struct u4dma_rail *rail, u32 peer_node, int hopid)
{
	struct tb_xdomain *xd = link->xd;
	int ret;

	/* The neighbour chose it; both ends of a path use the same. */
	ret = tb_xdomain_alloc_in_hopid(xd, hopid);
	if (ret < 0)
		return ret;
	rail->in_hopid = ret;
	if (ret != hopid) {
		ret = -EBUSY;
		goto err_release_hopid;
	}
	u4dma_rail_start(rail, peer_node);
	ret = tb_xdomain_enable_paths(xd, rail->out_hopid, rail->tx->hop,
				      rail->in_hopid, rail->rx->hop);
	if (ret)
		goto err_stop;
	return 0;

err_stop:
	u4dma_rail_stop(rail);
err_release_hopid:
	tb_xdomain_release_in_hopid(xd, rail->in_hopid);
	rail->in_hopid = 0;
	return ret;
}

static void stop_rail(struct u4dma_link *link, struct u4dma_rail *rail)
{
	/* Does nothing but forget the paths if the cable is gone. */
	tb_xdomain_disable_paths(link->xd, rail->out_hopid, rail->tx->hop,
				 rail->in_hopid, rail->rx->hop);
	u4dma_rail_stop(rail);
	tb_xdomain_release_in_hopid(link->xd, rail->in_hopid);
	rail->in_hopid = 0;
}

/**
 * u4dma_link_start_rails() - Start as many rails as both sides have
 * @link: the link; its rails are allocated
 * @peer: the neighbour's LOGIN
 *
 * Rings first, then the paths: the other order loses the first frames. Rails
 * that the neighbour has no partner for are given back, so that other drivers
 * can have them.
 */
int u4dma_link_start_rails(struct u4dma_link *link, const struct u4dma_msg *peer)
{
	int ret;

	while (link->rails_allocated > peer->rails)
		free_last_rail(link);

	pm_runtime_get_sync(&link->svc->dev);
	while (link->rails_running < link->rails_allocated) {
		ret = start_rail(link, link->rails[link->rails_running], peer->node,
				 peer->hopids[link->rails_running]);
		if (ret)
			goto err_stop;
		link->rails_running++;
	}
	return 0;

err_stop:
	while (link->rails_running)
		stop_rail(link, link->rails[--link->rails_running]);
	pm_runtime_put(&link->svc->dev);
	return ret;
}

/**
 * u4dma_link_stop_rails() - Stop the rails
 * @link: the link
 *
 * Channels first, then paths, then rings. Frames that were under way end with
 * USB4_DMA_TX_DOWN. The rings stay ours.
 */
void u4dma_link_stop_rails(struct u4dma_link *link)
{
	unsigned int i;

	if (!link->rails_running)
		return;
	if (link->is_up) {
		for (i = 0; i < link->rails_running; i++) {
			u4dma_node_rail_down(link->rails[i]);
			u4dma_rail_disable(link->rails[i]);
		}
		/* Channels that found a rail before have let go of it. */
		synchronize_rcu();
		link->is_up = false;
		dev_info(&link->svc->dev, "usb4_dma: link to node %08x is down\n",
			 link->rails[0]->peer_node);
	}
	while (link->rails_running)
		stop_rail(link, link->rails[--link->rails_running]);
	pm_runtime_put(&link->svc->dev);
}

/**
 * u4dma_link_rails_up() - Let channels use the rails
 * @link: the link; both sides are ready
 * @peer: the neighbour's LOGIN
 */
void u4dma_link_rails_up(struct u4dma_link *link, const struct u4dma_msg *peer)
{
	struct tb_xdomain *xd = link->xd;
	struct usb4_dma_rail info = {
		.peer_node = peer->node,
		.rx_depth = u4dma_rail_size() - 1,
		.numa_node = dev_to_node(link->nhi->dev),
	};
	unsigned int i;

	u4dma_link_lanes(xd, &info.tx_lanes, &info.rx_lanes);
	/* link_speed is in Gb/s for each lane. */
	info.rate_bits_per_s = 1000000000ULL * xd->link_speed * info.tx_lanes;
	export_uuid(info.peer_uuid, xd->remote_uuid);
	strscpy(info.nhi, dev_name(link->nhi->dev), sizeof(info.nhi));

	for (i = 0; i < link->rails_running; i++) {
		u4dma_rail_enable(link->rails[i]);
		u4dma_node_rail_up(link->rails[i], &info);
	}
	link->is_up = true;
	dev_info(&link->svc->dev, "usb4_dma: link to node %08x is up: %u rails, %u Gb/s x %u lanes\n",
		 peer->node, link->rails_running, xd->link_speed, info.tx_lanes);
}
