// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/usb4dma: ioctls, poll, mmap.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/poll.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "channel.h"
#include "compat.h"
#include "memory.h"
#include "rail.h"
#include "trace.h"

/* Received frames that a KICK handles on each rail if it does not say. */
#define RX_BUDGET	64
#define RX_BUDGET_MAX	1024

/*
 * Sleeping. A channel is woken only if it is armed, so frames that arrive while
 * its process is awake cost no wake-up. Each cause is armed for itself, and
 * nothing but its wake-up disarms it: several threads may sleep on a handle,
 * for different causes, and a wake-up for one reaches nobody who waits for the
 * other.
 *
 * (I) who arms stores what it waits for, then looks at the rings;
 * (J) who delivers stores the entry, then looks who is armed.
 * Both with a full barrier between. Without the pair each could miss the other
 * and the process would sleep beside a frame.
 */

/**
 * u4dma_chan_wake() - Wake a channel's process if it waits for it
 * @chan: the channel; there is something for it in a ring
 * @why: U4DMA_ARMED_RX or U4DMA_ARMED_TX
 */
void u4dma_chan_wake(struct u4dma_chan *chan, int why)
{
	/* (J) pairs with (I). */
	smp_mb();
	if (likely(!(atomic_read(&chan->armed) & why)))
		return;
	/* Who is armed anew meanwhile looks at the rings after that. */
	if (!(atomic_fetch_andnot(why, &chan->armed) & why))
		return;
	WRITE_ONCE(chan->counters->wakeups, chan->counters->wakeups + 1);
	wake_up_poll(&chan->wait, why == U4DMA_ARMED_RX ? EPOLLIN | EPOLLRDNORM :
							  EPOLLOUT | EPOLLWRNORM);
}

static __poll_t readiness(struct u4dma_chan *chan)
{
	__poll_t mask = 0;

	if (u4dma_ring_is_unread(&chan->ready) ||
	    u4dma_node_generation() != READ_ONCE(chan->seen_generation))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (u4dma_ring_is_unread(&chan->complete))
		mask |= EPOLLOUT | EPOLLWRNORM;
	return mask;
}

/* Arms a channel; returns what is there already. */
static __poll_t arm(struct u4dma_chan *chan, int why)
{
	struct u4dma_rail *rail;
	int i;

	atomic_or(why, &chan->armed);
	/* (I) pairs with (J). */
	smp_mb();
	rcu_read_lock();
	for (i = 0; i < USB4_DMA_RAILS_MAX; i++) {
		rail = rcu_dereference(u4dma_slots[i].rail);
		if (rail)
			u4dma_rail_arm(rail);
	}
	rcu_read_unlock();

	WRITE_ONCE(chan->counters->arms, chan->counters->arms + 1);
	return readiness(chan);
}

static int ioctl_query(struct u4dma_chan *chan, void *arg)
{
	struct usb4_dma_query *cmd = arg;

	if (cmd->flags || cmd->reserved)
		return -EOPNOTSUPP;
	cmd->abi_version = USB4_DMA_ABI_VERSION;
	cmd->node = u4dma_node_number();
	cmd->features = USB4_DMA_FEATURE_GONE;
	cmd->rails_up = u4dma_node_rails_up();
	cmd->generation = u4dma_node_generation();
	u4dma_chan_limits(cmd);
	return 0;
}

static int ioctl_setup(struct u4dma_chan *chan, void *arg)
{
	struct usb4_dma_setup *cmd = arg;
	int ret;

	if (cmd->flags || cmd->reserved0)
		return -EOPNOTSUPP;
	if (mutex_lock_interruptible(&chan->lock))
		return -EINTR;
	ret = u4dma_chan_setup(chan, cmd);
	mutex_unlock(&chan->lock);
	return ret;
}

