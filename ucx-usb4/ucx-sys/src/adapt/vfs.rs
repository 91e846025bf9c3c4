//! The slot of `uct_iface_internal_ops_t` for UCX's virtual file system (`ucx_vfs`), and the files that it adds.

use std::ffi::{CString, c_void};
use std::ptr::null_mut;

use crate::public::*;
use crate::transport::{IfaceId, Transport};

pub(crate) type VfsRefresh = unsafe extern "C" fn(uct_iface_h);

/// `uct_iface_internal_ops_t::iface_vfs_refresh`, in all releases: somebody looks into the interface's directory, for the first time or
/// again after an endpoint was made.
pub(crate) unsafe extern "C" fn iface_vfs_refresh<T: Transport>(iface: uct_iface_h) {
    for (index, file) in (0..).zip(T::VFS_FILES) {
        // SAFETY: UCX shows the interface; a format with one conversion and its terminated string.
        let status = unsafe {
            ucs_vfs_obj_add_ro_file(iface.cast(), read::<T>, null_mut(), index, c"%s".as_ptr(), file.path.as_ptr())
        };
        if status != UCS_OK && status != UCS_ERR_ALREADY_EXISTS {
            log::debug!("no {} in UCX's virtual file system: {status}", file.path.to_string_lossy());
        }
    }
}

/// `ucs_vfs_file_read_cb_t`. UCX takes no notice of a read that is under way when it closes the interface, so `iface` is a name only.
unsafe extern "C" fn read<T: Transport>(
    iface: *mut c_void,
    text: *mut ucs_string_buffer_t,
    _none: *mut c_void,
    index: u64,
) {
    let Some(file) = usize::try_from(index).ok().and_then(|index| T::VFS_FILES.get(index)) else { return };
    let mut content = (file.read)(IfaceId::of(iface.cast())).into_bytes();
    content.retain(|&byte| byte != 0);
    let content = CString::new(content).unwrap_or_default();
    // SAFETY: UCX's own buffer; a format with one conversion and its terminated string.
    unsafe { ucs_string_buffer_appendf(text, c"%s".as_ptr(), content.as_ptr()) };
}
