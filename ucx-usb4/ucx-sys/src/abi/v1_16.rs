//! UCX 1.16: components gain `rkey_compare`, memory domains lose `is_sockaddr_accessible` and pack keys of a range,
//! endpoints gain `ep_is_connected`.

use std::ffi::{c_char, c_void};

use super::config::{ENTRY_56, Entry56, FIELD_80, Field80, table};
use super::tables::{Tables, TcpProbe, empty_list, leak, md_entry, no_cm_entry, short_name};
use super::v1_14::md_query_v2;
use super::v1_15::two_invalidate_flags;
use super::{Id, Release, Sizes, layout, v1_13};
use crate::adapt::*;
use crate::detect::Symbols;
use crate::public::*;
use crate::transport::Transport;

pub(super) static RELEASE: Release = Release {
    id: Id::V1_16,
    name: "1.16",
    minor: 16,
    has_inter_node: false,
    sizes: Sizes { component: 232, tl: 104, field: 80 },
    present: &[c"uct_base_rkey_compare", c"uct_base_ep_is_connected"],
    absent: &[c"ucs_config_doc_nop"],
    layouts: &[FIELD_80, ENTRY_56, LAYOUTS],
};

/// The two function pointers that `rkey_unpack` may be. A bound, since the type of a function itself takes no room.
pub(super) trait UnpackSlot {}
impl UnpackSlot for RkeyUnpackV1 {}
impl UnpackSlot for RkeyUnpack {}

/// `uct_component_t` from 1.16 on; `rkey_unpack` has more parameters from 1.19 on.
#[repr(C)]
pub(super) struct Component<U: UnpackSlot = RkeyUnpackV1> {
    pub(super) name: [c_char; 16],
    pub(super) query_md_resources: QueryMdResources,
    pub(super) md_open: MdOpen,
    pub(super) cm_open: Unfilled,
    pub(super) rkey_unpack: U,
    pub(super) rkey_ptr: Unfilled,
    pub(super) rkey_release: RkeyRelease,
    pub(super) rkey_compare: RkeyCompare,
    pub(super) md_config: Entry56,
    pub(super) cm_config: Entry56,
    pub(super) tl_list: ucs_list_link_t,
    pub(super) list: ucs_list_link_t,
    pub(super) flags: u64,
    pub(super) md_vfs_init: Unfilled,
}

/// `uct_md_ops_t` from 1.16 to 1.20, but for the attributes that `query` fills.
#[repr(C)]
pub(super) struct MdOps<A> {
    pub(super) close: MdClose,
    pub(super) query: unsafe extern "C" fn(*mut uct_md_t, *mut A) -> ucs_status_t,
    pub(super) mem_alloc: Unfilled,
    pub(super) mem_free: Unfilled,
    pub(super) mem_advise: Unfilled,
    pub(super) mem_reg: MemReg,
    pub(super) mem_dereg: MemDereg,
    pub(super) mem_query: Unfilled,
    pub(super) mkey_pack: MkeyPack,
    pub(super) mem_attach: Unfilled,
    pub(super) detect_memory_type: Unfilled,
}

/// `uct_iface_internal_ops_t` from 1.16 to 1.19.
#[repr(C)]
pub(super) struct InternalOps {
    pub(super) iface_estimate_perf: EstimatePerf,
    pub(super) iface_vfs_refresh: VfsRefresh,
    pub(super) ep_query: Unfilled,
    pub(super) ep_invalidate: EpInvalidateFlags,
    pub(super) ep_connect_to_ep_v2: Unfilled,
    pub(super) iface_is_reachable_v2: IsReachableV2,
    pub(super) ep_is_connected: EpIsConnected,
}

/// `uct_md_attr_v2_t` of 1.16 and 1.17.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct MdAttr {
    pub(super) field_mask: u64,
    pub(super) max_alloc: u64,
    pub(super) max_reg: usize,
    pub(super) flags: u64,
    pub(super) reg_mem_types: u64,
    pub(super) reg_nonblock_mem_types: u64,
    pub(super) cache_mem_types: u64,
    pub(super) detect_mem_types: u64,
    pub(super) alloc_mem_types: u64,
    pub(super) access_mem_types: u64,
    pub(super) dmabuf_mem_types: u64,
    pub(super) reg_cost: ucs_linear_func_t,
    pub(super) component_name: [c_char; 16],
    pub(super) rkey_packed_size: usize,
    pub(super) local_cpus: [u64; 16],
    pub(super) exported_mkey_packed_size: usize,
    pub(super) global_id: [c_char; 256],
    pub(super) reg_alignment: usize,
}

