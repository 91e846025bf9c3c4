//! A one-sided window of words, which rsmpi does not have: memory of every rank that all others read and change.
//!
//! This is the crate's only unsafe code. MPI allocates the memory; the window frees it when it is dropped. All access goes
//! through MPI, but for the owner's look at a word of its own; no reference to memory that a peer may write ever exists here. A wrong rank or
//! count is an MPI error, and MPI's default error handler ends the job: no call returns with one.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicU64, Ordering};

use mpi::collective::SystemOperation;
use mpi::datatype::Equivalence;
use mpi::ffi;
use mpi::raw::AsRaw;
use mpi::traits::{Communicator, CommunicatorCollectives};

/// `len` words of 64 bits in each rank of a communicator, open to all of them (`MPI_Win_lock_all`).
#[derive(Debug)]
pub struct Window<'a, C: Communicator> {
    raw: ffi::MPI_Win,
    /// This rank's part.
    memory: *mut u64,
    len: usize,
    comm: &'a C,
    /// Windows are used by the thread that made them.
    not_send: PhantomData<*const ()>,
}

impl<'a, C: Communicator> Window<'a, C> {
    /// Makes a window whose words are all `start`; every rank of `comm` calls this.
    ///
    /// # Panics
    /// If MPI has no memory for it.
    pub fn new(comm: &'a C, len: usize, start: u64) -> Window<'a, C> {
        let mut memory = std::ptr::null_mut::<c_void>();
        let mut raw = MaybeUninit::<ffi::MPI_Win>::uninit();
        let (bytes, unit) = ((len * WORD_BYTES) as ffi::MPI_Aint, WORD_BYTES as c_int);
        // SAFETY: rsmpi made this constant from MPI's own, and MPI is initialised as long as there is a communicator.
        let info = unsafe { ffi::RSMPI_INFO_NULL };
        let place = (&raw mut memory).cast::<c_void>();
        // SAFETY: MPI writes the address of new memory to `place` and the handle to `raw`; both outlive the call.
        let code = unsafe { ffi::MPI_Win_allocate(bytes, unit, info, comm.as_raw(), place, raw.as_mut_ptr()) };
        check(code, "MPI_Win_allocate");
        // SAFETY: the call above succeeded and wrote it.
        let raw = unsafe { raw.assume_init() };
        // SAFETY: `raw` is a window that no epoch is open for.
        let code = unsafe { ffi::MPI_Win_lock_all(0, raw) };
        check(code, "MPI_Win_lock_all");
        let window = Window { raw, memory: memory.cast(), len, comm, not_send: PhantomData };
        window.put(comm.rank() as usize, 0, &vec![start; len]);
        // Nobody may touch a part that its owner has not filled.
        comm.barrier();
        window
    }

    /// Writes `words` into the part of `rank`, and returns when they are there.
    ///
    /// # Panics
    /// If they do not fit.
    pub fn put(&self, rank: usize, at: usize, words: &[u64]) {
        let (place, count) = self.place(at, words.len());
        let (data, word) = (words.as_ptr().cast::<c_void>(), word());
        // SAFETY: `words` is borrowed until the flush below; the target was checked to lie inside the window.
        let code = unsafe { ffi::MPI_Put(data, count, word, rank as c_int, place, count, word, self.raw) };
        check(code, "MPI_Put");
        self.flush(rank);
    }

    /// Reads `count` words of the part of `rank`.
    ///
    /// # Panics
    /// If there are not so many.
    #[must_use]
    pub fn get(&self, rank: usize, at: usize, count: usize) -> Vec<u64> {
        let mut words = vec![0u64; count];
        let (place, count) = self.place(at, count);
        let (data, word) = (words.as_mut_ptr().cast::<c_void>(), word());
        // SAFETY: `words` is not touched until the flush below; the target was checked to lie inside the window.
        let code = unsafe { ffi::MPI_Get(data, count, word, rank as c_int, place, count, word, self.raw) };
        check(code, "MPI_Get");
        self.flush(rank);
        words
    }

    /// A word of this rank's own part, as it is in memory now, without a call of MPI's. Peers' changes show up there when they have
    /// arrived, as in all memory that the processor keeps coherent (MPI's unified model).
    ///
    /// # Panics
    /// If there is no such word.
    #[must_use]
    pub fn look(&self, at: usize) -> u64 {
        self.place(at, 1);
        let word = self.memory.wrapping_add(at);
        // SAFETY: the part's memory is the window's as long as it lives, and was checked to have that word.
        let word = unsafe { AtomicU64::from_ptr(word) };
        word.load(Ordering::Acquire)
    }

    /// Adds to a word atomically; what it was before.
    ///
    /// # Panics
    /// If there is no such word.
    pub fn fetch_add(&self, rank: usize, at: usize, value: u64) -> u64 {
        let mut before = 0u64;
        let (place, _) = self.place(at, 1);
        let (new, old) = ((&raw const value).cast::<c_void>(), (&raw mut before).cast::<c_void>());
        let sum = SystemOperation::sum().as_raw();
        // SAFETY: `value` and `before` outlive the flush below; the target was checked to lie inside the window.
        let code = unsafe { ffi::MPI_Fetch_and_op(new, old, word(), rank as c_int, place, sum, self.raw) };
        check(code, "MPI_Fetch_and_op");
        self.flush(rank);
        before
    }

    /// Replaces a word atomically if it is `expected`; what it was before.
    ///
    /// # Panics
    /// If there is no such word.
    pub fn compare_and_swap(&self, rank: usize, at: usize, expected: u64, value: u64) -> u64 {
        let mut before = 0u64;
        let (place, _) = self.place(at, 1);
        let (new, compared) = ((&raw const value).cast::<c_void>(), (&raw const expected).cast::<c_void>());
        let old = (&raw mut before).cast::<c_void>();
        // SAFETY: the three words outlive the flush below; the target was checked to lie inside the window.
        let code = unsafe { ffi::MPI_Compare_and_swap(new, compared, old, word(), rank as c_int, place, self.raw) };
        check(code, "MPI_Compare_and_swap");
        self.flush(rank);
        before
    }

    /// Waits until all that this rank asked of `rank` is done, there and here.
    fn flush(&self, rank: usize) {
        // SAFETY: the window is open to all ranks from its making to its end.
        let code = unsafe { ffi::MPI_Win_flush(rank as c_int, self.raw) };
        check(code, "MPI_Win_flush");
    }

    fn place(&self, at: usize, count: usize) -> (ffi::MPI_Aint, c_int) {
        assert!(at + count <= self.len, "words {at} to {} are not in a window of {}", at + count, self.len);
        (at as ffi::MPI_Aint, c_int::try_from(count).expect("a window is smaller than what MPI can count"))
    }
}

impl<C: Communicator> Drop for Window<'_, C> {
    /// All ranks drop it together: a peer may still read a part whose owner has finished.
    fn drop(&mut self) {
        // SAFETY: it was opened when it was made, and is closed only here.
        let code = unsafe { ffi::MPI_Win_unlock_all(self.raw) };
        check(code, "MPI_Win_unlock_all");
        self.comm.barrier();
        // SAFETY: the window is closed, and nobody uses its memory after all ranks have passed the barrier.
        let code = unsafe { ffi::MPI_Win_free(&mut self.raw) };
        check(code, "MPI_Win_free");
    }
}

const WORD_BYTES: usize = size_of::<u64>();

fn word() -> ffi::MPI_Datatype {
    u64::equivalent_datatype().as_raw()
}

fn check(code: c_int, call: &str) {
    // SAFETY: a constant of rsmpi.
    assert_eq!(code, ffi::MPI_SUCCESS as c_int, "{call} failed with code {code}");
}
