//! UCX 1.14: the memory domain gains `mem_attach`, is asked by `uct_md_attr_v2_t` and registers with a struct of parameters;
//! endpoints gain `ep_connect_to_ep_v2`.

use std::ffi::c_char;

use super::config::{ENTRY_48, Entry48, FIELD_80, Field80, table};
use super::tables::{Tables, leak};
use super::v1_13::{self, one_invalidate_flag};
use super::{Id, Release, Sizes, layout};
use crate::adapt::*;
use crate::public::*;
use crate::transport::Transport;

pub(super) static RELEASE: Release = Release {
    id: Id::V1_14,
    name: "1.14",
    minor: 14,
    has_inter_node: false,
    sizes: Sizes { component: 208, tl: 96, field: 80 },
    present: &[c"uct_md_mem_attach"],
    absent: &[c"uct_base_iface_is_reachable_v2", c"uct_base_rkey_compare"],
    layouts: &[FIELD_80, ENTRY_48, LAYOUTS],
};

/// `uct_md_ops_t` of 1.14 and 1.15, but for the attributes that `query` fills.
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
    pub(super) mkey_pack: MkeyPackWhole,
    pub(super) mem_attach: Unfilled,
    pub(super) is_sockaddr_accessible: Unfilled,
    pub(super) detect_memory_type: Unfilled,
}

/// `uct_iface_internal_ops_t`.
#[repr(C)]
struct InternalOps {
    iface_estimate_perf: EstimatePerf,
    iface_vfs_refresh: VfsRefresh,
    ep_query: Unfilled,
    ep_invalidate: EpInvalidateFlags,
    ep_connect_to_ep_v2: Unfilled,
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
    v1_13::Component<Entry48> = "uct_component_t", 208 { }
    v1_13::Tl<Entry48> = "uct_tl_t", 96 { }
    MdOps<MdAttr> = "uct_md_ops_t", 96 {
        close @ 0, query @ 8, mem_alloc @ 16, mem_free @ 24, mem_advise @ 32, mem_reg @ 40, mem_dereg @ 48, mem_query @ 56,
        mkey_pack @ 64, mem_attach @ 72, is_sockaddr_accessible @ 80, detect_memory_type @ 88
    }
    InternalOps = "uct_iface_internal_ops_t", 40 {
        iface_estimate_perf @ 0, iface_vfs_refresh @ 8, ep_query @ 16, ep_invalidate @ 24, ep_connect_to_ep_v2 @ 32
    }
    MdAttr = "uct_md_attr_v2_t", 512 {
        max_reg @ 16, flags @ 24, reg_mem_types @ 32, cache_mem_types @ 40, access_mem_types @ 64, reg_cost @ 80,
        rkey_packed_size @ 112, local_cpus @ 120
    }
}

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
        mkey_pack: mkey_pack_one_flag::<T>,
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
    });
    Tables {
        component: v1_13::component::<T, Entry48>(table::<Field80>(T::MD_FIELDS, ())).cast(),
        tl: v1_13::tl::<T, Entry48>(table::<Field80>(T::FIELDS, ())).cast(),
        md_ops: md_ops.cast(),
        internal_ops: internal_ops.cast(),
    }
}

/// `query` of a release's memory domain: UCX hands over the attributes zeroed and fills in the component's name.
macro_rules! md_query_v2 {
    ($attr:ty, $flags:expr $(, $alignment:ident)?) => {
        pub(super) unsafe extern "C" fn md_query<T: Transport>(md: *mut uct_md_t, attr: *mut $attr) -> ucs_status_t {
            // SAFETY: UCX asks an open memory domain.
            let caps = unsafe { T::md_caps(md) };
            // SAFETY: UCX's out parameter, which it zeroed.
            let mut value = unsafe { attr.read() };
            value.max_reg = caps.max_reg_bytes;
            value.flags = $flags(caps.flags);
            value.reg_mem_types = caps.reg_mem_types;
            value.cache_mem_types = caps.cache_mem_types;
            value.access_mem_types = caps.access_mem_types;
            value.reg_cost = caps.reg_cost;
            value.rkey_packed_size = caps.rkey_packed_size;
            value.local_cpus = [u64::MAX; 16];
            $(value.$alignment = 1;)?
            // SAFETY: as above.
            unsafe { attr.write(value) };
            UCS_OK
        }
    };
}
pub(super) use md_query_v2;

md_query_v2!(MdAttr, one_invalidate_flag);
