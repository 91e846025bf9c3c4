/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rails: one transmit and one receive ring of an NHI each.
 */
#ifndef U4DMA_RAIL_H
#define U4DMA_RAIL_H

#include <linux/hrtimer.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/thunderbolt.h>
#include <linux/workqueue.h>

#include "node.h"

struct u4dma_chan;

/* Messages to the other kernel that a rail may have under way. */
#define U4DMA_NOTICES		16

/**
 * struct u4dma_tx_slot - A frame that the NHI may hold
 * @frame: for the thunderbolt core; its list links free slots
 * @rail: whose slot it is
 * @chan: channel that the frame belongs to; counted. %NULL: a notice, or free
 * @cookie: of the entry
 * @index: of the frame in the channel's pool
 * @len: bytes of the frame
 * @is_busy: the NHI has it
 */
struct u4dma_tx_slot {
	struct ring_frame frame;
	struct u4dma_rail *rail;
	struct u4dma_chan *chan;
	u64 cookie;
	u32 index;
	u16 len;
	bool is_busy;
};

/**
 * struct u4dma_rx_buffer - A receive buffer
 * @frame: for the thunderbolt core
 * @data: the page; only the NHI and the kernel ever see it
 */
struct u4dma_rx_buffer {
	struct ring_frame frame;
	void *data;
};

/**
 * struct u4dma_rail - A rail that has its rings
 * @number: index in u4dma_slots
 * @node: own node
 * @peer_node: the node at the other end; fixed while the receive ring runs
 * @peer_dev: for log lines
 * @nhi: the NHI; counted by the link
 * @size: entries of each ring
 * @out_hopid: HopID on which this side transmits
 * @in_hopid: HopID on which the other side transmits; 0: none
 * @tx: transmit ring
 * @tx_lock: guards all of the transmit side
 * @can_send: the rail carries frames
 * @slots: one for each entry that channels may use
 * @free_slots: those that are free
 * @busy: how many are not
 * @notices: slots for messages to the other kernel
 * @free_notices: those that are free
 * @notice_data: their frames, 64 bytes each
 * @notice_dma: bus address of these
 * @rx: receive ring
 * @rx_lock: guards all of the receive side: who holds it polls the ring
 * @can_poll: the receive ring runs
 * @is_masked: the ring's interrupt is masked. Set by the interrupt handler,
 *	cleared under @rx_lock before unmasking.
 * @was_polled: a KICK has emptied the ring since the timer looked last
 * @buffers: receive buffers
 * @poll_work: polls after an interrupt
 * @timer: while the interrupt is masked for the benefit of processes that
 *	poll: notices when they stop
 */
struct u4dma_rail {
	u8 number;
	u32 node;
	u32 peer_node;
	struct device *peer_dev;
	struct u4dma_nhi *nhi;
	unsigned int size;
	int out_hopid;
	int in_hopid;

	struct tb_ring *tx;
	spinlock_t tx_lock; /* all from here to @notice_dma */
	bool can_send;
	struct u4dma_tx_slot *slots;
	struct list_head free_slots;
	unsigned int busy;
	struct u4dma_tx_slot notices[U4DMA_NOTICES];
	struct list_head free_notices;
	struct usb4_dma_header *notice_data[U4DMA_NOTICES];
	dma_addr_t notice_dma;

	struct tb_ring *rx ____cacheline_aligned_in_smp;
	spinlock_t rx_lock; /* all from here to @buffers */
	bool can_poll;
	bool is_masked;
	bool was_polled;
	struct u4dma_rx_buffer *buffers;
	struct work_struct poll_work;
	struct hrtimer timer;
};

struct u4dma_rail *u4dma_rail_alloc(struct tb_nhi *tb_nhi, struct u4dma_nhi *nhi,
				    struct device *peer_dev, u8 number, u32 node);
void u4dma_rail_free(struct u4dma_rail *rail);
void u4dma_rail_start(struct u4dma_rail *rail, u32 peer_node);
void u4dma_rail_enable(struct u4dma_rail *rail);
void u4dma_rail_disable(struct u4dma_rail *rail);
void u4dma_rail_stop(struct u4dma_rail *rail);
unsigned int u4dma_rail_size(void);

/* rail_tx.c */
int u4dma_rail_tx_alloc(struct u4dma_rail *rail);
void u4dma_rail_tx_free(struct u4dma_rail *rail);
/* Beside &enum usb4_dma_tx_status: the NHI has the frame. */
#define U4DMA_TX_UNDER_WAY	255
u8 u4dma_rail_send(struct u4dma_rail *rail, struct u4dma_chan *chan,
		   const struct usb4_dma_tx *tx);
void u4dma_rail_send_gone(struct u4dma_rail *rail, const struct u4dma_routing *of);
u32 u4dma_rail_depth(const struct u4dma_rail *rail);

/* rail_rx.c */
int u4dma_rail_rx_alloc(struct u4dma_rail *rail, struct tb_nhi *tb_nhi);
void u4dma_rail_rx_free(struct u4dma_rail *rail);
void u4dma_rail_rx_start(struct u4dma_rail *rail);
void u4dma_rail_rx_stop(struct u4dma_rail *rail);
u32 u4dma_rail_kick(struct u4dma_rail *rail, u32 budget);
void u4dma_rail_arm(struct u4dma_rail *rail);

static inline struct u4dma_rail_stats *u4dma_rail_stats(const struct u4dma_rail *rail)
{
	return &u4dma_slots[rail->number].stats;
}

#endif /* U4DMA_RAIL_H */
