//! The table of an interface's operations.

use std::mem::{MaybeUninit, size_of, transmute};

use super::{Unfilled, iface::is_reachable, unsupported};
use crate::public::uct_iface_ops_t;
use crate::transport::Transport;

/// A table of operations with nothing in it, to start from.
// SAFETY: each member is an `Option` of a function, for which all zeroes is `None`.
pub const NO_IFACE_OPS: uct_iface_ops_t = unsafe { MaybeUninit::zeroed().assume_init() };

const SLOTS: usize = size_of::<uct_iface_ops_t>() / size_of::<Option<Unfilled>>();

/// The transport's table without a `None`: UCX calls some slots, and asserts others, without looking at capabilities.
pub(crate) fn complete_iface_ops<T: Transport>(mut ops: uct_iface_ops_t) -> uct_iface_ops_t {
    ops.iface_is_reachable.get_or_insert(is_reachable::<T>);
    // SAFETY: the table is nothing but optional functions, one pointer each (its size is asserted to be 50 of them).
    let mut slots: [Option<Unfilled>; SLOTS] = unsafe { transmute(ops) };
    for slot in &mut slots {
        slot.get_or_insert(unsupported);
    }
    // SAFETY: as above.
    unsafe { transmute(slots) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::public::{UCS_ERR_UNSUPPORTED, ucs_status_t, uct_ep_h};
    use crate::testing::Null;

    unsafe extern "C" fn mine(_ep: uct_ep_h, _flags: u32) -> ucs_status_t {
        ucs_status_t(77)
    }

    #[test]
    fn keeps_what_the_transport_fills_and_answers_for_the_rest() {
        let table = complete_iface_ops::<Null>(uct_iface_ops_t { ep_fence: Some(mine), ..NO_IFACE_OPS });
        let ep = std::ptr::null_mut();
        let (fence, get) = (table.ep_fence.unwrap(), table.ep_get_zcopy.unwrap());
        // SAFETY: the function above ignores its arguments.
        assert_eq!(unsafe { fence(ep, 0) }, ucs_status_t(77));
        // SAFETY: an unfilled slot ignores its arguments.
        let answer = unsafe { get(ep, std::ptr::null(), 0, 0, 0, std::ptr::null_mut()) };
        assert_eq!(answer, UCS_ERR_UNSUPPORTED);
        // The status must reach the full width of a length: a bare 0xea would read as 234 bytes sent.
        // SAFETY: as above.
        assert_eq!(unsafe { table.ep_am_bcopy.unwrap()(ep, 0, None, std::ptr::null_mut(), 0) }, -22);
        assert!(table.iface_is_reachable.is_some_and(|f| f as *const () != unsupported as *const ()));
    }
}
