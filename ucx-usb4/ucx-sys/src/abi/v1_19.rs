//! UCX 1.19: `rkey_unpack` gains parameters (and `mem_alloc`, which no transport of ours has); no layout changed.

use super::config::{ENTRY_56, Entry56, FIELD_88, Field88, table};
use super::tables::Tables;
use super::v1_16::{Component, InternalOps, MdOps, component, internal_ops, md_ops};
use super::v1_18::{MdAttr, md_query};
use super::{Id, Release, Sizes, layout, v1_13};
use crate::adapt::{RkeyUnpack, rkey_unpack};
use crate::detect::Symbols;
use crate::transport::Transport;

pub(super) static RELEASE: Release = Release {
    id: Id::V1_19,
    name: "1.19",
    minor: 19,
    has_inter_node: true,
    sizes: Sizes { component: 232, tl: 104, field: 88 },
    present: &[c"uct_rkey_unpack_v2", c"ucs_config_doc_nop", c"uct_base_rkey_compare"],
    absent: &[c"uct_iface_base_query_v2", c"uct_md_mem_elem_pack"],
    layouts: &[FIELD_88, ENTRY_56, LAYOUTS],
};

layout! {
    LAYOUTS:
    Component<RkeyUnpack> = "uct_component_t", 232 { rkey_unpack @ 40, md_config @ 72, tl_list @ 184, list @ 200 }
    v1_13::Tl<Entry56> = "uct_tl_t", 104 { }
    MdOps<MdAttr> = "uct_md_ops_t", 88 { close @ 0, query @ 8, mem_reg @ 40, mkey_pack @ 64, detect_memory_type @ 80 }
    InternalOps = "uct_iface_internal_ops_t", 56 { ep_invalidate @ 24, iface_is_reachable_v2 @ 40, ep_is_connected @ 48 }
    MdAttr = "uct_md_attr_v2_t", 536 {
        max_reg @ 16, flags @ 24, reg_mem_types @ 32, cache_mem_types @ 48, access_mem_types @ 80, reg_cost @ 96,
        rkey_packed_size @ 128, local_cpus @ 136, reg_alignment @ 528
    }
}

pub(super) fn build<T: Transport>(symbols: &Symbols) -> Tables {
    Tables {
        component: component::<T, RkeyUnpack>(
            symbols,
            rkey_unpack::<T>,
            table::<Field88>(T::MD_FIELDS, symbols.ucs_config_doc_nop()),
        )
        .cast(),
        tl: v1_13::tl::<T, Entry56>(table::<Field88>(T::FIELDS, symbols.ucs_config_doc_nop())).cast(),
        md_ops: md_ops::<T, _>(md_query::<T>),
        internal_ops: internal_ops::<T>(),
    }
}
