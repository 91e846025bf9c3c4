/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * User interface of usb4_dma.ko: the DMA rings of USB4 cables as channels
 * of shared memory.
 *
 * The header is the source: Rust's view is generated from it, and both sides
 * assert the layouts.
 */
#ifndef _UAPI_LINUX_USB4_DMA_H
#define _UAPI_LINUX_USB4_DMA_H

#include <linux/ioctl.h>
#include <linux/types.h>

/**
 * DOC: Overview
 *
 * Words. A *node* is a host. A *cable* joins two nodes. A *rail* is one DMA
 * ring pair on one cable. A *channel* is one process's opening of its node's
 * rails. A *frame* is what a ring carries: at most 4096 bytes, header included.
 *
 * Opening ``/dev/usb4dma`` gives a handle that can ask (QUERY, RAILS). SETUP
 * makes it a channel: it gets a number, a pool of frames and four rings, all
 * to be mapped. A channel reaches every rail of the node and the node itself
 * (loopback). It outlives unplug and replug and ends when the last copy of the
 * handle is closed (dup, fork, SCM_RIGHTS) and the last mapping is gone.
 * Mappings are not inherited over fork.
 *
 * Transmit. Write header and payload into a frame of the pool, put a
 * &struct usb4_dma_tx into the submit ring, and KICK. Each entry that the
 * kernel took comes back once in the complete ring, whatever happens to the
 * rail; from then on the kernel does not read the frame. Until then whoever
 * writes the frame changes what is sent.
 *
 * Receive. Put the indexes of free frames into the fill ring. The kernel
 * copies a received frame into one of them and puts a &struct usb4_dma_rx into
 * the ready ring. With no frame in the fill ring it drops and counts. No
 * process ever maps the buffers that the hardware writes.
 *
 * Three ways to wait for frames:
 *
 * - KICK in a loop: the caller polls the hardware's rings itself; interrupts
 *   stay masked as long as somebody does so often enough and leaves nothing
 *   behind. The lowest latency.
 * - Spin on the mapped ready ring: the kernel's worker fills it, woken by the
 *   interrupt (so interrupt moderation adds to latency), or another process's
 *   KICK does. No system call.
 * - Sleep in poll(2) or epoll(7). See &USB4_DMA_KICK_ARM.
 *
 * Nothing on the data path is mapped for DMA or allocated: the transmit part
 * of the pool is mapped once for each NHI, at SETUP or when an NHI appears.
 */

/**
 * DOC: Errors
 *
 * Every ioctl takes a structure that starts with its size. A structure that
 * is longer than the kernel's is taken if the excess is zero; a shorter one is
 * taken if it is at least as long as the command's first version was. These
 * errors mean the same in every command:
 *
 * ===========  ==========================================================
 * EINVAL       A size or number is out of range, or the structure is
 *              shorter than the first version of the command.
 * E2BIG        The structure is longer than the kernel's, and the excess
 *              is not zero: the caller wants something that is newer than
 *              this kernel. Or it is longer than a page.
 * EOPNOTSUPP   A flag is set that this kernel does not know, or a reserved
 *              field is not zero.
 * ENOTTY       There is no such command.
 * EFAULT       A pointer leads nowhere.
 * EBADFD       The handle is not in the state for it: no SETUP yet (KICK,
 *              mmap), or SETUP has been done (SETUP).
 * EACCES       The handle was not opened for reading and writing (SETUP, KICK).
 * EUSERS       The user has as many channels as one user may have
 *              (SETUP; module parameter channels_per_user).
 * ENOSPC       The node has no free channel number (SETUP).
 * EDQUOT       Rings and pool would exceed RLIMIT_MEMLOCK (SETUP).
 * ENOMEM       No memory.
 * EMSGSIZE     The array is too small; the count says what is needed
 *              (RAILS).
 * EPERM        A mapping for writing of what is read-only, for execution,
 *              or a private mapping (mmap).
 * EINTR        A signal came before anything was done.
 * ENODEV       Opening: the module is loading or unloading.
 * ===========  ==========================================================
 */

/* Grows when the meaning of something existing changes; additions are in
 * &struct usb4_dma_query.features and need no new version.
 */
#define USB4_DMA_ABI_VERSION	1

