// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames' routing words, and the handshake's messages, versions and verdicts.
 */
#include <kunit/test.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/unaligned.h>

#include "../src/wire.c"

static const uuid_t router_a = UUID_INIT(0xa0a0a0a0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10);
static const uuid_t router_b = UUID_INIT(0xb0b0b0b0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11);
static const struct u4dma_identity me = { .node = 0x1111, .instance = { 1, 2 } };

/* A frame as it travels: each routing word in its place, little endian. */
static void routing_words_have_their_places(struct kunit *test)
{
	u8 frame[40] __aligned(4);
	struct u4dma_routing routing;

	memset(frame, 0xee, sizeof(frame));
	put_unaligned_le16(0x0123, frame + 4);
	put_unaligned_le32(0x456789ab, frame + 8);
	put_unaligned_le32(0xcdef0213, frame + 12);
	put_unaligned_le16(0x4657, frame + 16);
	put_unaligned_le16(0x8a9b, frame + 18);
	u4dma_routing_read(&routing, frame);
	KUNIT_EXPECT_EQ(test, routing.payload_len, 0x0123);
	KUNIT_EXPECT_EQ(test, routing.dst_node, 0x456789ab);
	KUNIT_EXPECT_EQ(test, routing.src_node, 0xcdef0213);
	KUNIT_EXPECT_EQ(test, routing.dst_channel, 0x4657);
	KUNIT_EXPECT_EQ(test, routing.src_channel, 0x8a9b);
	KUNIT_EXPECT_MEMEQ(test, routing.words, frame, sizeof(routing.words));
}

static void a_frame_fits_its_header_exactly(struct kunit *test)
{
	struct u4dma_routing routing = {};
	u32 payload;
	size_t len;

	for (payload = 0; payload <= U16_MAX; payload += payload < 4200 ? 1 : 977) {
		routing.payload_len = payload;
		for (len = 0; len <= 4200; len += len < 64 ? 1 : 59)
			KUNIT_EXPECT_EQ(test, u4dma_routing_fits(&routing, len),
					len >= 40 && len <= 4096 && len - 40 == payload);
		KUNIT_EXPECT_EQ(test, u4dma_routing_fits(&routing, 40 + (size_t)payload),
				payload <= 4056);
	}
}

static void gone_goes_back_to_where_the_frame_came_from(struct kunit *test)
{
	const struct u4dma_routing of = {
		.dst_node = 1, .src_node = 2, .dst_channel = 3, .src_channel = 4, .payload_len = 99,
	};
	struct usb4_dma_header header;
	struct u4dma_routing gone;

	memset(&header, 0xff, sizeof(header));
	u4dma_routing_write_gone(&header, &of);
	u4dma_routing_read(&gone, &header);
	KUNIT_EXPECT_EQ(test, gone.dst_node, 2);
	KUNIT_EXPECT_EQ(test, gone.src_node, 1);
	KUNIT_EXPECT_EQ(test, gone.dst_channel, 4);
	KUNIT_EXPECT_EQ(test, gone.src_channel, 3);
	KUNIT_EXPECT_TRUE(test, u4dma_routing_fits(&gone, sizeof(header)));
	/* Nothing of what was in memory leaves the host. */
	KUNIT_EXPECT_TRUE(test, !memchr_inv(header.engine, 0, sizeof(header.engine)));
}

static void every_status_has_a_text(struct kunit *test)
{
	u32 status, other;

	for (status = U4DMA_OK; status <= U4DMA_MALFORMED; status++) {
		KUNIT_ASSERT_NOT_NULL(test, u4dma_status_text(status));
		for (other = U4DMA_OK; other < status; other++)
			KUNIT_EXPECT_STRNEQ(test, u4dma_status_text(status),
					    u4dma_status_text(other));
	}
	/* The peer writes it: any number must do. */
	KUNIT_EXPECT_NOT_NULL(test, u4dma_status_text(U4DMA_MALFORMED + 1));
	KUNIT_EXPECT_NOT_NULL(test, u4dma_status_text(U32_MAX));
}

