//! A mapped piece of a file, and the 64-bit words in it.

use std::os::fd::BorrowedFd;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Whether the mapping can be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read only: the processor refuses a write.
    Read,
    /// Read and write.
    ReadWrite,
}

/// A piece of a file, mapped shared. Every access goes through atomics or raw pointers, never through a
/// reference to plain memory, because other processes write there at any time.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len_bytes: usize,
    access: Access,
}

// SAFETY: a mapping is an address range that belongs to the process, not to a thread; all access to what is
// in it is atomic or through raw pointers whose users answer for themselves.
unsafe impl Send for Mapping {}
// SAFETY: as above; `&Mapping` gives only atomics and raw pointers.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len_bytes` of the file from `offset` (a multiple of the page size). The caller has made sure that the
    /// file is that long, else an access beyond its end raises SIGBUS.
    pub(crate) fn new(
        file: BorrowedFd<'_>,
        offset: u64,
        len_bytes: usize,
        access: Access,
    ) -> rustix::io::Result<Arc<Mapping>> {
        let protection = match access {
            Access::Read => ProtFlags::READ,
            Access::ReadWrite => ProtFlags::READ | ProtFlags::WRITE,
        };
        // Populated at once: a page fault in the middle of a message costs more than the message.
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let base = unsafe { mmap(ptr::null_mut(), len_bytes, protection, flags, file, offset) }?;
        let base = NonNull::new(base.cast()).ok_or(rustix::io::Errno::NOMEM)?;
        Ok(Arc::new(Mapping { base, len_bytes, access }))
    }

    pub(crate) fn is_writable(&self) -> bool {
        self.access == Access::ReadWrite
    }

    /// The address of `len_bytes` bytes at `offset`, checked to lie inside.
    ///
    /// # Panics
    /// If they do not: offsets are computed from constants and checked counts, so that is a bug here.
    pub(crate) fn pointer(&self, offset: usize, len_bytes: usize) -> NonNull<u8> {
        let end = offset.checked_add(len_bytes);
        assert!(end.is_some_and(|end| end <= self.len_bytes), "{offset}+{len_bytes} outside a mapping");
        // SAFETY: offset is at most len_bytes, so the result lies inside the mapping or one past its end.
        unsafe { self.base.add(offset) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped exactly this range, and everything that points into it holds the Arc.
        let result = unsafe { munmap(self.base.as_ptr().cast(), self.len_bytes) };
        debug_assert!(result.is_ok());
    }
}

/// A 64-bit word in a mapping, which it keeps mapped.
#[derive(Clone, Debug)]
pub(crate) struct Word {
    at: NonNull<AtomicU64>,
    mapping: Arc<Mapping>,
}

// SAFETY: it is an atomic in memory that belongs to the process and stays mapped as long as the word lives.
unsafe impl Send for Word {}
// SAFETY: as above.
unsafe impl Sync for Word {}

impl Word {
    /// The word at a byte offset (a multiple of 8).
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize) -> Word {
        assert!(offset.is_multiple_of(8), "word at {offset} is not aligned");
        Word { at: mapping.pointer(offset, 8).cast(), mapping: Arc::clone(mapping) }
    }

    #[inline]
    fn atomic(&self) -> &AtomicU64 {
        // SAFETY: `new` checked bounds and alignment, the mapping lives as long as self, and everyone in this and
        // in other processes accesses the word atomically.
        unsafe { AtomicU64::from_ptr(self.at.as_ptr().cast()) }
    }

    #[inline]
    pub(crate) fn load(&self, order: Ordering) -> u64 {
        self.atomic().load(order)
    }

    #[inline]
    pub(crate) fn store(&self, value: u64, order: Ordering) {
        debug_assert!(self.mapping.is_writable());
        self.atomic().store(value, order);
    }

    /// Adds without a locked instruction: for counters that only this process writes.
    #[inline]
    pub(crate) fn bump(&self, amount: u64) {
        self.store(self.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    /// Replaces `old` by `new`; on failure says what was there.
    #[inline]
    pub(crate) fn replace(&self, old: u64, new: u64) -> Result<(), u64> {
        debug_assert!(self.mapping.is_writable());
        self.atomic().compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
    }

    pub(crate) fn add(&self, amount: u64) -> u64 {
        debug_assert!(self.mapping.is_writable());
        self.atomic().fetch_add(amount, Ordering::AcqRel)
    }
}

/// `N` words in a row that only this process writes: its counters.
#[derive(Debug)]
pub(crate) struct Counters<const N: usize> {
    first: NonNull<AtomicU64>,
    mapping: Arc<Mapping>,
}

// SAFETY: these are atomics in memory that belongs to the process and stays mapped as long as they live.
unsafe impl<const N: usize> Send for Counters<N> {}

impl<const N: usize> Counters<N> {
    /// The words from a byte offset (a multiple of 8) on.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize) -> Counters<N> {
        assert!(offset.is_multiple_of(8), "words at {offset} are not aligned");
        Counters { first: mapping.pointer(offset, N * 8).cast(), mapping: Arc::clone(mapping) }
    }

    #[inline]
    fn atomic(&self, index: usize) -> &AtomicU64 {
        assert!(index < N);
        // SAFETY: `new` checked that N words from `first` on lie in the mapping, and index is below N.
        let at = unsafe { self.first.add(index) };
        // SAFETY: in bounds as shown and aligned, the mapping lives as long as self, and everyone accesses the word
        // atomically.
        unsafe { AtomicU64::from_ptr(at.as_ptr().cast()) }
    }

    /// Adds without a locked instruction: there is one writer.
    #[inline]
    pub(crate) fn add(&self, index: usize, amount: u64) {
        debug_assert!(self.mapping.is_writable());
        let counter = self.atomic(index);
        counter.store(counter.load(Ordering::Relaxed).wrapping_add(amount), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> [u64; N] {
        std::array::from_fn(|index| self.atomic(index).load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;

    fn mapped(len: usize) -> (Arc<Mapping>, Arc<Mapping>) {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::empty()).unwrap();
        rustix::fs::ftruncate(&file, len as u64).unwrap();
        let writer = Mapping::new(file.as_fd(), 0, len, Access::ReadWrite).unwrap();
        (writer, Mapping::new(file.as_fd(), 0, len, Access::Read).unwrap())
    }

    #[test]
    fn a_word_is_seen_through_every_mapping_and_keeps_it_alive() {
        let (writer, reader) = mapped(4096);
        let (write, read) = (Word::new(&writer, 4088), Word::new(&reader, 4088));
        drop((writer, reader));
        write.store(7, Ordering::Relaxed);
        write.bump(1);
        assert_eq!(write.replace(8, 9), Ok(()));
        assert_eq!(write.replace(8, 10), Err(9));
        assert_eq!(read.load(Ordering::Relaxed), 9);
    }

    #[test]
    #[should_panic(expected = "outside a mapping")]
    fn a_word_outside_is_refused() {
        let (writer, _) = mapped(4096);
        let _ = Word::new(&writer, 4096);
    }
}
