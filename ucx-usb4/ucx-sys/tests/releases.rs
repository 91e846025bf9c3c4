//! Runs the test transport in real UCX processes: the UCX of the machine, and each installation that `UCX_INSTALLATIONS` names
//! (prefixes with lib/ and bin/, colon between them). The one library serves them all.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs};

/// The registration flags of `UCT_MD_MEM_ACCESS_RMA`, as the probe sees them arrive.
const ACCESS_RMA: &str = "360";

#[test]
fn every_slot_of_the_layout_answers() {
    for ucx in Ucx::all() {
        let output = ucx.probe().output().unwrap();
        let text = stdout(&output);
        let (release, facts) = text.split_once('\n').unwrap_or_else(|| panic!("{ucx:?} said nothing: {output:?}"));
        let minor = release.strip_prefix("release 1.").and_then(|minor| minor.parse().ok()).expect(release);
        assert_eq!(facts, expected(minor), "{ucx:?} {release} {}", stderr(&output));
        assert_eq!(stderr(&output), "", "{ucx:?}");
        println!("{ucx:?}: {release}, {} facts", facts.lines().count());
    }
}

/// rustc links with BIND_NOW: a symbol that one release lacks would fail the whole dlopen there. Checked where only one release
/// is at hand too, against what all ten export.
#[test]
fn only_symbols_of_all_releases_are_bound() {
    let output = Command::new("nm").args(["--dynamic", "--undefined-only"]).arg(transport()).output();
    let text = stdout(&output.expect("nm comes with the linker"));
    let bound = text.lines().filter_map(|line| line.split_whitespace().last());
    let bound: Vec<_> = bound.filter(|name| name.starts_with("uc")).collect();
    assert!(bound.contains(&"uct_component_register"), "{bound:?}");
    let exported: Vec<_> = EXPORTED_BY_ALL.split_whitespace().collect();
    let strangers: Vec<_> = bound.iter().filter(|name| !exported.contains(name)).collect();
    assert!(strangers.is_empty(), "not exported by every release: {strangers:?}; look them up at load time instead");
}

/// A program on UCT alone has no libucp, which knows the release: the transport must find the one beside libuct.
#[test]
fn a_program_without_libucp_is_served_too() {
    let folder = tempfile::tempdir().unwrap();
    let (source, program) = (folder.path().join("alone.c"), folder.path().join("alone"));
    fs::write(&source, ALONE).unwrap();
    compile(&source, &program, &["-luct", "-lucs"]);
    for ucx in Ucx::all() {
        let output = ucx.command(program.clone().into()).arg(transport()).output().unwrap();
        assert_eq!((stdout(&output), stderr(&output)), ("no libucp\nnulltl\n".into(), String::new()), "{ucx:?}");
    }
}

/// Says whether libucp is loaded, loads the transport, and says whether its component is there.
const ALONE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <uct/api/uct.h>
int main(int argc, char **argv) {
    uct_component_h *components;
    unsigned count;
    puts(dlopen("libucp.so.0", RTLD_NOW | RTLD_NOLOAD) ? "libucp" : "no libucp");
    if (!dlopen(argv[1], RTLD_NOW)) puts(dlerror());
    uct_query_components(&components, &count);
    for (unsigned i = 0; i < count; ++i) {
        uct_component_attr_t attr = { .field_mask = UCT_COMPONENT_ATTR_FIELD_NAME };
        uct_component_query(components[i], &attr);
        if (!strcmp(attr.name, "nulltl")) puts(attr.name);
    }
    return 0;
}
"#;

#[test]
fn settings_are_listed_with_their_help() {
    for ucx in Ucx::all() {
        let mut info = ucx.command(ucx.program("ucx_info"));
        info.args(["-c", "-f"]).env("LD_PRELOAD", transport()).env("UCX_NULLTL_DEPTH", "9");
        let output = info.output().expect("ucx_info: apt install ucx-utils");
        let text = stdout(&output);
        let settings: Vec<_> = text.lines().filter(|line| line.starts_with("UCX_NULLTL_")).collect();
        let own =
            settings.iter().position(|line| line.contains("LINKS")).unwrap_or_else(|| panic!("{ucx:?}: {output:?}"));
        assert_eq!(
            settings[own..],
            [
                "UCX_NULLTL_LINKS=all",
                "UCX_NULLTL_WINDOW=256K",
                "UCX_NULLTL_TIMEOUT=1500.00us",
                "UCX_NULLTL_POLL=y",
                "UCX_NULLTL_DEPTH=9",
                "UCX_NULLTL_FACTOR=0.250",
            ],
            "{ucx:?}"
        );
        assert!(settings[..own].contains(&"UCX_NULLTL_MAX_NUM_EPS=inf"), "UCX's own settings come first: {settings:?}");
        let lines: Vec<_> = text.lines().collect();
        assert!(
            lines.windows(2).any(|two| two == ["#", "# Size of the window."]),
            "{ucx:?}: help of WINDOW is missing"
        );
        assert!(text.contains("# nulltl transport configuration"), "{ucx:?}");
    }
}

