//! What a transport hands over: functions and facts that mean the same in every UCX release.

use std::ffi::{CStr, c_void};
use std::fmt;

use bitflags::bitflags;

use crate::config::Field;
use crate::public::{
    UCS_ERR_UNSUPPORTED, UCS_MEMORY_TYPE_HOST, ucs_linear_func_t, ucs_status_t, uct_base_ep_t, uct_base_iface_t,
    uct_completion_t, uct_device_type_t, uct_iface_ops_t, uct_iface_params_t, uct_md_t, uct_mem_h, uct_rkey_t,
    uct_worker_h,
};

/// One UCT component with one memory domain and one transport, in terms that know no release.
///
/// [`register`](crate::register) puts the release's structs around it. The functions are called by UCX, one thread at a time
/// per worker, but for different workers at the same time.
///
/// # Safety
/// UCX casts what these functions return, so the implementor promises:
/// - what [`md_open`](Self::md_open) returns begins with a [`uct_md_t`] that
///   [`Registered::init_md`](crate::Registered::init_md) filled, and lives until [`md_close`](Self::md_close);
/// - what [`iface_open`](Self::iface_open) returns begins with a [`uct_base_iface_t`] that
///   [`Registered::init_iface`](crate::Registered::init_iface) filled, and lives until the table's `iface_close`;
/// - `Config` and `MdConfig` are `#[repr(C)]`, [`FIELDS`](Self::FIELDS) and [`MD_FIELDS`](Self::MD_FIELDS) are made by
///   [`field!`](crate::field) from each itself, and every
///   member that owns something (a string) is named by a field.
pub unsafe trait Transport: 'static {
    /// The name of the component, its memory domain and its transport: what stands in `UCX_TLS`. At most 9 bytes.
    const NAME: &'static CStr;
    /// The heading of the memory domain's settings in `ucx_info -c`.
    const MD_TITLE: &'static CStr;
    /// The heading of the transport's settings in `ucx_info -c`.
    const TL_TITLE: &'static CStr;
    /// What stands before a setting's name, after UCX's own `UCX_`: `USB4_` makes the field `RAILS` `UCX_USB4_RAILS`.
    const ENV_PREFIX: &'static CStr;
    /// The memory domain's settings, as UCX hands them to [`md_open`](Self::md_open): what decides which devices there are. `()`
    /// for none.
    type MdConfig: 'static;
    /// Their names, defaults and help.
    const MD_FIELDS: &'static [Field] = &[];
    /// The settings, as UCX hands them to [`iface_open`](Self::iface_open).
    type Config: 'static;
    /// The settings' names, defaults and help. The first must be [`Field::base`].
    const FIELDS: &'static [Field];

    /// Files that UCX's virtual file system shows in the directory of each interface.
    const VFS_FILES: &'static [VfsFile] = &[];

    /// The table of an interface's and its endpoints' operations. A `None` becomes an entry that answers
    /// `UCS_ERR_UNSUPPORTED`; `iface_is_reachable` may stay `None`, it is made from [`is_reachable`](Self::is_reachable).
    fn iface_ops() -> uct_iface_ops_t;

    /// Opens the memory domain `name` (the component has one, of its own name).
    ///
    /// # Errors
    /// The status that UCX passes on.
    ///
    /// # Safety
    /// Called by UCX only, after [`register`](crate::register) has begun; `config` is valid during the call.
    unsafe fn md_open(name: &CStr, config: *const Self::MdConfig) -> Result<*mut uct_md_t, ucs_status_t>;

    /// Closes and frees a memory domain.
    ///
    /// # Safety
    /// `md` comes from [`md_open`](Self::md_open) and is not used afterwards.
    unsafe fn md_close(md: *mut uct_md_t);

    /// What the memory domain can do.
    ///
    /// # Safety
    /// `md` is open.
    unsafe fn md_caps(md: *mut uct_md_t) -> MdCaps;

    /// The devices that the transport offers. None, while no link is there, is no error.
    ///
    /// # Errors
    /// The status that UCX logs; the transport is then not offered.
    ///
    /// # Safety
    /// `md` is open.
    unsafe fn query_devices(md: *mut uct_md_t) -> Result<Vec<Device>, ucs_status_t>;

    /// Opens an interface.
    ///
    /// # Errors
    /// The status that UCX passes on.
    ///
    /// # Safety
    /// `md` is open; `params` and `config` are valid during the call, fields of `params` only where its mask says so.
    unsafe fn iface_open(
        md: *mut uct_md_t,
        worker: uct_worker_h,
        params: *const uct_iface_params_t,
        config: *const Self::Config,
    ) -> Result<*mut uct_base_iface_t, ucs_status_t>;

    /// Whether an endpoint to `peer` can be made. UCX shows the reason to its user (from 1.18 on).
    ///
    /// # Errors
    /// Why the peer cannot be reached.
    ///
    /// # Safety
    /// `iface` is open; the addresses of `peer` are valid during the call.
    unsafe fn is_reachable(iface: *mut uct_base_iface_t, peer: PeerAddress) -> Result<(), Unreachable>;

    /// Whether the endpoint leads to `peer`.
    ///
    /// # Safety
    /// `ep` is open; the addresses of `peer` are valid during the call.
    unsafe fn ep_is_connected(ep: *mut uct_base_ep_t, peer: PeerAddress) -> bool;

    /// Makes the endpoint fail as if its peer had (UCX's tests ask for it, and UCP when it gives up an endpoint, from 1.21 on).
    ///
    /// # Safety
    /// `ep` is open.
    unsafe fn ep_invalidate(_ep: *mut uct_base_ep_t) -> ucs_status_t {
        UCS_ERR_UNSUPPORTED
    }

    /// Registers memory for zero-copy or remote access. Called only with [`MdFlags::REG`].
    ///
    /// # Errors
    /// The status that UCX passes on.
    ///
    /// # Safety
    /// `md` is open; the memory stays mapped until [`mem_dereg`](Self::mem_dereg).
    unsafe fn mem_reg(_md: *mut uct_md_t, _region: MemRegion) -> Result<uct_mem_h, ucs_status_t> {
        Err(UCS_ERR_UNSUPPORTED)
    }

    /// Ends a registration. With [`DeregMode::Invalidate`] remote keys of the region must fail from then on, and the completion
    /// is invoked (see [`complete`](crate::complete)) once no access can happen any more, maybe before this function returns.
    ///
    /// # Errors
    /// The status that UCX passes on; the completion is not invoked then.
    ///
    /// # Safety
    /// `memh` comes from [`mem_reg`](Self::mem_reg) and is not used afterwards.
    unsafe fn mem_dereg(_md: *mut uct_md_t, _memh: uct_mem_h, _mode: DeregMode) -> Result<(), ucs_status_t> {
        Err(UCS_ERR_UNSUPPORTED)
    }

    /// Writes the remote key of a region, [`MdCaps::rkey_packed_size`] bytes, into `buffer`.
    ///
    /// # Errors
    /// The status that UCX passes on.
    ///
    /// # Safety
    /// `memh` is registered; `buffer` has room for the key, of any alignment.
    unsafe fn mkey_pack(
        _md: *mut uct_md_t,
        _memh: uct_mem_h,
        _flags: MkeyFlags,
        _buffer: *mut c_void,
    ) -> Result<(), ucs_status_t> {
        Err(UCS_ERR_UNSUPPORTED)
    }

    /// Reads a remote key that a peer packed. The bytes came over the network: trust nothing in them.
    ///
    /// # Errors
    /// The status that UCX passes on.
    ///
    /// # Safety
    /// `buffer` holds a key of [`MdCaps::rkey_packed_size`] bytes, of any alignment.
    unsafe fn rkey_unpack(_buffer: *const c_void) -> Result<Rkey, ucs_status_t> {
        Err(UCS_ERR_UNSUPPORTED)
    }

    /// Gives up an unpacked remote key.
    ///
    /// # Safety
    /// `rkey` comes from [`rkey_unpack`](Self::rkey_unpack) and is not used afterwards.
    unsafe fn rkey_release(_rkey: Rkey) -> ucs_status_t {
        UCS_ERR_UNSUPPORTED
    }
}

