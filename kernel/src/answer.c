// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handshake's other half: what the neighbour asks, and our answers.
 *
 * In the control channel's receive worker, which must not wait: answers come
 * from what is known, flags are set, and the link's work does the rest.
 */
#include "link.h"

static struct u4dma_identity peer_identity(const struct u4dma_msg *msg)
{
	return (struct u4dma_identity) {
		.node = msg->node,
		.instance = { msg->instance[0], msg->instance[1] },
	};
}

/* Whether another neighbour has the node number. */
static bool is_taken(const struct u4dma_link *link, const struct u4dma_msg *login)
{
	const struct u4dma_identity new = peer_identity(login);
	const struct u4dma_link *other;

	list_for_each_entry(other, &u4dma_links, list) {
		const struct u4dma_identity known = peer_identity(&other->peer);

		if (other != link && other->knows_peer && known.node == new.node &&
		    !u4dma_identity_equal(&known, &new))
			return true;
	}
	return false;
}

static enum u4dma_status handle_login(struct u4dma_link *link, const struct u4dma_msg *msg)
{
	const struct u4dma_identity *me = u4dma_node_identity(link->xd->local_uuid);
	const struct u4dma_identity known = peer_identity(&link->peer);
	const struct u4dma_identity new = peer_identity(msg);
	enum u4dma_status status = u4dma_login_verdict(msg, me);
	bool is_new;

	/*
	 * A host that was restarted: forget who it was, else its cables would
	 * have each other refused.
	 */
	if (link->knows_peer && !u4dma_identity_equal(&known, &new)) {
		u4dma_link_start_over(link);
		link->knows_peer = false;
		u4dma_link_call(link, 0);
	}
	is_new = !link->knows_peer || link->peer.session != msg->session;
	if (status == U4DMA_OK && is_taken(link, msg))
		status = U4DMA_COLLISION;
	if (status != U4DMA_OK) {
		u4dma_link_refused(link, "refused", status);
		return status;
	}

	if (is_new) {
		/* It has not seen our LOGIN since it was restarted. */
		if (msg->peer_session != link->session)
			u4dma_link_start_over(link);
		link->was_ready_seen = false;
		/* Paths to rings that it has given back are of no use. */
		if (link->knows_peer)
			u4dma_link_start_over(link);
	}
	link->peer = *msg;
	link->knows_peer = true;
	link->is_passive = false;
	link->tries = 0;
	u4dma_link_call(link, 0);
	return U4DMA_OK;
}

static enum u4dma_status handle_ready(struct u4dma_link *link, const struct u4dma_msg *msg)
{
	if (!link->knows_peer || link->peer.session != msg->session ||
	    msg->peer_session != link->session)
		return U4DMA_SESSION;
	link->was_ready_seen = true;
	u4dma_link_call(link, 0);
	return U4DMA_OK;
}

static enum u4dma_status handle_detach(struct u4dma_link *link, const struct u4dma_msg *msg)
{
	if (link->knows_peer && link->peer.session == msg->session) {
		u4dma_link_start_over(link);
		link->knows_peer = false;
		link->is_passive = true;
		u4dma_link_call(link, 0);
	}
	return U4DMA_OK;
}

static enum u4dma_status handle(struct u4dma_link *link, const struct u4dma_msg *msg)
{
	if (link->is_stopping)
		return U4DMA_NOT_READY;
	switch (msg->type) {
	case U4DMA_MSG_LOGIN:
		return handle_login(link, msg);
	case U4DMA_MSG_READY:
		return handle_ready(link, msg);
	case U4DMA_MSG_DETACH:
		return handle_detach(link, msg);
	default:
		return U4DMA_MALFORMED;
	}
}

/**
 * u4dma_link_handle() - A message came
 * @buf: the message
 * @size: its bytes
 * @data: not used
 *
 * In the control channel's receive worker: must not wait for an answer.
 *
 * Return: 1 if it was ours.
 */
int u4dma_link_handle(const void *buf, size_t size, void *data)
{
	struct u4dma_msg msg, reply;
	struct u4dma_link *link;
	int ret = 0;

	if (!u4dma_msg_parse(&msg, buf, size) || msg.type & U4DMA_MSG_REPLY)
		return 0;

	mutex_lock(&u4dma_links_lock);
	list_for_each_entry(link, &u4dma_links, list) {
		struct tb_xdomain *xd = link->xd;

		if (!u4dma_msg_is_between(&msg, xd->route, xd->remote_uuid, xd->local_uuid))
			continue;
		u4dma_msg_reply(&reply, &msg);
		reply.status = handle(link, &msg);
		u4dma_link_fill(link, &reply);
		/* If it gets lost the neighbour asks again. */
		tb_xdomain_response(xd, &reply, sizeof(reply), TB_CFG_PKG_XDOMAIN_RESP);
		ret = 1;
		break;
	}
	mutex_unlock(&u4dma_links_lock);
	return ret;
}
