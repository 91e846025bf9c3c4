//! Sleeping until something happens (`uct_iface_event_fd_get`, `uct_iface_event_arm`): UCX's wake-up mode.

use std::ffi::{c_int, c_uint};

use ucx_sys::public::*;

use crate::iface::Iface;

/// How long a sleeper with sends that wait for a rail stays away at most, nanoseconds: no peer wakes it when a rail has room.
const RETRY_NS: u64 = 50_000;

/// `uct_iface_event_fd_get`: the descriptor that becomes readable; it stays the interface's.
pub(crate) unsafe extern "C" fn event_fd_get(handle: uct_iface_h, out: *mut c_int) -> ucs_status_t {
    // SAFETY: UCX passes interfaces that `iface_open` returned and that it has not closed.
    let iface = unsafe { Iface::from_handle(handle) };
    let fd = iface.port().event_fd();
    // SAFETY: where UCX wants the descriptor.
    unsafe { out.write(fd) };
    UCS_OK
}

/// `uct_iface_event_arm`: the descriptor becomes readable for the next thing that progress would handle. `UCS_ERR_BUSY`: it is
/// there already.
pub(crate) unsafe extern "C" fn event_arm(handle: uct_iface_h, _events: c_uint) -> ucs_status_t {
    // SAFETY: UCX passes interfaces that `iface_open` returned and that it has not closed.
    let iface = unsafe { Iface::from_handle(handle) };
    let retry_ns = (!iface.schedule().is_empty()).then_some(RETRY_NS);
    if iface.port().arm(retry_ns) { UCS_OK } else { UCS_ERR_BUSY }
}
