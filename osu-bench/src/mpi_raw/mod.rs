//! The MPI calls that the benchmarks time, as safe functions without a detour.
//!
//! rsmpi starts MPI, names the communicators and reduces the results. The timed calls stand here, because a
//! benchmark needs what rsmpi's safe interface rules out on purpose (64 outstanding receives into one buffer, as the
//! OSU benchmarks post them) or does not offer (persistent requests, one-sided windows, neighbour collectives).
//!
//! This is the crate's only module with unsafe code. Two facts carry every proof in it:
//!
//! - **Memory.** Every address handed to MPI comes from an [`Elements`], which only [`Buffer`] makes, after checking
//!   that
//!   the elements lie inside the buffer. Buffers are never freed, and their bytes are atomics, so whatever MPI reads or
//!   writes, and whenever it does, it touches live memory of which nobody holds a plain reference.
//! - **Handles.** Communicator, request, window and datatype handles are private to their types here and are made by
//!   MPI itself.
//!
//! A wrong rank, count or tag is an MPI error, and MPI's default error handler ends the job: no call returns with one.
#![allow(unsafe_code)]

mod buffer;
mod coll;
mod comm;
mod element;
mod pt2pt;
mod request;
mod window;

pub(crate) use buffer::{Blocks, Buffer, Elements, Parts};
pub(crate) use coll::{
    Allgather, Allgatherv, Allreduce, Alltoall, Alltoallv, Alltoallw, Barrier, Bcast, Call, CollectiveError, Gather,
    Gatherv, NeighborAllgather, NeighborAllgatherv, NeighborAlltoall, NeighborAlltoallv, NeighborAlltoallw, Reduce,
    ReduceScatter, Scatter, Scatterv,
};
pub(crate) use comm::{Comm, SharedComm};
pub(crate) use element::{Element, Reduction};
pub(crate) use pt2pt::Peer;
pub(crate) use request::{PersistentSet, Request, Requests};
pub(crate) use window::{Target, Window, WindowKind};

use std::os::raw::c_int;

/// Ends the process if an MPI call reports an error in spite of the fatal error handler.
#[inline(always)]
fn check(code: c_int, call: &'static str) {
    if code != mpi::ffi::MPI_SUCCESS as c_int {
        fail(code, call);
    }
}

#[cold]
fn fail(code: c_int, call: &'static str) -> ! {
    eprintln!("osu-bench: {call} failed with MPI error {code}; the job cannot go on");
    std::process::abort();
}
