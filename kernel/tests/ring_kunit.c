// SPDX-License-Identifier: GPL-2.0-only
/*
 * The kernel's end of the shared rings, with user space played by the test.
 */
#include <kunit/test.h>
#include <linux/prandom.h>

#include "../src/ring.h"

#define SIZE	8

struct fixture {
	struct u4dma_ring ring;
	struct usb4_dma_ring *head;
};

static void fixture_init(struct kunit *test, struct fixture *f, size_t entry_bytes)
{
	/* Not one byte more, so that KASAN sees what lies beyond. */
	f->head = kunit_kzalloc(test, USB4_DMA_RING_ENTRIES + SIZE * entry_bytes, GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, f->head);
	u4dma_ring_init(&f->ring, f->head, SIZE);
}

/* Every distance between both counters, wherever they stand: user space can write any. */
static void a_counter_out_of_range_is_seen(struct kunit *test)
{
	static const u32 starts[] = { 0, 1, SIZE, 0x7fffffff, 0x80000000, U32_MAX - SIZE, U32_MAX };
	struct fixture f;
	u32 i, distance;

	fixture_init(test, &f, sizeof(struct usb4_dma_tx));
	for (i = 0; i < ARRAY_SIZE(starts); i++) {
		f.ring.counter = starts[i];
		for (distance = 0; distance <= SIZE; distance++) {
			bool bad = false;

			f.head->producer = starts[i] + distance;
			KUNIT_EXPECT_EQ(test, u4dma_ring_filled(&f.ring, &bad), distance);
			f.head->consumer = starts[i] - distance;
			KUNIT_EXPECT_EQ(test, u4dma_ring_free(&f.ring, &bad), SIZE - distance);
			KUNIT_EXPECT_FALSE(test, bad);
		}
		for (distance = SIZE + 1; distance; distance = distance < 64 ? distance + 1 :
							 distance << 1) {
			bool bad_filled = false, bad_free = false;

			f.head->producer = starts[i] + distance;
			KUNIT_EXPECT_EQ(test, u4dma_ring_filled(&f.ring, &bad_filled), 0);
			f.head->consumer = starts[i] - distance;
			KUNIT_EXPECT_EQ(test, u4dma_ring_free(&f.ring, &bad_free), 0);
			KUNIT_EXPECT_TRUE(test, bad_filled && bad_free);
		}
		f.head->producer = starts[i] - 1;
		f.head->consumer = starts[i] + 1;
		{
			bool bad_filled = false, bad_free = false;

			KUNIT_EXPECT_EQ(test, u4dma_ring_filled(&f.ring, &bad_filled), 0);
			KUNIT_EXPECT_EQ(test, u4dma_ring_free(&f.ring, &bad_free), 0);
			KUNIT_EXPECT_TRUE(test, bad_filled && bad_free);
		}
	}
}

/* A taker and a putter against a plain queue, across the counters' overflow. */
static void submitted_entries_come_in_order(struct kunit *test)
{
	struct usb4_dma_tx *entries;
	u64 put = 0, taken = 0;
	struct rnd_state random;
	struct fixture f;
	int round;

	fixture_init(test, &f, sizeof(struct usb4_dma_tx));
	entries = (void *)f.head + USB4_DMA_RING_ENTRIES;
	f.ring.counter = U32_MAX - 100;
	f.head->producer = f.ring.counter;
	f.head->consumer = f.ring.counter;
	prandom_seed_state(&random, 4711);
	for (round = 0; round < 2000; round++) {
		u32 more = prandom_u32_state(&random) % (SIZE - (put - taken) + 1);
		u32 less, filled, n;
		bool bad = false;

		for (n = 0; n < more; n++, put++) {
			u32 producer = f.head->producer;

			entries[producer % SIZE] = (struct usb4_dma_tx){
				.frame = put * 3,
				.len = 40 + put % 4000,
				.rail = put % 32,
				.cookie = put,
			};
			f.head->producer = producer + 1;
		}
		filled = u4dma_ring_filled(&f.ring, &bad);
		KUNIT_ASSERT_EQ(test, filled, put - taken);
		KUNIT_ASSERT_FALSE(test, bad);
		less = prandom_u32_state(&random) % (filled + 1);
		for (n = 0; n < less; n++) {
			struct usb4_dma_tx tx = u4dma_ring_read_tx(&f.ring, n);

			KUNIT_ASSERT_EQ(test, tx.cookie, taken + n);
			KUNIT_ASSERT_EQ(test, tx.frame, (u32)((taken + n) * 3));
			KUNIT_ASSERT_EQ(test, tx.len, 40 + (taken + n) % 4000);
			KUNIT_ASSERT_EQ(test, tx.rail, (taken + n) % 32);
		}
		u4dma_ring_release(&f.ring, less);
		taken += less;
		KUNIT_ASSERT_EQ(test, f.head->consumer, f.ring.counter);
	}
	KUNIT_EXPECT_LT(test, f.ring.counter, U32_MAX - 100);
}

