/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The kernel's end of a ring that it shares with user space.
 *
 * User space can write everything in it at any time. So the kernel keeps its
 * own counter and its own idea of the size in private memory, reads user
 * space's counter once for each look, checks it, and copies an entry out
 * before looking at it. Nothing that it wrote itself is read back.
 *
 * Barriers; user space has the partners:
 *
 * (A) user space stores an entry, then the producer with release order;
 * (B) the kernel loads the producer with acquire order, then the entry.
 *     Without the pair the kernel sends what stood in the entry before.
 * (C) the kernel reads an entry, then stores the consumer with release order;
 * (D) user space loads the consumer with acquire order, then overwrites.
 *     Without the pair the kernel reads the next round's entry.
 * (E) to (H) are the same for rings that the kernel fills: (E) its release of
 *     the producer, (F) user space's acquire; (G) user space's release of the
 *     consumer, (H) the kernel's acquire.
 */
#ifndef U4DMA_RING_H
#define U4DMA_RING_H

#include <asm/barrier.h>
#include <linux/compiler.h>
#include <linux/types.h>

#include <uapi/linux/usb4_dma.h>

/**
 * struct u4dma_ring - One shared ring
 * @head: its head in shared memory
 * @entries: its entries in shared memory
 * @size: entries, a power of two
 * @counter: the kernel's own counter: consumer of a ring that it takes from,
 *	producer of one that it fills
 *
 * Whoever calls holds the lock that guards the ring.
 */
struct u4dma_ring {
	struct usb4_dma_ring *head;
	void *entries;
	u32 size;
	u32 counter;
};

static inline void u4dma_ring_init(struct u4dma_ring *ring, void *memory, u32 size)
{
	ring->head = memory;
	ring->entries = memory + USB4_DMA_RING_ENTRIES;
	ring->size = size;
	ring->counter = 0;
}

/**
 * u4dma_ring_filled() - Entries that user space has put in and the kernel not taken
 * @ring: a ring that the kernel takes from
 * @bad: set if user space's counter is out of range
 */
static inline u32 u4dma_ring_filled(const struct u4dma_ring *ring, bool *bad)
{
	/* (B) pairs with (A). */
	u32 filled = smp_load_acquire(&ring->head->producer) - ring->counter;

	if (likely(filled <= ring->size))
		return filled;
	*bad = true;
	return 0;
}

/**
 * u4dma_ring_free() - Entries that the kernel may put in
 * @ring: a ring that the kernel fills
 * @bad: set if user space's counter is out of range
 */
static inline u32 u4dma_ring_free(const struct u4dma_ring *ring, bool *bad)
{
	/* (H) pairs with (G). */
	u32 used = ring->counter - smp_load_acquire(&ring->head->consumer);

	if (likely(used <= ring->size))
		return ring->size - used;
	*bad = true;
	return 0;
}

/**
 * u4dma_ring_is_unread() - Whether entries wait for user space
 * @ring: a ring that the kernel fills
 *
 * Takes no lock: the answer may be out of date when it is read.
 */
static inline bool u4dma_ring_is_unread(const struct u4dma_ring *ring)
{
	return READ_ONCE(ring->counter) != READ_ONCE(ring->head->consumer);
}

/* Copies the entry @n behind the next one to be taken. */
static inline struct usb4_dma_tx u4dma_ring_read_tx(const struct u4dma_ring *ring, u32 n)
{
	const u64 *entry = ring->entries +
			   (size_t)((ring->counter + n) & (ring->size - 1)) *
			   sizeof(struct usb4_dma_tx);
	union {
		u64 words[2];
		struct usb4_dma_tx tx;
	} copy;

	static_assert(sizeof(copy.words) == sizeof(copy.tx));
	copy.words[0] = READ_ONCE(entry[0]);
	copy.words[1] = READ_ONCE(entry[1]);
	return copy.tx;
}

/* Takes the next entry of the fill ring, which has one. */
static inline u32 u4dma_ring_take_fill(struct u4dma_ring *ring)
{
	const u32 *entries = ring->entries;

	return READ_ONCE(entries[ring->counter++ & (ring->size - 1)]);
}

/* Gives @n entries back to user space after they were copied. */
static inline void u4dma_ring_release(struct u4dma_ring *ring, u32 n)
{
	ring->counter += n;
	/* (C) pairs with (D). */
	smp_store_release(&ring->head->consumer, ring->counter);
}

/* Where the next entry goes in a ring that the kernel fills and that has room. */
static inline void *u4dma_ring_next(const struct u4dma_ring *ring, size_t entry_bytes)
{
	return ring->entries + (size_t)(ring->counter & (ring->size - 1)) * entry_bytes;
}

/* Publishes the entry written at u4dma_ring_next(). */
static inline void u4dma_ring_publish(struct u4dma_ring *ring)
{
	WRITE_ONCE(ring->counter, ring->counter + 1);
	/* (E) pairs with (F). */
	smp_store_release(&ring->head->producer, ring->counter);
}

#endif /* U4DMA_RING_H */
