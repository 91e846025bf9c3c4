//! UCX 1.18: memory domains tell global virtual address memory types, interfaces that they reach other nodes.

use std::ffi::c_char;

use super::config::{ENTRY_56, Entry56, FIELD_88, Field88, table};
use super::tables::Tables;
use super::v1_14::md_query_v2;
use super::v1_15::two_invalidate_flags;
use super::v1_16::{Component, InternalOps, MdOps, component, internal_ops, md_ops};
use super::{Id, Release, Sizes, layout, v1_13};
use crate::adapt::{RkeyUnpackV1, rkey_unpack_v1};
use crate::detect::Symbols;
use crate::public::*;
use crate::transport::Transport;

pub(super) static RELEASE: Release = Release {
    id: Id::V1_18,
    name: "1.18",
    minor: 18,
    has_inter_node: true,
    sizes: Sizes { component: 232, tl: 104, field: 88 },
    present: &[c"uct_iface_fill_info_str_buf", c"ucs_config_doc_nop", c"uct_base_rkey_compare"],
    absent: &[c"uct_rkey_unpack_v2", c"uct_iface_base_query_v2", c"uct_md_mem_elem_pack"],
    layouts: &[FIELD_88, ENTRY_56, LAYOUTS],
};

/// `uct_md_attr_v2_t` from 1.18 to 1.21.
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
    pub(super) gva_mem_types: u64,
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
    LAYOUTS:
    Component = "uct_component_t", 232 { md_config @ 72, cm_config @ 128, tl_list @ 184, list @ 200, flags @ 216 }
    v1_13::Tl<Entry56> = "uct_tl_t", 104 { name @ 0, query_devices @ 16, iface_open @ 24, config @ 32, list @ 88 }
    MdOps<MdAttr> = "uct_md_ops_t", 88 { close @ 0, query @ 8, mem_reg @ 40, mkey_pack @ 64, detect_memory_type @ 80 }
    InternalOps = "uct_iface_internal_ops_t", 56 { ep_invalidate @ 24, iface_is_reachable_v2 @ 40, ep_is_connected @ 48 }
    MdAttr = "uct_md_attr_v2_t", 536 {
        max_reg @ 16, flags @ 24, reg_mem_types @ 32, cache_mem_types @ 48, access_mem_types @ 80, reg_cost @ 96,
        rkey_packed_size @ 128, local_cpus @ 136, reg_alignment @ 528
    }
}

pub(super) fn build<T: Transport>(symbols: &Symbols) -> Tables {
    Tables {
        component: component::<T, RkeyUnpackV1>(
            symbols,
            rkey_unpack_v1::<T>,
            table::<Field88>(T::MD_FIELDS, symbols.ucs_config_doc_nop()),
        )
        .cast(),
        tl: v1_13::tl::<T, Entry56>(table::<Field88>(T::FIELDS, symbols.ucs_config_doc_nop())).cast(),
        md_ops: md_ops::<T, _>(md_query::<T>),
        internal_ops: internal_ops::<T>(),
    }
}

md_query_v2!(MdAttr, two_invalidate_flags, reg_alignment);
