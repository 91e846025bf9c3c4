//! What can be seen of a libuct from outside.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

use super::Version;
use super::library::Libraries;
use crate::abi::config::Doc;
use crate::abi::{RELEASES, Release, TcpProbe, tcp_probe};
use crate::adapt::{IfaceQueryV2, RkeyCompare};
use crate::public::ucs_list_link_t;

/// Only a UCX with statistics has it; base interfaces and endpoints are longer then.
const STATISTICS: &CStr = c"ucs_stats_node_alloc";

/// What tells one build of libuct from another.
#[derive(Debug, Clone)]
pub(super) struct Fingerprint {
    pub(super) version: Version,
    /// libuct's file, for the message.
    pub(super) library: String,
    /// Size of `uct_tcp_component` in bytes; `None` when it is not exported.
    pub(super) component: Option<usize>,
    /// Size of `uct_self_tl` in bytes.
    pub(super) tl: Option<usize>,
    /// Size of `uct_md_config_table` in bytes.
    pub(super) field: Option<usize>,
    /// Those of the releases' telling symbols that libuct or libucs export.
    pub(super) symbols: BTreeSet<&'static CStr>,
    /// Whether the lists of UCX's tcp component close where the release's layout has them.
    pub(super) lists_close: bool,
}

impl Fingerprint {
    pub(super) fn of(version: Version, libraries: &Libraries) -> Self {
        let telling = RELEASES.iter().flat_map(|release| release.present.iter().chain(release.absent));
        let symbols = telling.copied().chain([STATISTICS]).filter(|name| libraries.symbol(name).is_some()).collect();
        let component = libraries.object_size(c"uct_tcp_component");
        let tl = libraries.object_size(c"uct_self_tl");
        let release = RELEASES.iter().find(|release| release.minor == version.minor);
        // The probe reads inside objects of the release's size only.
        let lists_close = release.is_some_and(|release| {
            component == Some(release.sizes.component)
                && libraries.object_size(c"uct_tcp_tl") == Some(release.sizes.tl)
                && tcp_lists_close(libraries, tcp_probe(release.id))
        });
        Self {
            version,
            library: libraries.uct_file().to_string_lossy().into_owned(),
            component,
            tl,
            field: libraries.object_size(c"uct_md_config_table"),
            symbols,
            lists_close,
        }
    }

    pub(super) fn has_statistics(&self) -> bool {
        self.symbols.contains(STATISTICS)
    }

    /// The first point in which this is not `release`, in words.
    pub(super) fn difference(&self, release: &Release) -> Option<String> {
        let sizes = [
            ("uct_component_t", release.sizes.component, self.component),
            ("uct_tl_t", release.sizes.tl, self.tl),
            ("ucs_config_field_t", release.sizes.field, self.field),
        ];
        for (what, expected, found) in sizes {
            match found {
                Some(found) if found == expected => {}
                Some(found) => return Some(format!("{what} has {found} bytes instead of {expected}")),
                None => return Some(format!("the size of {what} cannot be seen")),
            }
        }
        if let Some(name) = release.present.iter().find(|name| !self.symbols.contains(*name)) {
            return Some(format!("{} is missing", name.to_string_lossy()));
        }
        if let Some(name) = release.absent.iter().find(|name| self.symbols.contains(*name)) {
            return Some(format!("{} is present", name.to_string_lossy()));
        }
        (!self.lists_close).then(|| "the lists of uct_tcp_component are elsewhere".into())
    }
}

/// UCX's own tcp component has one transport, and its two tables of settings follow each other in UCX's list: so these links
/// point at each other. Values are compared, no pointer is followed.
fn tcp_lists_close(libraries: &Libraries, probe: TcpProbe) -> bool {
    let (Some(component), Some(tl)) = (libraries.symbol(c"uct_tcp_component"), libraries.symbol(c"uct_tcp_tl")) else {
        return false;
    };
    let md_config = component.wrapping_byte_add(probe.md_config_list);
    let cm_config = component.wrapping_byte_add(probe.cm_config_list);
    let tl_list = component.wrapping_byte_add(probe.tl_list);
    let tl_link = tl.wrapping_byte_add(probe.tl_link);
    let after_md = link_at(md_config).next.cast_const().cast();
    let before_cm = link_at(cm_config).prev.cast_const().cast();
    let first_tl = link_at(tl_list).next.cast_const().cast();
    let after_tl = link_at(tl_link).next.cast_const().cast();
    after_md == cm_config && before_cm == md_config && first_tl == tl_link && after_tl == tl_list
}

/// Whether a component `name` is registered: another copy of the transport, from another file.
pub(super) fn has_component(libraries: &Libraries, probe: TcpProbe, name: &CStr) -> bool {
    let Some(head) = libraries.symbol(c"uct_components_list") else { return false };
    let mut place = link_at(head).next.cast_const().cast::<c_void>();
    while place != head {
        // A component's name is its first member, terminated within 16 bytes.
        let start = place.wrapping_byte_sub(probe.component_link).cast();
        // SAFETY: the fingerprint has shown that the release's layout fits, so this is a component.
        if unsafe { CStr::from_ptr(start) } == name {
            return true;
        }
        place = link_at(place).next.cast_const().cast();
    }
    false
}

/// The link at `place`, inside one of UCX's components or transports, or a list's head.
fn link_at(place: *const c_void) -> ucs_list_link_t {
    // SAFETY: the fingerprint checks the objects' sizes, the layout's assertions keep the offsets inside, and any two words
    // are two pointer values. UCX changes them only while libraries are loaded, and the loader runs one constructor at a time.
    unsafe { place.cast::<ucs_list_link_t>().read_unaligned() }
}

/// Functions that not all supported releases export, so they cannot be linked: one missing symbol would fail the whole dlopen.
#[derive(Debug)]
pub(crate) struct Symbols {
    rkey_compare: Option<*const c_void>,
    doc_nop: Option<*const c_void>,
    query_v2: Option<*const c_void>,
}

impl Symbols {
    pub(super) fn of(libraries: &Libraries) -> Self {
        Self {
            rkey_compare: libraries.symbol(c"uct_base_rkey_compare"),
            doc_nop: libraries.symbol(c"ucs_config_doc_nop"),
            query_v2: libraries.symbol(c"uct_iface_base_query_v2"),
        }
    }

    /// Exported from 1.16 on.
    pub(crate) fn uct_base_rkey_compare(&self) -> RkeyCompare {
        let function = found(self.rkey_compare);
        // SAFETY: UCX's function of this name has this signature in all releases that have it.
        unsafe { std::mem::transmute::<*const c_void, RkeyCompare>(function) }
    }

    /// Exported from 1.17 on.
    pub(crate) fn ucs_config_doc_nop(&self) -> Doc {
        let function = found(self.doc_nop);
        // SAFETY: as above.
        unsafe { std::mem::transmute::<*const c_void, Doc>(function) }
    }

    /// Exported by 1.20 and 1.22.
    pub(crate) fn uct_iface_base_query_v2(&self) -> IfaceQueryV2 {
        let function = found(self.query_v2);
        // SAFETY: as above.
        unsafe { std::mem::transmute::<*const c_void, IfaceQueryV2>(function) }
    }
}

/// A function that the release's fingerprint names among those present, so [`decide`](super::decide) saw it.
fn found(function: Option<*const c_void>) -> *const c_void {
    function.expect("the fingerprint of this release demands the symbol")
}
