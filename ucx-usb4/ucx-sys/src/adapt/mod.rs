//! C functions, made for each transport, that translate a release's signature into the neutral one.
//!
//! Named after the slot they fill; where releases differ, after what is special (`mem_reg_flags`: the old one with flags).

mod iface;
mod md;
mod ops;
mod vfs;

pub(crate) use iface::*;
pub(crate) use md::*;
pub use ops::NO_IFACE_OPS;
pub(crate) use ops::complete_iface_ops;
pub(crate) use vfs::*;

use crate::public::UCS_ERR_UNSUPPORTED;

/// The type of a slot that no transport of ours fills: whatever its true signature, the C calling convention lets the caller
/// clean up, so a function that ignores its arguments can stand there (UCX's own transports do the same).
pub(crate) type Unfilled = unsafe extern "C" fn() -> isize;

/// For slots that return a status, a length or a status pointer: as wide as the widest of them.
pub(crate) unsafe extern "C" fn unsupported() -> isize {
    UCS_ERR_UNSUPPORTED.as_ssize()
}

/// For slots that answer yes or no.
pub(crate) unsafe extern "C" fn no() -> isize {
    0
}

/// For slots that return nothing.
pub(crate) unsafe extern "C" fn nothing() -> isize {
    0
}