#define USB4_DMA_IOCTL_TYPE	0xDC

enum {
	USB4_DMA_CMD_QUERY = 0,
	USB4_DMA_CMD_SETUP,
	USB4_DMA_CMD_RAILS,
	USB4_DMA_CMD_KICK,
};

#define USB4_DMA_IOCTL_QUERY	_IO(USB4_DMA_IOCTL_TYPE, USB4_DMA_CMD_QUERY)
#define USB4_DMA_IOCTL_SETUP	_IO(USB4_DMA_IOCTL_TYPE, USB4_DMA_CMD_SETUP)
#define USB4_DMA_IOCTL_RAILS	_IO(USB4_DMA_IOCTL_TYPE, USB4_DMA_CMD_RAILS)
#define USB4_DMA_IOCTL_KICK	_IO(USB4_DMA_IOCTL_TYPE, USB4_DMA_CMD_KICK)

/* Bytes of a frame and of each slot of the pool. */
#define USB4_DMA_FRAME_SIZE	4096
/* Rails of a node: numbers 0 to 30. */
#define USB4_DMA_RAILS_MAX	31
/* The rail number that leads back to the own node. */
#define USB4_DMA_RAIL_LOOPBACK	31
/* Frames of a channel, transmit and receive together. */
#define USB4_DMA_FRAMES_MAX	65536
/* The shared rings' entries start here, behind &struct usb4_dma_ring. */
#define USB4_DMA_RING_ENTRIES	192

/**
 * struct usb4_dma_header - What the kernel reads of a frame
 * @version: protocol version; the kernel passes every version on
 * @kind: not read
 * @flags: not read
 * @hop_limit: nodes that may still relay the frame; not used between
 *	neighbours
 * @payload_len: bytes behind the header; the frame must hold as many
 * @check: not read
 * @dst_node: node that the frame goes to
 * @src_node: node that it comes from
 * @dst_channel: channel that it goes to
 * @src_channel: channel that it comes from
 * @engine: not read
 *
 * All fields are little endian. The protocol engines in user space own the
 * header; the kernel reads its routing words only, each once. They stay where
 * they are in every protocol version.
 */
struct usb4_dma_header {
	__u8 version;
	__u8 kind;
	__u8 flags;
	__u8 hop_limit;
	__le16 payload_len;
	__le16 check;
	__le32 dst_node;
	__le32 src_node;
	__le16 dst_channel;
	__le16 src_channel;
	__u8 engine[20];
};

/**
 * struct usb4_dma_query - ioctl(USB4_DMA_IOCTL_QUERY)
 * @size: sizeof(struct usb4_dma_query)
 * @flags: must be 0
 * @abi_version: out: USB4_DMA_ABI_VERSION of the kernel
 * @node: out: this node's number; 0: it gets one with its first neighbour or
 *	its first channel
 * @features: out: additions that this kernel has, &enum usb4_dma_feature
 * @frames_max: out: frames that a channel may have, transmit and receive
 *	together
 * @channels_max: out: channels that the node may have
 * @channels_per_user: out: channels that one user may have
 * @rails_up: out: rails that carry frames now
 * @generation: out: see &struct usb4_dma_node
 * @reserved: must be 0
 *
 * Needs no SETUP, so an observer can ask without being a channel.
 */
struct usb4_dma_query {
	__u32 size;
	__u32 flags;
	__u32 abi_version;
	__u32 node;
	__u64 features;
	__u32 frames_max;
	__u32 channels_max;
	__u32 channels_per_user;
	__u32 rails_up;
	__u32 generation;
	__u32 reserved;
};

/**
 * enum usb4_dma_feature - Additions to the interface
 * @USB4_DMA_FEATURE_GONE: frames to a channel that does not exist bring
 *	USB4_DMA_RX_GONE
 */
enum usb4_dma_feature {
	USB4_DMA_FEATURE_GONE = 1 << 0,
};

