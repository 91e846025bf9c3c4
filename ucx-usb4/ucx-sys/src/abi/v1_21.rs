//! UCX 1.21: interfaces lose `iface_query_v2` and the packing of memory elements, which memory domains gain;
//! `ep_invalidate` takes a struct of parameters.

use std::ffi::c_void;

use super::config::{ENTRY_56, Entry56, FIELD_88, Field88, table};
use super::tables::{Tables, leak};
use super::v1_16::{Component, component};
use super::v1_18::{MdAttr, md_query};
use super::{Id, Release, Sizes, layout, v1_13};
use crate::adapt::*;
use crate::detect::Symbols;
use crate::public::*;
use crate::transport::Transport;

pub(super) static RELEASE: Release = Release {
    id: Id::V1_21,
    name: "1.21",
    minor: 21,
    has_inter_node: true,
    sizes: Sizes { component: 232, tl: 104, field: 88 },
    present: &[c"uct_md_mem_elem_pack", c"ucs_config_doc_nop", c"uct_base_rkey_compare"],
    absent: &[c"uct_iface_base_query_v2", c"uct_ep_put_sgl_zcopy"],
    layouts: &[FIELD_88, ENTRY_56, LAYOUTS],
};

/// `uct_md_ops_t` from 1.21 on, but for the attributes that `query` fills.
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
    pub(super) mem_elem_pack: Unfilled,
}

/// `uct_iface_internal_ops_t`.
#[repr(C)]
struct InternalOps {
    iface_estimate_perf: EstimatePerf,
    iface_vfs_refresh: VfsRefresh,
    ep_query: Unfilled,
    ep_invalidate: EpInvalidate,
    ep_connect_to_ep_v2: Unfilled,
    iface_is_reachable_v2: IsReachableV2,
    ep_is_connected: EpIsConnected,
    ep_get_device_ep: Unfilled,
}

layout! {
    LAYOUTS:
    Component<RkeyUnpack> = "uct_component_t", 232 { rkey_unpack @ 40, md_config @ 72, tl_list @ 184, list @ 200 }
    v1_13::Tl<Entry56> = "uct_tl_t", 104 { }
    MdOps<MdAttr> = "uct_md_ops_t", 96 {
        close @ 0, query @ 8, mem_reg @ 40, mem_dereg @ 48, mem_query @ 56, mkey_pack @ 64, mem_attach @ 72,
        detect_memory_type @ 80, mem_elem_pack @ 88
    }
    InternalOps = "uct_iface_internal_ops_t", 64 {
        iface_estimate_perf @ 0, iface_vfs_refresh @ 8, ep_query @ 16, ep_invalidate @ 24, ep_connect_to_ep_v2 @ 32,
        iface_is_reachable_v2 @ 40, ep_is_connected @ 48, ep_get_device_ep @ 56
    }
    MdAttr = "uct_md_attr_v2_t", 536 {
        max_reg @ 16, flags @ 24, reg_mem_types @ 32, cache_mem_types @ 48, access_mem_types @ 80, reg_cost @ 96,
        rkey_packed_size @ 128, local_cpus @ 136, reg_alignment @ 528
    }
}

pub(super) fn build<T: Transport>(symbols: &Symbols) -> Tables {
    let internal_ops = leak(InternalOps {
        iface_estimate_perf: uct_base_iface_estimate_perf,
        iface_vfs_refresh: iface_vfs_refresh::<T>,
        ep_query: unsupported,
        ep_invalidate: ep_invalidate::<T>,
        ep_connect_to_ep_v2: unsupported,
        iface_is_reachable_v2: is_reachable_v2::<T>,
        ep_is_connected: ep_is_connected::<T>,
        ep_get_device_ep: unsupported,
    });
    Tables {
        component: component::<T, RkeyUnpack>(
            symbols,
            rkey_unpack::<T>,
            table::<Field88>(T::MD_FIELDS, symbols.ucs_config_doc_nop()),
        )
        .cast(),
        tl: v1_13::tl::<T, Entry56>(table::<Field88>(T::FIELDS, symbols.ucs_config_doc_nop())).cast(),
        md_ops: md_ops::<T, _>(md_query::<T>),
        internal_ops: internal_ops.cast(),
    }
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
        mem_elem_pack: unsupported,
    })
    .cast()
}
