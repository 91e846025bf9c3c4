//! Compares what this crate declares with what a C compiler makes of UCX's own headers.
//!
//! `UCX_SOURCE_TREES` names unpacked source trees, colon between them (`apt-get source ucx` makes one). Each is told by its
//! configure.ac. Without the variable there is nothing to compare and the test says so.

use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use std::{env, fs};

use super::params::{self, field};
use super::{Layout, RELEASES, Release};
use crate::log::ucs_level;
use crate::public::layout::COMMON;

/// What UCX's configure script would write, as far as the headers ask for it.
const CONFIG_H: &str = "\
#define ENABLE_ASSERT 0
#define ENABLE_PARAMS_CHECK 0
#define ENABLE_DEBUG_DATA 0
#define UCS_MAX_LOG_LEVEL UCS_LOG_LEVEL_DEBUG
";

const INCLUDES: &str = "\
#include \"config.h\"
#include <stddef.h>
#include <ucs/config/parser.h>
#include <ucs/datastruct/string_buffer.h>
#include <ucs/debug/log_def.h>
#include <ucs/vfs/base/vfs_obj.h>
#include <uct/api/uct.h>
#include <uct/api/v2/uct_v2.h>
#include <uct/base/uct_component.h>
#include <uct/base/uct_iface.h>
#include <uct/base/uct_md.h>
#define HAS(type, member, proto) \\
    _Static_assert(__builtin_types_compatible_p(__typeof__(((type *)0)->member), proto), #type \".\" #member)
#define IS(function, proto) \\
    _Static_assert(__builtin_types_compatible_p(__typeof__(&function), proto), #function)
";

#[test]
fn declarations_match_the_headers_of_each_source_tree() {
    let Some(trees) = env::var_os("UCX_SOURCE_TREES") else {
        eprintln!("UCX_SOURCE_TREES is not set: no headers to compare with");
        return;
    };
    for tree in env::split_paths(&trees) {
        let release = release_of(&tree);
        let (source, checks) = checks_of(release);
        compile(&tree, &source)
            .unwrap_or_else(|errors| panic!("UCX {} in {}:\n{errors}", release.name, tree.display()));
        println!("UCX {}: {checks} declarations agree with {}", release.name, tree.display());
    }
}

/// A test that always agrees would be worth nothing: the headers of one release must refuse the declarations of another.
#[test]
fn headers_refuse_the_declarations_of_another_layout() {
    let Some(trees) = env::var_os("UCX_SOURCE_TREES") else { return };
    for tree in env::split_paths(&trees) {
        let own = release_of(&tree);
        for other in RELEASES.iter().filter(|other| other.minor != own.minor) {
            let agrees = compile(&tree, &checks_of(other).0).is_ok();
            assert!(!agrees, "the headers of {} agree with the declarations for {}", own.name, other.name);
        }
    }
}

fn release_of(tree: &Path) -> &'static Release {
    let file = tree.join("configure.ac");
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let minor = text.lines().find_map(|line| {
        let (number, _) = line.strip_prefix("define([ucx_ver_minor],")?.split_once(')')?;
        number.trim().parse::<u32>().ok()
    });
    let minor = minor.unwrap_or_else(|| panic!("{} does not define ucx_ver_minor", file.display()));
    RELEASES.iter().find(|release| release.minor == minor).unwrap_or_else(|| panic!("UCX 1.{minor} is not supported"))
}

/// A C program that compiles where the release's declarations are right, and the number of its checks.
fn checks_of(release: &Release) -> (String, usize) {
    let mut lines = Vec::new();
    let with_params = if release.minor >= 16 { params::LAYOUTS_1_16 } else { &[] };
    for layout in release.layouts.iter().copied().chain([COMMON, with_params]).flatten() {
        check_layout(layout, &mut lines);
    }
    lines.extend(constants(release.minor));
    lines.extend(signatures(release.minor));
    let mut source = INCLUDES.to_owned();
    for line in &lines {
        writeln!(source, "{line}").unwrap();
    }
    (source, lines.len())
}

fn check_layout(layout: &Layout, lines: &mut Vec<String>) {
    let c_type = layout.c_type;
    if let Some(size) = layout.size {
        lines.push(format!("_Static_assert(sizeof({c_type}) == {size}, \"size of {c_type}\");"));
    }
    for (member, offset) in layout.fields {
        lines.push(format!("_Static_assert(offsetof({c_type}, {member}) == {offset}, \"{c_type}.{member}\");"));
    }
}

/// Bits that this crate writes as numbers.
fn constants(minor: u32) -> Vec<String> {
    let mut all: Vec<(&str, u64)> = vec![
        ("UCT_IFACE_IS_REACHABLE_FIELD_DEVICE_ADDR", field::DEVICE_ADDR),
        ("UCT_IFACE_IS_REACHABLE_FIELD_IFACE_ADDR", field::IFACE_ADDR),
        (
            "(UCT_IFACE_IS_REACHABLE_FIELD_INFO_STRING | UCT_IFACE_IS_REACHABLE_FIELD_INFO_STRING_LENGTH)",
            field::REACHABLE_INFO,
        ),
        ("UCT_MD_MEM_DEREG_FIELD_MEMH", field::DEREG_MEMH),
        ("UCT_MD_MEM_DEREG_FIELD_FLAGS", field::DEREG_FLAGS),
        ("UCT_MD_MEM_DEREG_FIELD_COMPLETION", field::DEREG_COMPLETION),
        ("UCT_MD_MEM_DEREG_FLAG_INVALIDATE", field::DEREG_INVALIDATE.into()),
        ("UCT_MD_MKEY_PACK_FIELD_FLAGS", field::MKEY_FLAGS),
        ("UCT_MD_FLAG_REG", 1 << 1),
        ("UCT_MD_FLAG_INVALIDATE", 1 << 8),
        ("UCT_MD_MEM_ACCESS_REMOTE_PUT", crate::MemFlags::ACCESS_REMOTE_PUT.bits()),
        ("UCT_MD_MEM_ACCESS_LOCAL_WRITE", crate::MemFlags::ACCESS_LOCAL_WRITE.bits()),
        ("UCS_LOG_LEVEL_ERROR", ucs_level(log::Level::Error).unsigned_abs().into()),
        ("UCS_LOG_LEVEL_WARN", ucs_level(log::Level::Warn).unsigned_abs().into()),
        ("UCS_LOG_LEVEL_INFO", ucs_level(log::Level::Info).unsigned_abs().into()),
        ("UCS_LOG_LEVEL_DEBUG", ucs_level(log::Level::Debug).unsigned_abs().into()),
        ("UCS_LOG_LEVEL_TRACE", ucs_level(log::Level::Trace).unsigned_abs().into()),
        ("offsetof(ucs_global_opts_t, log_component)", 0),
    ];
    if minor >= 14 {
        all.push(("UCT_MD_MEM_REG_FIELD_FLAGS", field::REG_FLAGS));
        all.push(("UCT_FLUSH_FLAG_REMOTE", crate::public::UCT_FLUSH_FLAG_REMOTE.into()));
    }
    if minor >= 15 {
        all.push(("UCT_MD_MKEY_PACK_FLAG_INVALIDATE_RMA", field::MKEY_INVALIDATE_RMA.into()));
        all.push(("UCT_MD_MKEY_PACK_FLAG_INVALIDATE_AMO", field::MKEY_INVALIDATE_AMO.into()));
        all.push(("UCT_MD_FLAG_INVALIDATE_RMA", super::v1_15::INVALIDATE_RMA));
        all.push(("UCT_MD_FLAG_INVALIDATE_AMO", super::v1_15::INVALIDATE_AMO));
        all.push(("UCT_IFACE_IS_REACHABLE_FIELD_SCOPE", field::REACHABLE_SCOPE));
        all.push(("UCT_IFACE_REACHABILITY_SCOPE_DEVICE", field::SCOPE_DEVICE.into()));
    } else {
        all.push(("UCT_MD_MKEY_PACK_FLAG_INVALIDATE", field::MKEY_INVALIDATE_RMA.into()));
    }
    if minor >= 18 {
        all.push(("UCT_IFACE_FLAG_INTER_NODE", crate::public::IfaceFlags::INTER_NODE.bits()));
    }
    all.into_iter().map(|(name, value)| format!("_Static_assert({name} == {value}ull, \"{name}\");")).collect()
}

/// Signatures of the slots that this crate fills, and of the functions that it calls by a declaration of its own.
fn signatures(minor: u32) -> Vec<String> {
    let since = |first: u32, new: &'static str, old: &'static str| if minor >= first { new } else { old };
    let component = "uct_component_t";
    let mut slots = vec![
        (component, "query_md_resources", "uct_component_t *, uct_md_resource_desc_t **, unsigned *"),
        (component, "md_open", "uct_component_t *, const char *, const uct_md_config_t *, uct_md_h *"),
        (
            component,
            "rkey_unpack",
            since(
                19,
                "uct_component_t *, const void *, const uct_rkey_unpack_params_t *, uct_rkey_t *, void **",
                "uct_component_t *, const void *, uct_rkey_t *, void **",
            ),
        ),
        (component, "rkey_release", "uct_component_t *, uct_rkey_t, void *"),
        ("uct_tl_t", "query_devices", "uct_md_h, uct_tl_device_resource_t **, unsigned *"),
        (
            "uct_tl_t",
            "iface_open",
            "uct_md_h, uct_worker_h, const uct_iface_params_t *, const uct_iface_config_t *, uct_iface_h *",
        ),
        ("uct_md_ops_t", "query", since(14, "uct_md_h, uct_md_attr_v2_t *", "uct_md_h, uct_md_attr_t *")),
        (
            "uct_md_ops_t",
            "mem_reg",
            since(
                14,
                "uct_md_h, void *, size_t, const uct_md_mem_reg_params_t *, uct_mem_h *",
                "uct_md_h, void *, size_t, unsigned, uct_mem_h *",
            ),
        ),
        ("uct_md_ops_t", "mem_dereg", "uct_md_h, const uct_md_mem_dereg_params_t *"),
        (
            "uct_md_ops_t",
            "mkey_pack",
            since(
                16,
                "uct_md_h, uct_mem_h, void *, size_t, const uct_md_mkey_pack_params_t *, void *",
                "uct_md_h, uct_mem_h, const uct_md_mkey_pack_params_t *, void *",
            ),
        ),
        ("uct_iface_internal_ops_t", "iface_estimate_perf", "uct_iface_h, uct_perf_attr_t *"),
        (
            "uct_iface_internal_ops_t",
            "ep_invalidate",
            since(21, "uct_ep_h, const uct_ep_invalidate_params_t *", "uct_ep_h, unsigned"),
        ),
    ];
    if minor >= 16 {
        let compare = "uct_component_t *, uct_rkey_t, uct_rkey_t, const uct_rkey_compare_params_t *, int *";
        slots.push((component, "rkey_compare", compare));
    }
    if matches!(minor, 20 | 22) {
        slots.push(("uct_iface_internal_ops_t", "iface_query_v2", "uct_iface_h, uct_iface_attr_v2_t *"));
    }
    let mut lines: Vec<_> = slots
        .into_iter()
        .map(|(c_type, slot, arguments)| format!("HAS({c_type}, {slot}, ucs_status_t (*)({arguments}));"))
        .collect();
    lines.push("HAS(uct_md_ops_t, close, void (*)(uct_md_h));".into());
    lines.push("HAS(uct_iface_internal_ops_t, iface_vfs_refresh, void (*)(uct_iface_h));".into());
    if minor >= 15 {
        let reachable = "int (*)(const uct_iface_h, const uct_iface_is_reachable_params_t *)";
        lines.push(format!("HAS(uct_iface_internal_ops_t, iface_is_reachable_v2, {reachable});"));
    }
    if minor >= 16 {
        let connected = "int (*)(uct_ep_h, const uct_ep_is_connected_params_t *)";
        lines.push(format!("HAS(uct_iface_internal_ops_t, ep_is_connected, {connected});"));
    }
    if minor >= 17 {
        lines.push("HAS(ucs_config_parser_t, doc, void (*)(ucs_string_buffer_t *, const void *));".into());
    }
    lines.extend(FUNCTIONS.map(|(name, signature)| format!("IS({name}, {signature});")));
    lines
}

const FUNCTIONS: [(&str, &str); 17] = [
    ("uct_component_register", "void (*)(uct_component_t *)"),
    ("uct_tl_register", "void (*)(uct_component_t *, uct_tl_t *)"),
    ("uct_md_query_single_md_resource", "ucs_status_t (*)(uct_component_t *, uct_md_resource_desc_t **, unsigned *)"),
    (
        "uct_base_iface_t_init",
        "ucs_status_t (*)(uct_base_iface_t *, ucs_class_t *, int *, uct_iface_ops_t *, uct_iface_internal_ops_t *, uct_md_h, \
         uct_worker_h, const uct_iface_params_t *, const uct_iface_config_t *)",
    ),
    ("uct_base_ep_t_init", "ucs_status_t (*)(uct_base_ep_t *, ucs_class_t *, int *, uct_base_iface_t *)"),
    ("uct_base_iface_estimate_perf", "ucs_status_t (*)(uct_iface_h, uct_perf_attr_t *)"),
    ("uct_base_iface_query", "void (*)(uct_base_iface_t *, uct_iface_attr_t *)"),
    ("uct_base_iface_flush", "ucs_status_t (*)(uct_iface_h, unsigned, uct_completion_t *)"),
    ("uct_base_iface_progress_disable", "void (*)(uct_iface_h, unsigned)"),
    ("uct_iface_handle_ep_err", "ucs_status_t (*)(uct_iface_h, uct_ep_h, ucs_status_t)"),
    ("ucs_class_call_cleanup_chain", "void (*)(ucs_class_t *, void *, int)"),
    (
        "ucs_log_dispatch",
        "void (*)(const char *, unsigned, const char *, ucs_log_level_t, ucs_log_component_config_t *, const char *, ...)",
    ),
    (
        "ucs_vfs_obj_add_ro_file",
        "ucs_status_t (*)(void *, void (*)(void *, ucs_string_buffer_t *, void *, uint64_t), void *, uint64_t, const char *, ...)",
    ),
    ("ucs_string_buffer_appendf", "void (*)(ucs_string_buffer_t *, const char *, ...)"),
    ("ucs_config_sscanf_memunits", "int (*)(const char *, void *, const void *)"),
    ("ucs_config_sprintf_memunits", "int (*)(char *, size_t, const void *, const void *)"),
    ("ucs_config_clone_ulong", "ucs_status_t (*)(const void *, void *, const void *)"),
];

/// The compiler's errors, when there are any.
fn compile(tree: &Path, source: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.h"), CONFIG_H).unwrap();
    let file = folder.path().join("check.c");
    fs::write(&file, source).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-fsyntax-only", "-w", "-DHAVE_CONFIG_H"]);
    cc.arg("-I").arg(folder.path()).arg("-I").arg(tree.join("src")).arg(file);
    let output = cc.output().expect("cc, which also links Rust programs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}
