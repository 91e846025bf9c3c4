/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Links: one cable to one neighbour each.
 */
#ifndef U4DMA_LINK_H
#define U4DMA_LINK_H

#include <linux/list.h>
#include <linux/thunderbolt.h>
#include <linux/workqueue.h>

#include "rail.h"
#include "wire.h"

/**
 * struct u4dma_link - A cable whose other end speaks our protocol
 * @list: in the list of links; guarded by u4dma_links_lock, as are all fields down
 *	to @peer
 * @is_stopping: no more work, whatever arrives
 * @is_passive: wait for the neighbour's LOGIN instead of sending ours
 * @is_rebuilding: the rails are to be torn down and built again
 * @has_logged_in: the neighbour has accepted our LOGIN
 * @knows_peer: we have accepted the neighbour's, which is in @peer
 * @was_ready_sent: the neighbour has accepted our READY
 * @was_ready_seen: the neighbour's READY has come
 * @tries: requests sent since something last got ahead
 * @session: our session
 * @next_id: number of the next request
 * @refused: last verdict that was logged
 * @peer: the neighbour's LOGIN
 * @svc: the service
 * @xd: the XDomain that it belongs to
 * @work: takes the next step; it alone uses what follows, until it has been
 *	canceled for good
 * @nhi: the NHI; %NULL while no rail is allocated
 * @rails: those that have rings
 * @rails_allocated: how many
 * @rails_running: how many of them have been started
 * @is_up: channels may use them
 */
struct u4dma_link {
	struct list_head list;
	bool is_stopping;
	bool is_passive;
	bool is_rebuilding;
	bool has_logged_in;
	bool knows_peer;
	bool was_ready_sent;
	bool was_ready_seen;
	unsigned int tries;
	u32 session;
	u32 next_id;
	u32 refused;
	struct u4dma_msg peer;

	struct tb_service *svc;
	struct tb_xdomain *xd;
	struct delayed_work work;
	struct u4dma_nhi *nhi;
	struct u4dma_rail *rails[U4DMA_LINK_RAILS_MAX];
	unsigned int rails_allocated;
	unsigned int rails_running;
	bool is_up;
};

struct u4dma_link *u4dma_link_create(struct tb_service *svc);
void u4dma_link_destroy(struct u4dma_link *link);
void u4dma_link_suspend(struct u4dma_link *link);
void u4dma_link_resume(struct u4dma_link *link);

/* For answer.c, with u4dma_links_lock held. */
extern struct mutex u4dma_links_lock;
extern struct list_head u4dma_links;
void u4dma_link_call(struct u4dma_link *link, unsigned int delay_ms);
void u4dma_link_start_over(struct u4dma_link *link);
void u4dma_link_fill(struct u4dma_link *link, struct u4dma_msg *msg);
void u4dma_link_refused(struct u4dma_link *link, const char *who, u32 status);

/* answer.c */
int u4dma_link_handle(const void *buf, size_t size, void *data);

/* bringup.c: the rails of a link */
int u4dma_link_alloc_rails(struct u4dma_link *link);
void u4dma_link_free_rails(struct u4dma_link *link);
int u4dma_link_start_rails(struct u4dma_link *link, const struct u4dma_msg *peer);
void u4dma_link_stop_rails(struct u4dma_link *link);
void u4dma_link_rails_up(struct u4dma_link *link, const struct u4dma_msg *peer);

#endif /* U4DMA_LINK_H */
