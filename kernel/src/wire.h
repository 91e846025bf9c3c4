/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What travels: frames on rails and messages of the handshake. Pure functions
 * over bytes, for KUnit; nothing here knows of devices.
 *
 * Frames carry a protocol defined field (PDF) that the NHI hands over beside
 * the bytes:
 *
 * +-----+----------+----------------------------------------------------------+
 * | PDF | Type     | Payload                                                  |
 * +-----+----------+----------------------------------------------------------+
 * |  1  | START    | marks the first packet of every frame                    |
 * |  2  | DATA     | a frame between two channels, struct usb4_dma_header and |
 * |     |          | up to 4056 bytes                                         |
 * |  3  | GONE     | between kernels: struct usb4_dma_header alone. The       |
 * |     |          | source is a channel that does not exist, the destination |
 * |     |          | the channel that sent it something.                      |
 * +-----+----------+----------------------------------------------------------+
 *
 * Handshake, for each cable, over the XDomain control channel. Both sides do
 * the same, in any order:
 *
 *   LOGIN   "this is my node, these are the HopIDs I transmit on, one for each
 *           rail I can offer"; answered with a verdict (&enum u4dma_status).
 *           Both lists known, the number of rails is the shorter one's length.
 *   READY   "my rings are primed and my paths enabled". Rails are up when it
 *           has been both sent and received, so no first frame is lost.
 *   DETACH  "I have stopped": the other side disables its paths, and waits for
 *           the next LOGIN.
 *
 * A session number names one side's allocation of rings and HopIDs. Each
 * message carries both sides' numbers as the sender knows them, so that a
 * message from before a restart is recognised.
 */
#ifndef U4DMA_WIRE_H
#define U4DMA_WIRE_H

#include <linux/build_bug.h>
#include <linux/types.h>
#include <linux/uuid.h>

#include <uapi/linux/usb4_dma.h>

enum u4dma_pdf {
	U4DMA_PDF_START = 1,
	U4DMA_PDF_DATA = 2,
	U4DMA_PDF_GONE = 3,
};

/* Versions of the handshake and of the PDFs that this module speaks. */
#define U4DMA_VERSION_MIN	1
#define U4DMA_VERSION_MAX	1

/* Rails of one cable. */
#define U4DMA_LINK_RAILS_MAX	8

/**
 * struct u4dma_routing - The routing words of a frame, in private memory
 * @dst_node: node that it goes to
 * @src_node: node that it comes from
 * @dst_channel: channel that it goes to
 * @src_channel: channel that it comes from
 * @payload_len: bytes behind the header
 * @words: the words as they were read, to be delivered in place of what may
 *	stand there by now
 */
struct u4dma_routing {
	u32 dst_node;
	u32 src_node;
	u16 dst_channel;
	u16 src_channel;
	u16 payload_len;
	__le32 words[5];
};

void u4dma_routing_read(struct u4dma_routing *routing, const void *frame);
bool u4dma_routing_fits(const struct u4dma_routing *routing, size_t len_bytes);
void u4dma_routing_write_gone(struct usb4_dma_header *header, const struct u4dma_routing *of);

enum u4dma_msg_type {
	U4DMA_MSG_LOGIN = 1,
	U4DMA_MSG_READY = 2,
	U4DMA_MSG_DETACH = 3,
	/* Set in the answer. */
	U4DMA_MSG_REPLY = 1 << 8,
};

/**
 * enum u4dma_status - Verdict on a message
 * @U4DMA_OK: done
 * @U4DMA_NOT_READY: come again
 * @U4DMA_SESSION: the session numbers are not those that the other side knows:
 *	log in again
 * @U4DMA_BAD_VERSION: no version in common
 * @U4DMA_SELF: the cable joins a host to itself
 * @U4DMA_COLLISION: another host has the same node number
 * @U4DMA_NO_RAILS: no rail is offered, or none can be had
 * @U4DMA_MALFORMED: a field is out of range
 */
enum u4dma_status {
	U4DMA_OK = 0,
	U4DMA_NOT_READY = 1,
	U4DMA_SESSION = 2,
	U4DMA_BAD_VERSION = 3,
	U4DMA_SELF = 4,
	U4DMA_COLLISION = 5,
	U4DMA_NO_RAILS = 6,
	U4DMA_MALFORMED = 7,
};

const char *u4dma_status_text(u32 status);

/**
 * struct u4dma_msg - Message of the handshake
 * @route_hi: XDomain header: route, upper half
 * @route_lo: route, lower half
 * @length_sn: dwords behind this one, and sequence number
 * @protocol: XDomain header: one of u4dma_protocol_uuids
 * @initiator: router that sends
 * @target: router that receives
 * @type: &enum u4dma_msg_type
 * @id: counts requests; an answer carries the request's
 * @status: answers: &enum u4dma_status
 * @version_min: lowest version that the sender speaks
 * @version_max: highest
 * @node: the sender's node number
 * @instance: random number of the sender's loaded module: two hosts with the
 *	same node number are told apart by it, two cables of one host are not
 * @session: the sender's session
 * @peer_session: the receiver's session as the sender knows it, or 0
 * @rails: entries of @hopids
 * @hopids: HopID on which the sender transmits, for each rail
 *
 * The control channel swaps whole dwords, so there is nothing smaller. Later
 * versions may append to it: a longer message is read as far as it is known.
 */
struct u4dma_msg {
	u32 route_hi;
	u32 route_lo;
	u32 length_sn;
	uuid_t protocol;
	uuid_t initiator;
	uuid_t target;
	u32 type;
	u32 id;
	u32 status;
	u32 version_min;
	u32 version_max;
	u32 node;
	u32 instance[2];
	u32 session;
	u32 peer_session;
	u32 rails;
	u32 hopids[U4DMA_LINK_RAILS_MAX];
};

/* A control packet carries 256 bytes, the last four of them its CRC. */
static_assert(sizeof(struct u4dma_msg) <= 252);

/*
 * XDomain protocols of the handshake. Requests of the host whose router has the
 * lower UUID travel in the first and those of its neighbour in the second, and
 * so do their answers: while the core sends an answer, it takes any incoming
 * answer of the same protocol and route for its own and frees it twice.
 */
extern const uuid_t u4dma_protocol_uuids[2];

/**
 * struct u4dma_identity - Who a host is
 * @node: node number
 * @instance: random number of the loaded module
 */
struct u4dma_identity {
	u32 node;
	u32 instance[2];
};

bool u4dma_identity_equal(const struct u4dma_identity *a, const struct u4dma_identity *b);

void u4dma_msg_init(struct u4dma_msg *msg, enum u4dma_msg_type type, u64 route,
		    const uuid_t *from, const uuid_t *to);
void u4dma_msg_reply(struct u4dma_msg *reply, const struct u4dma_msg *msg);
bool u4dma_msg_parse(struct u4dma_msg *msg, const void *buf, size_t size_bytes);
bool u4dma_msg_is_between(const struct u4dma_msg *msg, u64 route, const uuid_t *from,
			  const uuid_t *to);
u32 u4dma_negotiate(u32 min_a, u32 max_a, u32 min_b, u32 max_b);
enum u4dma_status u4dma_login_verdict(const struct u4dma_msg *login,
				      const struct u4dma_identity *me);
u32 u4dma_node_of_uuid(const uuid_t *uuid);

#endif /* U4DMA_WIRE_H */
