//! The component `usb4` with its one memory domain and one transport, as UCX finds them.

use std::ffi::{CStr, CString, c_void};
use std::sync::Once;

use ucx_sys::public::*;
use ucx_sys::{DeregMode, Device, MdCaps, MemRegion, MkeyFlags, PeerAddress, Rkey, Transport, Unreachable};
use usb4_link::OpenError;

use crate::md::{self, Md};
use crate::{ep, iface, settings, status, vfs};
use usb4_port::Port;
use usb4_port::address::{DEVICE_ADDR_LEN, FabricAddress, IFACE_ADDR_LEN, PortAddress};

/// What is registered with UCX.
pub(crate) struct Usb4;

// SAFETY: `Md` and `Iface` begin with the base objects that `init_md` and `init_iface` fill, and live until closed;
// `Config` is `#[repr(C)]` and FIELDS name all of its members.
unsafe impl Transport for Usb4 {
    const NAME: &'static CStr = c"usb4";
    const MD_TITLE: &'static CStr = c"USB4 memory domain";
    const TL_TITLE: &'static CStr = c"USB4 transport";
    const ENV_PREFIX: &'static CStr = c"USB4_";
    type MdConfig = settings::MdConfig;
    const MD_FIELDS: &'static [ucx_sys::config::Field] = settings::MD_FIELDS;
    type Config = settings::Config;
    const FIELDS: &'static [ucx_sys::config::Field] = settings::FIELDS;
    const VFS_FILES: &'static [ucx_sys::VfsFile] = vfs::FILES;

    fn iface_ops() -> uct_iface_ops_t {
        iface::ops()
    }

    unsafe fn md_open(_name: &CStr, config: *const settings::MdConfig) -> Result<*mut uct_md_t, ucs_status_t> {
        let registered = ucx_sys::registered().expect("UCX opens what was registered");
        let seed =
            usb4_port::entropy().map_err(|error| status::report(UCS_ERR_IO_ERROR, format_args!("usb4: {error}")))?;
        // SAFETY: valid during the call.
        let links = unsafe { &*config }.links();
        if let Err(error) = &links {
            complain(error);
        }
        let md = Md::open(seed, links.ok());
        // SAFETY: just allocated.
        unsafe { registered.init_md(md.cast()) };
        Ok(md.cast())
    }

    unsafe fn md_close(md: *mut uct_md_t) {
        // SAFETY: `md_open` made it, and UCX closes it once.
        unsafe { Md::close(md) };
    }

    unsafe fn md_caps(_md: *mut uct_md_t) -> MdCaps {
        let registered = ucx_sys::registered().expect("UCX queries what was registered");
        md::caps(registered.version())
    }

    unsafe fn query_devices(md: *mut uct_md_t) -> Result<Vec<Device>, ucs_status_t> {
        // SAFETY: `md` is open.
        let links = match unsafe { Md::links(md) } {
            Some(links) if links.is_present() => links,
            Some(_) => {
                complain(&OpenError::NoDevice);
                return Ok(Vec::new());
            }
            // Complained of when the memory domain was opened.
            None => return Ok(Vec::new()),
        };
        let place = links.controller().and_then(|name| CString::new(name).ok());
        let sys_device = place.map_or(UCS_SYS_DEVICE_ID_UNKNOWN, |name| ucx_sys::sys_device(&name));
        Ok(vec![Device { name: "usb4".to_owned(), kind: UCT_DEVICE_TYPE_NET, sys_device }])
    }

    unsafe fn iface_open(
        md: *mut uct_md_t,
        worker: uct_worker_h,
        params: *const uct_iface_params_t,
        config: *const settings::Config,
    ) -> Result<*mut uct_base_iface_t, ucs_status_t> {
        // SAFETY: promised by the caller.
        unsafe { iface::open(md, worker, params, config) }
    }

    unsafe fn mem_reg(md: *mut uct_md_t, region: MemRegion) -> Result<uct_mem_h, ucs_status_t> {
        // SAFETY: promised by the caller.
        unsafe { Md::register(md, region) }
    }

