//! Atomics (`uct_ep_atomic_*`), 32 and 64 bit: applied once, by the target's processor.

use std::ffi::c_uint;

use ucx_sys::public::*;
use usb4_engine::Atomic;
use usb4_wire::extension::{AtomicOp, AtomicWidth};

use crate::ep::Ep;
use crate::ops::Finish;
use crate::status::{self, report};

/// Operations without an answer (`cap.atomic*.op_flags`).
pub(crate) const POST_OPS: u64 =
    1 << UCT_ATOMIC_OP_ADD | 1 << UCT_ATOMIC_OP_AND | 1 << UCT_ATOMIC_OP_OR | 1 << UCT_ATOMIC_OP_XOR;
/// Operations that bring the old value (`cap.atomic*.fop_flags`).
pub(crate) const FETCH_OPS: u64 = POST_OPS | 1 << UCT_ATOMIC_OP_SWAP | 1 << UCT_ATOMIC_OP_CSWAP;

/// `uct_ep_atomic32_post`.
pub(crate) unsafe extern "C" fn post32(
    ep: uct_ep_h,
    opcode: c_uint,
    value: u32,
    remote_addr: u64,
    rkey: uct_rkey_t,
) -> ucs_status_t {
    post(ep, AtomicWidth::Bits32, opcode, value.into(), remote_addr, rkey)
}

/// `uct_ep_atomic64_post`.
pub(crate) unsafe extern "C" fn post64(
    ep: uct_ep_h,
    opcode: c_uint,
    value: u64,
    remote_addr: u64,
    rkey: uct_rkey_t,
) -> ucs_status_t {
    post(ep, AtomicWidth::Bits64, opcode, value, remote_addr, rkey)
}

/// `uct_ep_atomic32_fetch`: the old value is at `result` when the operation completes.
pub(crate) unsafe extern "C" fn fetch32(
    ep: uct_ep_h,
    opcode: c_uint,
    value: u32,
    result: *mut u32,
    remote_addr: u64,
    rkey: uct_rkey_t,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    let operands = Operands { value: value.into(), compare: 0 };
    let place = (remote_addr, rkey);
    with_code(opcode, FETCH_OPS, |code| {
        fetch(ep, AtomicWidth::Bits32, code, operands, place, Finish::Store32(result), completion)
    })
}

/// `uct_ep_atomic64_fetch`: the old value is at `result` when the operation completes.
pub(crate) unsafe extern "C" fn fetch64(
    ep: uct_ep_h,
    opcode: c_uint,
    value: u64,
    result: *mut u64,
    remote_addr: u64,
    rkey: uct_rkey_t,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    let operands = Operands { value, compare: 0 };
    let place = (remote_addr, rkey);
    with_code(opcode, FETCH_OPS, |code| {
        fetch(ep, AtomicWidth::Bits64, code, operands, place, Finish::Store64(result), completion)
    })
}

/// `uct_ep_atomic_cswap32`.
pub(crate) unsafe extern "C" fn cswap32(
    ep: uct_ep_h,
    compare: u32,
    swap: u32,
    remote_addr: u64,
    rkey: uct_rkey_t,
    result: *mut u32,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    let operands = Operands { value: swap.into(), compare: compare.into() };
    let (place, finish) = ((remote_addr, rkey), Finish::Store32(result));
    fetch(ep, AtomicWidth::Bits32, AtomicOp::CompareSwap, operands, place, finish, completion)
}

/// `uct_ep_atomic_cswap64`.
pub(crate) unsafe extern "C" fn cswap64(
    ep: uct_ep_h,
    compare: u64,
    swap: u64,
    remote_addr: u64,
    rkey: uct_rkey_t,
    result: *mut u64,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    let operands = Operands { value: swap, compare };
    let (place, finish) = ((remote_addr, rkey), Finish::Store64(result));
    fetch(ep, AtomicWidth::Bits64, AtomicOp::CompareSwap, operands, place, finish, completion)
}

#[derive(Clone, Copy)]
struct Operands {
    value: u64,
    compare: u64,
}

/// UCX's number of an operation in the protocol's terms, if it is one of `allowed`.
fn with_code(opcode: c_uint, allowed: u64, then: impl FnOnce(AtomicOp) -> ucs_status_t) -> ucs_status_t {
    let code = match opcode {
        UCT_ATOMIC_OP_ADD => AtomicOp::Add,
        UCT_ATOMIC_OP_AND => AtomicOp::And,
        UCT_ATOMIC_OP_OR => AtomicOp::Or,
        UCT_ATOMIC_OP_XOR => AtomicOp::Xor,
        UCT_ATOMIC_OP_SWAP => AtomicOp::Swap,
        _ => return report(UCS_ERR_UNSUPPORTED, format_args!("atomic operation {opcode} is not supported")),
    };
    if allowed & (1 << opcode) == 0 {
        return report(UCS_ERR_UNSUPPORTED, format_args!("atomic operation {opcode} is not supported without fetch"));
    }
    then(code)
}

fn post(
    ep: uct_ep_h,
    width: AtomicWidth,
    opcode: c_uint,
    value: u64,
    remote_addr: u64,
    rkey: uct_rkey_t,
) -> ucs_status_t {
    with_code(opcode, POST_OPS, |code| {
        // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
        let ep = unsafe { Ep::from_handle(ep) };
        let mut port = match ep.sender() {
            Ok(port) => port,
            Err(status) => return status,
        };
        let key = rkey as u64;
        let atomic = Atomic { cookie: 0, remote_addr, key, code, width, operand: value, compare: 0, fetch: false };
        match port.post_atomic(ep.conn(), &atomic) {
            Ok(()) => {
                ep.iface().requested().atomic_post.add(width.bytes() as usize);
                UCS_OK
            }
            Err(refused) => status::of_refusal(refused),
        }
    })
}

fn fetch(
    ep: uct_ep_h,
    width: AtomicWidth,
    code: AtomicOp,
    operands: Operands,
    (remote_addr, rkey): (u64, uct_rkey_t),
    finish: Finish,
    completion: *mut uct_completion_t,
) -> ucs_status_t {
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(ep) };
    let mut port = match ep.sender() {
        Ok(port) => port,
        Err(status) => return status,
    };
    if let Err(refused) = port.admit_operations(ep.conn(), 1) {
        return status::of_refusal(refused);
    }
    let cookie = ep.iface().operations().start(ep.conn(), 1, finish, completion);
    let key = rkey as u64;
    let Operands { value: operand, compare } = operands;
    let atomic = Atomic { cookie, remote_addr, key, code, width, operand, compare, fetch: true };
    port.start_atomic(ep.conn(), atomic).expect("admitted above");
    ep.iface().requested().atomic_fetch.add(width.bytes() as usize);
    port.push_operations();
    UCS_INPROGRESS
}
