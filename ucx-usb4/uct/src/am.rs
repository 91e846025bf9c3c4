//! Active messages: `uct_ep_am_short`, `_short_iov`, `_bcopy`, `_zcopy`.
//!
//! A message that fits one frame is written straight into the frame that leaves: one copy here, one at the receiver. Longer
//! ones (up to `UCX_USB4_SEG_SIZE`) are cut into frames here and put together again by the receiver.

use std::ffi::{c_uint, c_void};

use ucx_sys::public::{
    UCS_ERR_INVALID_PARAM, UCS_OK, UCT_AM_ID_MAX, ucs_status_t, uct_completion_t, uct_ep_h, uct_iov_t,
    uct_pack_callback_t,
};

use crate::ep::Ep;
use crate::gather::{Gather, Piece};
use crate::status::{self, report};
use usb4_port::{Part, Port};

/// Longest user header of `am_zcopy`, bytes (`uct_iface_attr_t::cap.am.max_hdr`).
pub(crate) const MAX_HDR: usize = 512;
/// Most `uct_iov_t` of one call (`uct_iface_attr_t::cap.*.max_iov`).
pub(crate) const MAX_IOV: usize = 16;
/// Bytes of the header word of `am_short`.
const SHORT_HEADER_LEN: usize = size_of::<u64>();
/// Longest `am_short`, its header word included: what one frame holds.
pub(crate) const MAX_SHORT: usize = usb4_wire::PAYLOAD_MAX;

/// `uct_ep_am_short`: `header` and `length` bytes of `payload`, at most [`MAX_SHORT`] together.
pub(crate) unsafe extern "C" fn am_short(
    ep: uct_ep_h,
    id: u8,
    header: u64,
    payload: *const c_void,
    length: c_uint,
) -> ucs_status_t {
    let total = SHORT_HEADER_LEN + length as usize;
    if let Err(status) = check_id(id).and(check_length(total, MAX_SHORT, "am_short")) {
        return status;
    }
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    let mut port = match ep.sender() {
        Ok(port) => port,
        Err(status) => return status,
    };
    let frame = match port.reserve(ep.conn(), 1) {
        Ok(frame) => frame,
        Err(refused) => return status::of_refusal(refused),
    };
    let mut filler = port.fill(frame);
    filler.put_u64(header);
    // SAFETY: UCX passes `length` readable bytes.
    unsafe { filler.put(payload.cast(), length as usize) };
    port.send_am(ep.conn(), frame, id, Part::WHOLE, total);
    UCS_OK
}

/// `uct_ep_am_short_iov`: the bytes of `iov`, at most [`MAX_SHORT`] together.
pub(crate) unsafe extern "C" fn am_short_iov(
    ep: uct_ep_h,
    id: u8,
    iov: *const uct_iov_t,
    iovcnt: usize,
) -> ucs_status_t {
    // SAFETY: UCX passes `iovcnt` entries with readable memory behind each.
    let mut gather = match unsafe { Gather::new(Piece::EMPTY, iov, iovcnt) } {
        Ok(gather) => gather,
        Err(status) => return status,
    };
    if let Err(status) = check_id(id).and(check_length(gather.remaining(), MAX_SHORT, "am_short_iov")) {
        return status;
    }
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    send(&ep, id, &mut gather).into()
}