static int ioctl_rails(struct u4dma_chan *chan, void *arg)
{
	struct usb4_dma_rails *cmd = arg;
	u8 __user *to = u64_to_user_ptr(cmd->entries);
	u32 capacity = cmd->count;
	struct usb4_dma_rail *rails;
	u32 each = cmd->entry_size;
	int ret = 0;
	u32 i;

	if (cmd->flags || cmd->reserved)
		return -EOPNOTSUPP;
	/* No caller can be older than the first version of an entry. */
	if (capacity && each < sizeof(*rails))
		return -EINVAL;
	if (each > PAGE_SIZE)
		return -E2BIG;
	rails = kcalloc(USB4_DMA_RAILS_MAX, sizeof(*rails), GFP_KERNEL);
	if (!rails)
		return -ENOMEM;

	cmd->count = u4dma_node_list(rails, &cmd->generation);
	cmd->entry_size = sizeof(*rails);
	for (i = 0; i < min(capacity, cmd->count) && !ret; i++) {
		if (copy_to_user(to, &rails[i], sizeof(*rails)) ||
		    clear_user(to + sizeof(*rails), each - sizeof(*rails)))
			ret = -EFAULT;
		to += each;
	}
	if (!ret && capacity < cmd->count)
		ret = -EMSGSIZE;
	if (!ret)
		WRITE_ONCE(chan->seen_generation, cmd->generation);
	kfree(rails);
	return ret;
}

static u32 kick_rails(u32 budget)
{
	struct u4dma_rail *rail;
	u32 n = 0;
	int i;

	budget = budget ? min_t(u32, budget, RX_BUDGET_MAX) : RX_BUDGET;
	for (i = 0; i < USB4_DMA_RAILS_MAX; i++) {
		rcu_read_lock();
		rail = rcu_dereference(u4dma_slots[i].rail);
		if (rail)
			n += u4dma_rail_kick(rail, budget);
		rcu_read_unlock();
	}
	return n;
}

static int ioctl_kick(struct u4dma_chan *chan, void *arg)
{
	struct usb4_dma_kick *cmd = arg;
	int why = U4DMA_ARMED_RX;
	__poll_t wanted = EPOLLIN;
	bool left = false;

	if (cmd->flags & ~(USB4_DMA_KICK_TX | USB4_DMA_KICK_RX | USB4_DMA_KICK_ARM |
			   USB4_DMA_KICK_ARM_TX) || cmd->reserved)
		return -EOPNOTSUPP;
	if (cmd->flags & USB4_DMA_KICK_ARM_TX && !(cmd->flags & USB4_DMA_KICK_ARM))
		return -EINVAL;
	if (mutex_lock_interruptible(&chan->lock))
		return -EINTR;
	if (!chan->is_set_up) {
		mutex_unlock(&chan->lock);
		return -EBADFD;
	}

	cmd->tx_taken = 0;
	cmd->rx_frames = 0;
	cmd->result = 0;
	chan->counters->kicks++;
	if (cmd->flags & USB4_DMA_KICK_TX) {
		cmd->tx_taken = u4dma_transmit(chan, &left);
		if (cmd->tx_taken) {
			chan->counters->doorbells++;
			trace_usb4_dma_doorbell(chan->number, cmd->tx_taken);
		}
		if (left)
			cmd->result |= USB4_DMA_KICKED_TX_LEFT;
	}
	if (cmd->flags & USB4_DMA_KICK_RX)
		cmd->rx_frames = kick_rails(cmd->rx_budget);
	if (cmd->flags & USB4_DMA_KICK_ARM) {
		if (cmd->flags & USB4_DMA_KICK_ARM_TX) {
			why |= U4DMA_ARMED_TX;
			wanted |= EPOLLOUT;
		}
		cmd->result |= arm(chan, why) & wanted ? USB4_DMA_KICKED_BUSY :
							 USB4_DMA_KICKED_ARMED;
	}
	cmd->generation = u4dma_node_generation();
	mutex_unlock(&chan->lock);
	return 0;
}

/* What programs were compiled with, 32-bit ones included. */
static_assert(sizeof(struct usb4_dma_query) == 48);
static_assert(sizeof(struct usb4_dma_region) == 16);
static_assert(sizeof(struct usb4_dma_setup) == 152);
static_assert(sizeof(struct usb4_dma_rails) == 32);
static_assert(sizeof(struct usb4_dma_rail) == 128);
static_assert(sizeof(struct usb4_dma_kick) == 32);
static_assert(sizeof(struct usb4_dma_ring) == USB4_DMA_RING_ENTRIES);
static_assert(sizeof(struct usb4_dma_tx) == 16);
static_assert(sizeof(struct usb4_dma_tx_done) == 16);
static_assert(sizeof(struct usb4_dma_rx) == 16);
static_assert(sizeof(struct usb4_dma_node) == 2048);
static_assert(sizeof(struct usb4_dma_counters) == 2112);

