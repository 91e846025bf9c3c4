// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames' routing words and the handshake's messages: bytes to meaning and
 * back. See wire.h for the protocol.
 */
#include <linux/jhash.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "wire.h"

/* Bits of the XDomain header. */
#define XD_LENGTH_MASK		GENMASK(5, 0)
#define XD_SEQUENCE_MASK	GENMASK(28, 27)
#define XD_ROUTE_HI_MASK	GENMASK(30, 0)
#define XD_HEADER_DWORDS	3

/* HopIDs 0 to 7 are the hardware's own; a path has at most 16 bits of them. */
#define HOPID_MIN		8
#define HOPID_MAX		0xffff

const uuid_t u4dma_protocol_uuids[2] = {
	/* d9b4c0a6-51a1-4a3e-93d5-6c1f8e0b7a42 */
	UUID_INIT(0xd9b4c0a6, 0x51a1, 0x4a3e,
		  0x93, 0xd5, 0x6c, 0x1f, 0x8e, 0x0b, 0x7a, 0x42),
	/* 1e6c2f83-0d5b-4c79-b8a4-37f2916d5e08 */
	UUID_INIT(0x1e6c2f83, 0x0d5b, 0x4c79,
		  0xb8, 0xa4, 0x37, 0xf2, 0x91, 0x6d, 0x5e, 0x08),
};

static_assert(sizeof(struct usb4_dma_header) == 40);
static_assert(offsetof(struct usb4_dma_header, payload_len) == 4);
static_assert(offsetof(struct usb4_dma_header, dst_node) == 8);
static_assert(offsetof(struct usb4_dma_header, src_node) == 12);
static_assert(offsetof(struct usb4_dma_header, dst_channel) == 16);
static_assert(offsetof(struct usb4_dma_header, src_channel) == 18);

/**
 * u4dma_routing_read() - Copy the routing words out of a frame
 * @routing: where to
 * @frame: at least a header, 4-byte aligned; user space may be writing it
 *
 * Each word is read once: what is checked is what is used.
 */
void u4dma_routing_read(struct u4dma_routing *routing, const void *frame)
{
	const __le32 *words = frame;
	u32 channels;
	int i;

	for (i = 0; i < ARRAY_SIZE(routing->words); i++)
		routing->words[i] = READ_ONCE(words[i]);

	routing->payload_len = le32_to_cpu(routing->words[1]) & 0xffff;
	routing->dst_node = le32_to_cpu(routing->words[2]);
	routing->src_node = le32_to_cpu(routing->words[3]);
	channels = le32_to_cpu(routing->words[4]);
	routing->dst_channel = channels & 0xffff;
	routing->src_channel = channels >> 16;
}

/**
 * u4dma_routing_fits() - Whether a frame is as long as its header says
 * @routing: the frame's routing words
 * @len_bytes: of the frame
 */
bool u4dma_routing_fits(const struct u4dma_routing *routing, size_t len_bytes)
{
	return len_bytes <= USB4_DMA_FRAME_SIZE &&
	       len_bytes == sizeof(struct usb4_dma_header) + routing->payload_len;
}

/**
 * u4dma_routing_write_gone() - Compose the frame that says a channel is gone
 * @header: the frame
 * @of: the frame that named the channel
 */
void u4dma_routing_write_gone(struct usb4_dma_header *header, const struct u4dma_routing *of)
{
	memset(header, 0, sizeof(*header));
	header->dst_node = cpu_to_le32(of->src_node);
	header->dst_channel = cpu_to_le16(of->src_channel);
	header->src_node = cpu_to_le32(of->dst_node);
	header->src_channel = cpu_to_le16(of->dst_channel);
}

/**
 * u4dma_status_text() - What a verdict means and what to do about it
 * @status: &enum u4dma_status, as the other side sent it
 */
const char *u4dma_status_text(u32 status)
{
	static const char *const texts[] = {
		[U4DMA_OK] = "accepted",
		[U4DMA_NOT_READY] = "it is not ready yet",
		[U4DMA_SESSION] = "it has been restarted",
		[U4DMA_BAD_VERSION] =
		"no common version; install the same usb4_dma release on both hosts",
		[U4DMA_SELF] =
		"the cable joins the host to itself; plug it into another host",
		[U4DMA_COLLISION] =
		"two hosts with one node number; reload usb4_dma on one with node=NUMBER",
		[U4DMA_NO_RAILS] =
		"no free DMA ring; lower the parameter rails, or unload thunderbolt_net",
		[U4DMA_MALFORMED] =
		"malformed message; install the same usb4_dma release on both hosts",
	};

	if (status < ARRAY_SIZE(texts))
		return texts[status];
	return "unknown reason; install the same usb4_dma release on both hosts";
}

/**
 * u4dma_identity_equal() - Whether two identities are of the same loaded module
 * @a: one
 * @b: the other
 */
bool u4dma_identity_equal(const struct u4dma_identity *a, const struct u4dma_identity *b)
{
	return a->node == b->node && a->instance[0] == b->instance[0] &&
	       a->instance[1] == b->instance[1];
}

/* The protocol of a request and of its answer, by who asks and who answers. */
static const uuid_t *protocol_of(const uuid_t *asks, const uuid_t *answers)
{
	return &u4dma_protocol_uuids[memcmp(asks, answers, sizeof(*asks)) > 0];
}

