//! Turns the system's public UCT headers into Rust, and links libuct and libucs.

use std::path::{Path, PathBuf};
use std::process::exit;
use std::{env, panic};

fn main() {
    println!("cargo:rerun-if-changed=wrapper.h");
    let ucx = Ucx::find();
    for dir in &ucx.link_dirs {
        println!("cargo:rustc-link-search=native={}", dir.display());
    }
    println!("cargo:rustc-link-lib=dylib=uct");
    println!("cargo:rustc-link-lib=dylib=ucs");

    check_libclang();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("headers.rs");
    let bindings = bindgen::builder()
        .header("wrapper.h")
        .clang_args(ucx.include_dirs.iter().map(|dir| format!("-I{}", dir.display())))
        .allowlist_type("header_flag|uct_(iface|ep|worker|md)(_h)?|uct_(iface|ep)_t|uct_(iface_ops|iface_attr|iface_params|ep_params)(_t)?")
        .allowlist_type("uct_iov|uct_pending_req|uct_completion|ucs_status_t|uct_device_type_t|ucs_memory_type_t")
        .allowlist_type("uct_atomic_op|uct_flush_flags|uct_progress_types|uct_iface_event_types|uct_cb_param_flags")
        .allowlist_type("uct_msg_flags|uct_ep_params_field|uct_iface_params_field|uct_md_mem_flags|uct_iface_open_mode")
        .allowlist_type("uct_iface_feature|ucs_thread_mode_t|uct_.*_callback_t|uct_error_handler_t|uct_rkey_t|uct_mem_h")
        .allowlist_var("UCT_(DEVICE|TL|COMPONENT|MD)_NAME_MAX|UCT_MD_FLAG_.*")
        .allowlist_function("ucs_status_string")
        // The library declares these itself: they are internal, and alike in all releases.
        .blocklist_type("uct_md")
        .newtype_global_enum("ucs_status_t")
        .must_use_type("ucs_status_t")
        .prepend_enum_name(false)
        .generate_comments(false)
        .merge_extern_blocks(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .rust_target(bindgen::RustTarget::stable(85, 0).expect("1.85 is a release"))
        .parse_callbacks(Box::new(bindgen::CargoCallbacks::new()))
        .generate();
    match bindings {
        Ok(bindings) => bindings.write_to_file(&out).expect("OUT_DIR is writable"),
        Err(error) => {
            fail(&format!("cannot read UCX's headers: {error}. Is libucx-dev complete (apt install libucx-dev)?"))
        }
    }
}

/// Where the headers and libraries of UCX are.
struct Ucx {
    include_dirs: Vec<PathBuf>,
    link_dirs: Vec<PathBuf>,
}

impl Ucx {
    /// pkg-config's answer where there is one (`PKG_CONFIG_PATH` names another UCX), else the compiler's own directories.
    fn find() -> Self {
        let found = pkg_config::Config::new().cargo_metadata(false).probe("ucx");
        if let Ok(ucx) = &found
            && !new_enough(&ucx.version)
        {
            fail(&format!(
                "UCX {} is too old: install 1.13 or newer, or set PKG_CONFIG_PATH to the UCX to use",
                ucx.version
            ));
        }
        let (include_dirs, link_dirs) =
            found.map_or_else(|_| Default::default(), |ucx| (ucx.include_paths, ucx.link_paths));
        let defaults = ["/usr/include", "/usr/local/include"].map(PathBuf::from);
        let has_header = |dir: &PathBuf| Path::new(dir).join("uct/api/uct.h").is_file();
        if !include_dirs.iter().chain(&defaults).any(has_header) {
            fail(
                "UCX's headers are missing (uct/api/uct.h): apt install libucx-dev, or set PKG_CONFIG_PATH to the UCX to use",
            );
        }
        Self { include_dirs, link_dirs }
    }
}

/// Whether it is 1.13 or newer; what cannot be read is left to the layout assertions.
fn new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) >= (1, 13),
        _ => true,
    }
}

/// bindgen panics with a page of text when libclang is absent; the user needs one line.
fn check_libclang() {
    panic::set_hook(Box::new(|_| {}));
    let loaded = panic::catch_unwind(bindgen::clang_version);
    drop(panic::take_hook());
    if loaded.is_err() {
        fail("libclang is missing, which reads UCX's headers: apt install libclang-dev (or set LIBCLANG_PATH)");
    }
}

fn fail(why: &str) -> ! {
    eprintln!("ucx-sys: {why}");
    exit(1)
}