/**
 * struct command - An ioctl
 * @size: of its structure in this kernel
 * @size_min: of its structure in the first version
 * @run: does it
 * @may_observe: works on a handle that is open for reading alone
 */
struct command {
	size_t size;
	size_t size_min;
	int (*run)(struct u4dma_chan *chan, void *arg);
	bool may_observe;
};

static const struct command commands[] = {
	[USB4_DMA_CMD_QUERY] = {
		.size = sizeof(struct usb4_dma_query),
		.size_min = offsetofend(struct usb4_dma_query, reserved),
		.run = ioctl_query,
		.may_observe = true,
	},
	[USB4_DMA_CMD_SETUP] = {
		.size = sizeof(struct usb4_dma_setup),
		.size_min = offsetofend(struct usb4_dma_setup, regions),
		.run = ioctl_setup,
	},
	[USB4_DMA_CMD_RAILS] = {
		.size = sizeof(struct usb4_dma_rails),
		.size_min = offsetofend(struct usb4_dma_rails, reserved),
		.run = ioctl_rails,
		.may_observe = true,
	},
	[USB4_DMA_CMD_KICK] = {
		.size = sizeof(struct usb4_dma_kick),
		.size_min = offsetofend(struct usb4_dma_kick, reserved),
		.run = ioctl_kick,
	},
};

union command_arg {
	struct usb4_dma_query query;
	struct usb4_dma_setup setup;
	struct usb4_dma_rails rails;
	struct usb4_dma_kick kick;
};

static long u4dma_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct u4dma_chan *chan = file->private_data;
	void __user *user = (void __user *)arg;
	const struct command *command;
	union command_arg copy;
	u32 size;
	int ret;

	if (_IOC_TYPE(cmd) != USB4_DMA_IOCTL_TYPE || _IOC_NR(cmd) >= ARRAY_SIZE(commands) ||
	    cmd != _IO(USB4_DMA_IOCTL_TYPE, _IOC_NR(cmd)))
		return -ENOTTY;
	command = &commands[array_index_nospec(_IOC_NR(cmd), ARRAY_SIZE(commands))];
	if (!command->may_observe && (file->f_mode & (FMODE_READ | FMODE_WRITE)) !=
				     (FMODE_READ | FMODE_WRITE))
		return -EACCES;

	if (get_user(size, (u32 __user *)user))
		return -EFAULT;
	if (size < command->size_min)
		return -EINVAL;
	if (size > PAGE_SIZE)
		return -E2BIG;
	ret = copy_struct_from_user(&copy, command->size, user, size);
	if (ret)
		return ret;
	ret = command->run(chan, &copy);
	/* The array was too small: the count says so. */
	if (ret && ret != -EMSGSIZE)
		return ret;
	/* Its size is the caller's; what is behind the kernel's stays as it is. */
	if (copy_to_user(user + sizeof(size), (u8 *)&copy + sizeof(size),
			 min_t(size_t, size, command->size) - sizeof(size)))
		return -EFAULT;
	return ret;
}

static __poll_t u4dma_poll(struct file *file, poll_table *wait)
{
	struct u4dma_chan *chan = file->private_data;
	__poll_t events = poll_requested_events(wait);
	__poll_t mask;
	int why = 0;

	/* First: who is in an epoll set asks once, and that may be before SETUP. */
	poll_wait(file, &chan->wait, wait);
	/* (smp_store_release() in u4dma_chan_setup()) */
	if (!smp_load_acquire(&chan->is_set_up))
		return EPOLLERR;
	mask = readiness(chan);
	if (mask & events)
		return mask;
	if (events & (EPOLLIN | EPOLLRDNORM))
		why |= U4DMA_ARMED_RX;
	if (events & (EPOLLOUT | EPOLLWRNORM))
		why |= U4DMA_ARMED_TX;
	return why ? arm(chan, why) : mask;
}

