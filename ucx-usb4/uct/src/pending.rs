//! Sends that found no room (`uct_ep_pending_add`): kept in order for each endpoint, tried again from progress.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::ffi::{c_uint, c_void};

use ucx_sys::public::*;

use crate::ep::Ep;

/// The waiting requests of one endpoint.
#[derive(Default)]
pub(crate) struct Pending {
    queue: RefCell<VecDeque<*mut uct_pending_req_t>>,
    /// The endpoint's requests are being tried: what they send must not wait behind themselves.
    dispatching: Cell<bool>,
    /// The endpoint stands in its interface's schedule.
    scheduled: Cell<bool>,
}

impl Pending {
    /// A new send must queue up.
    pub(crate) fn must_wait(&self) -> bool {
        !self.dispatching.get() && !self.queue.borrow().is_empty()
    }

    /// Nothing waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.queue.borrow().is_empty()
    }

    fn pop(&self) -> Option<*mut uct_pending_req_t> {
        self.queue.borrow_mut().pop_front()
    }

    /// Tries the requests in order, until one does not get through. Returns how many made progress.
    fn dispatch(&self) -> u32 {
        let mut count = 0;
        self.dispatching.set(true);
        while let Some(request) = self.pop() {
            // SAFETY: the request is ours until its function returns UCS_OK.
            let function = unsafe { (*request).func };
            let function = function.expect("UCX sets the function of a pending request");
            // SAFETY: the function takes its own request.
            let status = unsafe { function(request) };
            if status == UCS_OK {
                count += 1;
                continue;
            }
            self.queue.borrow_mut().push_front(request);
            // In progress: a part was sent, and the rest wants to be called again, after the other endpoints had their turn.
            count += u32::from(status == UCS_INPROGRESS);
            break;
        }
        self.dispatching.set(false);
        count
    }
}

/// The endpoints that have pending requests, in the order of their turns.
#[derive(Default)]
pub(crate) struct Schedule(RefCell<VecDeque<*const Ep>>);

impl Schedule {
    /// No endpoint waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    fn add(&self, ep: &Ep) {
        if !ep.pending.scheduled.replace(true) {
            self.0.borrow_mut().push_back(std::ptr::from_ref(ep));
        }
    }

    /// Forgets an endpoint that goes away.
    pub(crate) fn remove(&self, ep: &Ep) {
        if ep.pending.scheduled.replace(false) {
            self.0.borrow_mut().retain(|&other| !std::ptr::eq(other, ep));
        }
    }

    /// Gives each endpoint one turn. Returns how many requests made progress.
    pub(crate) fn dispatch(&self) -> u32 {
        let mut count = 0;
        let turns = self.0.borrow().len();
        for _ in 0..turns {
            // Fewer are left when a request's function destroyed an endpoint.
            let Some(ep) = self.0.borrow_mut().pop_front() else { break };
            // SAFETY: an endpoint leaves the schedule before it is freed.
            let ep = unsafe { &*ep };
            ep.pending.scheduled.set(false);
            if ep.failure().is_some() || !ep.can_send() {
                // UCX purges the requests of a failed endpoint.
                self.add(ep);
                continue;
            }
            count += ep.pending.dispatch();
            if !ep.pending.is_empty() {
                self.add(ep);
            }
        }
        count
    }
}

/// `uct_ep_pending_add`: keeps the request, unless there is room now (`UCS_ERR_BUSY`: try again at once).
pub(crate) unsafe extern "C" fn pending_add(
    handle: uct_ep_h,
    request: *mut uct_pending_req_t,
    _flags: c_uint,
) -> ucs_status_t {
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(handle) };
    if ep.pending.is_empty() && (ep.failure().is_some() || ep.can_send()) {
        return UCS_ERR_BUSY;
    }
    ep.pending.queue.borrow_mut().push_back(request);
    ep.iface().schedule().add(&ep);
    UCS_OK
}

/// `uct_ep_pending_purge`: hands all requests back through `callback`.
pub(crate) unsafe extern "C" fn pending_purge(
    handle: uct_ep_h,
    callback: uct_pending_purge_callback_t,
    arg: *mut c_void,
) {
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(handle) };
    ep.iface().schedule().remove(&ep);
    while let Some(request) = ep.pending.pop() {
        if let Some(callback) = callback {
            // SAFETY: the request goes back to its owner, with the argument that the caller chose.
            unsafe { callback(request, arg) };
        }
    }
}
