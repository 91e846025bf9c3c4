//! The ring between one sending and one receiving channel over one rail.
//!
//! A cell is two cache lines. Its first word holds the sequence number and is written last, so the receiver polls
//! the cell itself: there is no producer index, and a short message is one cache line on its way.
//!
//! | word | content |
//! |---|---|
//! | 0 | bits 0..32 sequence (position + 1), 32..48 payload length, 48..52 flags |
//! | 1..6 | frame header |
//! | 6 | time of delivery, if TIMED |
//! | 7 | frame of the sender's pool, if FRAME |
//! | 6..8 | payload of up to 16 bytes, if SHORT |
//! | 8..16 | payload of up to 64 bytes, if INLINE |
//!
//! The receiver trusts nothing in a cell: each word is read once, and lengths and frame numbers are checked.

use std::sync::atomic::Ordering;

/// 64-bit words of a cell.
pub(crate) const CELL_WORDS: usize = 16;
/// 64-bit words of a frame header.
pub(crate) const HEADER_WORDS: usize = 5;

const HEADER_AT: usize = 1;
const TIME_AT: usize = 6;
const FRAME_AT: usize = 7;
const SHORT_AT: usize = 6;
const INLINE_AT: usize = 8;

/// Longest payload that takes the place of time and frame, in bytes.
const SHORT_MAX: usize = 16;
/// Longest payload inside a cell, in bytes.
pub(crate) const INLINE_MAX: usize = 64;
/// Longest payload of a frame, in bytes.
const PAYLOAD_MAX: usize = crate::PAYLOAD_MAX;

const SHORT: u64 = 1 << 48;
const INLINE: u64 = 1 << 49;
const FRAME: u64 = 1 << 50;
const TIMED: u64 = 1 << 51;
const FLAGS: u64 = SHORT | INLINE | FRAME | TIMED;

/// The words of a ring: mapped memory in life, loom's atomics or a plain vector in tests.
pub(crate) trait RingMemory {
    /// Number of cells, a power of two.
    fn depth(&self) -> u32;
    /// Loads a word of the cell at a position (which counts up for ever).
    fn load(&self, position: u32, word: usize, order: Ordering) -> u64;
    /// Stores a word of the cell at a position.
    fn store(&self, position: u32, word: usize, value: u64, order: Ordering);
    /// Loads how many cells the consumer has given back.
    fn load_consumed(&self, order: Ordering) -> u64;
    /// Stores how many cells the consumer has given back.
    fn store_consumed(&self, count: u64, order: Ordering);
}

/// What a cell carries behind the header.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Body<'a> {
    /// Up to 64 bytes, padded to whole words.
    Inline { words: &'a [u64; 8], len_bytes: usize },
    /// A frame of the sender's pool.
    Frame { index: u32, len_bytes: usize },
}

/// The sending end.
#[derive(Debug)]
pub(crate) struct Producer<M> {
    memory: M,
    produced: u32,
    consumed_seen: u32,
}

impl<M: RingMemory> Producer<M> {
    /// The sending end of an empty ring whose cells are zero.
    pub(crate) fn new(memory: M) -> Producer<M> {
        Producer { memory, produced: 0, consumed_seen: 0 }
    }

    /// Whether a cell is free. The consumer's count is looked up only when the last known one says no.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        self.produced.wrapping_sub(self.consumed_seen) < self.memory.depth() || self.look_again()
    }

    #[cold]
    fn look_again(&mut self) -> bool {
        self.consumed_seen = self.consumed();
        self.produced.wrapping_sub(self.consumed_seen) < self.memory.depth()
    }

    /// How far the consumer is. One that claims more than was produced is not believed.
    fn consumed(&self) -> u32 {
        // (F) pairs with (E): what the consumer read from these cells it read before it gave them back.
        let consumed = self.memory.load_consumed(Ordering::Acquire) as u32;
        let under_way = self.produced.wrapping_sub(consumed);
        if under_way <= self.produced.wrapping_sub(self.consumed_seen) { consumed } else { self.consumed_seen }
    }

    /// Position of the next cell, to ask later whether the consumer `has_passed` it.
    pub(crate) fn position(&self) -> u32 {
        self.produced
    }

    /// Whether the consumer has given back every cell before `position`.
    pub(crate) fn has_passed(&mut self, position: u32) -> bool {
        self.consumed_seen = self.consumed();
        self.produced.wrapping_sub(self.consumed_seen) <= self.produced.wrapping_sub(position)
    }

    /// Writes the next cell; `has_room` said that there is one. `deliver_at_ns` 0: at once.
    #[inline]
    pub(crate) fn push(&mut self, header: &[u64; HEADER_WORDS], deliver_at_ns: u64, body: Body<'_>) {
        let position = self.produced;
        let put = |word, value| self.memory.store(position, word, value, Ordering::Relaxed);
        for (index, word) in header.iter().enumerate() {
            put(HEADER_AT + index, *word);
        }
        let mut first = u64::from(position.wrapping_add(1));
        if deliver_at_ns != 0 {
            first |= TIMED;
            put(TIME_AT, deliver_at_ns);
        }
        match body {
            Body::Frame { index, len_bytes } => {
                put(FRAME_AT, u64::from(index));
                first |= FRAME | (len_bytes as u64) << 32;
            }
            Body::Inline { words, len_bytes } if len_bytes <= SHORT_MAX && deliver_at_ns == 0 => {
                put(SHORT_AT, words[0]);
                put(SHORT_AT + 1, words[1]);
                first |= SHORT | (len_bytes as u64) << 32;
            }
            Body::Inline { words, len_bytes } => {
                for (index, word) in words.iter().enumerate().take(len_bytes.div_ceil(8)) {
                    put(INLINE_AT + index, *word);
                }
                first |= INLINE | (len_bytes as u64) << 32;
            }
        }
        // (A) pairs with (B): all of the cell before its sequence number.
        self.memory.store(position, 0, first, Ordering::Release);
        self.produced = position.wrapping_add(1);
    }
}