#[test]
fn settings_arrive_and_log_lines_follow_the_level_of_ucx() {
    const OPENED: &str = "opened with links=";
    for ucx in Ucx::all() {
        let quiet = stdout(&ucx.probe().output().unwrap());
        assert!(!quiet.contains(OPENED), "{ucx:?} shows an info line unasked:\n{quiet}");
        let mut probe = ucx.probe();
        probe.env("UCX_LOG_LEVEL", "info").env("UCX_NULLTL_LINKS", "a,b").env("UCX_NULLTL_WINDOW", "auto");
        probe.env("UCX_NULLTL_TIMEOUT", "2s").env("UCX_NULLTL_POLL", "n");
        let text = stdout(&probe.output().unwrap());
        let line = text.lines().find(|line| line.contains(OPENED)).unwrap_or_else(|| panic!("{ucx:?}:\n{text}"));
        assert!(line.ends_with("opened with links=a,b window=Auto timeout=2 poll=false depth=7 factor=0.25"), "{line}");
        assert!(line.contains("INFO") && line.contains("lib.rs"), "not UCX's own form: {line}");
    }
}

#[test]
fn an_unknown_release_is_refused_in_one_line_and_ucx_goes_on() {
    let output = with_version(99);
    assert_eq!(stdout(&output), "release 1.99\nthe component is not registered\n");
    assert_eq!(
        stderr(&output),
        "usb4: not available: UCX 1.99.0 is not supported; use UCX 1.13 to 1.22, or a newer ucx-usb4\n"
    );
}

#[test]
fn a_known_release_with_another_ones_libuct_is_refused() {
    let mine = stdout(&Ucx::of_the_machine().probe().output().unwrap());
    let claimed = if mine.starts_with("release 1.18\n") { 20 } else { 18 };
    let output = with_version(claimed);
    assert!(stdout(&output).ends_with("the component is not registered\n"), "{output:?}");
    let line = stderr(&output);
    assert!(line.starts_with(&format!("usb4: not available: UCX says it is 1.{claimed}.0, but ")), "{line}");
    assert!(line.contains("libuct.so") && line.contains("supported are") && line.lines().count() == 1, "{line}");
}

#[test]
fn a_second_copy_of_the_transport_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.so");
    fs::copy(transport(), &copy).unwrap();
    for ucx in Ucx::all() {
        let output = ucx.probe().env("LD_PRELOAD", &copy).output().unwrap();
        assert_eq!(stderr(&output), "usb4: not available: nulltl is registered already; load the transport once\n");
        assert!(stdout(&output).contains("ep_invalidate: Request canceled\n"), "{ucx:?} {output:?}");
    }
}

/// Of what ucx-sys uses, what libuct and libucs of 1.13 to 1.22 export alike (nm of Debian's 1.13.1 and the PyPI packages).
const EXPORTED_BY_ALL: &str = "
ucs_class_call_cleanup_chain ucs_config_clone_double ucs_config_clone_int ucs_config_clone_string
ucs_config_clone_table ucs_config_clone_uint ucs_config_clone_ulong ucs_config_help_generic ucs_config_help_table
ucs_config_release_nop ucs_config_release_string ucs_config_release_table ucs_config_sprintf_bool
ucs_config_sprintf_double ucs_config_sprintf_memunits ucs_config_sprintf_string ucs_config_sprintf_time
ucs_config_sprintf_uint ucs_config_sscanf_bool ucs_config_sscanf_double ucs_config_sscanf_memunits
ucs_config_sscanf_string ucs_config_sscanf_table ucs_config_sscanf_time ucs_config_sscanf_uint ucs_global_opts
ucs_log_dispatch ucs_malloc ucs_status_string ucs_string_buffer_appendf ucs_topo_find_device_by_bdf_name
ucs_vfs_obj_add_ro_file uct_base_ep_fence uct_base_ep_t_class uct_base_ep_t_init
uct_base_iface_estimate_perf uct_base_iface_fence uct_base_iface_flush uct_base_iface_progress_disable
uct_base_iface_progress_enable uct_base_iface_query uct_base_iface_t_class uct_base_iface_t_init
uct_component_register uct_iface_config_table uct_iface_handle_ep_err uct_md_config_table
uct_md_query_single_md_resource uct_tl_register
";

