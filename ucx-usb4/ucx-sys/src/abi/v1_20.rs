//! UCX 1.20: interfaces gain `iface_query_v2` (in front of everything), device memory elements and device endpoints.

use super::config::{ENTRY_56, Entry56, FIELD_88, Field88, table};
use super::tables::{Tables, leak};
use super::v1_16::{Component, MdOps, component, md_ops};
use super::v1_18::{MdAttr, md_query};
use super::{Id, Release, Sizes, layout, v1_13};
use crate::adapt::*;
use crate::detect::Symbols;
use crate::public::*;
use crate::transport::Transport;

pub(super) static RELEASE: Release = Release {
    id: Id::V1_20,
    name: "1.20",
    minor: 20,
    has_inter_node: true,
    sizes: Sizes { component: 232, tl: 104, field: 88 },
    present: &[
        c"uct_iface_base_query_v2",
        c"uct_iface_mem_element_pack",
        c"ucs_config_doc_nop",
        c"uct_base_rkey_compare",
    ],
    absent: &[c"uct_md_mem_elem_pack", c"uct_ep_put_sgl_zcopy"],
    layouts: &[FIELD_88, ENTRY_56, LAYOUTS],
};

/// `uct_iface_internal_ops_t`: as long as 1.22's, but with other slots.
#[repr(C)]
struct InternalOps {
    iface_query_v2: IfaceQueryV2,
    iface_estimate_perf: EstimatePerf,
    iface_vfs_refresh: VfsRefresh,
    iface_mem_element_pack: Unfilled,
    ep_query: Unfilled,
    ep_invalidate: EpInvalidateFlags,
    ep_connect_to_ep_v2: Unfilled,
    iface_is_reachable_v2: IsReachableV2,
    ep_is_connected: EpIsConnected,
    ep_get_device_ep: Unfilled,
}

layout! {
    LAYOUTS:
    Component<RkeyUnpack> = "uct_component_t", 232 { rkey_unpack @ 40, md_config @ 72, tl_list @ 184, list @ 200 }
    v1_13::Tl<Entry56> = "uct_tl_t", 104 { }
    MdOps<MdAttr> = "uct_md_ops_t", 88 { close @ 0, query @ 8, mem_reg @ 40, mkey_pack @ 64, detect_memory_type @ 80 }
    InternalOps = "uct_iface_internal_ops_t", 80 {
        iface_query_v2 @ 0, iface_estimate_perf @ 8, iface_vfs_refresh @ 16, iface_mem_element_pack @ 24, ep_query @ 32,
        ep_invalidate @ 40, ep_connect_to_ep_v2 @ 48, iface_is_reachable_v2 @ 56, ep_is_connected @ 64, ep_get_device_ep @ 72
    }
    MdAttr = "uct_md_attr_v2_t", 536 {
        max_reg @ 16, flags @ 24, reg_mem_types @ 32, cache_mem_types @ 48, access_mem_types @ 80, reg_cost @ 96,
        rkey_packed_size @ 128, local_cpus @ 136, reg_alignment @ 528
    }
}

pub(super) fn build<T: Transport>(symbols: &Symbols) -> Tables {
    let internal_ops = leak(InternalOps {
        iface_query_v2: symbols.uct_iface_base_query_v2(),
        iface_estimate_perf: uct_base_iface_estimate_perf,
        iface_vfs_refresh: iface_vfs_refresh::<T>,
        iface_mem_element_pack: unsupported,
        ep_query: unsupported,
        ep_invalidate: ep_invalidate_flags::<T>,
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
