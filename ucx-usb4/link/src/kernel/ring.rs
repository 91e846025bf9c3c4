//! One ring between this process and the kernel: free-running counters on cache lines of their own, and entries. The verbs are
//! AF_XDP's: a producer reserves and submits, a consumer peeks and releases.
//!
//! Each barrier is paired with one on the other side: the kernel's for the rings of a channel, the one below for tests.

use std::sync::atomic::Ordering;

/// The words of a ring: mapped memory in life, loom's atomics or plain memory in tests.
pub(crate) trait RingMemory {
    /// What the ring carries.
    type Entry: Copy;
    /// Number of entries, a power of two.
    fn entries(&self) -> u32;
    fn load_producer(&self, order: Ordering) -> u32;
    fn store_producer(&self, value: u32, order: Ordering);
    fn load_consumer(&self, order: Ordering) -> u32;
    fn store_consumer(&self, value: u32, order: Ordering);
    /// The entry at a position, which counts up for ever.
    fn load(&self, position: u32) -> Self::Entry;
    /// Sets the entry at a position.
    fn store(&self, position: u32, entry: Self::Entry);
}

/// The filling end.
#[derive(Debug)]
pub(crate) struct Producer<M> {
    memory: M,
    /// Reserved and written, maybe not submitted yet.
    reserved: u32,
    submitted: u32,
    consumer_seen: u32,
}

impl<M: RingMemory> Producer<M> {
    /// The filling end of a ring, from where it stands.
    pub(crate) fn new(memory: M) -> Self {
        let at = memory.load_producer(Ordering::Relaxed);
        let consumer_seen = memory.load_consumer(Ordering::Acquire);
        Self { memory, reserved: at, submitted: at, consumer_seen }
    }

    /// Writes the next entry, which the other side sees after [`submit`](Self::submit). False: the ring is full.
    #[inline]
    pub(crate) fn reserve(&mut self, entry: M::Entry) -> bool {
        if !self.has_room() {
            // (D) pairs with (C): what the other side read from an entry it read before it gave it back. Without it the
            // entry written below could be the one that it still reads.
            self.consumer_seen = self.memory.load_consumer(Ordering::Acquire);
            if !self.has_room() {
                return false;
            }
        }
        self.memory.store(self.reserved, entry);
        self.reserved = self.reserved.wrapping_add(1);
        true
    }

    #[inline]
    fn has_room(&self) -> bool {
        self.reserved.wrapping_sub(self.consumer_seen) < self.memory.entries()
    }

    /// Shows the other side what was reserved. False: there is nothing new.
    #[inline]
    pub(crate) fn submit(&mut self) -> bool {
        let is_news = self.submitted != self.reserved;
        if is_news {
            self.submitted = self.reserved;
            // (A) pairs with (B): the entries, and the frames that they name, before the index. Without it the other side
            // would send what the frame held before.
            self.memory.store_producer(self.submitted, Ordering::Release);
        }
        is_news
    }

    /// The ring's words.
    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }
}

/// The emptying end.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    memory: M,
    next: u32,
    producer_seen: u32,
}

impl<M: RingMemory> Consumer<M> {
    /// The emptying end of a ring, from where it stands.
    pub(crate) fn new(memory: M) -> Self {
        let next = memory.load_consumer(Ordering::Relaxed);
        Self { memory, next, producer_seen: next }
    }

    /// The next entry, which stays the other side's until [`release`](Self::release).
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<M::Entry> {
        if self.next == self.producer_seen {
            // (B) pairs with (A): the index before the entries. Without it an entry of the last lap could be read.
            let producer = self.memory.load_producer(Ordering::Acquire);
            // More than the ring holds was never produced.
            if producer.wrapping_sub(self.next) > self.memory.entries() {
                return None;
            }
            self.producer_seen = producer;
            if self.next == producer {
                return None;
            }
        }
        Some(self.memory.load(self.next))
    }

    /// Gives back what `peek` showed.
    #[inline]
    pub(crate) fn release(&mut self) {
        self.next = self.next.wrapping_add(1);
        // (C) pairs with (D): the entry was read before its place is given back.
        self.memory.store_consumer(self.next, Ordering::Release);
    }

    /// Whether nothing is there.
    pub(crate) fn is_empty(&self) -> bool {
        self.next == self.memory.load_producer(Ordering::Acquire)
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
