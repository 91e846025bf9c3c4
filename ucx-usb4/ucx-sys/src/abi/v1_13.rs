//! UCX 1.13.

use std::ffi::{c_char, c_void};

use super::config::{ENTRY_48, Entry48, EntryShape, FIELD_80, Field80, table};
use super::tables::{Tables, TcpProbe, empty_list, leak, md_entry, no_cm_entry, short_name, tl_entry};
use super::{Id, Release, Sizes, layout};
use crate::adapt::*;
use crate::public::*;
use crate::transport::{MdFlags, Transport};

pub(super) static RELEASE: Release = Release {
    id: Id::V1_13,
    name: "1.13",
    minor: 13,
    has_inter_node: false,
    sizes: Sizes { component: 208, tl: 96, field: 80 },
    present: &[c"uct_base_iface_internal_ops"],
    absent: &[c"uct_md_mem_attach", c"uct_base_rkey_compare"],
    layouts: &[FIELD_80, ENTRY_48, LAYOUTS],
};

/// `uct_component_t` up to 1.15 (whose entries are longer).
#[repr(C)]
pub(super) struct Component<E> {
    pub(super) name: [c_char; 16],
    pub(super) query_md_resources: QueryMdResources,
    pub(super) md_open: MdOpen,
    pub(super) cm_open: Unfilled,
    pub(super) rkey_unpack: RkeyUnpackV1,
    pub(super) rkey_ptr: Unfilled,
    pub(super) rkey_release: RkeyRelease,
    pub(super) md_config: E,
    pub(super) cm_config: E,
    pub(super) tl_list: ucs_list_link_t,
    pub(super) list: ucs_list_link_t,
    pub(super) flags: u64,
    pub(super) md_vfs_init: Unfilled,
}

/// `uct_tl_t`, in all releases (the entry became longer in 1.15).
#[repr(C)]
pub(super) struct Tl<E> {
    pub(super) name: [c_char; 10],
    pub(super) query_devices: QueryDevices,
    pub(super) iface_open: IfaceOpen,
    pub(super) config: E,
    pub(super) list: ucs_list_link_t,
}

/// `uct_md_ops_t`.
#[repr(C)]
struct MdOps {
    close: MdClose,
    query: unsafe extern "C" fn(*mut uct_md_t, *mut MdAttr) -> ucs_status_t,
    mem_alloc: Unfilled,
    mem_free: Unfilled,
    mem_advise: Unfilled,
    mem_reg: MemRegFlags,
    mem_dereg: MemDereg,
    mem_query: Unfilled,
    mkey_pack: MkeyPackWhole,
    is_sockaddr_accessible: Unfilled,
    detect_memory_type: Unfilled,
}

/// `uct_iface_internal_ops_t`.
#[repr(C)]
struct InternalOps {
    iface_estimate_perf: EstimatePerf,
    iface_vfs_refresh: VfsRefresh,
    ep_query: Unfilled,
    ep_invalidate: EpInvalidateFlags,
}

/// `uct_md_attr_t`.
#[repr(C)]
struct MdAttr {
    cap: MdCap,
    reg_cost: ucs_linear_func_t,
    component_name: [c_char; 16],
    rkey_packed_size: usize,
    local_cpus: [u64; 16],
}

/// `uct_md_attr_t::cap`.
#[repr(C)]
struct MdCap {
    max_alloc: u64,
    max_reg: usize,
    flags: u64,
    reg_mem_types: u64,
    detect_mem_types: u64,
    alloc_mem_types: u64,
    access_mem_types: u64,
}

layout! {
    LAYOUTS:
    Component<Entry48> = "uct_component_t", 208 {
        name @ 0, query_md_resources @ 16, md_open @ 24, cm_open @ 32, rkey_unpack @ 40, rkey_ptr @ 48, rkey_release @ 56,
        md_config @ 64, cm_config @ 112, tl_list @ 160, list @ 176, flags @ 192, md_vfs_init @ 200
    }
    Tl<Entry48> = "uct_tl_t", 96 { name @ 0, query_devices @ 16, iface_open @ 24, config @ 32, list @ 80 }
    MdOps = "uct_md_ops_t", 88 {
        close @ 0, query @ 8, mem_alloc @ 16, mem_free @ 24, mem_advise @ 32, mem_reg @ 40, mem_dereg @ 48, mem_query @ 56,
        mkey_pack @ 64, is_sockaddr_accessible @ 72, detect_memory_type @ 80
    }
    InternalOps = "uct_iface_internal_ops_t", 32 {
        iface_estimate_perf @ 0, iface_vfs_refresh @ 8, ep_query @ 16, ep_invalidate @ 24
    }
    MdAttr = "uct_md_attr_t", 224 {
        cap.max_alloc @ 0, cap.max_reg @ 8, cap.flags @ 16, cap.reg_mem_types @ 24, cap.detect_mem_types @ 32,
        cap.alloc_mem_types @ 40, cap.access_mem_types @ 48, reg_cost @ 56, component_name @ 72, rkey_packed_size @ 88, local_cpus @ 96 }
}

