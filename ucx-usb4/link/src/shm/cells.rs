//! A ring's cells in a mapping.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::mapping::{Mapping, Word};
use super::ring::{CELL_WORDS, RingMemory};

/// Bytes of a cell: two cache lines.
pub(crate) const CELL_BYTES: usize = CELL_WORDS * 8;

/// The cells of one ring and its consumed count, which lies elsewhere: the cells are the sender's memory,
/// the count is the receiver's.
#[derive(Debug)]
pub(crate) struct MappedRing {
    cells: NonNull<AtomicU64>,
    mask: u32,
    consumed: Word,
    mapping: Arc<Mapping>,
}

// SAFETY: it is a set of atomics in memory that stays mapped as long as it lives.
unsafe impl Send for MappedRing {}

impl MappedRing {
    /// The ring of `depth` cells (a power of two) at the start of the mapping.
    pub(crate) fn new(mapping: &Arc<Mapping>, depth: u32, consumed: Word) -> MappedRing {
        assert!(depth.is_power_of_two());
        let cells = mapping.pointer(0, depth as usize * CELL_BYTES).cast();
        MappedRing { cells, mask: depth - 1, consumed, mapping: Arc::clone(mapping) }
    }

    #[inline]
    fn atomic(&self, position: u32, word: usize) -> &AtomicU64 {
        debug_assert!(word < CELL_WORDS);
        let index = (position & self.mask) as usize * CELL_WORDS + (word & (CELL_WORDS - 1));
        // SAFETY: position and word are masked, so the index is below depth * CELL_WORDS, which `new` checked.
        let at = unsafe { self.cells.add(index) };
        // SAFETY: in bounds as shown, aligned since mappings start on a page, mapped as long as self lives, and all
        // processes access the cells atomically.
        unsafe { AtomicU64::from_ptr(at.as_ptr().cast()) }
    }

    /// The address of a word of a cell, for payload that is read in place.
    #[inline]
    pub(crate) fn pointer(&self, position: u32, word: usize) -> *const u8 {
        self.atomic(position, word).as_ptr().cast_const().cast()
    }
}

impl RingMemory for MappedRing {
    #[inline]
    fn depth(&self) -> u32 {
        self.mask + 1
    }

    #[inline]
    fn load(&self, position: u32, word: usize, order: Ordering) -> u64 {
        self.atomic(position, word).load(order)
    }

    #[inline]
    fn store(&self, position: u32, word: usize, value: u64, order: Ordering) {
        debug_assert!(self.mapping.is_writable());
        self.atomic(position, word).store(value, order);
    }

    #[inline]
    fn load_consumed(&self, order: Ordering) -> u64 {
        self.consumed.load(order)
    }

    #[inline]
    fn store_consumed(&self, count: u64, order: Ordering) {
        self.consumed.store(count, order);
    }
}