static void the_fill_ring_gives_frames_in_order(struct kunit *test)
{
	struct fixture f;
	u32 *entries, n;

	fixture_init(test, &f, sizeof(u32));
	entries = (void *)f.head + USB4_DMA_RING_ENTRIES;
	f.ring.counter = U32_MAX - 2;
	for (n = 0; n < SIZE; n++)
		entries[(f.ring.counter + n) % SIZE] = 100 + n;
	for (n = 0; n < SIZE; n++)
		KUNIT_EXPECT_EQ(test, u4dma_ring_take_fill(&f.ring), 100 + n);
	KUNIT_EXPECT_EQ(test, f.ring.counter, U32_MAX - 2 + SIZE);
}

/* The kernel fills, user space takes; the entry is there when the producer says so. */
static void published_entries_come_in_order(struct kunit *test)
{
	struct fixture f;
	u32 round;

	fixture_init(test, &f, sizeof(struct usb4_dma_rx));
	f.ring.counter = U32_MAX - 3;
	f.head->producer = f.ring.counter;
	f.head->consumer = f.ring.counter;
	for (round = 0; round < 3 * SIZE; round++) {
		bool bad = false;
		u32 slot;

		KUNIT_EXPECT_FALSE(test, u4dma_ring_is_unread(&f.ring));
		slot = f.ring.counter % SIZE;
		*(struct usb4_dma_rx *)u4dma_ring_next(&f.ring, sizeof(struct usb4_dma_rx)) =
			(struct usb4_dma_rx){ .frame = round };
		u4dma_ring_publish(&f.ring);
		KUNIT_EXPECT_TRUE(test, u4dma_ring_is_unread(&f.ring));
		KUNIT_EXPECT_EQ(test, u4dma_ring_free(&f.ring, &bad), SIZE - 1);
		KUNIT_EXPECT_EQ(test, f.head->producer, f.ring.counter);
		KUNIT_EXPECT_EQ(test, ((struct usb4_dma_rx *)f.ring.entries)[slot].frame, round);
		f.head->consumer++;
	}
}

/* What the kernel wrote for user space is never read back. */
static void own_words_are_not_believed(struct kunit *test)
{
	struct fixture f;
	bool bad = false;

	fixture_init(test, &f, sizeof(struct usb4_dma_tx));
	f.head->producer = 3;
	f.head->consumer = 0xdead;
	KUNIT_EXPECT_EQ(test, u4dma_ring_filled(&f.ring, &bad), 3);
	u4dma_ring_release(&f.ring, 3);
	KUNIT_EXPECT_EQ(test, f.head->consumer, 3);

	f.head->producer = 0xbeef;
	f.head->consumer = 3;
	KUNIT_EXPECT_EQ(test, u4dma_ring_free(&f.ring, &bad), SIZE);
	u4dma_ring_publish(&f.ring);
	KUNIT_EXPECT_EQ(test, f.head->producer, 4);
	KUNIT_EXPECT_FALSE(test, bad);
}

static struct kunit_case ring_cases[] = {
	KUNIT_CASE(a_counter_out_of_range_is_seen),
	KUNIT_CASE(submitted_entries_come_in_order),
	KUNIT_CASE(the_fill_ring_gives_frames_in_order),
	KUNIT_CASE(published_entries_come_in_order),
	KUNIT_CASE(own_words_are_not_believed),
	{}
};

static struct kunit_suite ring_suite = {
	.name = "usb4_dma_ring",
	.test_cases = ring_cases,
};

kunit_test_suite(ring_suite);
