//! UCX's internal structs, release by release.
//!
//! One file per layout. It declares what changed since the release before and takes the rest from there, so a reader sees the
//! difference; sizes and offsets are asserted when compiling, and `source_trees` compares them with UCX's own headers.

pub(crate) mod config;
mod layout;
pub(crate) mod params;
#[cfg(test)]
mod source_trees;
mod tables;
mod v1_13;
mod v1_14;
mod v1_15;
mod v1_16;
mod v1_17;
mod v1_18;
mod v1_19;
mod v1_20;
mod v1_21;
mod v1_22;

use std::ffi::CStr;

pub(crate) use layout::{Layout, layout};
pub(crate) use tables::{Tables, TcpProbe};

use crate::config::Kind;
use crate::detect::Ucx;
use crate::public::{UCT_COMPONENT_NAME_MAX, UCT_TL_NAME_MAX};
use crate::transport::Transport;

/// A UCX release (one minor number, all its patch releases) and how it is told from the others.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) id: Id,
    pub(crate) name: &'static str,
    pub(crate) minor: u32,
    /// Whether `UCT_IFACE_FLAG_INTER_NODE` exists.
    pub(crate) has_inter_node: bool,
    /// `sizeof(uct_component_t)` and what the others say, in bytes.
    pub(crate) sizes: Sizes,
    /// Symbols that libuct or libucs must export.
    pub(crate) present: &'static [&'static CStr],
    /// Symbols that it must not.
    pub(crate) absent: &'static [&'static CStr],
    /// Layouts of the release's own, besides [`COMMON`](crate::public::layout::COMMON).
    #[cfg_attr(not(test), allow(dead_code))]
    pub(crate) layouts: &'static [&'static [Layout]],
}

/// Which layout serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Id {
    V1_13,
    V1_14,
    V1_15,
    V1_16,
    V1_17,
    V1_18,
    V1_19,
    V1_20,
    V1_21,
    V1_22,
}

/// Sizes of three objects that libuct exports, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sizes {
    /// `uct_tcp_component`, a `uct_component_t`.
    pub(crate) component: usize,
    /// `uct_self_tl`, a `uct_tl_t`.
    pub(crate) tl: usize,
    /// `uct_md_config_table`, one (empty) `ucs_config_field_t`.
    pub(crate) field: usize,
}

/// All supported releases, oldest first.
pub(crate) static RELEASES: [&Release; 10] = [
    &v1_13::RELEASE,
    &v1_14::RELEASE,
    &v1_15::RELEASE,
    &v1_16::RELEASE,
    &v1_17::RELEASE,
    &v1_18::RELEASE,
    &v1_19::RELEASE,
    &v1_20::RELEASE,
    &v1_21::RELEASE,
    &v1_22::RELEASE,
];

/// The transport's tables in the layout of the UCX found, leaked.
pub(crate) fn build<T: Transport>(ucx: &Ucx) -> Tables {
    match ucx.release().id {
        Id::V1_13 => v1_13::build::<T>(),
        Id::V1_14 => v1_14::build::<T>(),
        Id::V1_15 => v1_15::build::<T>(),
        Id::V1_16 => v1_16::build::<T>(ucx.symbols()),
        Id::V1_17 => v1_17::build::<T>(ucx.symbols()),
        Id::V1_18 => v1_18::build::<T>(ucx.symbols()),
        Id::V1_19 => v1_19::build::<T>(ucx.symbols()),
        Id::V1_20 => v1_20::build::<T>(ucx.symbols()),
        Id::V1_21 => v1_21::build::<T>(ucx.symbols()),
        Id::V1_22 => v1_22::build::<T>(ucx.symbols()),
    }
}

/// Where the links of UCX's own tcp component are, in the release's layout.
pub(crate) fn tcp_probe(id: Id) -> TcpProbe {
    match id {
        Id::V1_13 | Id::V1_14 => v1_13::TCP_PROBE,
        Id::V1_15 => v1_15::TCP_PROBE,
        _ => v1_16::TCP_PROBE,
    }
}

/// Fails the build of a transport whose names or settings UCX could not hold.
pub(crate) const fn check_names<T: Transport>() {
    let name = T::NAME.to_bytes_with_nul().len();
    assert!(name <= UCT_TL_NAME_MAX as usize && name <= UCT_COMPONENT_NAME_MAX as usize, "Transport::NAME is too long");
    assert!(!T::FIELDS.is_empty(), "Transport::FIELDS must begin with Field::base()");
    assert!(matches!(T::FIELDS[0].kind, Kind::BaseIface), "Transport::FIELDS must begin with Field::base()");
    let mut field = 0;
    while field < T::MD_FIELDS.len() {
        assert!(!matches!(T::MD_FIELDS[field].kind, Kind::BaseIface), "Field::base() is for interfaces");
        assert!(T::MD_FIELDS[field].offset < size_of::<T::MdConfig>());
        field += 1;
    }
    field = 1;
    while field < T::FIELDS.len() {
        assert!(!matches!(T::FIELDS[field].kind, Kind::BaseIface), "Field::base() stands in Transport::FIELDS once");
        assert!(T::FIELDS[field].offset < size_of::<T::Config>());
        field += 1;
    }
}
