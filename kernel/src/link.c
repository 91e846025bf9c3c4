// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handshake of a cable: see wire.h for the protocol.
 *
 * Everything that waits (requests, paths, rings) is done by one work item for
 * each link. It runs in the domain's own ordered queue, as the core's hotplug
 * handling does: that one unbinds services with the domain's lock held, which
 * enabling a path takes, so the two must never wait for each other. Messages
 * of the neighbour only change flags, and call the work.
 */
#include <linux/random.h>
#include <linux/slab.h>

#include "compat.h"
#include "link.h"

/* What one request may take. */
#define REQUEST_TIMEOUT_MS	500
/* The last words before we go: not worth a long wait. */
#define DETACH_TIMEOUT_MS	100
/*
 * The neighbour may still be loading its module, or be busy. At first it is
 * asked often; after TRIES_MAX, about a minute, it has to come to us.
 */
#define RETRY_MS		100
#define RETRY_SLOW_MS		1000
#define TRIES_FAST		20
#define TRIES_MAX		80

/* Guards the list, and the handshake's state of every link on it. */
DEFINE_MUTEX(u4dma_links_lock);
LIST_HEAD(u4dma_links);

void u4dma_link_call(struct u4dma_link *link, unsigned int delay_ms)
{
	lockdep_assert_held(&u4dma_links_lock);
	if (!link->is_stopping)
		mod_delayed_work(link->xd->tb->wq, &link->work, msecs_to_jiffies(delay_ms));
}

/* Our rings and HopIDs are others than before. */
static void new_session(struct u4dma_link *link)
{
	lockdep_assert_held(&u4dma_links_lock);
	do {
		link->session = get_random_u32();
	} while (!link->session);
}

/* Forgets how far the handshake was. */
void u4dma_link_start_over(struct u4dma_link *link)
{
	lockdep_assert_held(&u4dma_links_lock);
	link->is_rebuilding = true;
	link->has_logged_in = false;
	link->was_ready_sent = false;
	link->was_ready_seen = false;
	link->tries = 0;
}

/* Fills in who we are and what we know. */
void u4dma_link_fill(struct u4dma_link *link, struct u4dma_msg *msg)
{
	const struct u4dma_identity *me = u4dma_node_identity(link->xd->local_uuid);

	msg->node = me->node;
	msg->instance[0] = me->instance[0];
	msg->instance[1] = me->instance[1];
	msg->session = link->session;
	if (link->knows_peer)
		msg->peer_session = link->peer.session;
}

/* Sends a request and waits for the answer's verdict. */
static int request(struct u4dma_link *link, enum u4dma_msg_type type, unsigned int timeout_ms,
		   u32 *status)
{
	struct tb_xdomain *xd = link->xd;
	struct u4dma_msg msg, answer, reply;
	unsigned int i;
	int ret;

	u4dma_msg_init(&msg, type, xd->route, xd->local_uuid, xd->remote_uuid);
	mutex_lock(&u4dma_links_lock);
	msg.id = ++link->next_id;
	u4dma_link_fill(link, &msg);
	mutex_unlock(&u4dma_links_lock);
	msg.rails = link->rails_allocated;
	for (i = 0; i < link->rails_allocated; i++)
		msg.hopids[i] = link->rails[i]->out_hopid;

	memset(&answer, 0, sizeof(answer));
	ret = tb_xdomain_request(xd, &msg, sizeof(msg), TB_CFG_PKG_XDOMAIN_REQ,
				 &answer, sizeof(answer), TB_CFG_PKG_XDOMAIN_RESP, timeout_ms);
	if (ret)
		return ret;
	if (!u4dma_msg_parse(&reply, &answer, sizeof(answer)) ||
	    reply.type != (type | U4DMA_MSG_REPLY) || reply.id != msg.id)
		return -EBADMSG;
	*status = reply.status;
	return 0;
}

