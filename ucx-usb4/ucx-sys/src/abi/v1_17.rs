//! UCX 1.17: parsers of settings gain `doc`.

use super::config::{ENTRY_56, Entry56, FIELD_88, Field88, table};
use super::tables::Tables;
use super::v1_16::{self, component, internal_ops, md_ops, md_query};
use super::{Id, Release, Sizes, v1_13};
use crate::adapt::{RkeyUnpackV1, rkey_unpack_v1};
use crate::detect::Symbols;
use crate::transport::Transport;

pub(super) static RELEASE: Release = Release {
    id: Id::V1_17,
    name: "1.17",
    minor: 17,
    has_inter_node: false,
    sizes: Sizes { component: 232, tl: 104, field: 88 },
    present: &[c"ucs_config_doc_nop", c"uct_md_rcache_overhead", c"uct_base_rkey_compare"],
    absent: &[c"uct_iface_fill_info_str_buf"],
    layouts: &[FIELD_88, ENTRY_56, v1_16::LAYOUTS],
};

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