static void what_is_composed_is_parsed(struct kunit *test)
{
	const u64 route = 0x0000000300000001;
	struct u4dma_msg msg, parsed;

	u4dma_msg_init(&msg, U4DMA_MSG_LOGIN, route, &router_a, &router_b);
	KUNIT_ASSERT_TRUE(test, u4dma_msg_parse(&parsed, &msg, sizeof(msg)));
	KUNIT_EXPECT_MEMEQ(test, &parsed, &msg, sizeof(msg));
	KUNIT_EXPECT_TRUE(test, u4dma_msg_is_between(&parsed, route, &router_a, &router_b));
	/* What was received has the uppermost bit of the route set. */
	parsed.route_hi |= BIT(31);
	KUNIT_EXPECT_TRUE(test, u4dma_msg_is_between(&parsed, route, &router_a, &router_b));
	KUNIT_EXPECT_FALSE(test, u4dma_msg_is_between(&parsed, route, &router_b, &router_a));
	KUNIT_EXPECT_FALSE(test, u4dma_msg_is_between(&parsed, route + 1, &router_a, &router_b));
	KUNIT_EXPECT_FALSE(test, u4dma_msg_is_between(&parsed, route + (1ull << 32), &router_a,
						      &router_b));
	KUNIT_EXPECT_FALSE(test, u4dma_msg_is_between(&parsed, route, &router_a, &router_a));
}

static void an_answer_goes_back_with_the_request_s_numbers(struct kunit *test)
{
	struct u4dma_msg msg, reply;

	u4dma_msg_init(&msg, U4DMA_MSG_READY, 0x700000005, &router_a, &router_b);
	msg.id = 77;
	msg.session = 88;
	msg.route_hi |= BIT(31);
	msg.length_sn |= 2 << 27;
	u4dma_msg_reply(&reply, &msg);
	KUNIT_EXPECT_EQ(test, reply.type, U4DMA_MSG_READY | U4DMA_MSG_REPLY);
	KUNIT_EXPECT_EQ(test, reply.id, 77);
	KUNIT_EXPECT_EQ(test, reply.peer_session, 88);
	KUNIT_EXPECT_EQ(test, reply.length_sn & GENMASK(28, 27), 2 << 27);
	KUNIT_EXPECT_TRUE(test, u4dma_msg_is_between(&reply, 0x700000005, &router_b, &router_a));
}

/* The core frees an answer twice that it takes for its own: no two may look alike. */
static void both_directions_have_protocols_of_their_own(struct kunit *test)
{
	struct u4dma_msg ours, theirs, answer, parsed;

	u4dma_msg_init(&ours, U4DMA_MSG_LOGIN, 1, &router_a, &router_b);
	u4dma_msg_init(&theirs, U4DMA_MSG_LOGIN, 1, &router_b, &router_a);
	KUNIT_EXPECT_FALSE(test, uuid_equal(&ours.protocol, &theirs.protocol));

	u4dma_msg_reply(&answer, &theirs);
	KUNIT_EXPECT_TRUE(test, uuid_equal(&answer.protocol, &theirs.protocol));
	KUNIT_EXPECT_TRUE(test, u4dma_msg_parse(&parsed, &answer, sizeof(answer)));

	/* A request in the other's protocol, and an answer in its own sender's, are none. */
	theirs.protocol = ours.protocol;
	KUNIT_EXPECT_FALSE(test, u4dma_msg_parse(&parsed, &theirs, sizeof(theirs)));
	answer.protocol = ours.protocol;
	KUNIT_EXPECT_FALSE(test, u4dma_msg_parse(&parsed, &answer, sizeof(answer)));
}