/* No use in asking again: wait until the neighbour asks. */
static void give_up(struct u4dma_link *link)
{
	mutex_lock(&u4dma_links_lock);
	u4dma_link_start_over(link);
	link->is_rebuilding = false;
	link->is_passive = true;
	link->knows_peer = false;
	mutex_unlock(&u4dma_links_lock);
	u4dma_link_stop_rails(link);
	u4dma_link_free_rails(link);
}

/* Whether asking again is of no use. */
static bool is_final(u32 status)
{
	switch (status) {
	case U4DMA_OK:
	case U4DMA_NOT_READY:
	case U4DMA_SESSION:
	/* The other host may be this one before its restart. */
	case U4DMA_COLLISION:
		return false;
	default:
		return true;
	}
}

/* Logs each reason once, until another one comes. */
void u4dma_link_refused(struct u4dma_link *link, const char *who, u32 status)
{
	lockdep_assert_held(&u4dma_links_lock);
	if (link->refused == status)
		return;
	link->refused = status;
	dev_warn(&link->svc->dev, "usb4_dma: %s %pUb: %s\n", who, link->xd->remote_uuid,
		 u4dma_status_text(status));
}

/* Logs the first of a row of failures. */
static void log_failure(struct u4dma_link *link, int error)
{
	bool is_first;

	mutex_lock(&u4dma_links_lock);
	is_first = !link->tries;
	mutex_unlock(&u4dma_links_lock);
	if (is_first)
		dev_warn(&link->svc->dev,
			 "usb4_dma: cannot enable the paths: %pe; replug the cable if it stays so\n",
			 ERR_PTR(error));
}

/* Sends LOGIN; returns whether to go on. */
static bool log_in(struct u4dma_link *link)
{
	u32 status = U4DMA_NOT_READY;

	if (request(link, U4DMA_MSG_LOGIN, REQUEST_TIMEOUT_MS, &status))
		return false;
	if (is_final(status) || status == U4DMA_COLLISION) {
		mutex_lock(&u4dma_links_lock);
		u4dma_link_refused(link, "refused by", status);
		mutex_unlock(&u4dma_links_lock);
	}
	if (is_final(status))
		give_up(link);
	if (status != U4DMA_OK)
		return false;
	mutex_lock(&u4dma_links_lock);
	link->has_logged_in = true;
	link->tries = 0;
	mutex_unlock(&u4dma_links_lock);
	return true;
}

/* Sends READY; returns whether to go on. */
static bool get_ready(struct u4dma_link *link)
{
	u32 status = U4DMA_NOT_READY;

	if (request(link, U4DMA_MSG_READY, REQUEST_TIMEOUT_MS, &status))
		return false;
	mutex_lock(&u4dma_links_lock);
	if (status == U4DMA_OK) {
		link->was_ready_sent = true;
		link->tries = 0;
	} else if (status == U4DMA_SESSION) {
		link->has_logged_in = false;
	}
	mutex_unlock(&u4dma_links_lock);
	return status == U4DMA_OK;
}

/* Takes the steps that can be taken now; returns whether there is more to do. */
static bool advance(struct u4dma_link *link)
{
	bool has_logged_in, knows_peer, was_ready_sent, was_ready_seen;
	bool is_rebuilding, is_passive;
	struct u4dma_msg peer;
	int ret;

	mutex_lock(&u4dma_links_lock);
	is_rebuilding = link->is_rebuilding;
	link->is_rebuilding = false;
	is_passive = link->is_passive;
	has_logged_in = link->has_logged_in;
	knows_peer = link->knows_peer;
	was_ready_sent = link->was_ready_sent;
	was_ready_seen = link->was_ready_seen;
	peer = link->peer;
	mutex_unlock(&u4dma_links_lock);

	if (is_rebuilding)
		u4dma_link_stop_rails(link);
	if (link->is_up || is_passive)
		return false;
	if (!link->rails_allocated) {
		ret = u4dma_link_alloc_rails(link);
		mutex_lock(&u4dma_links_lock);
		if (ret)
			u4dma_link_refused(link, "cannot offer a rail to", U4DMA_NO_RAILS);
		else
			new_session(link);
		mutex_unlock(&u4dma_links_lock);
	}
	if (!has_logged_in && !log_in(link))
		return true;
	if (!knows_peer)
		return true;
	if (!link->rails_running) {
		ret = u4dma_link_start_rails(link, &peer);
		if (ret) {
			log_failure(link, ret);
			return true;
		}
	}
	if (!was_ready_sent && !get_ready(link))
		return true;
	if (!was_ready_seen)
		return true;
	u4dma_link_rails_up(link, &peer);
	return false;
}

