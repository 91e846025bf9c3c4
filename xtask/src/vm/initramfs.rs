//! The first file system of a guest: busybox, modules, and the scripts of the `guest` folder.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::cpio::Archive;
use super::kernel::Kernel;
use super::tools::Tools;

/// Needed to see the job folder and the management network.
const BASE: [&str; 5] = ["virtio_pci", "virtio_net", "9pnet_virtio", "9p", "virtio_rng"];
/// Needed for the Debian root. erofs asks for crc32c by its name in the kernel's crypto tables, which modinfo does not tell.
const ROOT: [&str; 4] = ["virtio_blk", "crc32c_generic", "erofs", "overlay"];
/// Built into some kernels, or not needed by them.
const OPTIONAL: [&str; 2] = ["virtio_rng", "crc32c_generic"];
/// What scripts load by name with `load`. Those that a kernel does not have are left out.
const USB4: [&str; 4] = ["thunderbolt", "thunderbolt_net", "thunderbolt_dma_test", "thunderbolt_stream"];

/// Builds the archive for `kernel` and writes it to `path`.
pub(crate) fn write(tools: &Tools, kernel: &Kernel, path: &Path) -> Result<()> {
    let mut archive = Archive::default();
    for folder in ["bin", "dev", "etc", "proc", "sys", "tmp", "job", "lower", "upper", "new", "m"] {
        archive.folder(folder);
    }
    archive.console();
    let busybox = tools.busybox();
    let busybox = fs::read(&busybox).with_context(|| format!("{} cannot be read", busybox.display()))?;
    archive.file("bin/busybox", &busybox);
    archive.file("init", include_bytes!("guest/init.sh"));
    archive.file("lib.sh", include_bytes!("guest/lib.sh"));
    archive.file("usb4.sh", include_bytes!("guest/usb4.sh"));
    archive.file("stage2.sh", include_bytes!("guest/stage2.sh"));
    let mut packed = Vec::new();
    for name in BASE.iter().chain(&ROOT).chain(&USB4) {
        let is_optional = USB4[1..].contains(name) || OPTIONAL.contains(name);
        if is_optional && !kernel.has_module(name) {
            continue;
        }
        let mut list = String::new();
        for (module, file) in kernel.load_order(name)? {
            list.push_str(&module);
            list.push('\n');
            if !packed.contains(&module) {
                let contents = fs::read(&file).with_context(|| format!("{} cannot be read", file.display()))?;
                archive.file(&format!("m/{module}.ko"), &contents);
                packed.push(module);
            }
        }
        archive.file(&format!("m/{name}.list"), list.as_bytes());
    }
    fs::write(path, archive.finish()).with_context(|| format!("{} cannot be written", path.display()))
}