/**
 * u4dma_msg_init() - Begin a request
 * @msg: the message
 * @type: &enum u4dma_msg_type
 * @route: to the other host
 * @from: own router
 * @to: the other host's router
 */
void u4dma_msg_init(struct u4dma_msg *msg, enum u4dma_msg_type type, u64 route,
		    const uuid_t *from, const uuid_t *to)
{
	memset(msg, 0, sizeof(*msg));
	msg->route_hi = upper_32_bits(route);
	msg->route_lo = lower_32_bits(route);
	msg->length_sn = sizeof(*msg) / sizeof(u32) - XD_HEADER_DWORDS;
	msg->protocol = *protocol_of(from, to);
	msg->initiator = *from;
	msg->target = *to;
	msg->type = type;
	msg->version_min = U4DMA_VERSION_MIN;
	msg->version_max = U4DMA_VERSION_MAX;
}

/**
 * u4dma_msg_reply() - Begin the answer to a request
 * @reply: the answer
 * @msg: the request
 */
void u4dma_msg_reply(struct u4dma_msg *reply, const struct u4dma_msg *msg)
{
	u64 route = (u64)(msg->route_hi & XD_ROUTE_HI_MASK) << 32 | msg->route_lo;

	u4dma_msg_init(reply, msg->type | U4DMA_MSG_REPLY, route, &msg->target, &msg->initiator);
	reply->length_sn |= msg->length_sn & XD_SEQUENCE_MASK;
	reply->protocol = msg->protocol;
	reply->id = msg->id;
	reply->peer_session = msg->session;
}

/**
 * u4dma_msg_parse() - Check that bytes are a message
 * @msg: copy of the message
 * @buf: the bytes, in dwords of the host's order
 * @size_bytes: how many
 *
 * Checks form only: whether values make sense is for the verdict.
 */
bool u4dma_msg_parse(struct u4dma_msg *msg, const void *buf, size_t size_bytes)
{
	const uuid_t *protocol;
	size_t dwords;

	if (size_bytes < sizeof(*msg))
		return false;
	memcpy(msg, buf, sizeof(*msg));
	dwords = XD_HEADER_DWORDS + (msg->length_sn & XD_LENGTH_MASK);
	if (dwords * sizeof(u32) < sizeof(*msg))
		return false;
	if (msg->type & U4DMA_MSG_REPLY)
		protocol = protocol_of(&msg->target, &msg->initiator);
	else
		protocol = protocol_of(&msg->initiator, &msg->target);
	return uuid_equal(&msg->protocol, protocol);
}

/**
 * u4dma_msg_is_between() - Whether a message travels between two routers
 * @msg: the message
 * @route: on which it came
 * @from: the sender
 * @to: the receiver
 */
bool u4dma_msg_is_between(const struct u4dma_msg *msg, u64 route, const uuid_t *from,
			  const uuid_t *to)
{
	/* The uppermost bit is set in what was received. */
	return (msg->route_hi & XD_ROUTE_HI_MASK) == (upper_32_bits(route) & XD_ROUTE_HI_MASK) &&
	       msg->route_lo == lower_32_bits(route) &&
	       uuid_equal(&msg->initiator, from) && uuid_equal(&msg->target, to);
}

/**
 * u4dma_negotiate() - Choose a version
 * @min_a: lowest that one side speaks
 * @max_a: highest
 * @min_b: lowest that the other side speaks
 * @max_b: highest
 *
 * Return: the highest that both speak, or 0.
 */
u32 u4dma_negotiate(u32 min_a, u32 max_a, u32 min_b, u32 max_b)
{
	u32 version = min(max_a, max_b);

	return version >= max(min_a, min_b) ? version : 0;
}

/**
 * u4dma_login_verdict() - Judge a LOGIN by what it says
 * @login: the message
 * @me: this host
 *
 * Return: U4DMA_OK, or why it is refused. That another neighbour has the same
 * node number is for the caller to find out.
 */
enum u4dma_status u4dma_login_verdict(const struct u4dma_msg *login,
				      const struct u4dma_identity *me)
{
	const struct u4dma_identity peer = {
		.node = login->node,
		.instance = { login->instance[0], login->instance[1] },
	};
	u32 i, j;

	if (!u4dma_negotiate(U4DMA_VERSION_MIN, U4DMA_VERSION_MAX,
			     login->version_min, login->version_max))
		return U4DMA_BAD_VERSION;
	if (!login->node || !login->session || login->rails > U4DMA_LINK_RAILS_MAX)
		return U4DMA_MALFORMED;
	if (u4dma_identity_equal(&peer, me))
		return U4DMA_SELF;
	if (peer.node == me->node)
		return U4DMA_COLLISION;
	if (!login->rails)
		return U4DMA_NO_RAILS;
	for (i = 0; i < login->rails; i++) {
		if (login->hopids[i] < HOPID_MIN || login->hopids[i] > HOPID_MAX)
			return U4DMA_MALFORMED;
		for (j = 0; j < i; j++)
			if (login->hopids[j] == login->hopids[i])
				return U4DMA_MALFORMED;
	}
	return U4DMA_OK;
}

/**
 * u4dma_node_of_uuid() - Derive a node number from a router's UUID
 * @uuid: the UUID
 *
 * Return: the number; never 0.
 */
u32 u4dma_node_of_uuid(const uuid_t *uuid)
{
	u32 node = jhash(uuid->b, sizeof(uuid->b), 0);

	return node ? node : 1;
}
