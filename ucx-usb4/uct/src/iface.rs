//! Interfaces (`uct_iface_h`): one UCX worker's opening of the node's links.

use std::cell::{Cell, RefCell, RefMut, UnsafeCell};
use std::collections::HashMap;
use std::ffi::c_uint;
use std::fmt;
use std::mem::MaybeUninit;
use std::sync::Arc;

use ucx_sys::public::*;
use ucx_sys::{IfaceId, NO_IFACE_OPS, Registered, invoke_am};
use usb4_engine::{ConnId, Failure};

use crate::entered::Entered;
use crate::ep::Ep;
use crate::flush::Flushes;
use crate::md::Md;
use crate::ops::Operations;
use crate::pending::Schedule;
use crate::settings::{Config, Settings};
use crate::stats::Requested;
use crate::{am, atomic, ep, event, flush, pending, rma, stats, status, vfs};
use usb4_port::address::{DEVICE_ADDR_LEN, IFACE_ADDR_LEN};
use usb4_port::{Arrival, Attended, Event, MAX_MESSAGE, Performance, Port};

/// Arrivals that one call of progress handles at most, so that the other interfaces of the worker have their turn.
const ARRIVALS_PER_PROGRESS: u32 = 16;
/// Arrivals after which what they left to do is done even while more arrive.
const ARRIVALS_PER_SERVICE: u32 = 16;

/// An interface; UCX sees its head, a `uct_base_iface_t`.
#[repr(C)]
pub(crate) struct Iface {
    // First: a `uct_iface_h` is a pointer to it. UCX writes it, also while we hold a shared reference to the rest.
    base: UnsafeCell<MaybeUninit<uct_base_iface_t>>,
    registered: &'static Registered,
    port: Attended,
    endpoints: RefCell<HashMap<ConnId, Vec<*const Ep>>>,
    schedule: Schedule,
    flushes: Flushes,
    operations: Operations,
    requested: Arc<Requested>,
    settings: Settings,
    /// As it was when the interface was opened: UCX also asks on other threads, where the port must be left alone.
    performance: Performance,
    /// Where buffered messages longer than a frame are packed.
    scratch: RefCell<Vec<u8>>,
    /// Messages of several frames that are not complete yet.
    partial: RefCell<HashMap<ConnId, Vec<u8>>>,
    /// Arrivals since the port was last serviced.
    unserved: Cell<u32>,
    /// Messages dropped because their id, or their place in a message of several frames, cannot be: the peer is broken.
    senseless: Cell<u64>,
}

impl Iface {
    /// The interface, for one call of UCX's.
    ///
    /// # Safety
    /// `handle` came from this transport's `iface_open` and has not been closed. UCX makes one call for an interface at a time.
    #[inline]
    pub(crate) unsafe fn from_handle<'a>(handle: uct_iface_h) -> Entered<'a, Self> {
        // SAFETY: the handle points to the head of an `Iface`, whose fields are cells: shared access is all that anybody takes.
        unsafe { &*handle.cast::<Self>() }.entered()
    }

