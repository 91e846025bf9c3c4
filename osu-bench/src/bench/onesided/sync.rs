//! OSU's synchronisations (-s) and what an iteration does with each.

use crate::mpi_raw::Window;

/// How accesses are ordered and completed; OSU's -s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sync {
    /// A lock around each iteration.
    Lock,
    /// A lock of all ranks around each iteration.
    LockAll,
    /// One lock around all iterations, each ends with a flush.
    Flush,
    /// The same with a local flush.
    FlushLocal,
    /// Post, start, complete, wait.
    Pscw,
    /// Fences.
    Fence,
}

/// Who accesses whose memory in an iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Traffic {
    /// Rank 0 accesses rank 1; with an active synchronisation rank 1 then accesses rank 0, so that an iteration is a
    /// round trip.
    Latency,
    /// Rank 0 accesses rank 1.
    OneWay,
    /// Both access each other at once.
    Both,
}

impl Sync {
    /// OSU's name for -s.
    pub(crate) const NAMES: [(&'static str, Sync); 6] = [
        ("lock", Sync::Lock),
        ("lock_all", Sync::LockAll),
        ("flush", Sync::Flush),
        ("flush_local", Sync::FlushLocal),
        ("pscw", Sync::Pscw),
        ("fence", Sync::Fence),
    ];

    /// What OSU prints.
    pub(super) fn title(self) -> &'static str {
        match self {
            Sync::Lock => "MPI_Win_lock/unlock",
            Sync::LockAll => "MPI_Win_lock_all/unlock_all",
            Sync::Flush => "MPI_Win_flush",
            Sync::FlushLocal => "MPI_Win_flush_local",
            Sync::Pscw => "MPI_Win_post/start/complete/wait",
            Sync::Fence => "MPI_Win_fence",
        }
    }

    /// Whether the rank whose memory is accessed has to take part.
    pub(super) fn is_active(self) -> bool {
        matches!(self, Sync::Pscw | Sync::Fence)
    }

    /// Before the first iteration.
    pub(super) fn open(self, window: &Window, accesses: bool) {
        if accesses && matches!(self, Sync::Flush | Sync::FlushLocal) {
            window.lock();
        }
    }

    /// After the last iteration.
    pub(super) fn close(self, window: &Window, accesses: bool) {
        if accesses && matches!(self, Sync::Flush | Sync::FlushLocal) {
            window.unlock();
        }
    }

    /// One iteration on this rank; `access` makes all its accesses.
    #[inline]
    pub(super) fn iteration(self, window: &Window, traffic: Traffic, rank: usize, mut access: impl FnMut()) {
        match (self, traffic) {
            (Sync::Pscw, Traffic::Latency) => {
                let mut mine = || {
                    window.start();
                    access();
                    window.complete();
                };
                if rank == 0 {
                    mine();
                }
                window.post();
                window.wait();
                if rank != 0 {
                    mine();
                }
            }
            (Sync::Pscw, Traffic::OneWay) if rank == 0 => {
                window.start();
                access();
                window.complete();
            }
            (Sync::Pscw, Traffic::OneWay) => {
                window.post();
                window.wait();
            }
            (Sync::Pscw, Traffic::Both) => {
                window.post();
                window.start();
                access();
                window.complete();
                window.wait();
            }
            (Sync::Fence, Traffic::Latency) => {
                window.fence();
                if rank == 0 {
                    access();
                }
                window.fence();
                if rank != 0 {
                    access();
                }
                window.fence();
            }
            (Sync::Fence, Traffic::OneWay | Traffic::Both) => {
                window.fence();
                if rank == 0 || traffic == Traffic::Both {
                    access();
                }
                window.fence();
            }
            // The other synchronisations are passive: only the rank that accesses has something to do.
            _ if rank != 0 && traffic != Traffic::Both => {}
            (Sync::Lock, _) => {
                window.lock();
                access();
                window.unlock();
            }
            (Sync::LockAll, _) => {
                window.lock_all();
                access();
                window.unlock_all();
            }
            (Sync::Flush, _) => {
                access();
                window.flush();
            }
            (Sync::FlushLocal, _) => {
                access();
                window.flush_local();
            }
        }
    }

    /// Makes sure, outside the timed part, that accesses have arrived: a local flush does not say so.
    pub(super) fn settle(self, window: &Window, accesses: bool) {
        if accesses && self == Sync::FlushLocal {
            window.flush();
        }
    }
}
