//! A transport that does nothing, for unit tests.

use std::ffi::{CStr, c_void};

use crate::config::{BaseIfaceConfig, Field, MemUnits, Seconds, Switch, Text};
use crate::public::*;
use crate::transport::{DeregMode, Device, MdCaps, MkeyFlags, PeerAddress, Transport, Unreachable};
use crate::{NO_IFACE_OPS, field};

pub(crate) struct Null;

/// One setting of each kind.
#[repr(C)]
pub(crate) struct Config {
    pub(crate) base: BaseIfaceConfig,
    pub(crate) links: Text,
    pub(crate) window: MemUnits,
    pub(crate) timeout: Seconds,
    pub(crate) poll: Switch,
    pub(crate) depth: u32,
    pub(crate) factor: f64,
}

// SAFETY: nothing of it is ever registered; Config is made as the trait asks.
unsafe impl Transport for Null {
    const NAME: &'static CStr = c"null";
    const MD_TITLE: &'static CStr = c"null memory domain";
    const TL_TITLE: &'static CStr = c"null transport";
    const ENV_PREFIX: &'static CStr = c"NULL_";
    type MdConfig = ();
    type Config = Config;
    const FIELDS: &'static [Field] = &[
        Field::base(),
        field!(Config, links, c"LINKS", c"all", c"Links to use."),
        field!(Config, window, c"WINDOW", c"256k", c"Window."),
        field!(Config, timeout, c"TIMEOUT", c"1.5ms", c"Timeout."),
        field!(Config, poll, c"POLL", c"y", c"Whether to poll."),
        field!(Config, depth, c"DEPTH", c"7", c"Depth."),
        field!(Config, factor, c"FACTOR", c"0.25", c"Factor."),
    ];

    fn iface_ops() -> uct_iface_ops_t {
        NO_IFACE_OPS
    }

    unsafe fn md_open(_name: &CStr, _config: *const ()) -> Result<*mut uct_md_t, ucs_status_t> {
        Err(UCS_ERR_NO_DEVICE)
    }

    unsafe fn md_close(_md: *mut uct_md_t) {}

    unsafe fn md_caps(_md: *mut uct_md_t) -> MdCaps {
        MdCaps::NO_REGISTRATION
    }

    unsafe fn query_devices(_md: *mut uct_md_t) -> Result<Vec<Device>, ucs_status_t> {
        Ok(Vec::new())
    }

    unsafe fn iface_open(
        _md: *mut uct_md_t,
        _worker: uct_worker_h,
        _params: *const uct_iface_params_t,
        _config: *const Config,
    ) -> Result<*mut uct_base_iface_t, ucs_status_t> {
        Err(UCS_ERR_NO_DEVICE)
    }

    unsafe fn is_reachable(_iface: *mut uct_base_iface_t, peer: PeerAddress) -> Result<(), Unreachable> {
        if peer.iface.is_null() { Err(Unreachable("nobody is there".into())) } else { Ok(()) }
    }

    unsafe fn ep_is_connected(_ep: *mut uct_base_ep_t, _peer: PeerAddress) -> bool {
        false
    }

    unsafe fn mem_dereg(_md: *mut uct_md_t, _memh: uct_mem_h, _mode: DeregMode) -> Result<(), ucs_status_t> {
        Ok(())
    }

    unsafe fn mkey_pack(
        _md: *mut uct_md_t,
        _memh: uct_mem_h,
        _flags: MkeyFlags,
        _buffer: *mut c_void,
    ) -> Result<(), ucs_status_t> {
        Ok(())
    }
}