    fn entered(&self) -> Entered<'_, Self> {
        Entered::new(self, &self.port)
    }

    /// What keeps the port's attendant out.
    pub(crate) fn attended(&self) -> &Attended {
        &self.port
    }

    /// The handle that UCX knows.
    pub(crate) fn handle(&self) -> *mut uct_base_iface_t {
        self.base.get().cast()
    }

    /// UCX's release, with its init functions.
    pub(crate) fn registered(&self) -> &'static Registered {
        self.registered
    }

    /// The port. Never held while UCX's callbacks run: they may send.
    #[inline]
    pub(crate) fn port(&self) -> RefMut<'_, Port> {
        // SAFETY: whoever has a reference to an interface has it from `Entered`, during a call.
        unsafe { self.port.port() }
    }

    /// The pack buffer for messages longer than a frame.
    pub(crate) fn scratch(&self) -> RefMut<'_, Vec<u8>> {
        self.scratch.borrow_mut()
    }

    /// Longest buffered or zero-copy message, bytes.
    pub(crate) fn seg_size(&self) -> usize {
        self.settings.seg_size
    }

    /// The endpoints with pending requests.
    pub(crate) fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    /// The flushes under way.
    pub(crate) fn flushes(&self) -> &Flushes {
        &self.flushes
    }

    /// The puts, gets and atomics under way.
    pub(crate) fn operations(&self) -> &Operations {
        &self.operations
    }

    /// How often each of them was asked for.
    pub(crate) fn requested(&self) -> &Requested {
        &self.requested
    }

    pub(crate) fn add_endpoint(&self, conn: ConnId, ep: *const Ep) {
        self.endpoints.borrow_mut().entry(conn).or_default().push(ep);
    }

    pub(crate) fn remove_endpoint(&self, conn: ConnId, ep: &Ep) {
        self.schedule.remove(ep);
        let mut endpoints = self.endpoints.borrow_mut();
        if let Some(list) = endpoints.get_mut(&conn) {
            list.retain(|&other| !std::ptr::eq(other, ep));
            if list.is_empty() {
                endpoints.remove(&conn);
            }
        }
    }

    /// One turn of everything that goes on by itself. Returns how much happened.
    fn progress(&self) -> u32 {
        let mut count = 0;
        self.port.note_round();
        self.port().begin();
        while count < ARRIVALS_PER_PROGRESS {
            let Some(arrival) = self.port().poll_arrival() else { break };
            self.deliver(arrival);
            count += 1;
        }
        let unserved = self.unserved.get() + count;
        if count > 0 && unserved < ARRIVALS_PER_SERVICE && self.is_at_rest() {
            // The caller has what it waited for, and will call again.
            self.unserved.set(unserved);
            return count;
        }
        self.unserved.set(0);
        if self.port().service() {
            self.handle_events();
            if !self.flushes.is_empty() {
                count += self.flushes.progress(self);
            }
        }
        if !self.schedule.is_empty() {
            count += self.schedule.dispatch();
        }
        count
    }

    /// Nobody waits for anything that only time or acknowledgements bring.
    #[inline]
    fn is_at_rest(&self) -> bool {
        self.schedule.is_empty() && self.flushes.is_empty() && self.port().can_rest()
    }

    fn handle_events(&self) {
        loop {
            let Some(event) = self.port().poll_event() else { break };
            match event {
                Event::Failed { conn, reason } => self.fail(conn, reason),
                Event::Completed { cookie, result } => {
                    let result = result.map_err(|failure| status::of_operation(&failure));
                    self.operations.end_transfer(cookie, result);
                }
                // Nobody waits for the operation: it is the endpoint that can no longer be trusted.
                Event::Refused { conn, reason } => self.fail_endpoints(conn, UCS_ERR_IO_ERROR, &reason),
            }
        }
    }

    /// Tells every endpoint of a failed connection, once.
    fn fail(&self, conn: ConnId, reason: Failure) {
        self.partial.borrow_mut().remove(&conn);
        self.fail_endpoints(conn, status::of_failure(reason), &reason);
    }

    fn fail_endpoints(&self, conn: ConnId, status: ucs_status_t, reason: &dyn std::error::Error) {
        self.flushes.fail(conn, status);
        let endpoints = self.endpoints.borrow().get(&conn).cloned().unwrap_or_default();
        let (mut told, mut handled) = (0, true);
        for ep in endpoints {
            // An earlier endpoint's handler may have destroyed this one.
            if !self.endpoints.borrow().get(&conn).is_some_and(|list| list.contains(&ep)) {
                continue;
            }
            // SAFETY: the table holds endpoints that are not destroyed.
            let ep = unsafe { &*ep };
            if !ep.set_failed(status) {
                continue;
            }
            // SAFETY: handles of this interface and one of its endpoints.
            let answer = unsafe { uct_iface_handle_ep_err(self.handle().cast(), ep.handle(), status) };
            handled &= answer == UCS_OK;
            told += 1;
        }
        let is_set = |name: &str| std::env::var_os(name).is_some();
        if told > 0 && self.settings.on_failure.must_end(self.registered.version(), handled, is_set) {
            // As UCX's own transports do (`uct_base_iface_failure_log_level`): whoever waits on these endpoints would wait for ever.
            log::error!("usb4: {reason}. The program does not handle that, so it ends here (UCX_USB4_ON_FAILURE).");
            std::process::abort();
        } else {
            log::debug!("usb4: {reason}; the users of its endpoints were told");
        }
    }

    fn deliver(&self, arrival: Arrival) {
        match arrival {
            Arrival::Message { conn, id, part, payload, length, frame } => {
                if part.first && part.last {
                    self.invoke(id, payload, length);
                } else {
                    self.collect(conn, id, part.first, part.last, payload, length);
                }
                self.port().release(frame);
            }
        }
    }

    /// Calls the handler of a message.
    fn invoke(&self, id: u16, payload: *const u8, length: usize) {
        let id = u8::try_from(id).unwrap_or(u8::MAX);
        // SAFETY: the interface is open, and the payload has `length` readable bytes until its frame is released. A peer that
        // writes there meanwhile garbles its own message.
        let status = unsafe { invoke_am(self.handle(), id, payload.cast_mut().cast(), length, 0) };
        if status == UCS_ERR_INVALID_PARAM {
            self.drop_senseless(format_args!("active message id {id}"));
        }
    }

    /// Puts a message of several frames together, and calls its handler when it is complete.
    fn collect(&self, conn: ConnId, id: u16, first: bool, last: bool, payload: *const u8, length: usize) {
        let mut message = self.partial.borrow_mut().remove(&conn).unwrap_or_default();
        if first {
            message.clear();
        } else if message.is_empty() {
            return self.drop_senseless(format_args!("a continued message without a beginning"));
        }
        if message.len() + length > MAX_MESSAGE {
            return self.drop_senseless(format_args!("a message longer than {MAX_MESSAGE} bytes"));
        }
        message.reserve(length);
        let end = message.spare_capacity_mut().as_mut_ptr().cast::<u8>();
        // SAFETY: `length` readable bytes; the vector has that much room, and no peer can write there.
        unsafe { std::ptr::copy_nonoverlapping(payload, end, length) };
        // SAFETY: just written.
        unsafe { message.set_len(message.len() + length) };
        if last {
            self.invoke(id, message.as_ptr(), message.len());
            // The next message finds the memory there.
            message.clear();
        }
        self.partial.borrow_mut().insert(conn, message);
    }

    fn drop_senseless(&self, what: std::fmt::Arguments<'_>) {
        if self.senseless.replace(self.senseless.get() + 1) == 0 {
            log::error!("usb4: dropped {what}: the peer is another release of ucx-usb4, or broken (told once)");
        }
    }
}

