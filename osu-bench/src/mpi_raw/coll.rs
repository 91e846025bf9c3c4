//! Collective operations, each in its blocking, non-blocking and persistent form.
//!
//! Persistent collectives are MPI 4.0. Open MPI 4.1 has them under the prefix `MPIX_`, and `mpi.h` of an older MPI not at all,
//! so they are looked up in the running program by name.

use std::os::raw::{c_int, c_void};

use libloading::os::unix::Library;
use mpi::ffi;
use thiserror::Error;

use super::request::{Persistent, Request};
use super::{Comm, Elements, Reduction, check};

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

/// Declares a call: its fields, its three functions, and the arguments before the communicator with their C types.
macro_rules! collective {
    (
        $(#[$doc:meta])*
        $call:ident { $($(#[$field_doc:meta])* $field:ident: $field_type:ty),* $(,)? }
        $blocking:ident, $start:ident, $init:literal,
        |$this:ident| ($($argument:expr => $c_type:ty),* $(,)?)
    ) => {
        $(#[$doc])*
        pub(crate) struct $call {
            $($(#[$field_doc])* pub(crate) $field: $field_type),*
        }

        impl Call for $call {
            fn blocking(&self, comm: &Comm) {
                let $this = self;
                // SAFETY: Memory and Handles, see the module's documentation.
                let code = unsafe { ffi::$blocking($($argument,)* comm.raw) };
                check(code, stringify!($blocking));
            }

            fn start(&self, comm: &Comm) -> Request {
                let $this = self;
                Request::new(stringify!($start), |request| {
                    // SAFETY: Memory and Handles, see the module's documentation; `request` is a slot for one handle.
                    unsafe { ffi::$start($($argument,)* comm.raw, request) }
                })
            }

            fn init(&self, comm: &Comm) -> Result<Persistent, CollectiveError> {
                type Init = unsafe extern "C" fn($($c_type,)* ffi::MPI_Comm, ffi::MPI_Info, *mut ffi::MPI_Request) -> c_int;
                // SAFETY: MPI 4.0 gives the function this type: the blocking call's arguments, an info and a request.
                let init = unsafe { look_up::<Init>($init) }?;
                let $this = self;
                Ok(Persistent::new($init, |request| {
                    // SAFETY: Memory and Handles, see the module's documentation; `request` is a slot for one handle.
                    unsafe { init($($argument,)* comm.raw, no_info(), request) }
                }))
            }
        }
    };
}

collective! {
    /// Every rank gets the sum of all ranks' elements.
    Allreduce {
        /// This rank's elements.
        send: Elements,
        /// The sums; as many.
        recv: Elements,
        /// What is computed.
        operation: Reduction,
    }
    MPI_Allreduce, MPI_Iallreduce, "Allreduce_init",
    |call| (
        call.send.address.cast_const() => *const c_void,
        call.recv.address => *mut c_void,
        call.send.count => c_int,
        call.send.datatype => ffi::MPI_Datatype,
        call.operation.raw() => ffi::MPI_Op,
    )
}

collective! {
    /// Every rank waits for all.
    Barrier {}
    MPI_Barrier, MPI_Ibarrier, "Barrier_init",
    |_call| ()
}
