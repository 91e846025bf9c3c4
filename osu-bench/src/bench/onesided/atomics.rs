//! -c for accesses that change what they meet.

use std::sync::atomic::AtomicU8;

use super::rma::Setup;
use crate::measure::{Check, expect_value, fill_value, flip_first};
use crate::mpi_raw::Element;

/// Check of sums into the peer's window: every repetition adds once.
pub(super) struct Accumulated<'w> {
    origin: &'static [AtomicU8],
    /// What was fetched; empty if nothing is or this rank fetches nothing.
    fetched: &'w [AtomicU8],
    /// This rank's window, if the peer adds to it.
    added: &'w [AtomicU8],
    element: Element,
    rank: usize,
    repetitions: usize,
}

/// Check of compare-and-swap: the first repetition finds what it compares with, the others find what it put there.
pub(super) struct Swapped<'w> {
    origin: &'static [AtomicU8],
    compare: &'static [AtomicU8],
    found: &'w [AtomicU8],
    /// This rank's window, if the peer swaps it.
    swapped: &'w [AtomicU8],
    window: &'w [AtomicU8],
    element: Element,
    rank: usize,
    repetitions: usize,
}

/// What `rank` adds, or puts, in `iteration`. Small, so that a sum of bytes does not wrap too often.
fn operand(rank: usize, iteration: usize) -> i64 {
    (iteration % 3 + rank + 1) as i64
}

/// What a window holds at first.
fn initial(iteration: usize) -> i64 {
    (iteration % 5 + 10) as i64
}

fn when(condition: bool, bytes: &[AtomicU8]) -> &[AtomicU8] {
    if condition { bytes } else { &[] }
}

impl<'w> Accumulated<'w> {
    /// For the buffers of one size; `fetches` says whether the old value comes back.
    pub(super) fn new(setup: &Setup<'w>, fetches: bool) -> Self {
        Self {
            origin: &setup.origin.bytes()[..setup.size_bytes],
            fetched: when(fetches && setup.accesses, &setup.result.bytes()[..setup.size_bytes]),
            added: when(setup.is_accessed, setup.window.bytes()),
            element: setup.element,
            rank: setup.rank,
            repetitions: setup.repetitions,
        }
    }

    /// What a window holds after `times` sums of `rank`.
    fn after(&self, times: usize, rank: usize, iteration: usize) -> i64 {
        initial(iteration) + times as i64 * operand(rank, iteration)
    }
}

impl Check for Accumulated<'_> {
    fn fill(&self, iteration: usize) {
        fill_value(self.origin, self.element, operand(self.rank, iteration));
        fill_value(self.added, self.element, initial(iteration));
        fill_value(self.fetched, self.element, -1);
    }

    fn errors(&self, iteration: usize) -> u64 {
        let before_the_last = self.after(self.repetitions - 1, self.rank, iteration);
        let after_all = self.after(self.repetitions, 1 - self.rank, iteration);
        expect_value(self.fetched, self.element, before_the_last) + expect_value(self.added, self.element, after_all)
    }

    fn corrupt(&self) {
        flip_first(self.fetched);
        flip_first(self.added);
    }
}

impl<'w> Swapped<'w> {
    /// For the buffers of one size.
    pub(super) fn new(setup: &Setup<'w>) -> Self {
        Self {
            origin: &setup.origin.bytes()[..setup.size_bytes],
            compare: &setup.compare.bytes()[..setup.size_bytes],
            found: when(setup.accesses, &setup.result.bytes()[..setup.size_bytes]),
            swapped: when(setup.is_accessed, setup.window.bytes()),
            window: setup.window.bytes(),
            element: setup.element,
            rank: setup.rank,
            repetitions: setup.repetitions,
        }
    }
}

impl Check for Swapped<'_> {
    fn fill(&self, iteration: usize) {
        fill_value(self.origin, self.element, operand(self.rank, iteration));
        fill_value(self.compare, self.element, initial(iteration));
        fill_value(self.window, self.element, initial(iteration));
        fill_value(self.found, self.element, -1);
    }

    fn errors(&self, iteration: usize) -> u64 {
        let found = if self.repetitions == 1 { initial(iteration) } else { operand(self.rank, iteration) };
        let put = operand(1 - self.rank, iteration);
        expect_value(self.found, self.element, found) + expect_value(self.swapped, self.element, put)
    }

    fn corrupt(&self) {
        flip_first(self.found);
        flip_first(self.swapped);
    }
}