/// The operations of interfaces and endpoints.
pub(crate) fn ops() -> uct_iface_ops_t {
    uct_iface_ops_t {
        ep_am_short: Some(am::am_short),
        ep_am_short_iov: Some(am::am_short_iov),
        ep_am_bcopy: Some(am::am_bcopy),
        ep_am_zcopy: Some(am::am_zcopy),
        ep_put_short: Some(rma::put_short),
        ep_put_bcopy: Some(rma::put_bcopy),
        ep_put_zcopy: Some(rma::put_zcopy),
        ep_get_bcopy: Some(rma::get_bcopy),
        ep_get_zcopy: Some(rma::get_zcopy),
        ep_atomic_cswap64: Some(atomic::cswap64),
        ep_atomic_cswap32: Some(atomic::cswap32),
        ep_atomic32_post: Some(atomic::post32),
        ep_atomic64_post: Some(atomic::post64),
        ep_atomic32_fetch: Some(atomic::fetch32),
        ep_atomic64_fetch: Some(atomic::fetch64),
        ep_pending_add: Some(pending::pending_add),
        ep_pending_purge: Some(pending::pending_purge),
        ep_flush: Some(ep::ep_flush),
        ep_fence: Some(ep::ep_fence),
        ep_check: Some(ep::ep_check),
        ep_create: Some(ep::ep_create),
        ep_destroy: Some(ep::ep_destroy),
        iface_flush: Some(flush::iface_flush),
        iface_fence: Some(uct_base_iface_fence),
        iface_progress_enable: Some(uct_base_iface_progress_enable),
        iface_progress_disable: Some(uct_base_iface_progress_disable),
        iface_progress: Some(iface_progress),
        iface_event_fd_get: Some(event::event_fd_get),
        iface_event_arm: Some(event::event_arm),
        iface_close: Some(iface_close),
        iface_query: Some(iface_query),
        iface_get_device_address: Some(get_device_address),
        iface_get_address: Some(get_address),
        ..NO_IFACE_OPS
    }
}

