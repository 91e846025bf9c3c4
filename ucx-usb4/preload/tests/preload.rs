//! Drives the built library from outside: real processes, the real dynamic linker, and stand-ins for libuct and the transport
//! that count what happens to them.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// libuct: answers with the number of transports that have registered.
const UCT: &str = r"
int registered;
signed char uct_query_components(void **components, unsigned *count) { *count = registered; return 0; }
";

/// A transport: registers itself in its constructor, slowly, so that other threads come meanwhile.
const TRANSPORT: &str = r"
#include <unistd.h>
extern int registered;
__attribute__((constructor)) static void enter(void) { usleep(50000); ++registered; }
";

/// Eight threads that ask for components at once. Each must see one transport: neither none nor two.
const ASK: &str = r#"
#include <pthread.h>
#include <stdio.h>
signed char uct_query_components(void **components, unsigned *count);
static pthread_barrier_t start;
static void *ask(void *seen) {
    unsigned count = 99;
    void *components;
    pthread_barrier_wait(&start);
    if (uct_query_components(&components, &count) != 0) count = 98;
    *(unsigned *)seen = count;
    return 0;
}
int ask_all(void) {
    pthread_t threads[8];
    unsigned seen[8];
    pthread_barrier_init(&start, 0, 8);
    for (int i = 0; i < 8; ++i) pthread_create(&threads[i], 0, ask, &seen[i]);
    for (int i = 0; i < 8; ++i) pthread_join(threads[i], 0);
    for (int i = 0; i < 8; ++i) printf("%u ", seen[i]);
    printf("\n");
    return 0;
}
"#;

/// A program that is linked to libuct.
const LINKED: &str = "int ask_all(void); int main(void) { return ask_all(); }";

/// A program that gets libuct through a plugin, in no global scope, as Open MPI does.
const PLUGIN: &str = r#"
#include <dlfcn.h>
#include <stdio.h>
int main(void) {
    void *plugin = dlopen("libplugin.so", RTLD_NOW | RTLD_LOCAL);
    if (!plugin) { fprintf(stderr, "%s\n", dlerror()); return 1; }
    return ((int (*)(void))dlsym(plugin, "ask_all"))();
}
"#;

#[test]
fn loads_the_transport_once_before_any_thread_goes_on() {
    let world = World::new();
    let transport = world.transport("elsewhere.so");
    let output = world.run("linked", &[("USB4_TRANSPORT_LIB", transport.as_os_str())]);
    assert_eq!(answers(&output), "1 1 1 1 1 1 1 1 ");
    assert_eq!(errors(&output), "");
}

#[test]
fn serves_a_plugin_that_hides_libuct_from_the_global_scope() {
    let world = World::new();
    let transport = world.transport("elsewhere.so");
    let output = world.run("plugin", &[("USB4_TRANSPORT_LIB", transport.as_os_str())]);
    assert_eq!(answers(&output), "1 1 1 1 1 1 1 1 ");
    assert_eq!(errors(&output), "");
}

#[test]
fn finds_the_transport_beside_itself() {
    let world = World::new();
    world.transport("preload/libuct_usb4.so.0");
    let output = world.run("linked", &[]);
    assert_eq!(answers(&output), "1 1 1 1 1 1 1 1 ");
    assert_eq!(errors(&output), "");
}

#[test]
fn takes_an_empty_variable_for_none() {
    let world = World::new();
    world.transport("preload/libuct_usb4.so.0");
    let output = world.run("linked", &[("USB4_TRANSPORT_LIB", OsStr::new(""))]);
    assert_eq!(answers(&output), "1 1 1 1 1 1 1 1 ");
}

#[test]
fn finds_the_transport_on_the_search_path() {
    let world = World::new();
    world.transport("lib/libuct_usb4.so.0");
    let output = world.run("linked", &[]);
    assert_eq!(answers(&output), "1 1 1 1 1 1 1 1 ");
}

#[test]
fn says_in_one_line_why_the_transport_is_missing_and_lets_ucx_go_on() {
    let world = World::new();
    let output = world.run("linked", &[("USB4_TRANSPORT_LIB", OsStr::new("/nowhere/libuct_usb4.so.0"))]);
    assert!(output.status.success());
    assert_eq!(answers(&output), "0 0 0 0 0 0 0 0 ");
    let text = errors(&output);
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.starts_with("usb4: the transport cannot be loaded: /nowhere/libuct_usb4.so.0: cannot open"), "{text}");
    assert!(text.contains("set USB4_TRANSPORT_LIB"), "{text}");
}

