//! Blocking, non-blocking and persistent point-to-point calls.

use std::os::raw::c_int;

use mpi::ffi;

use super::request::{Persistent, Requests};
use super::{Comm, Elements, check};

/// Where a message goes or comes from.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    rank: c_int,
    tag: c_int,
}

impl Peer {
    /// Messages with `tag`, exchanged with `rank`.
    pub(crate) fn new(rank: usize, tag: u16) -> Self {
        Self { rank: c_int::try_from(rank).expect("ranks fit into an int"), tag: c_int::from(tag) }
    }
}

impl Comm {
    /// `MPI_Send`.
    #[inline]
    pub(crate) fn send(&self, message: Elements, to: Peer) {
        let Elements { address, count, datatype } = message;
        // SAFETY: Memory and Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Send(address, count, datatype, to.rank, to.tag, self.raw) };
        check(code, "MPI_Send");
    }

    /// `MPI_Recv`.
    #[inline]
    pub(crate) fn recv(&self, message: Elements, from: Peer) {
        let Elements { address, count, datatype } = message;
        // SAFETY: a constant of rsmpi's C part, written before main and never again.
        let ignore = unsafe { ffi::RSMPI_STATUS_IGNORE };
        // SAFETY: Memory and Handles, see the module's documentation; MPI_STATUS_IGNORE may stand for a status.
        let code = unsafe { ffi::MPI_Recv(address, count, datatype, from.rank, from.tag, self.raw, ignore) };
        check(code, "MPI_Recv");
    }

    /// `MPI_Isend`; the request joins `requests`.
    #[inline]
    pub(crate) fn isend(&self, message: Elements, to: Peer, requests: &mut Requests) {
        let Elements { address, count, datatype } = message;
        let request = requests.slot();
        // SAFETY: Memory and Handles, see the module's documentation; `request` is a slot for one handle.
        let code = unsafe { ffi::MPI_Isend(address, count, datatype, to.rank, to.tag, self.raw, request) };
        check(code, "MPI_Isend");
    }

    /// `MPI_Irecv`; the request joins `requests`.
    #[inline]
    pub(crate) fn irecv(&self, message: Elements, from: Peer, requests: &mut Requests) {
        let Elements { address, count, datatype } = message;
        let request = requests.slot();
        // SAFETY: Memory and Handles, see the module's documentation; `request` is a slot for one handle.
        let code = unsafe { ffi::MPI_Irecv(address, count, datatype, from.rank, from.tag, self.raw, request) };
        check(code, "MPI_Irecv");
    }

    /// `MPI_Send_init`.
    pub(crate) fn send_init(&self, message: Elements, to: Peer) -> Persistent {
        let Elements { address, count, datatype } = message;
        Persistent::new("MPI_Send_init", |request| {
            // SAFETY: Memory and Handles, see the module's documentation; `request` is a slot for one handle.
            unsafe { ffi::MPI_Send_init(address, count, datatype, to.rank, to.tag, self.raw, request) }
        })
    }

    /// `MPI_Recv_init`.
    pub(crate) fn recv_init(&self, message: Elements, from: Peer) -> Persistent {
        let Elements { address, count, datatype } = message;
        Persistent::new("MPI_Recv_init", |request| {
            // SAFETY: Memory and Handles, see the module's documentation; `request` is a slot for one handle.
            unsafe { ffi::MPI_Recv_init(address, count, datatype, from.rank, from.tag, self.raw, request) }
        })
    }
}
