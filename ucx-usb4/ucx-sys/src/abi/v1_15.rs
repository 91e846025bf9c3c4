//! UCX 1.15: list entries gain flags, interfaces `iface_is_reachable_v2`; invalidation of put and get is told from that of
//! atomics.

use std::ffi::c_char;

use super::config::{ENTRY_56, Entry56, FIELD_80, Field80, table};
use super::tables::{Tables, TcpProbe, leak};
use super::v1_13::{self, registration_flags};
use super::v1_14::{MdOps, md_query_v2};
use super::{Id, Release, Sizes, layout};
use crate::adapt::*;
use crate::public::*;
use crate::transport::{MdFlags, Transport};

pub(super) static RELEASE: Release = Release {
    id: Id::V1_15,
    name: "1.15",
    minor: 15,
    has_inter_node: false,
    sizes: Sizes { component: 224, tl: 104, field: 80 },
    present: &[c"uct_md_mem_attach", c"uct_base_iface_is_reachable_v2"],
    absent: &[c"uct_base_rkey_compare"],
    layouts: &[FIELD_80, ENTRY_56, LAYOUTS],
};

/// `uct_iface_internal_ops_t`.
#[repr(C)]
struct InternalOps {
    iface_estimate_perf: EstimatePerf,
    iface_vfs_refresh: VfsRefresh,
    ep_query: Unfilled,
    ep_invalidate: EpInvalidateFlags,
    ep_connect_to_ep_v2: Unfilled,
    iface_is_reachable_v2: IsReachableV2,
}

/// `uct_md_attr_v2_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct MdAttr {
    field_mask: u64,
    max_alloc: u64,
    max_reg: usize,
    flags: u64,
    reg_mem_types: u64,
    reg_nonblock_mem_types: u64,
    cache_mem_types: u64,
    detect_mem_types: u64,
    alloc_mem_types: u64,
    access_mem_types: u64,
    dmabuf_mem_types: u64,
    reg_cost: ucs_linear_func_t,
    component_name: [c_char; 16],
    rkey_packed_size: usize,
    local_cpus: [u64; 16],
    exported_mkey_packed_size: usize,
    global_id: [c_char; 256],
}

layout! {
    LAYOUTS:
    v1_13::Component<Entry56> = "uct_component_t", 224 {
        name @ 0, query_md_resources @ 16, rkey_release @ 56, md_config @ 64, cm_config @ 120, tl_list @ 176, list @ 192,
        flags @ 208, md_vfs_init @ 216
    }
    v1_13::Tl<Entry56> = "uct_tl_t", 104 { name @ 0, query_devices @ 16, iface_open @ 24, config @ 32, list @ 88 }
    MdOps<MdAttr> = "uct_md_ops_t", 96 { close @ 0, query @ 8, mem_reg @ 40, mkey_pack @ 64, mem_attach @ 72 }
    InternalOps = "uct_iface_internal_ops_t", 48 {
        iface_estimate_perf @ 0, iface_vfs_refresh @ 8, ep_query @ 16, ep_invalidate @ 24, ep_connect_to_ep_v2 @ 32,
        iface_is_reachable_v2 @ 40
    }
    MdAttr = "uct_md_attr_v2_t", 520 {
        max_reg @ 16, flags @ 24, reg_mem_types @ 32, cache_mem_types @ 48, access_mem_types @ 72, reg_cost @ 88,
        rkey_packed_size @ 120, local_cpus @ 128
    }
}

/// Where the links are that tie UCX's tcp component together.
pub(super) const TCP_PROBE: TcpProbe = TcpProbe {
    md_config_list: std::mem::offset_of!(v1_13::Component<Entry56>, md_config.list),
    cm_config_list: std::mem::offset_of!(v1_13::Component<Entry56>, cm_config.list),
    tl_list: std::mem::offset_of!(v1_13::Component<Entry56>, tl_list),
    component_link: std::mem::offset_of!(v1_13::Component<Entry56>, list),
    tl_link: std::mem::offset_of!(v1_13::Tl<Entry56>, list),
};

pub(super) fn build<T: Transport>() -> Tables {
    let md_ops = leak(MdOps {
        close: md_close::<T>,
        query: md_query::<T>,
        mem_alloc: unsupported,
        mem_free: unsupported,
        mem_advise: unsupported,
        mem_reg: mem_reg::<T>,
        mem_dereg: mem_dereg::<T>,
        mem_query: unsupported,
        mkey_pack: mkey_pack_whole::<T>,
        mem_attach: unsupported,
        is_sockaddr_accessible: no,
        detect_memory_type: unsupported,
    });
    let internal_ops = leak(InternalOps {
        iface_estimate_perf: uct_base_iface_estimate_perf,
        iface_vfs_refresh: iface_vfs_refresh::<T>,
        ep_query: unsupported,
        ep_invalidate: ep_invalidate_flags::<T>,
        ep_connect_to_ep_v2: unsupported,
        iface_is_reachable_v2: is_reachable_v2::<T>,
    });
    Tables {
        component: v1_13::component::<T, Entry56>(table::<Field80>(T::MD_FIELDS, ())).cast(),
        tl: v1_13::tl::<T, Entry56>(table::<Field80>(T::FIELDS, ())).cast(),
        md_ops: md_ops.cast(),
        internal_ops: internal_ops.cast(),
    }
}

md_query_v2!(MdAttr, two_invalidate_flags);

/// `UCT_MD_FLAG_INVALIDATE_RMA`.
pub(super) const INVALIDATE_RMA: u64 = 1 << 11;
/// `UCT_MD_FLAG_INVALIDATE_AMO`.
pub(super) const INVALIDATE_AMO: u64 = 1 << 12;

/// `UCT_MD_FLAG_*` from 1.15 on, `uct_md_flags_v2_t` included.
pub(super) fn two_invalidate_flags(flags: MdFlags) -> u64 {
    let mut bits = registration_flags(flags);
    if flags.contains(MdFlags::INVALIDATE_RMA) {
        bits |= INVALIDATE_RMA;
    }
    if flags.contains(MdFlags::INVALIDATE_AMO) {
        bits |= INVALIDATE_AMO;
    }
    if flags.contains(MdFlags::INVALIDATE_RMA | MdFlags::INVALIDATE_AMO) {
        bits |= u64::from(UCT_MD_FLAG_INVALIDATE);
    }
    bits
}