/**
 * enum usb4_dma_region_id - What a channel maps
 * @USB4_DMA_REGION_NODE: &struct usb4_dma_node, read-only, shared by all
 *	channels of the node
 * @USB4_DMA_REGION_COUNTERS: &struct usb4_dma_counters, read-only
 * @USB4_DMA_REGION_SUBMIT: ring of &struct usb4_dma_tx, user to kernel
 * @USB4_DMA_REGION_COMPLETE: ring of &struct usb4_dma_tx_done, kernel to user
 * @USB4_DMA_REGION_FILL: ring of __u32 frame indexes, user to kernel
 * @USB4_DMA_REGION_READY: ring of &struct usb4_dma_rx, kernel to user
 * @USB4_DMA_REGION_POOL: the frames. Index 0 to tx_frames - 1 are for
 *	transmit, the rest for receive.
 * @USB4_DMA_REGIONS: how many there are
 */
enum usb4_dma_region_id {
	USB4_DMA_REGION_NODE,
	USB4_DMA_REGION_COUNTERS,
	USB4_DMA_REGION_SUBMIT,
	USB4_DMA_REGION_COMPLETE,
	USB4_DMA_REGION_FILL,
	USB4_DMA_REGION_READY,
	USB4_DMA_REGION_POOL,
	USB4_DMA_REGIONS,
};

/**
 * struct usb4_dma_region - Where to map a region
 * @offset: for mmap(2)
 * @bytes: for mmap(2): a region is mapped whole, MAP_SHARED
 */
struct usb4_dma_region {
	__u64 offset;
	__u64 bytes;
};

/**
 * struct usb4_dma_setup - ioctl(USB4_DMA_IOCTL_SETUP)
 * @size: sizeof(struct usb4_dma_setup)
 * @flags: must be 0
 * @tx_frames: in: frames of the pool for transmit, at least 1
 * @rx_frames: in: frames of the pool for receive, at least 1
 * @incarnation: out: random number, another for each channel
 * @node: out: this node's number; never 0
 * @channel: out: the channel's number on this node; never 0, and not given
 *	again soon after the channel has ended
 * @reserved0: in and out: 0
 * @tx_entries: out: entries of the submit and of the complete ring, a power
 *	of two, at least @tx_frames
 * @rx_entries: out: entries of the fill and of the ready ring, a power of two,
 *	more than @rx_frames
 * @regions: out: indexed by &enum usb4_dma_region_id
 *
 * Once for a handle. The memory counts against RLIMIT_MEMLOCK of the calling
 * process until the channel ends, whoever has the handle by then, and not for
 * processes with CAP_IPC_LOCK; it is zeroed.
 */
struct usb4_dma_setup {
	__u32 size;
	__u32 flags;
	__u32 tx_frames;
	__u32 rx_frames;
	__u64 incarnation;
	__u32 node;
	__u16 channel;
	__u16 reserved0;
	__u32 tx_entries;
	__u32 rx_entries;
	struct usb4_dma_region regions[USB4_DMA_REGIONS];
};

/**
 * enum usb4_dma_rail_state - State of a rail
 * @USB4_DMA_RAIL_FREE: the number is not in use
 * @USB4_DMA_RAIL_DOWN: it was up and will be again when the peer is back
 * @USB4_DMA_RAIL_UP: it carries frames
 */
enum usb4_dma_rail_state {
	USB4_DMA_RAIL_FREE = 0,
	USB4_DMA_RAIL_DOWN = 1,
	USB4_DMA_RAIL_UP = 2,
};

/**
 * struct usb4_dma_rail - One rail, as RAILS lists it
 * @rail: its number, stable while the module is loaded
 * @state: &enum usb4_dma_rail_state
 * @tx_lanes: lanes of the cable that carry what this node sends
 * @rx_lanes: lanes of the cable that carry what it receives
 * @cable: the cable's number on this node, stable while the module is loaded
 * @reserved0: 0
 * @peer_node: the node at the other end, or that was there last
 * @epoch: counts how often the rail came up
 * @rate_bits_per_s: what the cable carries in the transmit direction before
 *	line code; its rails share it. 0: not known
 * @latency_ns: one-way latency; 0: not known
 * @tx_depth: entries that a channel may have on this rail, taken and not
 *	completed; entries beyond complete with USB4_DMA_TX_AGAIN. It shrinks
 *	as channels come, which does not bump the generation.
 * @rx_depth: buffers that the hardware has for all channels together
 * @numa_node: of the NHI; -1: not known
 * @peer_uuid: of the router at the other end
 * @nhi: the NHI's name on its bus, such as 0000:c7:00.5, zero-terminated
 * @name: for display, such as cable0.rail1, zero-terminated
 * @reserved1: 0
 */
