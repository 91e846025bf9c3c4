// SPDX-License-Identifier: GPL-2.0-only
/*
 * /sys/class/misc/usb4dma: the node, and a folder for each rail. See
 * Documentation/ABI/sysfs-class-misc-usb4dma.
 */
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "channel.h"
#include "node.h"
#include "rail.h"

static struct kobject *rails_dir;

static ssize_t node_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%08x\n", u4dma_node_number());
}
static DEVICE_ATTR_RO(node);

static ssize_t abi_version_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", USB4_DMA_ABI_VERSION);
}
static DEVICE_ATTR_RO(abi_version);

static ssize_t channels_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", u4dma_chan_count());
}
static DEVICE_ATTR_RO(channels);

static struct attribute *node_attrs[] = {
	&dev_attr_node.attr,
	&dev_attr_abi_version.attr,
	&dev_attr_channels.attr,
	NULL,
};

static const struct attribute_group node_group = {
	.attrs = node_attrs,
};

/* Of the device, so they are there when udev hears of it. */
const struct attribute_group *u4dma_node_groups[] = {
	&node_group,
	NULL,
};

/**
 * struct rail_attribute - A file of a rail's folder
 * @attr: for sysfs
 * @show: writes what the rail is; u4dma_lock is held
 */
struct rail_attribute {
	struct attribute attr;
	ssize_t (*show)(const struct u4dma_slot *slot, char *buf);
};

#define RAIL_ATTR(_name, _format, ...)							\
static ssize_t _name##_show_rail(const struct u4dma_slot *slot, char *buf)		\
{											\
	return sysfs_emit(buf, _format "\n", ##__VA_ARGS__);				\
}											\
static const struct rail_attribute rail_attr_##_name = {				\
	.attr = { .name = __stringify(_name), .mode = 0444 },				\
	.show = _name##_show_rail,							\
}

RAIL_ATTR(name, "%s", slot->info.name);
RAIL_ATTR(state, "%s", slot->info.state == USB4_DMA_RAIL_UP ? "up" : "down");
RAIL_ATTR(peer_node, "%08x", slot->info.peer_node);
RAIL_ATTR(peer_uuid, "%pUb", slot->info.peer_uuid);
RAIL_ATTR(epoch, "%u", slot->info.epoch);
RAIL_ATTR(rate_bits_per_s, "%llu", slot->info.rate_bits_per_s);
RAIL_ATTR(tx_lanes, "%u", slot->info.tx_lanes);
RAIL_ATTR(rx_lanes, "%u", slot->info.rx_lanes);
RAIL_ATTR(nhi, "%s", slot->info.nhi);
RAIL_ATTR(numa_node, "%d", slot->info.numa_node);

#define RAIL_COUNTER(_name)	RAIL_ATTR(_name, "%llu", READ_ONCE(slot->stats._name))

RAIL_COUNTER(tx_frames);
RAIL_COUNTER(tx_bytes);
RAIL_COUNTER(tx_canceled);
RAIL_COUNTER(tx_full);
RAIL_COUNTER(rx_frames);
RAIL_COUNTER(rx_bytes);
RAIL_COUNTER(rx_no_buffer);
RAIL_COUNTER(rx_no_channel);
RAIL_COUNTER(rx_crc);
RAIL_COUNTER(rx_overrun);
RAIL_COUNTER(rx_malformed);
RAIL_COUNTER(polls);
RAIL_COUNTER(irqs);

static const struct rail_attribute *const rail_attributes[] = {
	&rail_attr_name,
	&rail_attr_state,
	&rail_attr_peer_node,
	&rail_attr_peer_uuid,
	&rail_attr_epoch,
	&rail_attr_rate_bits_per_s,
	&rail_attr_tx_lanes,
	&rail_attr_rx_lanes,
	&rail_attr_nhi,
	&rail_attr_numa_node,
	&rail_attr_tx_frames,
	&rail_attr_tx_bytes,
	&rail_attr_tx_canceled,
	&rail_attr_tx_full,
	&rail_attr_rx_frames,
	&rail_attr_rx_bytes,
	&rail_attr_rx_no_buffer,
	&rail_attr_rx_no_channel,
	&rail_attr_rx_crc,
	&rail_attr_rx_overrun,
	&rail_attr_rx_malformed,
	&rail_attr_polls,
	&rail_attr_irqs,
};

static ssize_t rail_show(struct kobject *kobj, struct attribute *attr, char *buf)
{
	struct rail_attribute *file = container_of(attr, struct rail_attribute, attr);
	ssize_t ret;

	mutex_lock(&u4dma_lock);
	ret = file->show(container_of(kobj, struct u4dma_slot, kobj), buf);
	mutex_unlock(&u4dma_lock);
	return ret;
}

static const struct sysfs_ops rail_ops = {
	.show = rail_show,
};

static void rail_release(struct kobject *kobj)
{
	complete(&container_of(kobj, struct u4dma_slot, kobj)->is_hidden);
}

static const struct kobj_type rail_type = {
	.sysfs_ops = &rail_ops,
	.release = rail_release,
};

/**
 * u4dma_sysfs_remove() - Show a rail no longer
 * @slot: its entry in the table
 *
 * The entry is part of the module, so nobody may know of it afterwards. Readers
 * are waited for, and they take u4dma_lock: the caller does not hold it.
 */
void u4dma_sysfs_remove(struct u4dma_slot *slot)
{
	kobject_put(&slot->kobj);
	wait_for_completion(&slot->is_hidden);
	memset(&slot->kobj, 0, sizeof(slot->kobj));
}

/**
 * u4dma_sysfs_add() - Show a rail
 * @slot: its entry in the table
 * @number: its number
 */
int u4dma_sysfs_add(struct u4dma_slot *slot, unsigned int number)
{
	int ret, i;

	init_completion(&slot->is_hidden);
	ret = kobject_init_and_add(&slot->kobj, &rail_type, rails_dir, "%u", number);
	for (i = 0; i < ARRAY_SIZE(rail_attributes) && !ret; i++)
		ret = sysfs_create_file(&slot->kobj, &rail_attributes[i]->attr);
	if (ret)
		u4dma_sysfs_remove(slot);
	return ret;
}

int u4dma_sysfs_init(struct device *dev)
{
	rails_dir = kobject_create_and_add("rails", &dev->kobj);
	return rails_dir ? 0 : -ENOMEM;
}

void u4dma_sysfs_exit(void)
{
	int i;

	for (i = 0; i < USB4_DMA_RAILS_MAX; i++)
		if (u4dma_slots[i].info.state != USB4_DMA_RAIL_FREE)
			u4dma_sysfs_remove(&u4dma_slots[i]);
	kobject_put(rails_dir);
}