static void link_work(struct work_struct *work)
{
	struct u4dma_link *link = container_of(work, struct u4dma_link, work.work);
	bool is_exhausted = false;

	mutex_lock(&u4dma_links_lock);
	if (link->is_stopping || (link->is_passive && !link->is_rebuilding)) {
		mutex_unlock(&u4dma_links_lock);
		return;
	}
	mutex_unlock(&u4dma_links_lock);

	if (!advance(link))
		return;

	mutex_lock(&u4dma_links_lock);
	if (!link->is_passive) {
		is_exhausted = ++link->tries > TRIES_MAX;
		if (!is_exhausted)
			u4dma_link_call(link, link->tries > TRIES_FAST ? RETRY_SLOW_MS : RETRY_MS);
	}
	mutex_unlock(&u4dma_links_lock);
	if (is_exhausted) {
		dev_warn(&link->svc->dev,
			 "usb4_dma: no link to %pUb; reload usb4_dma there or replug the cable\n",
			 link->xd->remote_uuid);
		give_up(link);
	}
}

/**
 * u4dma_link_create() - Begin the handshake with a neighbour
 * @svc: its service
 */
struct u4dma_link *u4dma_link_create(struct tb_service *svc)
{
	struct u4dma_link *link;

	link = kzalloc_obj(*link, GFP_KERNEL);
	if (!link)
		return ERR_PTR(-ENOMEM);
	link->svc = svc;
	link->xd = tb_service_parent(svc);
	INIT_DELAYED_WORK(&link->work, link_work);

	mutex_lock(&u4dma_links_lock);
	new_session(link);
	list_add_tail(&link->list, &u4dma_links);
	u4dma_link_call(link, 0);
	mutex_unlock(&u4dma_links_lock);
	return link;
}

/* Ends all activity and gives everything back; the link stays on the list. */
static void quiesce(struct u4dma_link *link)
{
	u32 status;
	bool knows_peer;

	mutex_lock(&u4dma_links_lock);
	link->is_stopping = true;
	knows_peer = link->knows_peer;
	mutex_unlock(&u4dma_links_lock);
	cancel_delayed_work_sync(&link->work);

	/* First our end: the other one is to find the paths disabled. */
	u4dma_link_stop_rails(link);
	if (knows_peer && !link->xd->is_unplugged)
		request(link, U4DMA_MSG_DETACH, DETACH_TIMEOUT_MS, &status);
	u4dma_link_free_rails(link);
}

/**
 * u4dma_link_destroy() - The neighbour is gone, or the driver is
 * @link: the link
 */
void u4dma_link_destroy(struct u4dma_link *link)
{
	quiesce(link);
	mutex_lock(&u4dma_links_lock);
	list_del(&link->list);
	mutex_unlock(&u4dma_links_lock);
	kfree(link);
}

/**
 * u4dma_link_suspend() - Stop for as long as the host sleeps, or for good
 * @link: the link
 */
void u4dma_link_suspend(struct u4dma_link *link)
{
	quiesce(link);
}

/**
 * u4dma_link_resume() - Begin anew after u4dma_link_suspend()
 * @link: the link
 */
void u4dma_link_resume(struct u4dma_link *link)
{
	mutex_lock(&u4dma_links_lock);
	link->is_stopping = false;
	link->is_passive = false;
	link->knows_peer = false;
	u4dma_link_start_over(link);
	u4dma_link_call(link, 0);
	mutex_unlock(&u4dma_links_lock);
}