struct usb4_dma_rail {
	__u8 rail;
	__u8 state;
	__u8 tx_lanes;
	__u8 rx_lanes;
	__u16 cable;
	__u16 reserved0;
	__u32 peer_node;
	__u32 epoch;
	__u64 rate_bits_per_s;
	__u32 latency_ns;
	__u32 tx_depth;
	__u32 rx_depth;
	__s32 numa_node;
	__u8 peer_uuid[16];
	__u8 nhi[24];
	__u8 name[24];
	__u64 reserved1[3];
};

/**
 * struct usb4_dma_rails - ioctl(USB4_DMA_IOCTL_RAILS)
 * @size: sizeof(struct usb4_dma_rails)
 * @flags: must be 0
 * @count: in: entries of the array; out: rails that exist (EMSGSIZE if the
 *	array is shorter). USB4_DMA_RAILS_MAX always suffices.
 * @entry_size: in: sizeof(struct usb4_dma_rail) of the caller, the distance
 *	of its entries; out: that of the kernel. An entry that is longer than
 *	the kernel's is filled up with zeros. Shorter than the first version's
 *	128 bytes: EINVAL; longer than a page: E2BIG.
 * @entries: in: pointer to the array; with @count 0 it is not read
 * @generation: out: of the rails as listed; the handle then counts as having
 *	seen it (see poll in &USB4_DMA_KICK_ARM)
 * @reserved: must be 0
 *
 * Needs no SETUP. Rails that are down are listed, loopback is not.
 */
struct usb4_dma_rails {
	__u32 size;
	__u32 flags;
	__u32 count;
	__u32 entry_size;
	__aligned_u64 entries;
	__u32 generation;
	__u32 reserved;
};

/**
 * enum usb4_dma_kick_flags - What a KICK is to do
 * @USB4_DMA_KICK_TX: take the entries of the submit ring
 * @USB4_DMA_KICK_RX: poll the hardware's receive rings, for all channels, and
 *	keep their interrupts masked for a short while: the caller is expected
 *	to come again
 * @USB4_DMA_KICK_ARM: last of all, prepare to sleep. Interrupts are unmasked
 *	and the next entry in the ready ring or change of the generation wakes
 *	poll(2) and epoll(7) on the handle. If something is there already
 *	USB4_DMA_KICKED_BUSY is returned: do not sleep. A handle that sits in
 *	an epoll set must be armed this way (or by poll(2)) before each sleep:
 *	a wake-up disarms its cause.
 * @USB4_DMA_KICK_ARM_TX: with ARM: an entry in the complete ring wakes, too.
 *	The causes are armed and disarmed each for itself: EPOLLIN for the
 *	ready ring and the generation, EPOLLOUT for the complete ring. poll(2)
 *	arms those that it asks for.
 *
 * A handle is readable (EPOLLIN) when the ready ring is not empty or the
 * generation is another than the one that RAILS returned last on this handle;
 * writable (EPOLLOUT) when the complete ring is not empty. EPOLLERR before
 * SETUP.
 */
enum usb4_dma_kick_flags {
	USB4_DMA_KICK_TX = 1 << 0,
	USB4_DMA_KICK_RX = 1 << 1,
	USB4_DMA_KICK_ARM = 1 << 2,
	USB4_DMA_KICK_ARM_TX = 1 << 3,
};

/**
 * enum usb4_dma_kicked - What a KICK found
 * @USB4_DMA_KICKED_ARMED: armed; sleep now
 * @USB4_DMA_KICKED_BUSY: asked to arm, but something is there
 * @USB4_DMA_KICKED_TX_LEFT: entries were left in the submit ring: the complete
 *	ring has no room (take its entries first), or the call took as many as
 *	one call takes (kick again)
 */
enum usb4_dma_kicked {
	USB4_DMA_KICKED_ARMED = 1 << 0,
	USB4_DMA_KICKED_BUSY = 1 << 1,
	USB4_DMA_KICKED_TX_LEFT = 1 << 2,
};