#[test]
fn a_broken_transport_beside_itself_is_not_passed_over_for_another() {
    let world = World::new();
    fs::write(world.path("preload/libuct_usb4.so.0"), "no library").unwrap();
    world.transport("lib/libuct_usb4.so.0");
    let output = world.run("linked", &[]);
    assert_eq!(answers(&output), "0 0 0 0 0 0 0 0 ");
    assert!(errors(&output).contains("preload/libuct_usb4.so.0"), "{}", errors(&output));
}

#[test]
fn needs_libc_alone() {
    let output =
        Command::new("readelf").arg("--dynamic").arg(library()).output().expect("readelf comes with the linker");
    let text = String::from_utf8(output.stdout).unwrap();
    let needed: Vec<_> = text.lines().filter(|line| line.contains("(NEEDED)")).collect();
    assert!(matches!(needed[..], [one] if one.contains("[libc.so.6]")), "{needed:?}");
}

#[test]
fn costs_nothing_where_nobody_asks() {
    let world = World::new();
    world.transport("preload/libuct_usb4.so.0");
    // LD_BIND_NOW: an undefined symbol shows at once.
    let output = world.command("/bin/cat").arg("/proc/self/maps").env("LD_BIND_NOW", "1").output().unwrap();
    assert_eq!(errors(&output), "");
    let maps = String::from_utf8(output.stdout).unwrap();
    assert!(maps.contains("libucx_usb4_preload.so"), "the library was not preloaded");
    assert!(!maps.contains("libuct"), "libuct or the transport was loaded:\n{maps}");
}

/// A folder with the stand-ins, and a copy of the library in a folder of its own.
struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for folder in ["lib", "preload"] {
            fs::create_dir(world.path(folder)).unwrap();
        }
        fs::copy(library(), world.path("preload/libucx_usb4_preload.so")).unwrap();
        world.compile(UCT, "lib/libuct.so.0", &["-shared", "-fPIC", "-Wl,-soname,libuct.so.0"]);
        world.compile(ASK, "lib/libplugin.so", &["-shared", "-fPIC", "-pthread", "lib/libuct.so.0"]);
        world.compile(PLUGIN, "plugin", &[]);
        let linked = format!("{ASK}{LINKED}");
        world.compile(&linked, "linked", &["-pthread", "lib/libuct.so.0"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn transport(&self, name: &str) -> PathBuf {
        self.compile(TRANSPORT, name, &["-shared", "-fPIC", "lib/libuct.so.0"]);
        self.path(name)
    }

    fn compile(&self, source: &str, name: &str, flags: &[&str]) {
        let file = self.path("source.c");
        fs::write(&file, source).unwrap();
        let mut cc = Command::new("cc");
        cc.current_dir(self.0.path()).arg("-o").arg(name).arg(&file).args(flags);
        let output = cc.output().expect("cc, which also links Rust programs");
        assert!(output.status.success(), "{}", errors(&output));
    }

    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_remove("USB4_TRANSPORT_LIB").env("LD_LIBRARY_PATH", self.path("lib"));
        command.env("LD_PRELOAD", self.path("preload/libucx_usb4_preload.so"));
        command
    }

    fn run(&self, program: &str, environment: &[(&str, &OsStr)]) -> Output {
        self.command(self.path(program)).envs(environment.iter().copied()).output().unwrap()
    }
}

fn answers(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim_end_matches('\n').to_owned()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The library under test. Cargo does not build a cdylib for the tests of its package, so they ask for it; built already, that
/// takes no time.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--package", env!("CARGO_PKG_NAME"), "--message-format=json-render-diagnostics"]);
        let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs these tests");
        assert!(output.status.success(), "{}", errors(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let messages = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        messages
            .filter_map(|message| message["filenames"][0].as_str().map(PathBuf::from))
            .find(|file| file.extension().is_some_and(|extension| extension == "so"))
            .expect("the package is one cdylib")
    })
}