    unsafe fn mem_dereg(md: *mut uct_md_t, memh: uct_mem_h, mode: DeregMode) -> Result<(), ucs_status_t> {
        // SAFETY: promised by the caller.
        unsafe { Md::deregister(md, memh, mode) };
        Ok(())
    }

    unsafe fn mkey_pack(
        _md: *mut uct_md_t,
        memh: uct_mem_h,
        _flags: MkeyFlags,
        buffer: *mut c_void,
    ) -> Result<(), ucs_status_t> {
        // SAFETY: promised by the caller.
        unsafe { md::pack_key(memh, buffer) };
        Ok(())
    }

    unsafe fn rkey_unpack(buffer: *const c_void) -> Result<Rkey, ucs_status_t> {
        // SAFETY: promised by the caller.
        Ok(unsafe { md::unpack_key(buffer) })
    }

    unsafe fn rkey_release(_rkey: Rkey) -> ucs_status_t {
        // The key is its own handle: nothing is held.
        UCS_OK
    }

    unsafe fn is_reachable(iface: *mut uct_base_iface_t, peer: PeerAddress) -> Result<(), Unreachable> {
        if peer.device.is_null() {
            return Err(Unreachable("the peer has no usb4 device address".to_owned()));
        }
        // SAFETY: `iface` is open.
        let iface = unsafe { iface::Iface::from_handle(iface.cast()) };
        // SAFETY: UCX passes `device_addr_len` bytes, of any alignment.
        let bytes = unsafe { peer.device.cast::<[u8; DEVICE_ADDR_LEN]>().read_unaligned() };
        way_to(&iface.port(), FabricAddress::unpack(&bytes)).inspect_err(tell_once)
    }

    unsafe fn ep_is_connected(ep: *mut uct_base_ep_t, peer: PeerAddress) -> bool {
        if peer.iface.is_null() {
            return false;
        }
        // SAFETY: UCX passes `iface_addr_len` bytes, of any alignment.
        let bytes = unsafe { peer.iface.cast::<[u8; IFACE_ADDR_LEN]>().read_unaligned() };
        // SAFETY: `ep` is open.
        let ep = unsafe { ep::Ep::from_handle(ep.cast()) };
        ep.leads_to(&PortAddress::unpack(&bytes))
    }
}

/// Whether frames reach a node of a fabric.
fn way_to(port: &Port, there: FabricAddress) -> Result<(), Unreachable> {
    let here = port.fabric_address();
    if there.fabric != here.fabric {
        return Err(Unreachable(format!(
            "usb4 fabric {:016x} is not joined to {:016x}; has UCX_USB4_LINKS the same value for both ranks?",
            there.fabric, here.fabric
        )));
    }
    if !port.has_route(there.node) {
        return Err(Unreachable(format!(
            "no cable leads from usb4 node {} to {}, or UCX_USB4_RAILS leaves it out; see `usb4ctl status`",
            here.node, there.node
        )));
    }
    Ok(())
}

/// A peer that UCX asks for and no cable leads to. UCX shows the reason from 1.17 on, and never when another transport
/// serves that peer instead.
fn tell_once(why: &Unreachable) {
    static TOLD: Once = Once::new();
    if is_asked_for() {
        TOLD.call_once(|| log::warn!("usb4: {why} (told once)"));
    }
}

/// Why there is no device: loud where the user named usb4 or a cable, quiet where the transport is merely installed.
fn complain(why: &(dyn std::error::Error + 'static)) {
    let installed_only = why.downcast_ref().is_some_and(|error| matches!(error, OpenError::NoDevice));
    if is_asked_for() || !installed_only {
        log::error!("usb4: {why}");
    } else {
        log::info!("usb4: {why}");
    }
}

/// Whether the user has named usb4.
fn is_asked_for() -> bool {
    std::env::var("UCX_TLS").is_ok_and(|tls| tls.split(',').any(|word| word.trim() == "usb4"))
}
