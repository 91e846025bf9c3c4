//! A transport for tests: it sends to itself only, and registers memory whose remote keys can be invalidated. It goes through
//! everything of a release's layout that a real transport uses, so tests/releases.rs runs it on each release at hand.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, c_uint, c_void};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use ucx_sys::config::{BaseIfaceConfig, Field, MemUnits, Seconds, Switch, Text};
use ucx_sys::public::*;
use ucx_sys::*;

struct NullTl;

#[repr(C)]
struct Config {
    base: BaseIfaceConfig,
    links: Text,
    window: MemUnits,
    timeout: Seconds,
    poll: Switch,
    depth: u32,
    factor: f64,
}

const MAX_SHORT: usize = 1024;
const MAX_BCOPY: usize = 8192;

#[repr(C)]
struct Iface {
    base: uct_base_iface_t,
    id: u64,
}

#[repr(C)]
struct Ep {
    base: uct_base_ep_t,
    peer: u64,
}

/// Registered regions, by the number that stands in their remote keys.
static REGIONS: Mutex<Option<HashMap<u64, MemFlags>>> = Mutex::new(None);

static NEXT: AtomicU64 = AtomicU64::new(1);

/// The open interfaces, for UCX's virtual file system.
static OPEN: Mutex<BTreeSet<IfaceId>> = Mutex::new(BTreeSet::new());

/// A long text with everything in it that a format could stumble over.
fn show(iface: IfaceId) -> String {
    let open = OPEN.lock().unwrap().contains(&iface);
    format!("open {open} %s %n{}\0!", "-".repeat(600))
}

