//! Put and get (`uct_ep_put_*`, `uct_ep_get_*`), of any length where UCX allows it.
//!
//! Short and buffered puts are one frame and complete with the connection's acknowledgements. Everything else is an operation
//! of the engine, which cuts it into frames and spreads them over the rails.

use std::ffi::{c_uint, c_void};

use ucx_sys::public::*;
use usb4_engine::Transfer;
use usb4_wire::PAYLOAD_MAX;
use usb4_wire::extension::Put;

use crate::am::{MAX_IOV, check_length};
use crate::ep::Ep;
use crate::ops::Finish;
use crate::status::{self, report};
use usb4_port::RemotePlace;

/// Longest short or buffered put, bytes: what a frame holds behind the extension.
pub(crate) const MAX_PUT: usize = PAYLOAD_MAX - Put::LEN;
/// Longest buffered get, bytes: it needs a buffer of its own until the answer is there.
pub(crate) const MAX_GET_BCOPY: usize = 64 * 1024;
/// Longest zero-copy put or get, bytes. The engine knows no limit; UCX wants one.
pub(crate) const MAX_ZCOPY: usize = 1 << 30;

/// `uct_ep_put_short`: `length` bytes of `buffer`, at most [`MAX_PUT`].
pub(crate) unsafe extern "C" fn put_short(
    ep: uct_ep_h,
    buffer: *const c_void,
    length: c_uint,
    remote_addr: u64,
    rkey: uct_rkey_t,
) -> ucs_status_t {
    let length = length as usize;
    if let Err(status) = check_length(length, MAX_PUT, "put_short") {
        return status;
    }
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    if length == 0 {
        // Nothing to move, but a peer that is gone is noticed.
        ep.ask_for_life();
        return ep.failure().unwrap_or(UCS_OK);
    }
    let mut port = match ep.sender() {
        Ok(port) => port,
        Err(status) => return status,
    };
    let frame = match port.reserve_put(ep.conn()) {
        Ok(frame) => frame,
        Err(refused) => return status::of_refusal(refused),
    };
    let mut filler = port.fill_put(frame, place(remote_addr, rkey));
    // SAFETY: UCX passes `length` readable bytes.
    unsafe { filler.put(buffer.cast(), length) };
    port.send_put(ep.conn(), frame, length);
    ep.iface().requested().put_short.add(length);
    UCS_OK
}

/// `uct_ep_put_bcopy`: `pack` writes at most [`MAX_PUT`] bytes, and says how many. Returns the length.
pub(crate) unsafe extern "C" fn put_bcopy(
    ep: uct_ep_h,
    pack: uct_pack_callback_t,
    arg: *mut c_void,
    remote_addr: u64,
    rkey: uct_rkey_t,
) -> isize {
    let Some(pack) = pack else { return UCS_ERR_INVALID_PARAM.as_ssize() };
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    let reserved = ep.sender().and_then(|mut port| {
        let frame = port.reserve_put(ep.conn()).map_err(status::of_refusal)?;
        Ok((frame, port.fill_put(frame, place(remote_addr, rkey)).as_mut_ptr()))
    });
    let (frame, room) = match reserved {
        Ok(reserved) => reserved,
        Err(status) => return status.as_ssize(),
    };
    // SAFETY: `room` has `max_bcopy` writable bytes, which is what UCX lets a pack callback write.
    let length = unsafe { pack(room.cast(), arg) };
    let mut port = ep.iface().port();
    if length == 0 {
        port.cancel(frame);
    } else {
        port.send_put(ep.conn(), frame, length);
        ep.iface().requested().put_bcopy.add(length);
    }
    length.cast_signed()
}

/// `uct_ep_put_zcopy`: complete when the target has everything.
pub(crate) unsafe extern "C" fn put_zcopy(
    ep: uct_ep_h,
    iov: *const uct_iov_t,
    iovcnt: usize,
    remote_addr: u64,
    rkey: uct_rkey_t,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    // SAFETY: as this function's caller promises.
    unsafe { zcopy(Direction::Put, ep, iov, iovcnt, remote_addr, rkey, completion) }
}

/// `uct_ep_get_zcopy`: complete when all bytes are here.
pub(crate) unsafe extern "C" fn get_zcopy(
    ep: uct_ep_h,
    iov: *const uct_iov_t,
    iovcnt: usize,
    remote_addr: u64,
    rkey: uct_rkey_t,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    // SAFETY: as this function's caller promises.
    unsafe { zcopy(Direction::Get, ep, iov, iovcnt, remote_addr, rkey, completion) }
}