/// Opens an interface on the links that `config` names.
///
/// # Safety
/// As for [`Transport::iface_open`](ucx_sys::Transport::iface_open).
pub(crate) unsafe fn open(
    md: *mut uct_md_t,
    worker: uct_worker_h,
    params: *const uct_iface_params_t,
    config: *const Config,
) -> Result<*mut uct_base_iface_t, ucs_status_t> {
    // SAFETY: valid during the call.
    check_params(unsafe { &*params })?;
    // SAFETY: `md` is open.
    let links = unsafe { Md::links(md) }.ok_or(UCS_ERR_NO_DEVICE)?;
    // SAFETY: valid during the call.
    let settings = unsafe { &*config }
        .settings(links)
        .map_err(|error| status::report(UCS_ERR_INVALID_PARAM, format_args!("usb4: {error}")))?;
    // SAFETY: `md` is open.
    let regions = unsafe { Md::regions(md) };
    let port = Port::open(&settings.port, regions)
        .map_err(|error| status::report(status::of_open(&error), format_args!("usb4: {error}")))?;
    let registered = ucx_sys::registered().expect("UCX opens what was registered");
    let performance = port.performance();
    let port = Attended::new(port).map_err(|error| status::report(UCS_ERR_NO_MEMORY, format_args!("usb4: {error}")))?;
    let scratch = if settings.seg_size > usb4_wire::PAYLOAD_MAX { vec![0; settings.seg_size] } else { Vec::new() };
    let mut iface = Box::new(Iface {
        base: UnsafeCell::new(MaybeUninit::uninit()),
        registered,
        port,
        endpoints: RefCell::default(),
        schedule: Schedule::default(),
        flushes: Flushes::default(),
        operations: Operations::default(),
        requested: Arc::default(),
        settings,
        performance,
        scratch: RefCell::new(scratch),
        partial: RefCell::default(),
        unserved: Cell::new(0),
        senseless: Cell::new(0),
    });
    // SAFETY: the base is writable and new; the rest is what UCX passed.
    unsafe { registered.init_iface(iface.handle(), md, worker, params, config) }?;
    let entered = iface.entered();
    log::debug!("usb4: opened {}", entered.port().describe());
    let shown = vfs::Shown { observer: entered.port().observer(), requested: Arc::clone(&entered.requested) };
    drop(entered);
    vfs::show(IfaceId::of(iface.handle()), shown);
    if let Some(absence) = iface.settings.async_interval
        && let Err(error) = iface.port.start(absence)
    {
        log::warn!(
            "usb4: peers are served only while the program calls UCX (UCX_USB4_ASYNC_INTERVAL has no effect): {error}"
        );
    }
    Ok(Box::into_raw(iface).cast())
}