extern "C" fn enter() {
    log::install();
    if let Err(refusal) = register::<NullTl>() {
        log::report_refusal(&refusal);
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = enter;

// SAFETY: the objects returned begin with the base objects, filled by `Registered`; Config is `#[repr(C)]` and FIELDS name it.
unsafe impl Transport for NullTl {
    const NAME: &'static CStr = c"nulltl";
    const MD_TITLE: &'static CStr = c"nulltl memory domain";
    const TL_TITLE: &'static CStr = c"nulltl transport";
    const ENV_PREFIX: &'static CStr = c"NULLTL_";
    type MdConfig = ();
    type Config = Config;
    const FIELDS: &'static [Field] = &[
        Field::base(),
        field!(Config, links, c"LINKS", c"all", c"Which links to use."),
        field!(Config, window, c"WINDOW", c"256k", c"Size of the window."),
        field!(Config, timeout, c"TIMEOUT", c"1.5ms", c"When a peer is given up."),
        field!(Config, poll, c"POLL", c"y", c"Whether to poll."),
        field!(Config, depth, c"DEPTH", c"7", c"Depth of the queue."),
        field!(Config, factor, c"FACTOR", c"0.25", c"A factor."),
    ];

    const VFS_FILES: &'static [VfsFile] = &[VfsFile { path: c"nulltl/self", read: show }];

    fn iface_ops() -> uct_iface_ops_t {
        uct_iface_ops_t {
            ep_am_short: Some(am_short),
            ep_am_bcopy: Some(am_bcopy),
            ep_pending_add: Some(pending_add),
            ep_pending_purge: Some(pending_purge),
            ep_flush: Some(ep_flush),
            ep_fence: Some(uct_base_ep_fence),
            ep_create: Some(ep_create),
            ep_destroy: Some(ep_destroy),
            iface_flush: Some(uct_base_iface_flush),
            iface_fence: Some(uct_base_iface_fence),
            iface_progress_enable: Some(uct_base_iface_progress_enable),
            iface_progress_disable: Some(uct_base_iface_progress_disable),
            iface_progress: Some(iface_progress),
            iface_close: Some(iface_close),
            iface_query: Some(iface_query),
            iface_get_device_address: Some(device_address),
            iface_get_address: Some(iface_address),
            ..NO_IFACE_OPS
        }
    }

    unsafe fn md_open(name: &CStr, _config: *const ()) -> Result<*mut uct_md_t, ucs_status_t> {
        assert_eq!(name, Self::NAME);
        let registered = registered().ok_or(UCS_ERR_NO_DEVICE)?;
        let md = Box::into_raw(Box::new(uct_md_t::UNSET));
        // SAFETY: just allocated.
        unsafe { registered.init_md(md) };
        Ok(md)
    }

    unsafe fn md_close(md: *mut uct_md_t) {
        // SAFETY: made by md_open from a box.
        drop(unsafe { Box::from_raw(md) });
    }

    unsafe fn md_caps(_md: *mut uct_md_t) -> MdCaps {
        MdCaps {
            flags: MdFlags::REG | MdFlags::NEED_RKEY | MdFlags::INVALIDATE_RMA | MdFlags::INVALIDATE_AMO,
            reg_mem_types: HOST_MEMORY,
            max_reg_bytes: 1 << 40,
            rkey_packed_size: 8,
            reg_cost: ucs_linear_func_t { c: 0.5, m: 0.25 },
            ..MdCaps::NO_REGISTRATION
        }
    }

    unsafe fn query_devices(_md: *mut uct_md_t) -> Result<Vec<Device>, ucs_status_t> {
        let kind = UCT_DEVICE_TYPE_NET;
        // A function of a bus that no machine has, and no PCI device.
        Ok([("null_0", c"00fe:fd:1c.3"), ("null_1", c"platform")]
            .map(|(name, place)| Device { name: name.into(), kind, sys_device: sys_device(place) })
            .into())
    }

    unsafe fn iface_open(
        md: *mut uct_md_t,
        worker: uct_worker_h,
        params: *const uct_iface_params_t,
        config: *const Config,
    ) -> Result<*mut uct_base_iface_t, ucs_status_t> {
        // SAFETY: UCX filled it, and nobody writes it during the call.
        let settings = unsafe { &*config };
        ::log::info!(
            "opened with links={} window={:?} timeout={} poll={} depth={} factor={}",
            settings.links.as_c_str().to_string_lossy(),
            settings.window.amount(),
            settings.timeout.0,
            settings.poll.is_on(),
            settings.depth,
            settings.factor
        );
        let registered = registered().ok_or(UCS_ERR_NO_DEVICE)?;
        let iface = Box::into_raw(Box::<Iface>::new_uninit()).cast::<Iface>();
        // SAFETY: just allocated; the rest is UCX's.
        if let Err(status) = unsafe { registered.init_iface(iface.cast(), md, worker, params, config) } {
            // SAFETY: allocated above, and nothing in it needs to be dropped.
            drop(unsafe { Box::from_raw(iface.cast::<std::mem::MaybeUninit<Iface>>()) });
            return Err(status);
        }
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: allocated above.
        unsafe { (*iface).id = id };
        OPEN.lock().unwrap().insert(IfaceId::of(iface.cast()));
        Ok(iface.cast())
    }

    unsafe fn is_reachable(iface: *mut uct_base_iface_t, peer: PeerAddress) -> Result<(), Unreachable> {
        // SAFETY: an open interface of ours.
        let own = unsafe { (*iface.cast::<Iface>()).id };
        // SAFETY: eight bytes, as iface_query says, or null.
        if !peer.iface.is_null() && unsafe { peer.iface.cast::<u64>().read_unaligned() } == own {
            return Ok(());
        }
        Err(Unreachable("nulltl reaches only itself".into()))
    }

    unsafe fn ep_is_connected(ep: *mut uct_base_ep_t, peer: PeerAddress) -> bool {
        // SAFETY: an open endpoint of ours.
        let own = unsafe { (*ep.cast::<Ep>()).peer };
        // SAFETY: eight bytes, as iface_query says, or null.
        !peer.iface.is_null() && unsafe { peer.iface.cast::<u64>().read_unaligned() } == own
    }

    unsafe fn ep_invalidate(_ep: *mut uct_base_ep_t) -> ucs_status_t {
        UCS_ERR_CANCELED // a status of its own, so that the test sees who answered
    }

    unsafe fn mem_reg(_md: *mut uct_md_t, region: MemRegion) -> Result<uct_mem_h, ucs_status_t> {
        if region.len_bytes == 0 || region.address.is_null() {
            return Err(UCS_ERR_INVALID_PARAM);
        }
        let key = NEXT.fetch_add(1, Ordering::Relaxed);
        REGIONS.lock().unwrap().get_or_insert_default().insert(key, region.flags);
        Ok(key as usize as uct_mem_h)
    }

    unsafe fn mem_dereg(_md: *mut uct_md_t, memh: uct_mem_h, mode: DeregMode) -> Result<(), ucs_status_t> {
        let found = REGIONS.lock().unwrap().get_or_insert_default().remove(&(memh as u64));
        found.ok_or(UCS_ERR_NO_ELEM)?;
        if let DeregMode::Invalidate(completion) = mode {
            // SAFETY: UCX's completion, which waits for this.
            unsafe { complete(completion, UCS_OK) };
        }
        Ok(())
    }

    unsafe fn mkey_pack(
        _md: *mut uct_md_t,
        memh: uct_mem_h,
        flags: MkeyFlags,
        buffer: *mut c_void,
    ) -> Result<(), ucs_status_t> {
        // The flags travel in the key, so that the test sees what arrived here.
        let key = memh as u64 | u64::from(flags.bits()) << 32;
        // SAFETY: room for a key.
        unsafe { buffer.cast::<u64>().write_unaligned(key) };
        Ok(())
    }

    unsafe fn rkey_unpack(buffer: *const c_void) -> Result<Rkey, ucs_status_t> {
        // SAFETY: a packed key.
        let key = unsafe { buffer.cast::<u64>().read_unaligned() };
        let registered = REGIONS.lock().unwrap().get_or_insert_default().get(&(key & u64::from(u32::MAX))).copied();
        let flags = registered.ok_or(UCS_ERR_INVALID_PARAM)?;
        Ok(Rkey { rkey: key as usize, handle: flags.bits() as usize as *mut c_void })
    }

    unsafe fn rkey_release(rkey: Rkey) -> ucs_status_t {
        if rkey.handle.is_null() { UCS_ERR_INVALID_PARAM } else { UCS_OK }
    }
}

unsafe extern "C" fn ep_create(params: *const uct_ep_params_t, ep_p: *mut uct_ep_h) -> ucs_status_t {
    let Some(registered) = registered() else { return UCS_ERR_NO_DEVICE };
    // SAFETY: UCX always gives the interface.
    let iface = unsafe { (*params).iface };
    // SAFETY: UCX gives the address to a transport that connects to interfaces.
    let address = unsafe { (*params).iface_addr };
    let ep = Box::into_raw(Box::<Ep>::new_uninit()).cast::<Ep>();
    // SAFETY: just allocated.
    if let Err(status) = unsafe { registered.init_ep(ep.cast(), iface.cast()) } {
        return status;
    }
    // SAFETY: eight bytes, as iface_query says.
    let peer = unsafe { address.cast::<u64>().read_unaligned() };
    // SAFETY: allocated above.
    unsafe { (*ep).peer = peer };
    // SAFETY: UCX's out parameter.
    unsafe { ep_p.write(ep.cast()) };
    UCS_OK
}

unsafe extern "C" fn ep_destroy(ep: uct_ep_h) {
    // SAFETY: made by ep_create.
    registered().into_iter().for_each(|registered| unsafe { registered.cleanup_ep(ep.cast()) });
    // SAFETY: made by ep_create from a box; nothing in it needs to be dropped.
    drop(unsafe { Box::from_raw(ep.cast::<std::mem::MaybeUninit<Ep>>()) });
}

unsafe extern "C" fn am_short(ep: uct_ep_h, id: u8, header: u64, payload: *const c_void, len: c_uint) -> ucs_status_t {
    let mut message = header.to_ne_bytes().to_vec();
    message.resize(8 + len as usize, 0);
    // SAFETY: the caller's payload, and room made for it.
    unsafe { payload.cast::<u8>().copy_to_nonoverlapping(message[8..].as_mut_ptr(), len as usize) };
    // SAFETY: an open endpoint.
    unsafe { deliver(ep, id, &mut message) }
}

unsafe extern "C" fn am_bcopy(
    ep: uct_ep_h,
    id: u8,
    pack: uct_pack_callback_t,
    arg: *mut c_void,
    _flags: c_uint,
) -> isize {
    let mut message = vec![0; MAX_BCOPY];
    // SAFETY: UCX's callback with its argument, and room for the longest message.
    let len = unsafe { pack.expect("UCX gives one")(message.as_mut_ptr().cast(), arg) };
    message.truncate(len);
    // SAFETY: an open endpoint.
    match unsafe { deliver(ep, id, &mut message) } {
        UCS_OK => len as isize,
        status => status.as_ssize(),
    }
}

unsafe fn deliver(ep: uct_ep_h, id: u8, message: &mut [u8]) -> ucs_status_t {
    // SAFETY: an open endpoint.
    let iface = unsafe { (*ep).iface };
    // SAFETY: an open interface, and a message of our own.
    unsafe { invoke_am(iface.cast(), id, message.as_mut_ptr().cast(), message.len(), 0) }
}

unsafe extern "C" fn pending_add(_ep: uct_ep_h, _request: *mut uct_pending_req_t, _flags: c_uint) -> ucs_status_t {
    UCS_ERR_BUSY // there is always room
}

unsafe extern "C" fn pending_purge(_ep: uct_ep_h, _callback: uct_pending_purge_callback_t, _arg: *mut c_void) {}

unsafe extern "C" fn ep_flush(_ep: uct_ep_h, _flags: c_uint, _completion: *mut uct_completion_t) -> ucs_status_t {
    UCS_OK
}

unsafe extern "C" fn iface_progress(_iface: uct_iface_h) -> c_uint {
    0
}

unsafe extern "C" fn iface_close(iface: uct_iface_h) {
    // SAFETY: open until now.
    unsafe { uct_base_iface_progress_disable(iface, UCT_PROGRESS_SEND | UCT_PROGRESS_RECV) };
    OPEN.lock().unwrap().remove(&IfaceId::of(iface.cast()));
    // SAFETY: made by iface_open.
    registered().into_iter().for_each(|registered| unsafe { registered.cleanup_iface(iface.cast()) });
    // SAFETY: made by iface_open from a box; nothing in it needs to be dropped.
    drop(unsafe { Box::from_raw(iface.cast::<std::mem::MaybeUninit<Iface>>()) });
}

unsafe extern "C" fn iface_query(iface: uct_iface_h, attr: *mut uct_iface_attr_t) -> ucs_status_t {
    // SAFETY: an open interface and UCX's out parameter.
    unsafe { uct_base_iface_query(iface.cast(), attr) };
    // SAFETY: the base query has zeroed it, and nobody else has it during the call.
    let attr = unsafe { &mut *attr };
    let flags = IfaceFlags::AM_SHORT | IfaceFlags::AM_BCOPY | IfaceFlags::PENDING | IfaceFlags::CB_SYNC;
    let inter_node = registered().map_or(IfaceFlags::empty(), Registered::inter_node);
    attr.cap.flags = (flags | IfaceFlags::CONNECT_TO_IFACE | inter_node).bits();
    attr.cap.am.max_short = MAX_SHORT;
    attr.cap.am.max_bcopy = MAX_BCOPY;
    attr.device_addr_len = 4;
    attr.iface_addr_len = 8;
    attr.latency = ucs_linear_func_t { c: 5e-6, m: 0.0 };
    attr.bandwidth = uct_ppn_bandwidth_t { dedicated: 0.0, shared: 1e9 };
    attr.overhead = 1e-7;
    UCS_OK
}

unsafe extern "C" fn device_address(_iface: uct_iface_h, address: *mut uct_device_addr_t) -> ucs_status_t {
    // SAFETY: room for four bytes, as iface_query says.
    unsafe { address.cast::<[u8; 4]>().write(*b"null") };
    UCS_OK
}

unsafe extern "C" fn iface_address(iface: uct_iface_h, address: *mut uct_iface_addr_t) -> ucs_status_t {
    // SAFETY: an open interface of ours.
    let id = unsafe { (*iface.cast::<Iface>()).id };
    // SAFETY: room for eight bytes, as iface_query says.
    unsafe { address.cast::<u64>().write_unaligned(id) };
    UCS_OK
}
