// SPDX-License-Identifier: GPL-2.0-only
/*
 * The node: its number, its rails, its NHIs.
 */
#include <linux/module.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "channel.h"
#include "compat.h"
#include "memory.h"
#include "node.h"
#include "rail.h"

static uint node_param;
module_param_named(node, node_param, uint, 0444);
MODULE_PARM_DESC(node, "node number (default: 0, derived from the router's UUID)");

/* Guards the lists of channels and NHIs, and the table of rails. */
DEFINE_MUTEX(u4dma_lock);
LIST_HEAD(u4dma_nhis);
struct workqueue_struct *u4dma_wq;
struct u4dma_slot u4dma_slots[USB4_DMA_RAILS_MAX];
struct usb4_dma_node *u4dma_node_page;

static_assert(sizeof(struct usb4_dma_node) <= PAGE_SIZE);

/* Written under u4dma_lock; fixed once node is not 0. */
static struct u4dma_identity identity;

/**
 * struct cable - A port of an NHI that once had a rail
 * @used: the entry is in use
 * @nhi: name of the NHI
 * @route: of the port
 */
static struct cable {
	bool used;
	char nhi[sizeof_field(struct usb4_dma_rail, nhi)];
	u64 route;
} cables[U4DMA_CABLES_MAX];

/* Kernel's own count of changes; the page shows it. Guarded by u4dma_lock. */
static u32 generation;

int u4dma_node_init(void)
{
	u4dma_node_page = vzalloc(PAGE_SIZE);
	if (!u4dma_node_page)
		return -ENOMEM;

	identity.node = node_param;
	identity.instance[0] = get_random_u32();
	identity.instance[1] = get_random_u32();
	generation = 1;
	WRITE_ONCE(u4dma_node_page->generation, generation);
	return 0;
}

void u4dma_node_exit(void)
{
	vfree(u4dma_node_page);
}

/**
 * u4dma_node_identity() - Who this host is
 * @router: the UUID of the router that faces a neighbour, or %NULL
 *
 * The node number comes from the first router that meets a neighbour. Whoever
 * asks before gets a random one, which then stays. Neighbours learn it in the
 * handshake, so nothing depends on how it was made but that it looks the same
 * after a restart.
 */
const struct u4dma_identity *u4dma_node_identity(const uuid_t *router)
{
	u32 node;

	/* Whoever answers a neighbour does not wait for somebody's SETUP. */
	if (READ_ONCE(identity.node))
		return &identity;
	mutex_lock(&u4dma_lock);
	while (!identity.node) {
		node = router ? u4dma_node_of_uuid(router) : get_random_u32();
		WRITE_ONCE(identity.node, node);
	}
	mutex_unlock(&u4dma_lock);
	return &identity;
}

/**
 * u4dma_node_number() - This host's node number, or 0 if it has none yet
 */
u32 u4dma_node_number(void)
{
	return READ_ONCE(identity.node);
}

u32 u4dma_node_generation(void)
{
	return READ_ONCE(u4dma_node_page->generation);
}

/**
 * u4dma_node_changed() - Tell all channels that rails have changed
 */
void u4dma_node_changed(void)
{
	lockdep_assert_held(&u4dma_lock);
	/* Release: who sees the new generation sees the states behind it. */
	smp_store_release(&u4dma_node_page->generation, ++generation);
	u4dma_chan_wake_all();
}

u32 u4dma_node_rails_up(void)
{
	u32 n = 0;
	int i;

	for (i = 0; i < USB4_DMA_RAILS_MAX; i++)
		n += !!rcu_access_pointer(u4dma_slots[i].rail);
	return n;
}

/**
 * u4dma_node_cable() - Number of the cable at a port
 * @nhi: name of the NHI
 * @route: of the port
 *
 * Return: the number, the same for the same port, or -ENOSPC.
 */
int u4dma_node_cable(const char *nhi, u64 route)
{
	int i, ret = -ENOSPC;

	mutex_lock(&u4dma_lock);
	for (i = 0; i < U4DMA_CABLES_MAX; i++) {
		struct cable *cable = &cables[i];

		if (!cable->used) {
			cable->used = true;
			strscpy(cable->nhi, nhi, sizeof(cable->nhi));
			cable->route = route;
		} else if (cable->route != route ||
			   strncmp(cable->nhi, nhi, sizeof(cable->nhi) - 1)) {
			/* (The name may have been cut off.) */
			continue;
		}
		ret = i;
		break;
	}
	mutex_unlock(&u4dma_lock);
	return ret;
}

/* Finds a cable's rail in the table, or takes a free entry for it. */
static int find_slot(unsigned int cable, unsigned int index, bool *is_new)
{
	struct usb4_dma_rail *info;
	int i, free = -ENOSPC;

	lockdep_assert_held(&u4dma_lock);
	for (i = USB4_DMA_RAILS_MAX - 1; i >= 0; i--) {
		info = &u4dma_slots[i].info;
		if (info->state == USB4_DMA_RAIL_FREE)
			free = i;
		else if (info->cable == cable && u4dma_slots[i].index == index)
			return i;
	}
	if (free < 0)
		return free;

	u4dma_slots[free].index = index;
	info = &u4dma_slots[free].info;
	info->rail = free;
	info->state = USB4_DMA_RAIL_DOWN;
	info->cable = cable;
	info->numa_node = NUMA_NO_NODE;
	snprintf(info->name, sizeof(info->name), "cable%u.rail%u", cable, index);
	*is_new = true;
	return free;
}

