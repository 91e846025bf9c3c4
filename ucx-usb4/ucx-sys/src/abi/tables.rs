//! What a release's `build` hands back, and small helpers for it.

use std::ffi::{CStr, c_char, c_void};

use super::config::EntryShape;
use crate::public::ucs_list_link_t;
use crate::transport::Transport;

/// Leaked tables in the layout of one release.
pub(crate) struct Tables {
    /// A `uct_component_t`.
    pub(crate) component: *mut c_void,
    /// A `uct_tl_t`.
    pub(crate) tl: *mut c_void,
    /// A `uct_md_ops_t`.
    pub(crate) md_ops: *const c_void,
    /// A `uct_iface_internal_ops_t`.
    pub(crate) internal_ops: *const c_void,
}

/// Offsets of list links in `uct_component_t` and `uct_tl_t`, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TcpProbe {
    pub(crate) md_config_list: usize,
    pub(crate) cm_config_list: usize,
    pub(crate) tl_list: usize,
    pub(crate) component_link: usize,
    pub(crate) tl_link: usize,
}

/// `value` for ever: UCX keeps pointers to what is registered until the process ends.
pub(super) fn leak<T>(value: T) -> *mut T {
    Box::into_raw(Box::new(value))
}

/// `name` in an array, as UCX keeps short names; [`check_names`](super::check_names) made sure that it fits.
pub(super) fn short_name<const N: usize>(name: &CStr) -> [c_char; N] {
    let mut array = [0; N];
    for (to, from) in array.iter_mut().zip(name.to_bytes()) {
        *to = c_char::from_ne_bytes([*from]);
    }
    array
}

/// The entry of the memory domain's settings. UCX's own table for memory domains is empty, so nothing of it is repeated.
pub(super) fn md_entry<T: Transport, E: EntryShape>(table: *const c_void) -> E {
    // UCX allocates what the entry says, and would take no memory at all for an error.
    E::new(T::MD_TITLE.as_ptr(), T::ENV_PREFIX.as_ptr(), table, size_of::<T::MdConfig>().max(1))
}

/// The entry of a component without a connection manager.
pub(super) fn no_cm_entry<E: EntryShape>() -> E {
    E::new(c"".as_ptr(), c"".as_ptr(), std::ptr::null(), 0)
}

/// The entry of the transport's settings.
pub(super) fn tl_entry<T: Transport, E: EntryShape>(table: *const c_void) -> E {
    E::new(T::TL_TITLE.as_ptr(), T::ENV_PREFIX.as_ptr(), table, size_of::<T::Config>())
}

/// Makes the list whose head is at `head` empty: head of itself.
pub(super) fn empty_list(head: *mut ucs_list_link_t) {
    // SAFETY: the head stands in a struct that was just leaked, so nobody else has it.
    unsafe { head.write(ucs_list_link_t { prev: head, next: head }) };
}