/// Refuses what UCX's transports refuse alike (`uct_iface_param_am_alignment`).
fn check_params(params: &uct_iface_params_t) -> Result<(), ucs_status_t> {
    let has = |field: u64| params.field_mask & field != 0;
    let device = u64::from(UCT_IFACE_OPEN_MODE_DEVICE);
    if !has(UCT_IFACE_PARAM_FIELD_OPEN_MODE.into()) || params.open_mode & device == 0 {
        return Err(status::report(UCS_ERR_UNSUPPORTED, format_args!("usb4 supports only UCT_IFACE_OPEN_MODE_DEVICE")));
    }
    let alignment = has(UCT_IFACE_PARAM_FIELD_AM_ALIGNMENT.into()).then_some(params.am_alignment);
    let offset = has(UCT_IFACE_PARAM_FIELD_AM_ALIGN_OFFSET.into()).then_some(params.am_align_offset);
    let invalid = |what: fmt::Arguments<'_>| Err(status::report(UCS_ERR_INVALID_PARAM, what));
    // Messages are handed over where they lie, never as descriptors to keep, so the alignment itself has no effect.
    match (alignment, offset) {
        (None, Some(_)) => invalid(format_args!("alignment offset has no effect without alignment")),
        (Some(alignment), _) if !alignment.is_power_of_two() => {
            invalid(format_args!("invalid alignment {alignment}, it must be a power of two"))
        }
        _ => Ok(()),
    }
}

/// `uct_iface_progress`.
unsafe extern "C" fn iface_progress(handle: uct_iface_h) -> c_uint {
    // SAFETY: UCX passes interfaces that `iface_open` returned and that it has not closed.
    unsafe { Iface::from_handle(handle) }.progress()
}

/// `uct_iface_close`: lets what was sent arrive (for a bounded time), and gives everything back.
unsafe extern "C" fn iface_close(handle: uct_iface_h) {
    let both = UCT_PROGRESS_SEND | UCT_PROGRESS_RECV;
    // SAFETY: an open interface, and both directions of progress.
    unsafe { uct_base_iface_progress_disable(handle, both) };
    // SAFETY: UCX closes an interface once, after its endpoints, and uses it no more.
    let mut iface = unsafe { Box::from_raw(handle.cast::<Iface>()) };
    vfs::hide(IfaceId::of(iface.handle()));
    iface.port.stop();
    let entered = iface.entered();
    entered.port().close();
    if let Some(path) = &entered.settings.stats
        && !entered.port.is_forked()
    {
        stats::append(path, &entered.port(), &entered.requested);
    }
    drop(entered);
    // SAFETY: `open` initialized the base.
    unsafe { iface.registered.cleanup_iface(iface.handle()) };
}

