//! Collective operations, each in its blocking, non-blocking and persistent form.
//!
//! Persistent collectives are MPI 4.0. Open MPI 4.1 has them under the prefix `MPIX_`, and `mpi.h` of an older MPI
//! not at all, so they are looked up in the running program by name.

use std::os::raw::{c_int, c_void};

use libloading::os::unix::Library;
use mpi::ffi;
use thiserror::Error;

use super::request::{Persistent, Request};
use super::{Blocks, Comm, Elements, Parts, Reduction, check};

/// A collective call with all its arguments, ready to be made.
pub(crate) trait Call {
    /// Makes the call and returns when MPI does.
    fn blocking(&self, comm: &Comm);
    /// Makes the non-blocking call.
    fn start(&self, comm: &Comm) -> Request;
    /// Prepares the persistent call.
    ///
    /// # Errors
    /// If this MPI has no such call.
    fn init(&self, comm: &Comm) -> Result<Persistent, CollectiveError>;
}

/// What a collective call cannot do.
#[derive(Debug, Error)]
pub(crate) enum CollectiveError {
    /// The persistent form came with MPI 4.0.
    #[error(
        "this MPI has no MPI_{0} (nor MPIX_{0}): persistent collectives need MPI 4.0, or Open MPI 4.1 built with its \
         extension pcollreq; run the blocking or the non-blocking form instead"
    )]
    NotInThisMpi(&'static str),
}

/// The address of `MPI_<name>` or `MPIX_<name>`, as a function of type `F`.
///
/// # Safety
/// `F` must be the type that the MPI standard gives the function.
unsafe fn look_up<F: Copy>(name: &'static str) -> Result<F, CollectiveError> {
    for prefix in ["MPI_", "MPIX_"] {
        let symbol = format!("{prefix}{name}");
        // SAFETY: the caller vouches for the type.
        if let Ok(function) = unsafe { Library::this().get::<F>(symbol.as_bytes()) } {
            return Ok(*function);
        }
    }
    Err(CollectiveError::NotInThisMpi(name))
}

fn no_info() -> ffi::MPI_Info {
    // SAFETY: a constant of rsmpi's C part, written before main and never again.
    unsafe { ffi::RSMPI_INFO_NULL }
}

fn root(rank: usize) -> c_int {
    c_int::try_from(rank).expect("ranks fit into an int")
}

