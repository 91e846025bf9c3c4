use std::ffi::CStr;

use super::fingerprint::Fingerprint;
use super::{Refusal, Version, decide, supported};
use crate::abi::RELEASES;

/// What the releases' own builds look like (Debian's 1.13.1, the PyPI packages of the others): sizes of a component, a
/// transport and a field, and telling symbols.
const SEEN: [(u32, [usize; 3], &str); 10] = [
    (13, [208, 96, 80], "internal_ops rcache"),
    (14, [208, 96, 80], "internal_ops attach rcache"),
    (15, [224, 104, 80], "internal_ops attach reachable rcache"),
    (16, [232, 104, 80], "attach compare connected rcache"),
    (17, [232, 104, 88], "attach compare connected doc rcache"),
    (18, [232, 104, 88], "attach compare connected doc info"),
    (19, [232, 104, 88], "attach compare connected doc info unpack"),
    (20, [232, 104, 88], "attach compare connected doc info unpack query iface_pack"),
    (21, [232, 104, 88], "attach compare connected doc info unpack md_pack"),
    (22, [232, 104, 88], "attach compare connected doc info unpack query md_pack sgl"),
];

const SYMBOLS: [(&str, &CStr); 13] = [
    ("internal_ops", c"uct_base_iface_internal_ops"),
    ("attach", c"uct_md_mem_attach"),
    ("reachable", c"uct_base_iface_is_reachable_v2"),
    ("rcache", c"uct_md_rcache_overhead"),
    ("compare", c"uct_base_rkey_compare"),
    ("connected", c"uct_base_ep_is_connected"),
    ("doc", c"ucs_config_doc_nop"),
    ("info", c"uct_iface_fill_info_str_buf"),
    ("unpack", c"uct_rkey_unpack_v2"),
    ("query", c"uct_iface_base_query_v2"),
    ("iface_pack", c"uct_iface_mem_element_pack"),
    ("md_pack", c"uct_md_mem_elem_pack"),
    ("sgl", c"uct_ep_put_sgl_zcopy"),
];

/// The build in row `seen`, claiming to be 1.`minor`.
fn fingerprint(seen: usize, minor: u32) -> Fingerprint {
    let (_, [component, tl, field], symbols) = SEEN[seen];
    let symbol = |short| SYMBOLS.iter().find(|(name, _)| *name == short).expect("a symbol of the table").1;
    Fingerprint {
        version: Version { major: 1, minor, patch: 1 },
        library: "/lib/libuct.so.0".into(),
        component: Some(component),
        tl: Some(tl),
        field: Some(field),
        symbols: symbols.split(' ').map(symbol).collect(),
        lists_close: true,
    }
}

#[test]
fn the_table_above_has_every_telling_symbol() {
    for name in RELEASES.iter().flat_map(|release| release.present.iter().chain(release.absent)) {
        assert!(SYMBOLS.iter().any(|(_, symbol)| symbol == name), "{name:?}");
    }
}

#[test]
fn each_release_is_served_by_its_own_layout_and_by_no_other() {
    for (row, (actual, ..)) in SEEN.iter().enumerate() {
        for release in RELEASES {
            let answer = decide(&fingerprint(row, release.minor));
            if release.minor == *actual {
                assert_eq!(answer.expect("a release as it is built").minor, *actual);
            } else {
                let refused = matches!(answer, Err(Refusal::WrongFingerprint { .. }));
                assert!(refused, "a build of 1.{actual} passes for {}", release.name);
            }
        }
    }
}

#[test]
fn an_unknown_version_is_refused_whatever_it_looks_like() {
    for (major, minor) in [(1, 12), (1, 23), (2, 18), (0, 0)] {
        let mut found = fingerprint(9, 22);
        found.version = Version { major, minor, patch: 3 };
        let refusal = decide(&found).unwrap_err();
        assert_eq!(refusal, Refusal::UnknownVersion { found: found.version });
        let expected = format!("UCX {major}.{minor}.3 is not supported; use UCX {}, or a newer ucx-usb4", supported());
        assert_eq!(refusal.to_string(), expected);
    }
}

#[test]
fn every_point_of_the_fingerprint_counts() {
    type Change = fn(&mut Fingerprint);
    let cases: [(&str, Change); 8] = [
        ("uct_component_t has 240 bytes instead of 232", |found| found.component = Some(240)),
        ("uct_tl_t has 96 bytes instead of 104", |found| found.tl = Some(96)),
        ("ucs_config_field_t has 80 bytes instead of 88", |found| found.field = Some(80)),
        ("the size of uct_component_t cannot be seen", |found| found.component = None),
        ("the size of uct_tl_t cannot be seen", |found| found.tl = None),
        ("uct_iface_fill_info_str_buf is missing", |found| {
            found.symbols.remove(c"uct_iface_fill_info_str_buf");
        }),
        ("uct_md_mem_elem_pack is present", |found| {
            found.symbols.insert(c"uct_md_mem_elem_pack");
        }),
        ("the lists of uct_tcp_component are elsewhere", |found| found.lists_close = false),
    ];
    for (difference, change) in cases {
        let mut found = fingerprint(5, 18);
        change(&mut found);
        let refusal = decide(&found).unwrap_err();
        let expected = format!(
            "UCX says it is 1.18.1, but {difference} in /lib/libuct.so.0; supported are unmodified builds of UCX 1.13 to 1.22"
        );
        assert_eq!(refusal.to_string(), expected);
    }
}

#[test]
fn statistics_are_refused_by_name() {
    let mut found = fingerprint(0, 13);
    found.symbols.insert(c"ucs_stats_node_alloc");
    let refusal = decide(&found).unwrap_err();
    assert_eq!(refusal, Refusal::Statistics { found: found.version });
    assert!(refusal.to_string().contains("--enable-stats"));
}

#[test]
fn every_refusal_is_one_line() {
    let found = Version { major: 1, minor: 18, patch: 0 };
    let all = [
        Refusal::UnknownVersion { found },
        Refusal::WrongFingerprint { found, difference: "this".into(), library: "/lib/libuct.so.0".into() },
        Refusal::Statistics { found },
        Refusal::NoVersion { library: "/lib/libuct.so.0".into() },
        Refusal::NoLibrary { library: "libuct".into(), reason: "none".into() },
        Refusal::Twice { name: c"usb4" },
    ];
    for refusal in all {
        assert!(!refusal.to_string().contains('\n'), "{refusal}");
    }
}