layout! {
    /// All but the configuration's.
    pub(super) LAYOUTS:
    Component = "uct_component_t", 232 {
        name @ 0, query_md_resources @ 16, md_open @ 24, cm_open @ 32, rkey_unpack @ 40, rkey_ptr @ 48, rkey_release @ 56,
        rkey_compare @ 64, md_config @ 72, cm_config @ 128, tl_list @ 184, list @ 200, flags @ 216, md_vfs_init @ 224
    }
    v1_13::Tl<Entry56> = "uct_tl_t", 104 { name @ 0, query_devices @ 16, iface_open @ 24, config @ 32, list @ 88 }
    MdOps<MdAttr> = "uct_md_ops_t", 88 {
        close @ 0, query @ 8, mem_alloc @ 16, mem_free @ 24, mem_advise @ 32, mem_reg @ 40, mem_dereg @ 48, mem_query @ 56,
        mkey_pack @ 64, mem_attach @ 72, detect_memory_type @ 80
    }
    InternalOps = "uct_iface_internal_ops_t", 56 {
        iface_estimate_perf @ 0, iface_vfs_refresh @ 8, ep_query @ 16, ep_invalidate @ 24, ep_connect_to_ep_v2 @ 32,
        iface_is_reachable_v2 @ 40, ep_is_connected @ 48
    }
    MdAttr = "uct_md_attr_v2_t", 528 {
        max_reg @ 16, flags @ 24, reg_mem_types @ 32, cache_mem_types @ 48, access_mem_types @ 72, reg_cost @ 88,
        rkey_packed_size @ 120, local_cpus @ 128, reg_alignment @ 520
    }
}

/// Where the links are that tie UCX's tcp component together, from 1.16 on.
pub(super) const TCP_PROBE: TcpProbe = TcpProbe {
    md_config_list: std::mem::offset_of!(Component, md_config.list),
    cm_config_list: std::mem::offset_of!(Component, cm_config.list),
    tl_list: std::mem::offset_of!(Component, tl_list),
    component_link: std::mem::offset_of!(Component, list),
    tl_link: std::mem::offset_of!(v1_13::Tl<Entry56>, list),
};

pub(super) fn build<T: Transport>(symbols: &Symbols) -> Tables {
    Tables {
        component: component::<T, RkeyUnpackV1>(symbols, rkey_unpack_v1::<T>, table::<Field80>(T::MD_FIELDS, ()))
            .cast(),
        tl: v1_13::tl::<T, Entry56>(table::<Field80>(T::FIELDS, ())).cast(),
        md_ops: md_ops::<T, _>(md_query::<T>),
        internal_ops: internal_ops::<T>(),
    }
}

pub(super) fn component<T: Transport, U: UnpackSlot>(
    symbols: &Symbols,
    rkey_unpack: U,
    md_table: *const c_void,
) -> *mut Component<U> {
    let component = leak(Component {
        name: short_name(T::NAME),
        query_md_resources: uct_md_query_single_md_resource,
        md_open: md_open::<T>,
        cm_open: unsupported,
        rkey_unpack,
        rkey_ptr: unsupported,
        rkey_release: rkey_release::<T>,
        rkey_compare: symbols.uct_base_rkey_compare(),
        md_config: md_entry::<T, Entry56>(md_table),
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

pub(super) fn md_ops<T: Transport, A>(
    query: unsafe extern "C" fn(*mut uct_md_t, *mut A) -> ucs_status_t,
) -> *const c_void {
    leak(MdOps {
        close: md_close::<T>,
        query,
        mem_alloc: unsupported,
        mem_free: unsupported,
        mem_advise: unsupported,
        mem_reg: mem_reg::<T>,
        mem_dereg: mem_dereg::<T>,
        mem_query: unsupported,
        mkey_pack: mkey_pack::<T>,
        mem_attach: unsupported,
        detect_memory_type: unsupported,
    })
    .cast()
}

pub(super) fn internal_ops<T: Transport>() -> *const c_void {
    leak(InternalOps {
        iface_estimate_perf: uct_base_iface_estimate_perf,
        iface_vfs_refresh: iface_vfs_refresh::<T>,
        ep_query: unsupported,
        ep_invalidate: ep_invalidate_flags::<T>,
        ep_connect_to_ep_v2: unsupported,
        iface_is_reachable_v2: is_reachable_v2::<T>,
        ep_is_connected: ep_is_connected::<T>,
    })
    .cast()
}

md_query_v2!(MdAttr, two_invalidate_flags, reg_alignment);