static void short_and_foreign_messages_are_none(struct kunit *test)
{
	u8 *bytes = kunit_kzalloc(test, sizeof(struct u4dma_msg) + 64, GFP_KERNEL);
	struct u4dma_msg msg, parsed;
	size_t size;

	KUNIT_ASSERT_NOT_NULL(test, bytes);
	u4dma_msg_init(&msg, U4DMA_MSG_LOGIN, 1, &router_a, &router_b);
	for (size = 0; size < sizeof(msg); size++) {
		/* Exactly as long as it says, so that KASAN sees what is read beyond. */
		u8 *exact = kmemdup(&msg, size ? size : 1, GFP_KERNEL);

		KUNIT_ASSERT_NOT_NULL(test, exact);
		KUNIT_EXPECT_FALSE(test, u4dma_msg_parse(&parsed, exact, size));
		kfree(exact);
	}
	/* A later version appends to it. */
	memcpy(bytes, &msg, sizeof(msg));
	KUNIT_EXPECT_TRUE(test, u4dma_msg_parse(&parsed, bytes, sizeof(msg) + 64));
	/* It says that it is shorter than it is. */
	((struct u4dma_msg *)bytes)->length_sn = msg.length_sn - 1;
	KUNIT_EXPECT_FALSE(test, u4dma_msg_parse(&parsed, bytes, sizeof(msg)));
	((struct u4dma_msg *)bytes)->length_sn = msg.length_sn;
	((struct u4dma_msg *)bytes)->protocol.b[5] ^= 1;
	KUNIT_EXPECT_FALSE(test, u4dma_msg_parse(&parsed, bytes, sizeof(msg)));
}

static void the_highest_common_version_is_chosen(struct kunit *test)
{
	u32 round;

	/* All four from 1 to 5, in every combination. */
	for (round = 0; round < 5 * 5 * 5 * 5; round++) {
		u32 low_a = 1 + round % 5, high_a = 1 + round / 5 % 5;
		u32 low_b = 1 + round / 25 % 5, high_b = 1 + round / 125;
		u32 version, best = 0;

		for (version = 1; version <= 5; version++)
			if (version >= low_a && version <= high_a &&
			    version >= low_b && version <= high_b)
				best = version;
		KUNIT_EXPECT_EQ(test, u4dma_negotiate(low_a, high_a, low_b, high_b), best);
	}
	KUNIT_EXPECT_EQ(test, u4dma_negotiate(1, U32_MAX, 1, 1), 1);
	KUNIT_EXPECT_EQ(test, u4dma_negotiate(1, 1, 0, 0), 0);
	/* Lowest above highest: the peer writes both. */
	KUNIT_EXPECT_EQ(test, u4dma_negotiate(1, 5, 4, 2), 0);
}

/* A LOGIN that is accepted. */
static struct u4dma_msg good_login(void)
{
	struct u4dma_msg login;
	u32 i;

	u4dma_msg_init(&login, U4DMA_MSG_LOGIN, 1, &router_b, &router_a);
	login.node = 0x2222;
	login.instance[0] = 3;
	login.session = 5;
	login.rails = U4DMA_LINK_RAILS_MAX;
	for (i = 0; i < login.rails; i++)
		login.hopids[i] = 8 + i;
	return login;
}

static void a_login_is_judged(struct kunit *test)
{
	struct u4dma_msg login;

#define EXPECT_VERDICT(expected, change) do {					\
	login = good_login();							\
	change;									\
	KUNIT_EXPECT_EQ_MSG(test, u4dma_login_verdict(&login, &me), expected, #change);	\
} while (0)

	EXPECT_VERDICT(U4DMA_OK, (void)0);
	EXPECT_VERDICT(U4DMA_OK, login.rails = 1);
	EXPECT_VERDICT(U4DMA_OK, login.version_max = U32_MAX);
	EXPECT_VERDICT(U4DMA_OK, login.hopids[0] = 0xffff);
	/* What is behind the last rail does not count. */
	EXPECT_VERDICT(U4DMA_OK, (login.rails = 2, login.hopids[2] = 0));
	EXPECT_VERDICT(U4DMA_BAD_VERSION, login.version_min = U4DMA_VERSION_MAX + 1);
	EXPECT_VERDICT(U4DMA_BAD_VERSION, login.version_max = 0);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.node = 0);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.session = 0);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.rails = U4DMA_LINK_RAILS_MAX + 1);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.rails = U32_MAX);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.hopids[7] = 7);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.hopids[3] = 0);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.hopids[3] = 0x10000);
	EXPECT_VERDICT(U4DMA_MALFORMED, login.hopids[7] = login.hopids[0]);
	EXPECT_VERDICT(U4DMA_NO_RAILS, login.rails = 0);
	/* A cable from the host to itself, and another host by the same name. */
	EXPECT_VERDICT(U4DMA_SELF, (login.node = me.node, login.instance[0] = me.instance[0],
				    login.instance[1] = me.instance[1]));
	EXPECT_VERDICT(U4DMA_COLLISION, login.node = me.node);