/// Where the links are that tie UCX's tcp component together.
pub(super) const TCP_PROBE: TcpProbe = TcpProbe {
    md_config_list: std::mem::offset_of!(Component<Entry48>, md_config.list),
    cm_config_list: std::mem::offset_of!(Component<Entry48>, cm_config.list),
    tl_list: std::mem::offset_of!(Component<Entry48>, tl_list),
    component_link: std::mem::offset_of!(Component<Entry48>, list),
    tl_link: std::mem::offset_of!(Tl<Entry48>, list),
};

pub(super) fn build<T: Transport>() -> Tables {
    let md_ops = leak(MdOps {
        close: md_close::<T>,
        query: md_query::<T>,
        mem_alloc: unsupported,
        mem_free: unsupported,
        mem_advise: unsupported,
        mem_reg: mem_reg_flags::<T>,
        mem_dereg: mem_dereg::<T>,
        mem_query: unsupported,
        mkey_pack: mkey_pack_one_flag::<T>,
        is_sockaddr_accessible: no,
        detect_memory_type: unsupported,
    });
    let internal_ops = leak(InternalOps {
        iface_estimate_perf: uct_base_iface_estimate_perf,
        iface_vfs_refresh: iface_vfs_refresh::<T>,
        ep_query: unsupported,
        ep_invalidate: ep_invalidate_flags::<T>,
    });
    Tables {
        component: component::<T, Entry48>(table::<Field80>(T::MD_FIELDS, ())).cast(),
        tl: tl::<T, Entry48>(table::<Field80>(T::FIELDS, ())).cast(),
        md_ops: md_ops.cast(),
        internal_ops: internal_ops.cast(),
    }
}

/// A component without `rkey_compare`, as releases up to 1.15 have it.
pub(super) fn component<T: Transport, E: EntryShape>(md_table: *const c_void) -> *mut Component<E> {
    let component = leak(Component::<E> {
        name: short_name(T::NAME),
        query_md_resources: uct_md_query_single_md_resource,
        md_open: md_open::<T>,
        cm_open: unsupported,
        rkey_unpack: rkey_unpack_v1::<T>,
        rkey_ptr: unsupported,
        rkey_release: rkey_release::<T>,
        md_config: md_entry::<T, E>(md_table),
        cm_config: no_cm_entry(),
        tl_list: ucs_list_link_t::UNLINKED,
        list: ucs_list_link_t::UNLINKED,
        flags: 0,
        md_vfs_init: nothing,
    });
    // SAFETY: just leaked.
    empty_list(unsafe { &raw mut (*component).tl_list });
    component
}

/// A transport whose settings are in `table`.
pub(super) fn tl<T: Transport, E: EntryShape>(table: *const c_void) -> *mut Tl<E> {
    leak(Tl {
        name: short_name(T::NAME),
        query_devices: query_devices::<T>,
        iface_open: iface_open::<T>,
        config: tl_entry::<T, E>(table),
        list: ucs_list_link_t::UNLINKED,
    })
}

unsafe extern "C" fn md_query<T: Transport>(md: *mut uct_md_t, attr: *mut MdAttr) -> ucs_status_t {
    // SAFETY: UCX asks an open memory domain.
    let caps = unsafe { T::md_caps(md) };
    let cap = MdCap {
        max_alloc: 0,
        max_reg: caps.max_reg_bytes,
        flags: one_invalidate_flag(caps.flags),
        reg_mem_types: caps.reg_mem_types,
        detect_mem_types: 0,
        alloc_mem_types: 0,
        access_mem_types: caps.access_mem_types,
    };
    let value = MdAttr {
        cap,
        reg_cost: caps.reg_cost,
        component_name: [0; 16], // UCX fills it in
        rkey_packed_size: caps.rkey_packed_size,
        local_cpus: [u64::MAX; 16],
    };
    // SAFETY: UCX's out parameter, which it leaves uninitialized.
    unsafe { attr.write(value) };
    UCS_OK
}

/// `UCT_MD_FLAG_*` of 1.13 and 1.14: one flag for invalidation of any kind.
pub(super) fn one_invalidate_flag(flags: MdFlags) -> u64 {
    let mut bits = registration_flags(flags);
    if flags.contains(MdFlags::INVALIDATE_RMA) {
        bits |= u64::from(UCT_MD_FLAG_INVALIDATE);
    }
    bits
}

/// The `UCT_MD_FLAG_*` that have not changed.
pub(super) fn registration_flags(flags: MdFlags) -> u64 {
    let mut bits = 0;
    for (flag, bit) in [
        (MdFlags::REG, UCT_MD_FLAG_REG),
        (MdFlags::NEED_MEMH, UCT_MD_FLAG_NEED_MEMH),
        (MdFlags::NEED_RKEY, UCT_MD_FLAG_NEED_RKEY),
    ] {
        if flags.contains(flag) {
            bits |= u64::from(bit);
        }
    }
    bits
}
