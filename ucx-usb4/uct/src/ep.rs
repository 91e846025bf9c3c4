//! Endpoints (`uct_ep_h`): one UCT user's way to one peer. All endpoints to a peer share the engine's connection.

use std::cell::{Cell, RefMut, UnsafeCell};
use std::ffi::c_uint;
use std::ptr::NonNull;

use ucx_sys::public::*;
use usb4_engine::ConnId;

use crate::entered::Entered;
use crate::flush;
use crate::iface::Iface;
use crate::pending::Pending;
use crate::status;
use usb4_port::Port;
use usb4_port::address::{IFACE_ADDR_LEN, PortAddress};

/// An endpoint; UCX sees its head, a `uct_base_ep_t`.
#[repr(C)]
pub(crate) struct Ep {
    // First: a `uct_ep_h` is a pointer to it. UCX writes it.
    base: UnsafeCell<uct_base_ep_t>,
    iface: NonNull<Iface>,
    conn: ConnId,
    peer: PortAddress,
    /// Why the connection failed, once it has: everything that is sent afterwards gets this.
    failed: Cell<Option<ucs_status_t>>,
    /// Sends that wait for room.
    pub(crate) pending: Pending,
}

impl Ep {
    /// The endpoint, for one call of UCX's.
    ///
    /// # Safety
    /// `handle` came from [`ep_create`] and has not been given to [`ep_destroy`]. UCX makes one call for an interface and its endpoints at
    /// a time.
    #[inline]
    pub(crate) unsafe fn from_handle<'a>(handle: uct_ep_h) -> Entered<'a, Self> {
        // SAFETY: the handle points to the head of an `Ep`, whose fields are cells: shared access is all that anybody takes.
        let ep = unsafe { &*handle.cast::<Self>() };
        Entered::new(ep, ep.iface().attended())
    }

    /// The handle that UCX knows.
    pub(crate) fn handle(&self) -> uct_ep_h {
        self.base.get().cast()
    }

    /// The interface that it belongs to.
    pub(crate) fn iface(&self) -> &Iface {
        // SAFETY: UCX destroys an interface after its endpoints.
        unsafe { self.iface.as_ref() }
    }

    /// The connection that carries it.
    pub(crate) fn conn(&self) -> ConnId {
        self.conn
    }

    /// The port, for a send that may go now. What was refused earlier goes first, so that order holds.
    pub(crate) fn sender(&self) -> Result<RefMut<'_, Port>, ucs_status_t> {
        if let Some(status) = self.failed.get() {
            return Err(status);
        }
        if self.pending.must_wait() {
            return Err(UCS_ERR_NO_RESOURCE);
        }
        Ok(self.iface().port())
    }

    /// Whether it is an endpoint to this interface.
    pub(crate) fn leads_to(&self, peer: &PortAddress) -> bool {
        self.peer == *peer
    }

    /// Whether the longest message would leave now, or fail for good.
    pub(crate) fn can_send(&self) -> bool {
        let iface = self.iface();
        iface.port().can_send(self.conn, Port::frames_for(iface.seg_size()))
    }

    /// Finds out whether the peer is there: the wish to send shows one that has closed, a missing answer one that is silent. What
    /// is found out comes as a failure of the endpoint.
    pub(crate) fn ask_for_life(&self) {
        if self.failure().is_none() && self.can_send() {
            self.iface().port().request_ack(self.conn);
        }
    }

    /// Why it can no longer send, if so.
    pub(crate) fn failure(&self) -> Option<ucs_status_t> {
        self.failed.get()
    }

    /// Notes the failure of the connection; true for the first time.
    pub(crate) fn set_failed(&self, status: ucs_status_t) -> bool {
        self.failed.replace(Some(status)).is_none()
    }
}