/// What a memory domain can do (`uct_md_attr_t`).
#[derive(Debug, Clone, Copy)]
pub struct MdCaps {
    /// Abilities.
    pub flags: MdFlags,
    /// Memory types that can be registered, one bit per `UCS_MEMORY_TYPE_*` number.
    pub reg_mem_types: u64,
    /// Memory types whose registrations UCX should keep for reuse (from 1.14 on), one bit per `UCS_MEMORY_TYPE_*` number.
    pub cache_mem_types: u64,
    /// Memory types that the processor may touch, one bit per `UCS_MEMORY_TYPE_*` number.
    pub access_mem_types: u64,
    /// The longest region that can be registered, in bytes.
    pub max_reg_bytes: usize,
    /// The length of a packed remote key, in bytes.
    pub rkey_packed_size: usize,
    /// The time that a registration takes, in seconds: `c` once and `m` per byte.
    pub reg_cost: ucs_linear_func_t,
}

/// The bit of host memory in a mask of memory types.
pub const HOST_MEMORY: u64 = 1 << UCS_MEMORY_TYPE_HOST;

impl MdCaps {
    /// A memory domain that registers nothing: enough for active messages, zero-copy ones included.
    pub const NO_REGISTRATION: Self = Self {
        flags: MdFlags::empty(),
        reg_mem_types: 0,
        cache_mem_types: 0,
        access_mem_types: HOST_MEMORY,
        max_reg_bytes: 0,
        rkey_packed_size: 0,
        reg_cost: ucs_linear_func_t { c: 0.0, m: 0.0 },
    };
}