/// `uct_ep_get_bcopy`: `unpack` gets the bytes when all are here; at most [`MAX_GET_BCOPY`].
pub(crate) unsafe extern "C" fn get_bcopy(
    ep: uct_ep_h,
    unpack: uct_unpack_callback_t,
    arg: *mut c_void,
    length: usize,
    remote_addr: u64,
    rkey: uct_rkey_t,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    if let Err(status) = check_length(length, MAX_GET_BCOPY, "get_bcopy") {
        return status;
    }
    let Some(unpack) = unpack else { return UCS_ERR_INVALID_PARAM };
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    let mut port = match ep.sender() {
        Ok(port) => port,
        Err(status) => return status,
    };
    if let Err(refused) = port.admit_operations(ep.conn(), 1) {
        return status::of_refusal(refused);
    }
    let mut buffer = vec![0; length].into_boxed_slice();
    let local_addr = buffer.as_mut_ptr().expose_provenance() as u64;
    let cookie = ep.iface().operations().start(ep.conn(), 1, Finish::Unpack { buffer, unpack, arg }, completion);
    let transfer = Transfer { cookie, local_addr, remote_addr, len: length as u64, key: rkey as u64 };
    // SAFETY: the buffer belongs to the operation until its event.
    let started = unsafe { port.start_get(ep.conn(), transfer) };
    started.expect("admitted above");
    ep.iface().requested().get_bcopy.add(length);
    port.push_operations();
    UCS_INPROGRESS
}

#[derive(Clone, Copy)]
enum Direction {
    Put,
    Get,
}

/// One transfer for each entry, one completion for all.
///
/// # Safety
/// UCX's promises for `uct_ep_put_zcopy` and `uct_ep_get_zcopy`: the entries' memory stays as it is until the completion.
unsafe fn zcopy(
    direction: Direction,
    ep: uct_ep_h,
    iov: *const uct_iov_t,
    iovcnt: usize,
    remote_addr: u64,
    rkey: uct_rkey_t,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    if iovcnt > MAX_IOV {
        return report(UCS_ERR_INVALID_PARAM, format_args!("iovcnt({iovcnt}) should be limited by {MAX_IOV}"));
    }
    let mut ranges = [(0, 0); MAX_IOV];
    let mut transfers = 0;
    let mut total = 0;
    for index in 0..iovcnt {
        let entry = iov.wrapping_add(index);
        // SAFETY: UCX passes `iovcnt` entries.
        let entry = unsafe { &*entry };
        let len = entry.length * entry.count as usize;
        if len > 0 {
            ranges[transfers] = (entry.buffer.expose_provenance() as u64, len as u64);
            transfers += 1;
            total += len;
        }
    }
    if let Err(status) = check_length(total, MAX_ZCOPY, "zcopy") {
        return status;
    }
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    if transfers == 0 {
        return ep.failure().unwrap_or(UCS_OK);
    }
    let mut port = match ep.sender() {
        Ok(port) => port,
        Err(status) => return status,
    };
    if let Err(refused) = port.admit_operations(ep.conn(), transfers) {
        return status::of_refusal(refused);
    }
    let cookie = ep.iface().operations().start(ep.conn(), transfers as u32, Finish::Nothing, completion);
    let mut remote_addr = remote_addr;
    for &(local_addr, len) in &ranges[..transfers] {
        let transfer = Transfer { cookie, local_addr, remote_addr, len, key: rkey as u64 };
        let started = match direction {
            // SAFETY: UCX leaves the memory of the entries alone until the completion.
            Direction::Put => unsafe { port.start_put(ep.conn(), transfer) },
            // SAFETY: as above.
            Direction::Get => unsafe { port.start_get(ep.conn(), transfer) },
        };
        started.expect("admitted above");
        remote_addr = remote_addr.wrapping_add(len);
    }
    let requested = ep.iface().requested();
    match direction {
        Direction::Put => requested.put_zcopy.add(total),
        Direction::Get => requested.get_zcopy.add(total),
    }
    port.push_operations();
    UCS_INPROGRESS
}

fn place(remote_addr: u64, rkey: uct_rkey_t) -> RemotePlace {
    RemotePlace { remote_addr, key: rkey as u64 }
}