/// Declares a call: its fields, its three functions, what must hold so that MPI stays inside the buffers of this
/// rank, and the arguments before the communicator with their C types.
macro_rules! collective {
    (
        $(#[$doc:meta])*
        $call:ident { $($(#[$field_doc:meta])* $field:ident: $field_type:ty),* $(,)? }
        $blocking:ident, $start:ident, $init:literal,
        |$this:ident, $comm:ident| requires $fits:expr; ($($argument:expr => $c_type:ty),* $(,)?)
    ) => {
        $(#[$doc])*
        pub(crate) struct $call {
            $($(#[$field_doc])* pub(crate) $field: $field_type),*
        }

        impl Call for $call {
            fn blocking(&self, $comm: &Comm) {
                let $this = self;
                assert!($fits);
                // SAFETY: Memory and Handles, see the module's documentation; the counts fit, as just asserted.
                let code = unsafe { ffi::$blocking($($argument,)* $comm.raw) };
                check(code, stringify!($blocking));
            }

            fn start(&self, $comm: &Comm) -> Request {
                let $this = self;
                assert!($fits);
                Request::new(stringify!($start), |request| {
                    // SAFETY: Memory and Handles, see the module's documentation; the counts fit, as just asserted;
                    // `request` is a slot for one handle.
                    unsafe { ffi::$start($($argument,)* $comm.raw, request) }
                })
            }

            fn init(&self, $comm: &Comm) -> Result<Persistent, CollectiveError> {
                type Init = unsafe extern "C" fn($($c_type,)* ffi::MPI_Comm, ffi::MPI_Info, *mut ffi::MPI_Request) -> c_int;
                // SAFETY: MPI 4.0 gives the function this type: the blocking call's arguments, an info and a request.
                let init = unsafe { look_up::<Init>($init) }?;
                let $this = self;
                assert!($fits);
                Ok(Persistent::new($init, |request| {
                    // SAFETY: Memory and Handles, see the module's documentation; the counts fit, as just asserted;
                    // `request` is a slot for one handle.
                    unsafe { init($($argument,)* $comm.raw, no_info(), request) }
                }))
            }
        }
    };
}

collective! {
    /// Every rank gets what every rank gives.
    Allgather {
        /// What this rank gives.
        send: Elements,
        /// A block from each rank.
        recv: Blocks,
    }
    MPI_Allgather, MPI_Iallgather, "Allgather_init",
    |call, comm| requires call.recv.blocks == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.each => c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// As [`Allgather`], with a length for each rank.
    Allgatherv {
        /// What this rank gives.
        send: Elements,
        /// A part from each rank.
        recv: Parts,
    }
    MPI_Allgatherv, MPI_Iallgatherv, "Allgatherv_init",
    |call, comm| requires call.recv.counts.len() == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.counts.as_ptr() => *const c_int,
        call.recv.starts.as_ptr() => *const c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// Every rank gets the sum of all ranks' elements.
    Allreduce {
        /// What this rank gives.
        send: Elements,
        /// What this rank gets.
        recv: Elements,
        /// What is computed.
        operation: Reduction,
    }
    MPI_Allreduce, MPI_Iallreduce, "Allreduce_init",
    |call, comm| requires call.send.count == call.recv.count && call.send.datatype == call.recv.datatype; (
        call.send.address.cast_const() => *const c_void,
        call.recv.address => *mut c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.operation.raw() => ffi::MPI_Op,
    )
}

collective! {
    /// Every rank gives each rank a block of its own.
    Alltoall {
        /// A block for each rank.
        send: Blocks,
        /// A block from each rank.
        recv: Blocks,
    }
    MPI_Alltoall, MPI_Ialltoall, "Alltoall_init",
    |call, comm| requires call.send.blocks == comm.size() && call.recv.blocks == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.each => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.each => c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// As [`Alltoall`], with a length for each block.
    Alltoallv {
        /// A part for each rank.
        send: Parts,
        /// A part from each rank.
        recv: Parts,
    }
    MPI_Alltoallv, MPI_Ialltoallv, "Alltoallv_init",
    |call, comm| requires call.send.counts.len() == comm.size() && call.recv.counts.len() == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.counts.as_ptr() => *const c_int,
        call.send.starts.as_ptr() => *const c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.counts.as_ptr() => *const c_int,
        call.recv.starts.as_ptr() => *const c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// As [`Alltoallv`], with a datatype for each block.
    Alltoallw {
        /// A part for each rank.
        send: Parts,
        /// A part from each rank.
        recv: Parts,
    }
    MPI_Alltoallw, MPI_Ialltoallw, "Alltoallw_init",
    |call, comm| requires call.send.counts.len() == comm.size() && call.recv.counts.len() == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.counts.as_ptr() => *const c_int,
        call.send.starts_bytes.as_ptr() => *const c_int,
        call.send.datatypes.as_ptr() => *const ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.counts.as_ptr() => *const c_int,
        call.recv.starts_bytes.as_ptr() => *const c_int,
        call.recv.datatypes.as_ptr() => *const ffi::MPI_Datatype,
    )
}

collective! {
    /// Every rank waits for all.
    Barrier {}
    MPI_Barrier, MPI_Ibarrier, "Barrier_init",
    |_call, comm| requires true; ()
}

collective! {
    /// Every rank gets what the root has.
    Bcast {
        /// Given by the root, got by the others.
        message: Elements,
        /// The root.
        root: usize,
    }
    MPI_Bcast, MPI_Ibcast, "Bcast_init",
    |call, comm| requires call.root < comm.size(); (
        call.message.address => *mut c_void,
        call.message.count => c_int,
        call.message.datatype => ffi::MPI_Datatype,
        root(call.root) => c_int,
    )
}

collective! {
    /// The root gets what every rank gives.
    Gather {
        /// What this rank gives.
        send: Elements,
        /// A block from each rank.
        recv: Blocks,
        /// The root.
        root: usize,
    }
    MPI_Gather, MPI_Igather, "Gather_init",
    |call, comm| requires call.root < comm.size() && call.recv.blocks == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.each => c_int,
        call.recv.datatype => ffi::MPI_Datatype,
        root(call.root) => c_int,
    )
}

collective! {
    /// As [`Gather`], with a length for each rank.
    Gatherv {
        /// What this rank gives.
        send: Elements,
        /// A part from each rank.
        recv: Parts,
        /// The root.
        root: usize,
    }
    MPI_Gatherv, MPI_Igatherv, "Gatherv_init",
    |call, comm| requires call.root < comm.size() && call.recv.counts.len() == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.counts.as_ptr() => *const c_int,
        call.recv.starts.as_ptr() => *const c_int,
        call.recv.datatype => ffi::MPI_Datatype,
        root(call.root) => c_int,
    )
}

collective! {
    /// The root gets the sum of all ranks' elements.
    Reduce {
        /// What this rank gives.
        send: Elements,
        /// What this rank gets.
        recv: Elements,
        /// What is computed.
        operation: Reduction,
        /// The root.
        root: usize,
    }
    MPI_Reduce, MPI_Ireduce, "Reduce_init",
    |call, comm| requires call.root < comm.size() && call.send.count == call.recv.count && call.send.datatype == call.recv.datatype; (
        call.send.address.cast_const() => *const c_void,
        call.recv.address => *mut c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.operation.raw() => ffi::MPI_Op,
        root(call.root) => c_int,
    )
}

collective! {
    /// Every rank gets its part of the sum of all ranks' elements.
    ReduceScatter {
        /// A part for each rank.
        send: Parts,
        /// What this rank gets.
        recv: Elements,
        /// What is computed.
        operation: Reduction,
    }
    MPI_Reduce_scatter, MPI_Ireduce_scatter, "Reduce_scatter_init",
    |call, comm| requires call.send.counts.len() == comm.size() && call.send.counts[comm.rank()] == call.recv.count && call.send.datatype == call.recv.datatype; (
        call.send.address.cast_const() => *const c_void,
        call.recv.address => *mut c_void,
        call.send.counts.as_ptr() => *const c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.operation.raw() => ffi::MPI_Op,
    )
}

collective! {
    /// The root gives each rank a block of its own.
    Scatter {
        /// A block for each rank.
        send: Blocks,
        /// What this rank gets.
        recv: Elements,
        /// The root.
        root: usize,
    }
    MPI_Scatter, MPI_Iscatter, "Scatter_init",
    |call, comm| requires call.root < comm.size() && call.send.blocks == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.each => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.count => c_int,
        call.recv.datatype => ffi::MPI_Datatype,
        root(call.root) => c_int,
    )
}

collective! {
    /// As [`Scatter`], with a length for each rank.
    Scatterv {
        /// A part for each rank.
        send: Parts,
        /// What this rank gets.
        recv: Elements,
        /// The root.
        root: usize,
    }
    MPI_Scatterv, MPI_Iscatterv, "Scatterv_init",
    |call, comm| requires call.root < comm.size() && call.send.counts.len() == comm.size(); (
        call.send.address.cast_const() => *const c_void,
        call.send.counts.as_ptr() => *const c_int,
        call.send.starts.as_ptr() => *const c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.count => c_int,
        call.recv.datatype => ffi::MPI_Datatype,
        root(call.root) => c_int,
    )
}

collective! {
    /// Every rank gets what its neighbours give.
    NeighborAllgather {
        /// What this rank gives.
        send: Elements,
        /// A block from each neighbour.
        recv: Blocks,
    }
    MPI_Neighbor_allgather, MPI_Ineighbor_allgather, "Neighbor_allgather_init",
    |call, comm| requires call.recv.blocks == comm.neighbours(); (
        call.send.address.cast_const() => *const c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.each => c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// As [`NeighborAllgather`], with a length for each neighbour.
    NeighborAllgatherv {
        /// What this rank gives.
        send: Elements,
        /// A part from each neighbour.
        recv: Parts,
    }
    MPI_Neighbor_allgatherv, MPI_Ineighbor_allgatherv, "Neighbor_allgatherv_init",
    |call, comm| requires call.recv.counts.len() == comm.neighbours(); (
        call.send.address.cast_const() => *const c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.counts.as_ptr() => *const c_int,
        call.recv.starts.as_ptr() => *const c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// Every rank gives each neighbour a block of its own.
    NeighborAlltoall {
        /// A block for each neighbour.
        send: Blocks,
        /// A block from each neighbour.
        recv: Blocks,
    }
    MPI_Neighbor_alltoall, MPI_Ineighbor_alltoall, "Neighbor_alltoall_init",
    |call, comm| requires call.send.blocks == comm.neighbours() && call.recv.blocks == comm.neighbours(); (
        call.send.address.cast_const() => *const c_void,
        call.send.each => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.each => c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// As [`NeighborAlltoall`], with a length for each block.
    NeighborAlltoallv {
        /// A part for each neighbour.
        send: Parts,
        /// A part from each neighbour.
        recv: Parts,
    }
    MPI_Neighbor_alltoallv, MPI_Ineighbor_alltoallv, "Neighbor_alltoallv_init",
    |call, comm| requires call.send.counts.len() == comm.neighbours() && call.recv.counts.len() == comm.neighbours(); (
        call.send.address.cast_const() => *const c_void,
        call.send.counts.as_ptr() => *const c_int,
        call.send.starts.as_ptr() => *const c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.counts.as_ptr() => *const c_int,
        call.recv.starts.as_ptr() => *const c_int,
        call.recv.datatype => ffi::MPI_Datatype,
    )
}

collective! {
    /// As [`NeighborAlltoallv`], with a datatype for each block.
    NeighborAlltoallw {
        /// A part for each neighbour.
        send: Parts,
        /// A part from each neighbour.
        recv: Parts,
    }
    MPI_Neighbor_alltoallw, MPI_Ineighbor_alltoallw, "Neighbor_alltoallw_init",
    |call, comm| requires call.send.counts.len() == comm.neighbours() && call.recv.counts.len() == comm.neighbours(); (
        call.send.address.cast_const() => *const c_void,
        call.send.counts.as_ptr() => *const c_int,
        call.send.starts_address.as_ptr() => *const ffi::MPI_Aint,
        call.send.datatypes.as_ptr() => *const ffi::MPI_Datatype,
        call.recv.address => *mut c_void,
        call.recv.counts.as_ptr() => *const c_int,
        call.recv.starts_address.as_ptr() => *const ffi::MPI_Aint,
        call.recv.datatypes.as_ptr() => *const ffi::MPI_Datatype,
    )
}