/// `uct_ep_create`: connects to the interface whose address `params` has.
pub(crate) unsafe extern "C" fn ep_create(params: *const uct_ep_params_t, out: *mut uct_ep_h) -> ucs_status_t {
    // Each field by itself: newer releases have more of them, older ones fewer.
    // SAFETY: UCX passes parameters with at least the fields that every release has.
    let mask = unsafe { (*params).field_mask };
    // SAFETY: as above.
    let iface = unsafe { (*params).iface };
    // SAFETY: as above.
    let iface_addr = unsafe { (*params).iface_addr };
    let needed = u64::from(UCT_EP_PARAM_FIELD_IFACE | UCT_EP_PARAM_FIELD_DEV_ADDR | UCT_EP_PARAM_FIELD_IFACE_ADDR);
    if mask & needed != needed {
        let what = format_args!("UCT_EP_PARAM_FIELD_DEV_ADDR and UCT_EP_PARAM_FIELD_IFACE_ADDR are not defined");
        return status::report(UCS_ERR_INVALID_PARAM, what);
    }
    // SAFETY: an open interface of this transport.
    let iface = unsafe { Iface::from_handle(iface) };
    // SAFETY: an address that `iface_get_address` of this transport wrote, of any alignment.
    let bytes = unsafe { iface_addr.cast::<[u8; IFACE_ADDR_LEN]>().read_unaligned() };
    let peer = PortAddress::unpack(&bytes);
    let conn = match iface.port().connect(&peer) {
        Ok(conn) => conn,
        Err(failure) => return status::report(status::of_connect(&failure), format_args!("usb4: {failure}")),
    };
    let ep = Box::new(Ep {
        base: UnsafeCell::new(uct_base_ep_t { super_: uct_ep_t { iface: std::ptr::null_mut() } }),
        iface: NonNull::from(&*iface),
        conn,
        peer,
        failed: Cell::new(None),
        pending: Pending::default(),
    });
    // SAFETY: the base is writable, and the interface is an initialized base interface.
    if let Err(status) = unsafe { iface.registered().init_ep(ep.base.get(), iface.handle()) } {
        iface.port().detach(conn);
        return status;
    }
    let ep = Box::into_raw(ep);
    iface.add_endpoint(conn, ep);
    // SAFETY: `out` is where UCX wants the handle.
    unsafe { out.write(ep.cast()) };
    UCS_OK
}

/// `uct_ep_destroy`. What was sent still arrives; what waits in the pending queue must have been purged before.
pub(crate) unsafe extern "C" fn ep_destroy(handle: uct_ep_h) {
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(handle) };
    let iface = ep.iface();
    iface.flushes().cancel(&raw const *ep);
    iface.remove_endpoint(ep.conn, &ep);
    iface.port().detach(ep.conn);
    // SAFETY: `ep_create` initialized the base.
    unsafe { iface.registered().cleanup_ep(ep.base.get()) };
    drop(ep);
    // SAFETY: UCX destroys an endpoint once, and uses it no more.
    drop(unsafe { Box::from_raw(handle.cast::<Ep>()) });
}

/// `uct_ep_check`: asks the peer for a sign of life. Silence or a reset becomes an endpoint error later on.
pub(crate) unsafe extern "C" fn ep_check(handle: uct_ep_h, flags: c_uint, comp: *mut uct_completion_t) -> ucs_status_t {
    if flags != 0 || !comp.is_null() {
        let what = format_args!("Unsupported flags {flags:#x} or completion on ep_check");
        return status::report(UCS_ERR_INVALID_PARAM, what);
    }
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(handle) };
    ep.ask_for_life();
    UCS_OK
}

/// `uct_ep_fence`: what comes after it takes effect after what was before. Active messages keep their order without it.
pub(crate) unsafe extern "C" fn ep_fence(handle: uct_ep_h, _flags: c_uint) -> ucs_status_t {
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(handle) };
    ep.iface().port().fence(ep.conn());
    UCS_OK
}

/// `uct_ep_flush`: done when the peer has everything that was sent so far.
pub(crate) unsafe extern "C" fn ep_flush(handle: uct_ep_h, flags: c_uint, comp: *mut uct_completion_t) -> ucs_status_t {
    // SAFETY: UCX passes endpoints that `ep_create` returned and that it has not destroyed.
    let ep = unsafe { Ep::from_handle(handle) };
    flush::endpoint(&ep, flags, comp)
}
