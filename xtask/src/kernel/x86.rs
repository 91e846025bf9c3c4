//! A kernel of our own for guests: what [User Mode Linux](super::uml) has no cables for, under the same detectors.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::Shell;

use super::own::{OwnKernel, Plan};
use crate::packages;
use crate::vm::cache::Cache;
use crate::vm::kernel::Kernel;
use crate::vm::tools::Tools;

/// What stands in the place of a series.
pub(crate) const SERIES: &str = "debug";
const PLAN: Plan =
    Plan { name: "x86", arch: "x86", targets: &["bzImage", "modules"], title: "a kernel with detectors" };
/// Part of the build folder that looks like a kernel's unpacked package.
const PACKAGE: &str = "package";

/// Takes the kernel from the cache, or builds it.
pub(super) fn kernel(cache: &Cache, tools: &Tools) -> Result<Kernel> {
    packages::install(&Shell::new()?, &[packages::KUNIT, packages::OBJTOOL])?;
    Kernel::examine(SERIES, own(cache, tools)?.folder.join(PACKAGE))
}

/// Builds the module for the kernel.
pub(super) fn module(cache: &Cache, tools: &Tools) -> Result<PathBuf> {
    Ok(own(cache, tools)?.build_modules(SERIES, "")?.join("usb4_dma.ko"))
}

fn own(cache: &Cache, tools: &Tools) -> Result<OwnKernel> {
    OwnKernel::fetch(cache, tools, &PLAN, pack)
}

/// Puts image and modules where a package has them.
fn pack(own: &OwnKernel) -> Result<()> {
    let package = own.folder.join(PACKAGE);
    let mut install = own.make();
    // Nobody looks for the modules' dependencies in its files.
    install.arg(format!("INSTALL_MOD_PATH={}", package.display())).args(["DEPMOD=true", "modules_install"]);
    own.run(install, "the kernel's modules cannot be installed")?;
    let release = fs::read_to_string(own.folder.join("include/config/kernel.release"))?;
    fs::create_dir_all(package.join("boot"))?;
    let image = package.join(format!("boot/vmlinuz-{}", release.trim()));
    fs::copy(own.folder.join("arch/x86/boot/bzImage"), image).context("the kernel's image cannot be copied")?;
    Ok(())
}