/// `uct_iface_query`, on any thread: UCX's virtual file system asks, too.
unsafe extern "C" fn iface_query(handle: uct_iface_h, attr: *mut uct_iface_attr_t) -> ucs_status_t {
    // SAFETY: an open interface, and where UCX wants its attributes.
    unsafe { uct_base_iface_query(handle.cast(), attr) };
    // Not by `from_handle`: this may not be the thread that calls the interface otherwise. These three never change.
    let iface = handle.cast::<Iface>();
    // SAFETY: UCX passes interfaces that `iface_open` returned and that it has not closed.
    let registered = unsafe { (*iface).registered };
    // SAFETY: as above.
    let performance = unsafe { (*iface).performance };
    // SAFETY: as above.
    let seg_size = unsafe { (*iface).settings.seg_size };
    // SAFETY: filled above, and UCX's own until this returns.
    let attr = unsafe { &mut *attr };
    let flags = IfaceFlags::AM_SHORT
        | IfaceFlags::AM_BCOPY
        | IfaceFlags::AM_ZCOPY
        | IfaceFlags::PUT_SHORT
        | IfaceFlags::PUT_BCOPY
        | IfaceFlags::PUT_ZCOPY
        | IfaceFlags::GET_BCOPY
        | IfaceFlags::GET_ZCOPY
        | IfaceFlags::ATOMIC_CPU
        | IfaceFlags::PENDING
        | IfaceFlags::CB_SYNC
        | IfaceFlags::CONNECT_TO_IFACE
        | IfaceFlags::EP_CHECK
        | IfaceFlags::ERRHANDLE_PEER_FAILURE
        | registered.inter_node();
    attr.cap.flags = flags.bits();
    attr.cap.event_flags = (EventFlags::SEND_COMP | EventFlags::RECV | EventFlags::FD).bits();
    attr.cap.am.max_short = am::MAX_SHORT;
    attr.cap.am.max_bcopy = seg_size;
    attr.cap.am.min_zcopy = 0;
    attr.cap.am.max_zcopy = seg_size;
    attr.cap.am.max_hdr = am::MAX_HDR;
    attr.cap.am.max_iov = am::MAX_IOV;
    attr.cap.am.opt_zcopy_align = 1;
    attr.cap.am.align_mtu = 1;
    attr.cap.put.max_short = rma::MAX_PUT;
    attr.cap.put.max_bcopy = rma::MAX_PUT;
    attr.cap.put.max_zcopy = rma::MAX_ZCOPY;
    attr.cap.put.max_iov = am::MAX_IOV;
    attr.cap.put.opt_zcopy_align = 1;
    attr.cap.put.align_mtu = 1;
    attr.cap.get.max_bcopy = rma::MAX_GET_BCOPY;
    attr.cap.get.max_zcopy = rma::MAX_ZCOPY;
    attr.cap.get.max_iov = am::MAX_IOV;
    attr.cap.get.opt_zcopy_align = 1;
    attr.cap.get.align_mtu = 1;
    attr.cap.atomic32.op_flags = atomic::POST_OPS;
    attr.cap.atomic32.fop_flags = atomic::FETCH_OPS;
    attr.cap.atomic64.op_flags = atomic::POST_OPS;
    attr.cap.atomic64.fop_flags = atomic::FETCH_OPS;
    attr.device_addr_len = DEVICE_ADDR_LEN;
    attr.iface_addr_len = IFACE_ADDR_LEN;
    attr.ep_addr_len = 0;
    // All processes of a node share its cables.
    attr.bandwidth.dedicated = 0.0;
    attr.bandwidth.shared = performance.bytes_per_second;
    attr.latency.c = performance.latency_seconds;
    attr.latency.m = 0.0;
    attr.overhead = performance.overhead_seconds;
    attr.priority = 0;
    UCS_OK
}

/// `uct_iface_get_device_address`.
unsafe extern "C" fn get_device_address(handle: uct_iface_h, out: *mut uct_device_addr_t) -> ucs_status_t {
    // SAFETY: UCX passes interfaces that `iface_open` returned and that it has not closed.
    let iface = unsafe { Iface::from_handle(handle) };
    let address = iface.port().fabric_address().pack();
    // SAFETY: UCX passes `device_addr_len` writable bytes, of any alignment.
    unsafe { out.cast::<[u8; DEVICE_ADDR_LEN]>().write_unaligned(address) };
    UCS_OK
}

/// `uct_iface_get_address`.
unsafe extern "C" fn get_address(handle: uct_iface_h, out: *mut uct_iface_addr_t) -> ucs_status_t {
    // SAFETY: UCX passes interfaces that `iface_open` returned and that it has not closed.
    let iface = unsafe { Iface::from_handle(handle) };
    let address = iface.port().address().pack();
    // SAFETY: UCX passes `iface_addr_len` writable bytes, of any alignment.
    unsafe { out.cast::<[u8; IFACE_ADDR_LEN]>().write_unaligned(address) };
    UCS_OK
}
