//! Registration with the running UCX, and what a transport needs of it afterwards.

use std::ffi::{c_int, c_void};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::abi::{self, Release};
use crate::adapt;
use crate::detect::{Refusal, Ucx, Version};
use crate::public::*;
use crate::transport::Transport;

/// The one transport of this library, as the running UCX knows it.
#[derive(Debug)]
pub struct Registered {
    version: Version,
    release: &'static Release,
    component: *mut c_void,
    md_ops: *const c_void,
    internal_ops: *const c_void,
    iface_ops: &'static uct_iface_ops_t,
}

// SAFETY: everything points to tables that were leaked and are never written again, except for the component's list links,
// which belong to UCX.
unsafe impl Send for Registered {}
// SAFETY: as above.
unsafe impl Sync for Registered {}

static REGISTERED: OnceLock<Registered> = OnceLock::new();

/// Finds out which UCX this library is bound to, and registers `T` with it.
///
/// To be called from the library's constructor, once. A refusal leaves UCX untouched;
/// [`report_refusal`](crate::log::report_refusal) tells the user.
///
/// # Errors
/// The UCX found is not one that this library knows, exactly; or it was called a second time.
pub fn register<T: Transport>() -> Result<&'static Registered, Refusal> {
    const { abi::check_names::<T>() };
    // Two threads may load the library under two names; the loser must see the winner's result, not half of it.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    if REGISTERED.get().is_some() {
        return Err(Refusal::Twice { name: T::NAME });
    }
    let ucx = Ucx::detect(T::NAME)?;
    let tables = abi::build::<T>(&ucx);
    let registered = REGISTERED.get_or_init(|| Registered {
        version: ucx.version(),
        release: ucx.release(),
        component: tables.component,
        md_ops: tables.md_ops,
        internal_ops: tables.internal_ops,
        iface_ops: Box::leak(Box::new(adapt::complete_iface_ops::<T>(T::iface_ops()))),
    });
    // From the first of these calls on, UCX may call the transport.
    // SAFETY: the component has the layout of the release found, is leaked, and is registered nowhere else.
    unsafe { uct_component_register(tables.component) };
    // SAFETY: as above, for the transport.
    unsafe { uct_tl_register(tables.component, tables.tl) };
    Ok(registered)
}

/// What [`register`] returned, once it has; always there in a function that UCX called.
#[must_use]
pub fn registered() -> Option<&'static Registered> {
    REGISTERED.get()
}

impl Registered {
    /// The UCX in this process.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The name of the layout that serves it (`"1.18"` serves 1.18 only, but any patch release).
    #[must_use]
    pub fn layout(&self) -> &'static str {
        self.release.name
    }

    /// The flag that says "reaches other nodes", in releases that have it (from 1.18 on, and there a lane between nodes needs
    /// it), else nothing: the device type says it.
    #[must_use]
    pub fn inter_node(&self) -> IfaceFlags {
        if self.release.has_inter_node { IfaceFlags::INTER_NODE } else { IfaceFlags::empty() }
    }

    /// Makes `md` a memory domain of the registered component; the rest of the transport's own object is its own affair.
    ///
    /// # Safety
    /// `md` is writable memory for a [`uct_md_t`].
    pub unsafe fn init_md(&self, md: *mut uct_md_t) {
        // SAFETY: the caller's promise.
        unsafe { md.write(uct_md_t { ops: self.md_ops, component: self.component }) };
    }

    /// UCX's constructor of the base interface, with the transport's table of operations.
    ///
    /// # Errors
    /// UCX's status; the base interface then needs no [`cleanup_iface`](Self::cleanup_iface).
    ///
    /// # Safety
    /// `iface` is writable memory for a [`uct_base_iface_t`], not yet initialized; the others are what UCX gave to
    /// [`Transport::iface_open`], `config` of the type that it names.
    pub unsafe fn init_iface<C>(
        &self,
        iface: *mut uct_base_iface_t,
        md: *mut uct_md_t,
        worker: uct_worker_h,
        params: *const uct_iface_params_t,
        config: *const C,
    ) -> Result<(), ucs_status_t> {
        let mut init_count: c_int = 1;
        // SAFETY: the caller's promise; the tables have the layout of the release found and live for ever.
        let status = unsafe {
            uct_base_iface_t_init(
                iface,
                &raw const uct_base_iface_t_class,
                &raw mut init_count,
                self.iface_ops,
                self.internal_ops,
                md,
                worker,
                params,
                config.cast(),
            )
        };
        status.ok()?;
        // SAFETY: just initialized.
        let base_md = unsafe { (*iface).md };
        // SAFETY: just initialized.
        let base_worker = unsafe { (*iface).worker };
        if base_md != md || base_worker != worker.cast() {
            log::error!("uct_base_iface_t of UCX {} is not laid out as in {}", self.version, self.release.name);
            return Err(UCS_ERR_UNSUPPORTED);
        }
        Ok(())
    }

    /// UCX's destructor of the base interface: the last thing in `iface_close` but for freeing the memory.
    ///
    /// # Safety
    /// `iface` was initialized by [`init_iface`](Self::init_iface) and is not used by UCX any more.
    pub unsafe fn cleanup_iface(&self, iface: *mut uct_base_iface_t) {
        // SAFETY: the caller's promise; -1 is the whole chain.
        unsafe { ucs_class_call_cleanup_chain(&raw const uct_base_iface_t_class, iface.cast(), -1) };
    }

    /// UCX's constructor of the base endpoint.
    ///
    /// # Errors
    /// UCX's status; the base endpoint then needs no [`cleanup_ep`](Self::cleanup_ep).
    ///
    /// # Safety
    /// `ep` is writable memory for a [`uct_base_ep_t`], not yet initialized; `iface` is open.
    pub unsafe fn init_ep(&self, ep: *mut uct_base_ep_t, iface: *mut uct_base_iface_t) -> Result<(), ucs_status_t> {
        let mut init_count: c_int = 1;
        // SAFETY: the caller's promise.
        unsafe { uct_base_ep_t_init(ep, &raw const uct_base_ep_t_class, &raw mut init_count, iface) }.ok()
    }

    /// UCX's destructor of the base endpoint: the last thing in `ep_destroy` but for freeing the memory.
    ///
    /// # Safety
    /// `ep` was initialized by [`init_ep`](Self::init_ep) and is not used by UCX any more.
    pub unsafe fn cleanup_ep(&self, ep: *mut uct_base_ep_t) {
        // SAFETY: the caller's promise; -1 is the whole chain.
        unsafe { ucs_class_call_cleanup_chain(&raw const uct_base_ep_t_class, ep.cast(), -1) };
    }
}