bitflags! {
    /// Abilities of a memory domain. The bits are ours: each release's layout translates them.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct MdFlags: u32 {
        /// Memory can be registered.
        const REG = 1 << 0;
        /// Local buffers of zero-copy operations must be registered.
        const NEED_MEMH = 1 << 1;
        /// Remote memory is named by a remote key.
        const NEED_RKEY = 1 << 2;
        /// Remote keys can be invalidated for put and get. UCX needs it for rendezvous with error handling.
        const INVALIDATE_RMA = 1 << 3;
        /// Remote keys can be invalidated for atomics. Releases before 1.15 know one flag for both, which is set by
        /// [`INVALIDATE_RMA`](Self::INVALIDATE_RMA).
        const INVALIDATE_AMO = 1 << 4;
    }

    /// What a registration is for (`UCT_MD_MEM_*`, the same bits in all releases).
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct MemFlags: u64 {
        /// The mapping of pages may be deferred.
        const NONBLOCK = 1 << 0;
        /// At exactly this address (allocation only).
        const FIXED = 1 << 1;
        /// Lock the pages.
        const LOCK = 1 << 2;
        /// A failure is no error worth a log line.
        const HIDE_ERRORS = 1 << 3;
        /// Peers may put.
        const ACCESS_REMOTE_PUT = 1 << 5;
        /// Peers may get.
        const ACCESS_REMOTE_GET = 1 << 6;
        /// Peers may use atomics.
        const ACCESS_REMOTE_ATOMIC = 1 << 7;
        /// Local operations read it.
        const ACCESS_LOCAL_READ = 1 << 8;
        /// Local operations write it.
        const ACCESS_LOCAL_WRITE = 1 << 9;
    }

    /// What a packed key must be able to do. The bits are ours.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct MkeyFlags: u32 {
        /// The region may be deregistered with [`DeregMode::Invalidate`], put and get included.
        const INVALIDATE_RMA = 1 << 0;
        /// The same for atomics.
        const INVALIDATE_AMO = 1 << 1;
    }
}

/// Memory to register.
#[derive(Debug, Clone, Copy)]
pub struct MemRegion {
    /// Its first byte.
    pub address: *mut c_void,
    /// Its length in bytes.
    pub len_bytes: usize,
    /// What it is registered for.
    pub flags: MemFlags,
}

/// How a registration ends.
#[derive(Debug, Clone, Copy)]
pub enum DeregMode {
    /// The user promises that nobody uses it any more.
    Plain,
    /// Peers may still try; invoke the completion when they no longer can.
    Invalidate(*mut uct_completion_t),
}

/// An unpacked remote key.
#[derive(Debug, Clone, Copy)]
pub struct Rkey {
    /// What put, get and atomics are given.
    pub rkey: uct_rkey_t,
    /// What belongs to it until its release, or null.
    pub handle: *mut c_void,
}

/// The addresses of a peer, as its `iface_get_device_address` and `iface_get_address` wrote them: bytes from the network,
/// of any alignment. A pointer is null where UCX has none.
#[derive(Debug, Clone, Copy)]
pub struct PeerAddress {
    /// `device_addr_len` bytes, or null.
    pub device: *const u8,
    /// `iface_addr_len` bytes, or null.
    pub iface: *const u8,
}

/// Why a peer cannot be reached, in words for the user of UCX.
#[derive(Debug, Clone)]
pub struct Unreachable(pub String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A file that UCX's virtual file system (`ucx_vfs`) shows for each interface.
#[derive(Debug, Clone, Copy)]
pub struct VfsFile {
    /// Where, below the interface's directory.
    pub path: &'static CStr,
    /// Its content now. UCX asks on a thread of its own at any time, even while it closes the interface or has closed it.
    pub read: fn(IfaceId) -> String,
}

/// An interface by name: there are no two open ones with the same, and it leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IfaceId(usize);

impl IfaceId {
    /// The name of the interface at this address.
    #[must_use]
    pub fn of(iface: *const uct_base_iface_t) -> Self {
        Self(iface.addr())
    }
}

/// A device of the transport.
#[derive(Debug, Clone)]
pub struct Device {
    /// Its name: what stands in `UCX_NET_DEVICES`. At most 31 bytes; the rest is cut off.
    pub name: String,
    /// Its kind, `UCT_DEVICE_TYPE_*`. Up to 1.16 only `UCT_DEVICE_TYPE_NET` reaches other nodes.
    pub kind: uct_device_type_t,
    /// Its place in the machine's topology, or `UCS_SYS_DEVICE_ID_UNKNOWN`.
    pub sys_device: u8,
}