/// What the probe says after its first line.
fn expected(minor: u32) -> String {
    // 1.13 and 1.14 have one flag for invalidation of any kind.
    let arrived = if minor >= 15 { 1 } else { 3 };
    let inter_node = u32::from(minor >= 18);
    // Before 1.15 there is neither a reason nor a scope.
    let reachable =
        if minor >= 15 { ["1 1 ()", "0 0 (nulltl reaches )", "1 0 (the peer has an)"] } else { ["1", "0", "1"] };
    let [itself, other_iface, other_device] = reachable;
    let file = format!("open true %s %n{}!", "-".repeat(600));
    let connected = if minor >= 16 { "self: connected 1\nother iface: connected 0\n" } else { "" };
    format!(
        "\
md nulltl max_reg 1099511627776 key 8 reg 1 need_rkey 1
md access 1 reg 1 cost 0.5 0.25
device nulltl/null_0 type 0 at 00fe:fd:1c.3
device nulltl/null_1 type 0 at <unknown>
packed with flags 0
unpacked 1 flags {ACCESS_RMA}
release: Success
pack flags 1: Success, arrived {arrived}
invalidated: Success
unpack an invalidated key: Invalid parameter
deregister twice: No such element
iface short 1024 bcopy 8192 shared 1e+09 inter_node {inter_node} eps 1
self: reachable {itself}
other iface: reachable {other_iface}
other device: reachable {other_device}
{connected}received 15 bytes: header, payload
received 6 bytes: packed
am_bcopy 6
am_bcopy to id 32: -5
unfilled slots: -22 -22
ep_invalidate: Request canceled
vfs: list Success, ours 1; read Success: {file}
vfs: list Success, ours 1; read Success: {file}
vfs: list No such element, ours 0; read No such element: 
"
    )
}

/// The probe with this machine's libuct and a libucp that claims to be 1.`minor`.
fn with_version(minor: u32) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("ucp.c");
    let text =
        format!("void ucp_get_version(unsigned *a, unsigned *b, unsigned *c) {{ *a = 1; *b = {minor}; *c = 0; }}");
    fs::write(&source, text).unwrap();
    let library = folder.path().join("libucp.so.0");
    // It must belong to the same libuct, hence the link.
    compile(&source, &library, &["-shared", "-fPIC", "-Wl,-soname,libucp.so.0", "-Wl,--no-as-needed", "-luct"]);
    Ucx::of_the_machine().probe().env("LD_LIBRARY_PATH", folder.path()).output().unwrap()
}

/// An installed UCX.
#[derive(Debug)]
struct Ucx {
    /// `None`: the machine's own, where the linker finds it.
    prefix: Option<PathBuf>,
}

impl Ucx {
    fn of_the_machine() -> Self {
        Self { prefix: None }
    }

    fn all() -> Vec<Self> {
        let more = env::var_os("UCX_INSTALLATIONS").unwrap_or_default();
        let more = env::split_paths(&more).filter(|prefix| !prefix.as_os_str().is_empty());
        [Self::of_the_machine()].into_iter().chain(more.map(|prefix| Self { prefix: Some(prefix) })).collect()
    }

    fn program(&self, name: &str) -> OsString {
        self.prefix.as_ref().map_or(name.into(), |prefix| prefix.join("bin").join(name).into())
    }

    fn command(&self, program: OsString) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("UCX_")) {
            command.env_remove(name);
        }
        if let Some(prefix) = &self.prefix {
            command.env("LD_LIBRARY_PATH", prefix.join("lib"));
        }
        command
    }

    fn probe(&self) -> Command {
        static PROBE: OnceLock<PathBuf> = OnceLock::new();
        let probe = PROBE.get_or_init(|| {
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe.c");
            let probe = Path::new(env!("CARGO_TARGET_TMPDIR")).join("probe");
            // Renamed when it is whole: another process of these tests may be running the one before.
            let fresh = probe.with_extension(std::process::id().to_string());
            compile(&source, &fresh, &["-lucp", "-luct", "-lucs", "-pthread"]);
            fs::rename(fresh, &probe).unwrap();
            probe
        });
        let mut command = self.command(probe.into());
        command.arg(transport());
        command
    }
}

fn compile(source: &Path, program: &Path, flags: &[&str]) {
    let mut cc = Command::new("cc");
    let output =
        cc.arg("-o").arg(program).arg(source).args(flags).output().expect("cc, which also links Rust programs");
    assert!(output.status.success(), "{}", stderr(&output));
}

/// The test transport. Cargo builds examples for `cargo test`, but not for `cargo test --test releases`, so it is asked for;
/// built already, that takes no time.
fn transport() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", env!("CARGO_PKG_NAME"), "--example", "nulltl"]);
        cargo.arg("--message-format=json-render-diagnostics").current_dir(env!("CARGO_MANIFEST_DIR"));
        let output = cargo.output().expect("cargo runs these tests");
        assert!(output.status.success(), "{}", stderr(&output));
        let text = stdout(&output);
        let messages = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        messages
            .filter_map(|message| message["filenames"][0].as_str().map(PathBuf::from))
            .find(|file| file.ends_with("examples/libnulltl.so"))
            .expect("the example is a cdylib")
    })
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
