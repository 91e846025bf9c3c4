//! An array of 4 KiB frames in a mapping: a channel's transmit pool, seen by its owner or by a receiver.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::mapping::Mapping;

/// Bytes of a frame in the pool. The header travels in the ring cell, so the payload starts at the frame's
/// start, aligned to a cache line.
pub(crate) const FRAME_BYTES: usize = 4096;

#[derive(Debug)]
pub(crate) struct Frames {
    base: NonNull<u8>,
    count: u32,
    _mapping: Arc<Mapping>,
}

// SAFETY: it only hands out raw pointers and atomic loads into memory that stays mapped.
unsafe impl Send for Frames {}

impl Frames {
    /// The `count` frames from `offset` of the mapping on.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize, count: u32) -> Frames {
        assert!(offset.is_multiple_of(64), "frames at {offset} are not aligned");
        let base = mapping.pointer(offset, count as usize * FRAME_BYTES);
        Frames { base, count, _mapping: Arc::clone(mapping) }
    }

    #[inline]
    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The frame's first byte.
    ///
    /// # Panics
    /// If there is no such frame.
    #[inline]
    pub(crate) fn pointer(&self, frame: u32) -> NonNull<u8> {
        assert!(frame < self.count, "no frame {frame}");
        // SAFETY: the frame is one of `count`, which `new` checked to lie inside the mapping.
        unsafe { self.base.add(frame as usize * FRAME_BYTES) }
    }

    /// Private copy of as many words as `out` has, from word `first` of the frame on.
    ///
    /// # Panics
    /// If the frame does not have them.
    #[inline]
    pub(crate) fn copy_words(&self, frame: u32, first: usize, out: &mut [u64]) {
        assert!(first + out.len() <= FRAME_BYTES / 8, "{} words from {first} are not in a frame", out.len());
        let start = self.pointer(frame).cast::<u64>();
        for (index, word) in out.iter_mut().enumerate() {
            // SAFETY: the word lies inside the frame, as checked above.
            let at = unsafe { start.add(first + index) };
            // SAFETY: in bounds and aligned as shown, mapped as long as self lives; a writer at the same time is
            // another process, whose stores the hardware makes whole words.
            let atomic = unsafe { AtomicU64::from_ptr(at.as_ptr()) };
            *word = atomic.load(Ordering::Relaxed);
        }
    }

    /// Writes words from the frame's start on.
    ///
    /// # Panics
    /// If the frame has no room for them.
    #[inline]
    pub(crate) fn write_words(&self, frame: u32, words: &[u64]) {
        assert!(words.len() <= FRAME_BYTES / 8, "{} words are not in a frame", words.len());
        let start = self.pointer(frame).cast::<u64>();
        for (index, word) in words.iter().enumerate() {
            // SAFETY: the word lies inside the frame, as checked above.
            let at = unsafe { start.add(index) };
            // SAFETY: in bounds and aligned as shown, mapped as long as self lives; a reader at the same time is the
            // kernel or a device, which sees whole words.
            let atomic = unsafe { AtomicU64::from_ptr(at.as_ptr()) };
            atomic.store(*word, Ordering::Relaxed);
        }
    }
}