/**
 * u4dma_node_slot_get() - Number of a cable's rail
 * @cable: number of the cable
 * @index: of the rail on its cable
 *
 * Return: the number, the same for the same cable and index, or a negative
 * errno.
 */
int u4dma_node_slot_get(unsigned int cable, unsigned int index)
{
	bool is_new = false;
	int number, ret;

	mutex_lock(&u4dma_lock);
	number = find_slot(cable, index, &is_new);
	mutex_unlock(&u4dma_lock);
	if (!is_new)
		return number;

	/* Without the lock: whoever reads the folder takes it. */
	ret = u4dma_sysfs_add(&u4dma_slots[number], number);
	mutex_lock(&u4dma_lock);
	if (ret)
		u4dma_slots[number].info.state = USB4_DMA_RAIL_FREE;
	else
		WRITE_ONCE(u4dma_node_page->rails[number].state, USB4_DMA_RAIL_DOWN);
	mutex_unlock(&u4dma_lock);
	return ret ? ret : number;
}

/**
 * u4dma_node_rail_up() - Let channels use a rail
 * @rail: the rail; its number is set
 * @info: what to tell of it; number, state, cable, epoch and name are filled in here
 */
void u4dma_node_rail_up(struct u4dma_rail *rail, const struct usb4_dma_rail *info)
{
	struct u4dma_slot *slot = &u4dma_slots[rail->number];
	struct usb4_dma_node_rail *shown = &u4dma_node_page->rails[rail->number];
	struct usb4_dma_rail next = *info;

	mutex_lock(&u4dma_lock);
	next.rail = slot->info.rail;
	next.cable = slot->info.cable;
	next.state = USB4_DMA_RAIL_UP;
	next.epoch = slot->info.epoch + 1;
	memcpy(next.name, slot->info.name, sizeof(next.name));
	slot->info = next;
	rcu_assign_pointer(slot->rail, rail);
	WRITE_ONCE(shown->epoch, next.epoch);
	WRITE_ONCE(shown->state, USB4_DMA_RAIL_UP);
	u4dma_node_changed();
	mutex_unlock(&u4dma_lock);
}

/**
 * u4dma_node_rail_down() - Keep channels from a rail
 * @rail: the rail; may be down already
 *
 * The caller waits for an RCU grace period before it takes the rail apart.
 */
void u4dma_node_rail_down(struct u4dma_rail *rail)
{
	struct u4dma_slot *slot = &u4dma_slots[rail->number];

	mutex_lock(&u4dma_lock);
	if (rcu_access_pointer(slot->rail) == rail) {
		RCU_INIT_POINTER(slot->rail, NULL);
		slot->info.state = USB4_DMA_RAIL_DOWN;
		WRITE_ONCE(u4dma_node_page->rails[rail->number].state, USB4_DMA_RAIL_DOWN);
		u4dma_node_changed();
	}
	mutex_unlock(&u4dma_lock);
}

/**
 * u4dma_node_list() - List the rails
 * @rails: USB4_DMA_RAILS_MAX of them
 * @seen: the generation that the list shows
 *
 * Return: how many there are.
 */
u32 u4dma_node_list(struct usb4_dma_rail *rails, u32 *seen)
{
	u32 n = 0;
	int i;

	mutex_lock(&u4dma_lock);
	*seen = generation;
	for (i = 0; i < USB4_DMA_RAILS_MAX; i++) {
		const struct usb4_dma_rail *info = &u4dma_slots[i].info;
		struct u4dma_rail *rail;

		if (info->state == USB4_DMA_RAIL_FREE)
			continue;
		rails[n] = *info;
		rcu_read_lock();
		rail = rcu_dereference(u4dma_slots[i].rail);
		rails[n].tx_depth = rail ? u4dma_rail_depth(rail) : 0;
		rcu_read_unlock();
		n++;
	}
	mutex_unlock(&u4dma_lock);
	return n;
}

/**
 * u4dma_nhi_get() - Begin to use an NHI
 * @dev: its device
 *
 * Maps every channel's transmit frames for it if nobody used it before.
 */
struct u4dma_nhi *u4dma_nhi_get(struct device *dev)
{
	unsigned long used = 0;
	struct u4dma_nhi *nhi;

	mutex_lock(&u4dma_lock);
	list_for_each_entry(nhi, &u4dma_nhis, list) {
		if (nhi->dev == dev) {
			nhi->users++;
			goto out;
		}
		__set_bit(nhi->index, &used);
	}
	if (hweight_long(used) == U4DMA_NHIS_MAX) {
		nhi = ERR_PTR(-ENOSPC);
		goto out;
	}
	nhi = kzalloc_obj(*nhi, GFP_KERNEL);
	if (!nhi) {
		nhi = ERR_PTR(-ENOMEM);
		goto out;
	}
	nhi->dev = get_device(dev);
	nhi->index = ffz(used);
	nhi->users = 1;
	list_add_tail(&nhi->list, &u4dma_nhis);
	u4dma_memory_map_all(nhi);
out:
	mutex_unlock(&u4dma_lock);
	return nhi;
}

/**
 * u4dma_nhi_put() - End using an NHI
 * @nhi: the NHI; none of its rings carries a channel's frame any more
 */
void u4dma_nhi_put(struct u4dma_nhi *nhi)
{
	mutex_lock(&u4dma_lock);
	if (!--nhi->users) {
		u4dma_memory_unmap_all(nhi);
		list_del(&nhi->list);
		put_device(nhi->dev);
		kfree(nhi);
	}
	mutex_unlock(&u4dma_lock);
}