static int u4dma_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct u4dma_chan *chan = file->private_data;

	/* (smp_store_release() in u4dma_chan_setup()) */
	if (!smp_load_acquire(&chan->is_set_up))
		return -EBADFD;
	return u4dma_memory_mmap(chan, vma);
}

/*
 * The device exists before the last step of loading is done. A handle would
 * not keep the module if that step failed.
 */
static bool admits;

static int u4dma_open(struct inode *inode, struct file *file)
{
	struct u4dma_chan *chan;

	if (!READ_ONCE(admits))
		return -ENODEV;
	chan = kzalloc_obj(*chan, GFP_KERNEL_ACCOUNT);
	if (!chan)
		return -ENOMEM;
	kref_init(&chan->kref);
	mutex_init(&chan->lock);
	spin_lock_init(&chan->done_lock);
	spin_lock_init(&chan->rx_lock);
	init_waitqueue_head(&chan->wait);
	file->private_data = chan;
	return nonseekable_open(inode, file);
}

static int u4dma_release(struct inode *inode, struct file *file)
{
	u4dma_chan_close(file->private_data);
	return 0;
}

#ifdef CONFIG_PROC_FS
static void u4dma_show_fdinfo(struct seq_file *m, struct file *file)
{
	struct u4dma_chan *chan = file->private_data;
	const struct usb4_dma_counters *counters;
	int i;

	/* (smp_store_release() in u4dma_chan_setup()) */
	if (!smp_load_acquire(&chan->is_set_up))
		return;
	counters = chan->counters;
	seq_printf(m, "usb4dma-node:\t%08x\n", chan->node);
	seq_printf(m, "usb4dma-channel:\t%u\n", chan->number);
	seq_printf(m, "usb4dma-tx-frames-pool:\t%u\n", chan->tx_frames);
	seq_printf(m, "usb4dma-rx-frames-pool:\t%u\n", chan->rx_frames);
	seq_printf(m, "usb4dma-kicks:\t%llu\n", counters->kicks);
	seq_printf(m, "usb4dma-doorbells:\t%llu\n", counters->doorbells);
	seq_printf(m, "usb4dma-arms:\t%llu\n", counters->arms);
	seq_printf(m, "usb4dma-wakeups:\t%llu\n", counters->wakeups);
	seq_printf(m, "usb4dma-tx-invalid:\t%llu\n", counters->tx_invalid);
	seq_printf(m, "usb4dma-fill-invalid:\t%llu\n", counters->fill_invalid);
	seq_printf(m, "usb4dma-ring-invalid:\t%llu\n", counters->ring_invalid);
	for (i = 0; i < ARRAY_SIZE(counters->rails); i++) {
		const struct usb4_dma_rail_counters *rail = &counters->rails[i];

		if (!memchr_inv(rail, 0, sizeof(*rail)))
			continue;
		seq_printf(m, "usb4dma-rail%d:\ttx_frames=%llu tx_bytes=%llu tx_down=%llu tx_again=%llu rx_frames=%llu rx_bytes=%llu rx_no_buffer=%llu rx_gone=%llu\n",
			   i, rail->tx_frames, rail->tx_bytes, rail->tx_down, rail->tx_again,
			   rail->rx_frames, rail->rx_bytes, rail->rx_no_buffer, rail->rx_gone);
	}
}
#endif

static const struct file_operations u4dma_fops = {
	.owner = THIS_MODULE,
	.open = u4dma_open,
	.release = u4dma_release,
	.unlocked_ioctl = u4dma_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = u4dma_poll,
	.mmap = u4dma_mmap,
#ifdef CONFIG_PROC_FS
	.show_fdinfo = u4dma_show_fdinfo,
#endif
};

/* The udev rule gives it to the group usb4. */
static struct miscdevice u4dma_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "usb4dma",
	.fops = &u4dma_fops,
	.groups = u4dma_node_groups,
	.mode = 0660,
};

int u4dma_chan_init(void)
{
	return misc_register(&u4dma_misc);
}

/**
 * u4dma_chan_admit() - Loading cannot fail any more: let processes in
 */
void u4dma_chan_admit(void)
{
	WRITE_ONCE(admits, true);
}

void u4dma_chan_exit(void)
{
	misc_deregister(&u4dma_misc);
}

struct device *u4dma_chan_device(void)
{
	return u4dma_misc.this_device;
}
