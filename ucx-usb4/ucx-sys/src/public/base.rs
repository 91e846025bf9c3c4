//! The base objects that a transport embeds, from `uct/base/uct_iface.h` and `uct/base/uct_md.h`.
//!
//! Internal to UCX, but alike in every supported release: the exported init functions fill them, and exported UCT functions
//! (`uct_iface_set_am_handler`, for one) cast to them, so a bare `uct_iface_t` is not enough.
#![allow(non_camel_case_types)] // UCX's own names

use std::ffi::{c_char, c_int, c_uint, c_void};

use super::headers::*;

/// A memory domain. A transport's own memory domain starts with it.
#[repr(C)]
pub struct uct_md {
    /// The operations, of the release's layout; [`Registered::init_md`](crate::Registered::init_md) sets it.
    pub(crate) ops: *const c_void,
    /// The component that the memory domain belongs to.
    pub(crate) component: *const c_void,
}
/// A memory domain.
pub type uct_md_t = uct_md;

impl uct_md {
    /// A memory domain that belongs to nothing yet.
    pub const UNSET: Self = Self { ops: std::ptr::null(), component: std::ptr::null() };
}

/// What an active message id calls, see `uct_iface_set_am_handler`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct uct_am_handler {
    /// The function; never `None` after [`Registered::init_iface`](crate::Registered::init_iface).
    pub cb: uct_am_callback_t,
    /// Its first argument.
    pub arg: *mut c_void,
    /// `UCT_CB_FLAG_*`.
    pub flags: u32,
}

/// An interface. A transport's own interface starts with it.
#[repr(C)]
pub struct uct_base_iface_t {
    /// The public part: the table of operations.
    pub super_: uct_iface_t,
    pub(crate) internal_ops: *const c_void,
    /// The memory domain that the interface was opened on.
    pub md: *mut uct_md_t,
    /// The (private) worker that progresses the interface.
    pub worker: *mut c_void,
    /// The active message handlers, by id.
    pub am: [uct_am_handler; super::UCT_AM_ID_MAX],
    pub(crate) am_tracer: *const c_void,
    pub(crate) am_tracer_arg: *mut c_void,
    pub(crate) err_handler: uct_error_handler_t,
    pub(crate) err_handler_arg: *mut c_void,
    rest: [u64; 7],
}

/// An endpoint. A transport's own endpoint starts with it.
#[repr(C)]
pub struct uct_base_ep_t {
    /// The public part: the interface.
    pub super_: uct_ep_t,
}

/// A transport device, as `query_devices` returns it (`uct_tl_device_resource_t`).
#[repr(C)]
pub(crate) struct uct_tl_device_resource_t {
    pub(crate) name: [c_char; UCT_DEVICE_NAME_MAX as usize],
    pub(crate) type_: uct_device_type_t,
    pub(crate) sys_device: u8,
}

/// A link of UCX's lists (`ucs_list_link_t`).
#[repr(C)]
pub(crate) struct ucs_list_link_t {
    pub(crate) prev: *mut ucs_list_link_t,
    pub(crate) next: *mut ucs_list_link_t,
}

impl ucs_list_link_t {
    /// In no list.
    pub(crate) const UNLINKED: Self = Self { prev: std::ptr::null_mut(), next: std::ptr::null_mut() };
}

/// A UCX class (`ucs_class_t`); only its address is used.
#[repr(C)]
pub(crate) struct ucs_class_t {
    opaque: [u8; 0],
}

/// A growing text of UCX's (`ucs_string_buffer_t`); only its address is used.
#[repr(C)]
pub(crate) struct ucs_string_buffer_t {
    opaque: [u8; 0],
}

/// `ucs_vfs_file_read_cb_t`.
pub(crate) type ucs_vfs_file_read_cb_t =
    unsafe extern "C" fn(obj: *mut c_void, text: *mut ucs_string_buffer_t, arg_ptr: *mut c_void, arg_u64: u64);

/// The head of `ucs_global_opts_t`: the log settings of UCX itself, which every release keeps first.
#[repr(C)]
pub(crate) struct ucs_log_component_config_t {
    pub(crate) log_level: c_int,
    pub(crate) name: [c_char; 16],
}

