//! Flushes of endpoints and interfaces: complete when the peers have acknowledged everything that was sent before.

use std::cell::RefCell;

use ucx_sys::complete;
use ucx_sys::public::*;
use usb4_engine::ConnId;

use crate::ep::Ep;
use crate::iface::Iface;
use crate::status;
use usb4_port::Port;

/// How far one connection has to be acknowledged, in frames sent.
#[derive(Clone, Copy)]
struct Goal {
    conn: ConnId,
    mark: u64,
    /// The same for messages. Whoever ends after a flush repeats none that was lost, so they are waited for while the peer answers.
    sent: u64,
    /// The operation that was started last: it and those before it must have completed.
    operation: u64,
}

impl Goal {
    fn is_reached(&self, port: &Port, iface: &Iface) -> bool {
        iface.operations().done_up_to(self.conn, self.operation)
            && port.is_acknowledged(self.conn, self.mark)
            && (port.is_acknowledged(self.conn, self.sent) || port.is_silent(self.conn))
    }
}

/// A completion that waits for its goals.
struct Waiting {
    goals: Vec<Goal>,
    /// The endpoint that is flushed; null for the whole interface.
    ep: *const Ep,
    completion: *mut uct_completion_t,
}

/// The flushes of one interface that are under way.
#[derive(Default)]
pub(crate) struct Flushes(RefCell<Vec<Waiting>>);

impl Flushes {
    /// None is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.borrow().is_empty()
    }

    /// Completes what is acknowledged by now. Returns how many.
    pub(crate) fn progress(&self, iface: &Iface) -> u32 {
        let mut done = Vec::new();
        {
            let port = iface.port();
            let mut waiting = self.0.borrow_mut();
            for flush in waiting.iter_mut() {
                flush.goals.retain(|goal| !goal.is_reached(&port, iface));
            }
            waiting.retain(|flush| {
                let complete = flush.goals.is_empty();
                if complete {
                    done.push(flush.completion);
                }
                !complete
            });
        }
        for &completion in &done {
            // SAFETY: the completion is ours from the flush call until now.
            unsafe { complete(completion, UCS_OK) };
        }
        u32::try_from(done.len()).unwrap_or(u32::MAX)
    }

    /// Completes every flush that waits for a connection that failed.
    pub(crate) fn fail(&self, conn: ConnId, status: ucs_status_t) {
        self.end(|flush| flush.goals.iter().any(|goal| goal.conn == conn), status);
    }

    /// Completes every flush of an endpoint that is being destroyed: afterwards UCX has nothing to be told by.
    pub(crate) fn cancel(&self, ep: *const Ep) {
        self.end(|flush| std::ptr::eq(flush.ep, ep), UCS_ERR_CANCELED);
    }

    fn end(&self, concerns: impl Fn(&Waiting) -> bool, status: ucs_status_t) {
        let ended: Vec<Waiting> = self.0.borrow_mut().extract_if(.., |flush| concerns(flush)).collect();
        for flush in ended {
            // SAFETY: the completion is ours from the flush call until now.
            unsafe { complete(flush.completion, status) };
        }
    }
}

/// `uct_ep_flush`.
pub(crate) fn endpoint(ep: &Ep, _flags: u32, completion: *mut uct_completion_t) -> ucs_status_t {
    if ep.failure().is_some() {
        // Nothing of it is under way any more, which is all that UCX wants to know before it destroys the endpoint.
        return UCS_OK;
    }
    if ep.pending.must_wait() {
        return UCS_ERR_NO_RESOURCE;
    }
    let iface = ep.iface();
    let goals = goals(iface, [ep.conn()]);
    start(iface, goals, ep, completion)
}

/// `uct_iface_flush`: all endpoints of the interface.
pub(crate) unsafe extern "C" fn iface_flush(
    handle: uct_iface_h,
    flags: std::ffi::c_uint,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    if flags & UCT_FLUSH_FLAG_CANCEL != 0 {
        return status::report(UCS_ERR_UNSUPPORTED, format_args!("iface flush with the cancel flag is not supported"));
    }
    // SAFETY: UCX passes interfaces that `iface_open` returned and that it has not closed.
    let iface = unsafe { Iface::from_handle(handle) };
    let conns = iface.port().connections();
    let goals = goals(&iface, conns);
    start(&iface, goals, std::ptr::null(), completion)
}

/// What is not acknowledged yet, and a request to the peers to say so soon.
fn goals(iface: &Iface, conns: impl IntoIterator<Item = ConnId>) -> Vec<Goal> {
    let mut port = iface.port();
    let mut goals = Vec::new();
    for conn in conns {
        let (mark, sent) = (port.flush_mark(conn), port.sent_mark(conn));
        let goal = Goal { conn, mark, sent, operation: iface.operations().last_number() };
        if !goal.is_reached(&port, iface) {
            port.request_ack(conn);
            goals.push(goal);
        }
    }
    goals
}

fn start(iface: &Iface, goals: Vec<Goal>, ep: *const Ep, completion: *mut uct_completion_t) -> ucs_status_t {
    if goals.is_empty() {
        return UCS_OK;
    }
    if !completion.is_null() {
        iface.flushes().0.borrow_mut().push(Waiting { goals, ep, completion });
    }
    UCS_INPROGRESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destroyed_endpoint_ends_its_own_flushes_and_no_others() {
        let waits = || uct_completion_t { func: None, count: 1, status: UCS_OK };
        let (mut own, mut other, mut all) = (waits(), waits(), waits());
        let [ep, another] = [1, 2].map(std::ptr::without_provenance::<Ep>);
        let flushes = Flushes::default();
        for (ep, completion) in [(ep, &raw mut own), (another, &raw mut other), (std::ptr::null(), &raw mut all)] {
            flushes.0.borrow_mut().push(Waiting { goals: Vec::new(), ep, completion });
        }
        flushes.cancel(ep);
        assert_eq!((own.count, own.status), (0, UCS_ERR_CANCELED));
        assert_eq!((other.count, all.count, flushes.0.borrow().len()), (1, 1, 2));
    }
}