/**
 * struct usb4_dma_kick - ioctl(USB4_DMA_IOCTL_KICK)
 * @size: sizeof(struct usb4_dma_kick)
 * @flags: &enum usb4_dma_kick_flags
 * @rx_budget: in: received frames to handle at most on each rail; 0: the
 *	kernel's choice
 * @tx_taken: out: entries taken from the submit ring
 * @rx_frames: out: received frames that were handled, for whatever channel
 * @result: out: &enum usb4_dma_kicked
 * @generation: out: see &struct usb4_dma_node
 * @reserved: must be 0
 */
struct usb4_dma_kick {
	__u32 size;
	__u32 flags;
	__u32 rx_budget;
	__u32 tx_taken;
	__u32 rx_frames;
	__u32 result;
	__u32 generation;
	__u32 reserved;
};

/**
 * struct usb4_dma_ring - Head of a shared ring
 * @producer: entries ever put in, modulo 2^32; written by the side that puts
 * @reserved0: 0
 * @consumer: entries ever taken out, modulo 2^32; written by the side that
 *	takes
 * @reserved1: 0
 * @flags: written by the kernel: &enum usb4_dma_ring_flags
 * @reserved2: 0
 *
 * Entry i lies at USB4_DMA_RING_ENTRIES + (i modulo entries) * size of an
 * entry. Each counter has a cache line of its own. The side that puts stores
 * the entry, then @producer with release order; the side that takes loads
 * @producer with acquire order, reads the entry, then stores @consumer with
 * release order, which the putting side loads with acquire order.
 *
 * The kernel keeps counters of its own and never reads back what it wrote. A
 * counter of user space that is further away than the ring is long makes the
 * kernel take nothing from that ring (and put nothing into it) until it is
 * right again.
 */
struct usb4_dma_ring {
	__u32 producer;
	__u32 reserved0[15];
	__u32 consumer;
	__u32 reserved1[15];
	__u32 flags;
	__u32 reserved2[15];
};

/**
 * enum usb4_dma_ring_flags - State of a ring that the kernel takes from
 * @USB4_DMA_RING_NEED_KICK: the kernel does not look at the submit ring unless
 *	it is kicked. While it is clear the kernel is going to look by itself
 *	soon. To use it: store the producer, full barrier, load the flags.
 */
enum usb4_dma_ring_flags {
	USB4_DMA_RING_NEED_KICK = 1 << 0,
};

/**
 * struct usb4_dma_tx - Entry of the submit ring
 * @frame: index in the pool, below tx_frames
 * @len: bytes of the frame, header included: sizeof(struct usb4_dma_header)
 *	plus its payload_len
 * @rail: to send over; USB4_DMA_RAIL_LOOPBACK for the own node
 * @flags: must be 0
 * @cookie: returned on completion
 */
struct usb4_dma_tx {
	__u32 frame;
	__u16 len;
	__u8 rail;
	__u8 flags;
	__u64 cookie;
};

/**
 * enum usb4_dma_tx_status - How an entry of the submit ring ended
 * @USB4_DMA_TX_SENT: the hardware has read the frame (loopback: it was copied,
 *	or dropped for want of a frame in the receiver's fill ring)
 * @USB4_DMA_TX_DOWN: the rail is down or went down; the frame may have been
 *	sent or not
 * @USB4_DMA_TX_AGAIN: not sent: the channel has tx_depth entries on the rail
 *	already, or the rail has no room
 * @USB4_DMA_TX_INVALID: not sent: frame, length, rail or flags are out of
 *	range, or the header's source is not this channel, its destination
 *	not reached over this rail, or its payload_len not what @len says
 */
enum usb4_dma_tx_status {
	USB4_DMA_TX_SENT = 0,
	USB4_DMA_TX_DOWN = 1,
	USB4_DMA_TX_AGAIN = 2,
	USB4_DMA_TX_INVALID = 3,
};

/**
 * struct usb4_dma_tx_done - Entry of the complete ring
 * @cookie: of the submitted entry
 * @frame: of the submitted entry
 * @rail: of the submitted entry
 * @status: &enum usb4_dma_tx_status
 * @reserved: 0
 *
 * Entries of one rail complete in order, as a rule; those of several do not.
 * The sum of entries taken and not completed and of those completed and not
 * yet read never exceeds tx_entries.
 */