/// Gives a received active message to its handler, as UCX's `uct_iface_invoke_am` does.
///
/// `UCS_OK` means that the message may be freed; `UCS_INPROGRESS` (only with `UCT_CB_PARAM_FLAG_DESC` in `flags`) that the
/// handler keeps it. An id out of range, which a peer could send, is `UCS_ERR_INVALID_PARAM`.
///
/// # Safety
/// `iface` is open; `data` is `len_bytes` of readable memory that nobody else writes meanwhile.
#[inline]
pub unsafe fn invoke_am(
    iface: *mut uct_base_iface_t,
    id: u8,
    data: *mut c_void,
    len_bytes: usize,
    flags: u32,
) -> ucs_status_t {
    if usize::from(id) >= UCT_AM_ID_MAX {
        return UCS_ERR_INVALID_PARAM;
    }
    // SAFETY: in bounds, and initialized by UCX.
    let handler = unsafe { (*iface).am[usize::from(id)] };
    let Some(call) = handler.cb else { return UCS_ERR_INVALID_PARAM };
    // SAFETY: UCX's user set function and argument together; the caller vouches for the data.
    unsafe { call(handler.arg, data, len_bytes, flags) }
}

/// Reports that one of the operations of `completion` has ended, as UCX's `uct_invoke_completion` does: the first error
/// sticks, the last operation calls back. A null completion is ignored.
///
/// # Safety
/// `completion` is null or waits for at least one operation.
#[inline]
pub unsafe fn complete(completion: *mut uct_completion_t, status: ucs_status_t) {
    if completion.is_null() {
        return;
    }
    // SAFETY: not null, so it is one that its owner set up and that only this thread completes now.
    let before = unsafe { (*completion).status };
    if before == UCS_OK && status != UCS_OK {
        // SAFETY: as above.
        unsafe { (*completion).status = status };
    }
    // SAFETY: as above.
    let left = unsafe { (*completion).count } - 1;
    // SAFETY: as above.
    unsafe { (*completion).count = left };
    if left > 0 {
        return;
    }
    // SAFETY: as above.
    if let Some(call) = unsafe { (*completion).func } {
        // SAFETY: the owner's own function, with the owner's own object.
        unsafe { call(completion) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn called(completion: *mut uct_completion_t) {
        // SAFETY: the test's own completion.
        unsafe { (*completion).count = 100 };
    }

    #[test]
    fn a_completion_calls_back_with_the_last_operation_and_keeps_the_first_error() {
        let mut completion = uct_completion_t { func: Some(called), count: 3, status: UCS_OK };
        for (status, count, sticks) in
            [(UCS_OK, 2, UCS_OK), (UCS_ERR_CANCELED, 1, UCS_ERR_CANCELED), (UCS_ERR_IO_ERROR, 100, UCS_ERR_CANCELED)]
        {
            // SAFETY: it waits for one more operation.
            unsafe { complete(&raw mut completion, status) };
            assert_eq!((completion.count, completion.status), (count, sticks));
        }
        // SAFETY: null is allowed.
        unsafe { complete(std::ptr::null_mut(), UCS_OK) };
    }
}
