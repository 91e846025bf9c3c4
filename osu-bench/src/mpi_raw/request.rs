//! Requests: one, a window of many, and persistent ones.

use std::os::raw::c_int;

use mpi::ffi;

use super::check;

/// One outstanding non-blocking operation.
pub(crate) struct Request {
    raw: ffi::MPI_Request,
}

/// A window of outstanding non-blocking operations, reused from iteration to iteration.
pub(crate) struct Requests {
    raw: Vec<ffi::MPI_Request>,
}

/// One persistent operation, started again for each iteration.
pub(crate) struct Persistent {
    raw: ffi::MPI_Request,
}

/// A window of persistent operations that start and complete together.
pub(crate) struct PersistentSet {
    raw: Vec<ffi::MPI_Request>,
}

fn null() -> ffi::MPI_Request {
    // SAFETY: a constant of rsmpi's C part, written before main and never again.
    unsafe { ffi::RSMPI_REQUEST_NULL }
}

fn wait_all(requests: &mut [ffi::MPI_Request]) {
    let count = c_int::try_from(requests.len()).expect("windows are small");
    // SAFETY: a constant of rsmpi's C part, written before main and never again.
    let ignore = unsafe { ffi::RSMPI_STATUSES_IGNORE };
    // SAFETY: `count` handles of live requests; MPI_STATUSES_IGNORE may stand for the statuses.
    let code = unsafe { ffi::MPI_Waitall(count, requests.as_mut_ptr(), ignore) };
    check(code, "MPI_Waitall");
}

fn wait_one(request: &mut ffi::MPI_Request) {
    // SAFETY: a constant of rsmpi's C part, written before main and never again.
    let ignore = unsafe { ffi::RSMPI_STATUS_IGNORE };
    // SAFETY: the handle of a live request; MPI_STATUS_IGNORE may stand for the status.
    let code = unsafe { ffi::MPI_Wait(request, ignore) };
    check(code, "MPI_Wait");
}

fn free(request: &mut ffi::MPI_Request) {
    // SAFETY: the handle of a live persistent request; MPI lets an active one finish and sets the handle to null.
    let code = unsafe { ffi::MPI_Request_free(request) };
    check(code, "MPI_Request_free");
}

impl Request {
    /// The request that `post` writes into the slot it gets.
    #[inline]
    pub(super) fn new(call: &'static str, post: impl FnOnce(*mut ffi::MPI_Request) -> c_int) -> Self {
        let mut raw = null();
        check(post(&mut raw), call);
        Self { raw }
    }

    /// `MPI_Test`: makes progress; true once the operation is complete.
    pub(crate) fn test(&mut self) -> bool {
        let mut done: c_int = 0;
        // SAFETY: a constant of rsmpi's C part, written before main and never again.
        let ignore = unsafe { ffi::RSMPI_STATUS_IGNORE };
        // SAFETY: the handle of a live or completed (null) request, a flag, and MPI_STATUS_IGNORE for the status.
        let code = unsafe { ffi::MPI_Test(&mut self.raw, &mut done, ignore) };
        check(code, "MPI_Test");
        done != 0
    }

    /// `MPI_Wait`.
    #[inline]
    pub(crate) fn wait(mut self) {
        wait_one(&mut self.raw);
    }
}

impl Requests {
    /// Room for a window of `capacity` operations.
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        Self { raw: Vec::with_capacity(capacity) }
    }

    /// A new slot at the end of the window.
    #[inline]
    pub(super) fn slot(&mut self) -> &mut ffi::MPI_Request {
        self.raw.push(null());
        let last = self.raw.len() - 1;
        &mut self.raw[last]
    }

    /// `MPI_Waitall` over the window, which is empty afterwards.
    #[inline]
    pub(crate) fn wait_all(&mut self) {
        wait_all(&mut self.raw);
        self.raw.clear();
    }
}

impl Persistent {
    /// The request that `init` writes into the slot it gets.
    pub(super) fn new(call: &'static str, init: impl FnOnce(*mut ffi::MPI_Request) -> c_int) -> Self {
        let mut raw = null();
        check(init(&mut raw), call);
        Self { raw }
    }

    /// `MPI_Start`.
    #[inline]
    pub(crate) fn start(&mut self) {
        // SAFETY: the handle of a live, inactive persistent request.
        let code = unsafe { ffi::MPI_Start(&mut self.raw) };
        check(code, "MPI_Start");
    }

    /// `MPI_Wait`; the request can be started again.
    #[inline]
    pub(crate) fn wait(&mut self) {
        wait_one(&mut self.raw);
    }
}

impl Drop for Persistent {
    fn drop(&mut self) {
        free(&mut self.raw);
    }
}

impl PersistentSet {
    /// A window of the given operations.
    pub(crate) fn new(operations: impl IntoIterator<Item = Persistent>) -> Self {
        let raw = operations
            .into_iter()
            .map(|operation| {
                let raw = operation.raw;
                // The handle moves into the set, which frees it.
                std::mem::forget(operation);
                raw
            })
            .collect();
        Self { raw }
    }

    /// `MPI_Startall`.
    #[inline]
    pub(crate) fn start_all(&mut self) {
        let count = c_int::try_from(self.raw.len()).expect("windows are small");
        // SAFETY: `count` handles of live, inactive persistent requests.
        let code = unsafe { ffi::MPI_Startall(count, self.raw.as_mut_ptr()) };
        check(code, "MPI_Startall");
    }

    /// `MPI_Waitall`; the operations can be started again.
    #[inline]
    pub(crate) fn wait_all(&mut self) {
        wait_all(&mut self.raw);
    }
}

impl Drop for PersistentSet {
    fn drop(&mut self) {
        self.raw.iter_mut().for_each(free);
    }
}