#undef EXPECT_VERDICT
}

/* Nothing that a peer can write does more than bring a verdict. */
static void any_message_is_judged(struct kunit *test)
{
	struct u4dma_msg *msg = kunit_kzalloc(test, sizeof(*msg), GFP_KERNEL);
	struct u4dma_msg parsed;
	struct rnd_state random;
	int round, word;

	KUNIT_ASSERT_NOT_NULL(test, msg);
	prandom_seed_state(&random, 20261123);
	for (round = 0; round < 20000; round++) {
		*msg = good_login();
		for (word = prandom_u32_state(&random) % 4; word >= 0; word--)
			((u32 *)msg)[prandom_u32_state(&random) % (sizeof(*msg) / 4)] =
				prandom_u32_state(&random) >> (prandom_u32_state(&random) & 31);
		if (!u4dma_msg_parse(&parsed, msg, sizeof(*msg)))
			continue;
		KUNIT_ASSERT_LE(test, u4dma_login_verdict(&parsed, &me), U4DMA_MALFORMED);
		if (u4dma_login_verdict(&parsed, &me) == U4DMA_OK) {
			KUNIT_ASSERT_LE(test, parsed.rails, U4DMA_LINK_RAILS_MAX);
			KUNIT_ASSERT_NE(test, parsed.rails, 0);
			KUNIT_ASSERT_NE(test, parsed.node, 0);
			KUNIT_ASSERT_NE(test, parsed.node, me.node);
		}
	}
}

static void a_node_number_is_never_zero_and_stays(struct kunit *test)
{
	uuid_t uuid;
	int i;

	for (i = 0; i < 1000; i++) {
		generate_random_uuid(uuid.b);
		KUNIT_EXPECT_NE(test, u4dma_node_of_uuid(&uuid), 0);
		KUNIT_EXPECT_EQ(test, u4dma_node_of_uuid(&uuid), u4dma_node_of_uuid(&uuid));
	}
	KUNIT_EXPECT_NE(test, u4dma_node_of_uuid(&router_a), u4dma_node_of_uuid(&router_b));
}

static struct kunit_case wire_cases[] = {
	KUNIT_CASE(routing_words_have_their_places),
	KUNIT_CASE(a_frame_fits_its_header_exactly),
	KUNIT_CASE(gone_goes_back_to_where_the_frame_came_from),
	KUNIT_CASE(every_status_has_a_text),
	KUNIT_CASE(what_is_composed_is_parsed),
	KUNIT_CASE(an_answer_goes_back_with_the_request_s_numbers),
	KUNIT_CASE(both_directions_have_protocols_of_their_own),
	KUNIT_CASE(short_and_foreign_messages_are_none),
	KUNIT_CASE(the_highest_common_version_is_chosen),
	KUNIT_CASE(a_login_is_judged),
	KUNIT_CASE(any_message_is_judged),
	KUNIT_CASE(a_node_number_is_never_zero_and_stays),
	{}
};

static struct kunit_suite wire_suite = {
	.name = "usb4_dma_wire",
	.test_cases = wire_cases,
};

kunit_test_suite(wire_suite);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("KUnit tests of usb4_dma");
