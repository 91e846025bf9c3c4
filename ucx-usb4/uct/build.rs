//! Link options of the transport library.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // UCX looks for the name with the extension of its own libraries.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libuct_usb4.so.0");
    // UCX keeps pointers to what the constructor registered: unloading would leave them dangling.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");
}