/// `uct_ep_am_bcopy`: `pack` writes the message, at most `cap.am.max_bcopy` bytes, and says how many. Returns the length.
pub(crate) unsafe extern "C" fn am_bcopy(
    ep: uct_ep_h,
    id: u8,
    pack: uct_pack_callback_t,
    arg: *mut c_void,
    _flags: c_uint,
) -> isize {
    if let Err(status) = check_id(id) {
        return status.as_ssize();
    }
    let Some(pack) = pack else { return UCS_ERR_INVALID_PARAM.as_ssize() };
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    let iface = ep.iface();
    let frames = Port::frames_for(iface.seg_size());
    // Room for the longest message first: `pack` runs once, and only when the message can leave.
    let frame = match ep.sender().and_then(|mut port| port.reserve(ep.conn(), frames).map_err(status::of_refusal)) {
        Ok(frame) => frame,
        Err(status) => return status.as_ssize(),
    };
    if frames == 1 {
        let room = iface.port().fill(frame).as_mut_ptr();
        // SAFETY: `room` has `max_bcopy` writable bytes, which is what UCX lets a pack callback write.
        let length = unsafe { pack(room.cast(), arg) };
        iface.port().send_am(ep.conn(), frame, id, Part::WHOLE, length);
        return length.cast_signed();
    }
    iface.port().cancel(frame);
    let mut scratch = iface.scratch();
    // SAFETY: the scratch buffer has `max_bcopy` bytes, which is what UCX lets a pack callback write.
    let length = unsafe { pack(scratch.as_mut_ptr().cast(), arg) };
    let piece = Piece::new(scratch.as_ptr(), length);
    // SAFETY: the piece is the packed part of the scratch buffer, which is not touched until it is sent.
    let sent = unsafe { Gather::new(piece, std::ptr::null(), 0) }.map(|mut gather| send(&ep, id, &mut gather));
    match sent {
        Ok(Ok(())) => length.cast_signed(),
        Ok(Err(status)) | Err(status) => status.as_ssize(),
    }
}

/// `uct_ep_am_zcopy`: a header of at most [`MAX_HDR`] bytes and the bytes of `iov`, together at most `cap.am.max_zcopy`.
///
/// The bytes are in frames when it returns, so the operation is complete then and `comp` is not used.
pub(crate) unsafe extern "C" fn am_zcopy(
    ep: uct_ep_h,
    id: u8,
    header: *const c_void,
    header_length: c_uint,
    iov: *const uct_iov_t,
    iovcnt: usize,
    _flags: c_uint,
    _comp: *mut uct_completion_t,
) -> ucs_status_t {
    let header = Piece::new(header.cast(), header_length as usize);
    // SAFETY: UCX passes `header_length` readable bytes and `iovcnt` entries with readable memory behind each.
    let mut gather = match unsafe { Gather::new(header, iov, iovcnt) } {
        Ok(gather) => gather,
        Err(status) => return status,
    };
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    let checked = check_id(id).and(check_length(header.len(), MAX_HDR, "am_zcopy header")).and(check_length(
        gather.remaining(),
        ep.iface().seg_size(),
        "am_zcopy",
    ));
    if let Err(status) = checked {
        return status;
    }
    send(&ep, id, &mut gather).into()
}

/// Sends what `gather` holds as one message of as many frames as it needs.
fn send(ep: &Ep, id: u8, gather: &mut Gather) -> Result<(), ucs_status_t> {
    let mut port = ep.sender()?;
    let total = gather.remaining();
    let mut frame = port.reserve(ep.conn(), Port::frames_for(total)).map_err(status::of_refusal)?;
    let mut first = true;
    loop {
        let mut filler = port.fill(frame);
        let length = gather.copy_to(&mut filler);
        let last = gather.remaining() == 0;
        port.send_am(ep.conn(), frame, id, Part { first, last }, length);
        if last {
            return Ok(());
        }
        first = false;
        frame = port.next_frame();
    }
}

fn check_id(id: u8) -> Result<(), ucs_status_t> {
    if usize::from(id) < UCT_AM_ID_MAX {
        return Ok(());
    }
    Err(report(
        UCS_ERR_INVALID_PARAM,
        format_args!("Invalid active message id {id} (valid range: 0..{})", UCT_AM_ID_MAX - 1),
    ))
}

/// Refuses a call whose length UCX was told not to use.
pub(crate) fn check_length(length: usize, max: usize, what: &str) -> Result<(), ucs_status_t> {
    if length <= max {
        return Ok(());
    }
    Err(report(UCS_ERR_INVALID_PARAM, format_args!("Invalid {what} length: {length} (expected: <= {max})")))
}
