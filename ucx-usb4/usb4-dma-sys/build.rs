//! Turns the kernel module's header into Rust.

use std::path::{Path, PathBuf};
use std::process::exit;
use std::{env, panic};

/// From this crate's folder.
const INCLUDE: &str = "../../kernel/include/uapi";

fn main() {
    let include = Path::new(env!("CARGO_MANIFEST_DIR")).join(INCLUDE);
    let header = include.join("linux/usb4_dma.h");
    println!("cargo:rerun-if-changed={}", header.display());
    check_libclang();
    let bindings = bindgen::builder()
        .header(header.to_string_lossy())
        .use_core()
        .allowlist_type("usb4_dma_.*")
        .allowlist_var("USB4_DMA_.*")
        // Masks and states of fixed-width fields, not Rust enums: the kernel may know more of them.
        .prepend_enum_name(false)
        .derive_default(true)
        .derive_eq(true)
        .generate_comments(false)
        .layout_tests(true)
        .rust_edition(bindgen::RustEdition::Edition2024)
        .rust_target(bindgen::RustTarget::stable(85, 0).expect("1.85 is a release"))
        .generate();
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("usb4_dma.rs");
    match bindings {
        Ok(bindings) => bindings.write_to_file(&out).expect("OUT_DIR is writable"),
        Err(error) => fail(&format!(
            "cannot read {}: {error}. Are the kernel's own headers there (apt install linux-libc-dev)?",
            header.display()
        )),
    }
}

/// bindgen panics with a page of text when libclang is absent; the user needs one line.
fn check_libclang() {
    panic::set_hook(Box::new(|_| {}));
    let loaded = panic::catch_unwind(bindgen::clang_version);
    drop(panic::take_hook());
    if loaded.is_err() {
        fail(
            "libclang is missing, which reads the kernel module's header: apt install libclang-dev (or set LIBCLANG_PATH)",
        );
    }
}

fn fail(why: &str) -> ! {
    eprintln!("usb4-dma-sys: {why}");
    exit(1)
}