struct usb4_dma_tx_done {
	__u64 cookie;
	__u32 frame;
	__u8 rail;
	__u8 status;
	__u16 reserved;
};

/**
 * enum usb4_dma_rx_flags - What an entry of the ready ring is
 * @USB4_DMA_RX_GONE: no frame (index and length are meaningless): a frame that
 *	this channel sent reached its node, where channel @src_channel of
 *	@src_node does not exist (any more). At most one such entry comes for
 *	each frame sent; one may be lost.
 */
enum usb4_dma_rx_flags {
	USB4_DMA_RX_GONE = 1 << 0,
};

/**
 * struct usb4_dma_rx - Entry of the ready ring
 * @frame: index in the pool, as it was put into the fill ring
 * @len: bytes of the frame, header included; at least
 *	sizeof(struct usb4_dma_header)
 * @rail: that it came over, or USB4_DMA_RAIL_LOOPBACK
 * @flags: &enum usb4_dma_rx_flags
 * @src_node: of the header, or the node whose channel is gone
 * @src_channel: of the header, or the channel that is gone
 * @reserved: 0
 */
struct usb4_dma_rx {
	__u32 frame;
	__u16 len;
	__u8 rail;
	__u8 flags;
	__u32 src_node;
	__u16 src_channel;
	__u16 reserved;
};

/**
 * struct usb4_dma_node_rail - A rail, as every channel sees it
 * @state: &enum usb4_dma_rail_state
 * @epoch: counts how often it came up
 * @tx_backlog: frames of all channels that the hardware has not sent yet
 * @reserved: 0
 */
struct usb4_dma_node_rail {
	__u32 state;
	__u32 epoch;
	__u32 tx_backlog;
	__u32 reserved[13];
};

/**
 * struct usb4_dma_node - USB4_DMA_REGION_NODE
 * @generation: grows after each change of a rail: state, peer, rate. Load it
 *	in each round of progress; when it has changed, ask RAILS.
 * @reserved: 0
 * @rails: indexed by rail number. Hints for scheduling: RAILS has the truth.
 */
struct usb4_dma_node {
	__u32 generation;
	__u32 reserved[15];
	struct usb4_dma_node_rail rails[USB4_DMA_RAILS_MAX];
};

/**
 * struct usb4_dma_rail_counters - What one channel did on one rail
 * @tx_frames: entries that the hardware took (loopback: that were copied)
 * @tx_bytes: bytes of these
 * @tx_down: entries that ended with USB4_DMA_TX_DOWN
 * @tx_again: entries that ended with USB4_DMA_TX_AGAIN
 * @rx_frames: frames delivered to the ready ring
 * @rx_bytes: bytes of these
 * @rx_no_buffer: frames dropped because the fill ring was empty
 * @rx_gone: entries with USB4_DMA_RX_GONE
 */
struct usb4_dma_rail_counters {
	__u64 tx_frames;
	__u64 tx_bytes;
	__u64 tx_down;
	__u64 tx_again;
	__u64 rx_frames;
	__u64 rx_bytes;
	__u64 rx_no_buffer;
	__u64 rx_gone;
};

/**
 * struct usb4_dma_counters - USB4_DMA_REGION_COUNTERS
 * @kicks: calls of KICK
 * @doorbells: of these, calls that took entries from the submit ring
 * @arms: times that the channel was armed (by KICK or poll)
 * @wakeups: times that it was woken
 * @tx_invalid: entries that ended with USB4_DMA_TX_INVALID
 * @fill_invalid: entries of the fill ring that were no receive frame
 * @ring_invalid: times that a counter of a ring was out of range
 * @reserved: 0
 * @rails: indexed by rail number; USB4_DMA_RAIL_LOOPBACK is the last
 *
 * They count since SETUP. What several threads count at once (@arms, @wakeups,
 * @ring_invalid) may miss some. /proc/PID/fdinfo shows them to others.
 */
struct usb4_dma_counters {
	__u64 kicks;
	__u64 doorbells;
	__u64 arms;
	__u64 wakeups;
	__u64 tx_invalid;
	__u64 fill_invalid;
	__u64 ring_invalid;
	__u64 reserved;
	struct usb4_dma_rail_counters rails[USB4_DMA_RAILS_MAX + 1];
};

#endif /* _UAPI_LINUX_USB4_DMA_H */
