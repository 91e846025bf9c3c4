//! The memory domain: registered memory, and the keys by which peers name it.

use std::ffi::c_void;
use std::sync::{Arc, PoisonError, RwLock};

use ucx_sys::public::*;
use ucx_sys::{DeregMode, HOST_MEMORY, MdCaps, MdFlags, MemFlags, MemRegion, Rkey, Version, complete};
use usb4_engine::{Access, RegionTable};

use usb4_link::LinkSpec;

use crate::status::report;
use usb4_port::Regions;

/// Bytes of a packed remote key: the key itself.
const RKEY_LEN: usize = size_of::<u64>();

/// A memory domain; UCX sees its head, a `uct_md_t`.
#[repr(C)]
pub(crate) struct Md {
    base: uct_md_t,
    /// Shared with the interfaces that are opened on it.
    regions: Regions,
    /// The cables that the user names; or none, if what he names cannot be.
    links: Option<LinkSpec>,
}

/// A registration: what a `uct_mem_h` points to.
struct Registration {
    key: u64,
}

/// What the memory domain can do. Local memory needs no registration: the transport copies it into frames.
pub(crate) const CAPS: MdCaps = MdCaps {
    flags: MdFlags::REG.union(MdFlags::NEED_RKEY).union(MdFlags::INVALIDATE_RMA).union(MdFlags::INVALIDATE_AMO),
    reg_mem_types: HOST_MEMORY,
    access_mem_types: HOST_MEMORY,
    // A registration costs less than a look into UCX's cache of them, but the protocols that are UCX's default from 1.16 on
    // register through the cache alone, and a UCX with assertions (Debian's) ends the job at a type that is not in it.
    cache_mem_types: HOST_MEMORY,
    max_reg_bytes: usize::MAX,
    rkey_packed_size: RKEY_LEN,
    // An entry in a table: nothing is pinned, nothing mapped.
    reg_cost: ucs_linear_func_t { c: 50e-9, m: 0.0 },
};

/// [`CAPS`] under a release of UCX.
pub(crate) fn caps(ucx: Version) -> MdCaps {
    // From 1.16 to 1.21, UCP's older put and get (UCX_PROTO_ENABLE=n, not the default there) look into the local buffer's
    // registration, needed or not, and crash where there is none. The newer protocols are better off without it.
    let has_the_fault = (1, 16) <= (ucx.major, ucx.minor) && (ucx.major, ucx.minor) <= (1, 21);
    let is_off = |value: String| matches!(value.trim().to_ascii_lowercase().as_str(), "n" | "no" | "off" | "0");
    let needs_memh = has_the_fault && std::env::var("UCX_PROTO_ENABLE").is_ok_and(is_off);
    let flags = if needs_memh { CAPS.flags | MdFlags::NEED_MEMH } else { CAPS.flags };
    MdCaps { flags, ..CAPS }
}

impl Md {
    /// A memory domain of its own, with a base that UCX's registration fills.
    pub(crate) fn open(seed: [u8; 32], links: Option<LinkSpec>) -> *mut Self {
        let regions = Arc::new(RwLock::new(RegionTable::new(seed)));
        Box::into_raw(Box::new(Self { base: uct_md_t::UNSET, regions, links }))
    }

    /// # Safety
    /// `md` came from [`open`](Self::open) and is not used afterwards.
    pub(crate) unsafe fn close(md: *mut uct_md_t) {
        // SAFETY: promised by the caller.
        drop(unsafe { Box::from_raw(md.cast::<Self>()) });
    }

    /// The regions, for an interface.
    ///
    /// # Safety
    /// `md` came from [`open`](Self::open) and has not been closed.
    pub(crate) unsafe fn regions(md: *mut uct_md_t) -> Regions {
        // SAFETY: promised by the caller; the field never changes.
        let regions = unsafe { &(*md.cast::<Self>()).regions };
        Arc::clone(regions)
    }