// Only what all supported releases export (checked by tests/releases.rs): one missing symbol would fail the whole dlopen.
unsafe extern "C" {
    pub(crate) static uct_base_iface_t_class: ucs_class_t;
    pub(crate) static uct_base_ep_t_class: ucs_class_t;
    pub(crate) static uct_iface_config_table: [u8; 0];
    pub(crate) static ucs_global_opts: ucs_log_component_config_t;

    pub(crate) fn uct_component_register(component: *mut c_void);
    pub(crate) fn uct_tl_register(component: *mut c_void, tl: *mut c_void);
    pub(crate) fn uct_md_query_single_md_resource(
        component: *mut c_void,
        resources: *mut *mut c_void,
        count: *mut c_uint,
    ) -> ucs_status_t;
    pub(crate) fn uct_base_iface_t_init(
        iface: *mut uct_base_iface_t,
        class: *const ucs_class_t,
        init_count: *mut c_int,
        ops: *const uct_iface_ops_t,
        internal_ops: *const c_void,
        md: *mut uct_md_t,
        worker: uct_worker_h,
        params: *const uct_iface_params_t,
        config: *const c_void,
    ) -> ucs_status_t;
    pub(crate) fn uct_base_ep_t_init(
        ep: *mut uct_base_ep_t,
        class: *const ucs_class_t,
        init_count: *mut c_int,
        iface: *mut uct_base_iface_t,
    ) -> ucs_status_t;
    pub(crate) fn uct_base_iface_estimate_perf(iface: uct_iface_h, perf_attr: *mut c_void) -> ucs_status_t;
    pub(crate) fn ucs_class_call_cleanup_chain(class: *const ucs_class_t, object: *mut c_void, limit: c_int);
    pub(crate) fn ucs_topo_find_device_by_bdf_name(name: *const c_char, sys_dev: *mut u8) -> ucs_status_t;
    pub(crate) fn ucs_malloc(size: usize, name: *const c_char) -> *mut c_void;
    pub(crate) fn ucs_vfs_obj_add_ro_file(
        obj: *mut c_void,
        read: ucs_vfs_file_read_cb_t,
        arg_ptr: *mut c_void,
        arg_u64: u64,
        path_format: *const c_char,
        ...
    ) -> ucs_status_t;
    pub(crate) fn ucs_string_buffer_appendf(text: *mut ucs_string_buffer_t, format: *const c_char, ...);
    pub(crate) fn ucs_log_dispatch(
        file: *const c_char,
        line: c_uint,
        function: *const c_char,
        level: c_int,
        component: *const ucs_log_component_config_t,
        format: *const c_char,
        ...
    );

    /// Zeroes the attributes and fills in what the base interface knows. To be called first in `iface_query`.
    pub fn uct_base_iface_query(iface: *mut uct_base_iface_t, attr: *mut uct_iface_attr_t);
    /// UCX's `iface_flush` for an interface that completes everything at once (counts statistics only).
    pub fn uct_base_iface_flush(iface: uct_iface_h, flags: c_uint, comp: *mut uct_completion_t) -> ucs_status_t;
    /// UCX's `iface_fence` for an interface that keeps order.
    pub fn uct_base_iface_fence(iface: uct_iface_h, flags: c_uint) -> ucs_status_t;
    /// UCX's `ep_fence` for an endpoint that keeps order.
    pub fn uct_base_ep_fence(ep: uct_ep_h, flags: c_uint) -> ucs_status_t;
    /// UCX's `iface_progress_enable`: hangs the interface's `progress` into its worker.
    pub fn uct_base_iface_progress_enable(iface: uct_iface_h, flags: c_uint);
    /// UCX's `iface_progress_disable`. To be called first in `iface_close`, with both `UCT_PROGRESS_*` flags.
    pub fn uct_base_iface_progress_disable(iface: uct_iface_h, flags: c_uint);
    /// Tells the interface's user that an endpoint failed; returns what the user's handler returns, or `status` without one.
    pub fn uct_iface_handle_ep_err(iface: uct_iface_h, ep: uct_ep_h, status: ucs_status_t) -> ucs_status_t;
}
