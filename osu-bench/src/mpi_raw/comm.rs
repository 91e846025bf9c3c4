//! Communicators.

use mpi::ffi;
use mpi::topology::{Color, SimpleCommunicator};
use mpi::traits::{AsRaw, Communicator};

use super::check;

/// A communicator with its handle, rank and size at hand.
pub(crate) struct Comm {
    pub(super) raw: ffi::MPI_Comm,
    rank: usize,
    size: usize,
    /// Keeps the handle valid.
    inner: SimpleCommunicator,
}

impl Comm {
    /// Wraps a communicator of rsmpi.
    pub(crate) fn new(inner: SimpleCommunicator) -> Self {
        let rank = usize::try_from(inner.rank()).expect("ranks are not negative");
        let size = usize::try_from(inner.size()).expect("sizes are not negative");
        Self { raw: inner.as_raw(), rank, size, inner }
    }

    /// This process's rank.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// Number of ranks.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// rsmpi's view, for what is not timed.
    pub(crate) fn rsmpi(&self) -> &SimpleCommunicator {
        &self.inner
    }

    /// `MPI_Barrier`.
    #[inline]
    pub(crate) fn barrier(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Barrier(self.raw) };
        check(code, "MPI_Barrier");
    }

    /// The communicator of all ranks that named the same `group`, in rank order.
    pub(crate) fn split(&self, group: usize) -> Comm {
        let color = Color::with_value(i32::try_from(group).expect("few groups"));
        Comm::new(self.inner.split_by_color(color).expect("every rank named a group"))
    }
}