    /// The cables, for an interface or a list of devices.
    ///
    /// # Safety
    /// As for [`regions`](Self::regions).
    pub(crate) unsafe fn links(md: *mut uct_md_t) -> Option<LinkSpec> {
        // SAFETY: promised by the caller; the field never changes.
        let links = unsafe { &(*md.cast::<Self>()).links };
        links.clone()
    }

    /// `uct_md_mem_reg`.
    ///
    /// # Safety
    /// As for [`regions`](Self::regions).
    pub(crate) unsafe fn register(md: *mut uct_md_t, region: MemRegion) -> Result<uct_mem_h, ucs_status_t> {
        // SAFETY: promised by the caller.
        let regions = unsafe { Self::regions(md) };
        let flag = |flag| region.flags.contains(flag);
        let access = Access {
            read: flag(MemFlags::ACCESS_REMOTE_GET),
            write: flag(MemFlags::ACCESS_REMOTE_PUT),
            atomic: flag(MemFlags::ACCESS_REMOTE_ATOMIC),
        };
        let inserted = regions.write().unwrap_or_else(PoisonError::into_inner).insert(
            region.address.addr() as u64,
            region.len_bytes as u64,
            access,
        );
        match inserted {
            Ok(key) => {
                // Peers name addresses as numbers; the driver makes pointers of them again when it places bytes.
                region.address.expose_provenance();
                Ok(Box::into_raw(Box::new(Registration { key })).cast())
            }
            Err(error) if flag(MemFlags::HIDE_ERRORS) => {
                log::debug!("usb4: {error}");
                Err(UCS_ERR_NO_MEMORY)
            }
            Err(error) => Err(report(UCS_ERR_NO_MEMORY, format_args!("usb4: {error}"))),
        }
    }

    /// `uct_md_mem_dereg`. From its return on no peer's put, get or atomic touches the region.
    ///
    /// # Safety
    /// As for [`regions`](Self::regions); `memh` came from [`register`](Self::register) and is not used afterwards.
    pub(crate) unsafe fn deregister(md: *mut uct_md_t, memh: uct_mem_h, mode: DeregMode) {
        // SAFETY: promised by the caller.
        let registration = unsafe { Box::from_raw(memh.cast::<Registration>()) };
        // SAFETY: promised by the caller.
        let regions = unsafe { Self::regions(md) };
        // Whoever places or reads bytes holds the table for reading meanwhile: nobody is at it once it could be written.
        regions.write().unwrap_or_else(PoisonError::into_inner).remove(registration.key);
        if let DeregMode::Invalidate(completion) = mode {
            // SAFETY: UCX's completion for this very operation.
            unsafe { complete(completion, UCS_OK) };
        }
    }
}

/// `uct_md_mkey_pack`.
///
/// # Safety
/// `memh` came from [`Md::register`]; `buffer` has room for [`CAPS`]`.rkey_packed_size` bytes.
pub(crate) unsafe fn pack_key(memh: uct_mem_h, buffer: *mut c_void) {
    // SAFETY: promised by the caller.
    let key = unsafe { (*memh.cast::<Registration>()).key };
    // SAFETY: promised by the caller; the bytes may have any alignment.
    unsafe { buffer.cast::<[u8; RKEY_LEN]>().write_unaligned(key.to_le_bytes()) };
}

/// `uct_rkey_unpack`: the key is its own handle; what it is worth is checked where it is used.
///
/// # Safety
/// `buffer` has [`CAPS`]`.rkey_packed_size` bytes.
pub(crate) unsafe fn unpack_key(buffer: *const c_void) -> Rkey {
    // SAFETY: promised by the caller; the bytes may have any alignment.
    let bytes = unsafe { buffer.cast::<[u8; RKEY_LEN]>().read_unaligned() };
    Rkey { rkey: u64::from_le_bytes(bytes) as uct_rkey_t, handle: std::ptr::null_mut() }
}
