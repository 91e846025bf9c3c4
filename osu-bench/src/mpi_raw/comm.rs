//! Communicators.

use std::ops::Deref;
use std::os::raw::c_int;

use mpi::Threading;
use mpi::ffi;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{AsRaw, Communicator, FromRaw};

use super::check;

/// A communicator with its handle, rank and size at hand.
pub(crate) struct Comm {
    pub(super) raw: ffi::MPI_Comm,
    rank: usize,
    size: usize,
    neighbours: usize,
    /// Keeps the handle valid.
    inner: SimpleCommunicator,
}

/// A communicator that several threads may use at once.
#[derive(Clone, Copy)]
pub(crate) struct SharedComm<'a> {
    comm: &'a Comm,
}

// SAFETY: MPI granted MPI_THREAD_MULTIPLE (checked by `Comm::shared`, the only way to make one), so its calls may be
// made by several threads at once with the same communicator; the handle and the numbers beside it do not change.
unsafe impl Send for SharedComm<'_> {}
// SAFETY: as above.
unsafe impl Sync for SharedComm<'_> {}

impl Deref for SharedComm<'_> {
    type Target = Comm;

    fn deref(&self) -> &Comm {
        self.comm
    }
}

impl Comm {
    /// This communicator for several threads, if MPI allows it.
    pub(crate) fn shared(&self) -> Option<SharedComm<'_>> {
        (mpi::environment::threading_support() == Threading::Multiple).then_some(SharedComm { comm: self })
    }

    /// Wraps a communicator of rsmpi.
    pub(crate) fn new(inner: SimpleCommunicator) -> Self {
        let rank = usize::try_from(inner.rank()).expect("ranks are not negative");
        let size = usize::try_from(inner.size()).expect("sizes are not negative");
        Self { raw: inner.as_raw(), rank, size, neighbours: 0, inner }
    }

    /// This process's rank.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// Number of ranks.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Number of neighbours; none without a topology.
    pub(crate) fn neighbours(&self) -> usize {
        self.neighbours
    }

    /// All ranks in a periodic ring: each has its predecessor and its successor as neighbours, in this order.
    pub(crate) fn ring(&self) -> Comm {
        let ranks = c_int::try_from(self.size).expect("sizes fit into an int");
        let periodic = 1;
        let mut raw = self.raw;
        // SAFETY: Handles, see the module's documentation; one dimension of `ranks` positions, and a place for the
        // new handle.
        let code = unsafe { ffi::MPI_Cart_create(self.raw, 1, &ranks, &periodic, 0, &mut raw) };
        check(code, "MPI_Cart_create");
        // SAFETY: MPI has just made this communicator, which nobody else frees.
        let inner = unsafe { SimpleCommunicator::from_raw(raw) };
        Comm { neighbours: 2, ..Comm::new(inner) }
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
}