/// Where a received payload lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// From this word of the cell on.
    Cell(usize),
    /// In this frame of the sender's pool; checked to exist.
    Frame(u32),
}

/// A received cell, all of it checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) header: [u64; HEADER_WORDS],
    pub(crate) payload_len: u16,
    pub(crate) source: Source,
    pub(crate) position: u32,
    pub(crate) is_timed: bool,
}

/// What `take` found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    /// Nothing that is due.
    Nothing,
    /// A cell with values out of range; it has been given back.
    Malformed,
    /// A frame.
    Arrival(Arrival),
}

/// The receiving end.
#[derive(Debug)]
pub(crate) struct Consumer<M> {
    memory: M,
    /// Next cell to take.
    head: u32,
    /// Oldest cell that has not been given back.
    tail: u32,
    /// What the producer has been told.
    published: u32,
    /// Cells between tail and head that were given back out of order: one bit each, and their number.
    released: Box<[u64]>,
    released_count: u32,
}

impl<M: RingMemory> Consumer<M> {
    /// The receiving end of a ring from which nothing has been taken.
    pub(crate) fn new(memory: M) -> Consumer<M> {
        let released = vec![0; memory.depth().div_ceil(64) as usize].into_boxed_slice();
        Consumer { memory, head: 0, tail: 0, published: 0, released, released_count: 0 }
    }

    pub(crate) fn memory(&self) -> &M {
        &self.memory
    }

    /// Takes the next cell that is due by `now_ns`; the sender's pool has `frames` frames.
    #[inline]
    pub(crate) fn take(&mut self, now_ns: u64, frames: u32) -> Taken {
        let position = self.head;
        // (B) pairs with (A): the rest of the cell is read after its sequence number.
        let first = self.memory.load(position, 0, Ordering::Acquire);
        if first as u32 != position.wrapping_add(1) || position.wrapping_sub(self.tail) >= self.memory.depth() {
            return Taken::Nothing;
        }
        let load = |word| self.memory.load(position, word, Ordering::Relaxed);
        let is_timed = first & TIMED != 0;
        if is_timed && load(TIME_AT) > now_ns {
            return Taken::Nothing;
        }
        let payload_len = (first >> 32) as u16;
        let place = match (first & FLAGS & !TIMED, usize::from(payload_len)) {
            (SHORT, 0..=SHORT_MAX) if !is_timed => Some(Source::Cell(SHORT_AT)),
            (INLINE, 0..=INLINE_MAX) => Some(Source::Cell(INLINE_AT)),
            (FRAME, 0..=PAYLOAD_MAX) => match load(FRAME_AT) {
                frame if frame < u64::from(frames) => Some(Source::Frame(frame as u32)),
                _ => None,
            },
            _ => None,
        };
        self.head = position.wrapping_add(1);
        let Some(source) = place else {
            self.release(position);
            return Taken::Malformed;
        };
        let header = std::array::from_fn(|index| load(HEADER_AT + index));
        Taken::Arrival(Arrival { header, payload_len, source, position, is_timed })
    }

    /// When the next cell is due: `None` if there is none, 0 if it is not timed.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        let first = self.memory.load(self.head, 0, Ordering::Acquire);
        if first as u32 != self.head.wrapping_add(1) || self.head.wrapping_sub(self.tail) >= self.memory.depth() {
            return None;
        }
        Some(if first & TIMED != 0 { self.memory.load(self.head, TIME_AT, Ordering::Relaxed) } else { 0 })
    }

    /// Gives a taken cell back, in any order. A position that is not out is passed over.
    #[inline]
    pub(crate) fn release(&mut self, position: u32) {
        if position.wrapping_sub(self.tail) >= self.head.wrapping_sub(self.tail) {
            debug_assert!(false, "cell {position} was released twice");
            return;
        }
        if position == self.tail {
            self.tail = position.wrapping_add(1);
            if self.released_count != 0 {
                self.skip_released();
            }
            if self.tail.wrapping_sub(self.published) >= self.memory.depth() / 4 {
                self.publish();
            }
        } else {
            let (word, bit) = self.bit(position);
            self.released_count += u32::from(self.released[word] & bit == 0);
            self.released[word] |= bit;
        }
    }

    fn skip_released(&mut self) {
        loop {
            let (word, bit) = self.bit(self.tail);
            if self.released[word] & bit == 0 {
                return;
            }
            self.released[word] &= !bit;
            self.released_count -= 1;
            self.tail = self.tail.wrapping_add(1);
        }
    }

    fn bit(&self, position: u32) -> (usize, u64) {
        let index = position & (self.memory.depth() - 1);
        ((index / 64) as usize, 1 << (index % 64))
    }

    /// Tells the producer at once what has been given back.
    #[inline]
    pub(crate) fn publish(&mut self) {
        if self.published != self.tail {
            self.published = self.tail;
            // (E) pairs with (F): everything read from these cells was read before.
            self.memory.store_consumed(u64::from(self.tail), Ordering::Release);
        }
    }

    /// Whether every cell that was taken has been given back.
    pub(crate) fn is_settled(&self) -> bool {
        self.head == self.tail
    }
}

#[cfg(test)]
#[path = "ring_tests.rs"]
mod tests;
