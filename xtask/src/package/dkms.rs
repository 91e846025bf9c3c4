//! The kernel module's source as a Debian package, which DKMS builds for every kernel that is installed.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::build::version;
use super::folder;
use crate::{packages, workspace};

const NAME: &str = "usb4-dma";

/// Builds usb4-dma-dkms from a copy of what git knows of `kernel/`; nothing as long as that has no dkms.conf.
pub(crate) fn build(shell: &Shell) -> Result<Option<PathBuf>> {
    let kernel = workspace::root().join("kernel");
    if !kernel.join("dkms.conf").is_file() {
        eprintln!("kernel/dkms.conf is not there: no package of the kernel module");
        return Ok(None);
    }
    packages::install(shell, &[packages::DKMS])?;
    let top = folder().join("tree/dkms");
    shell.remove_path(&top)?;
    let source = top.join(format!("{NAME}-{}", version()));
    shell.create_dir(&source)?;
    let root = workspace::root();
    let files = cmd!(shell, "git -C {root} ls-files kernel").quiet().read()?;
    let belongs = |path: &&str| {
        !["kernel/testbed/", "kernel/conformance/", "kernel/tests/", "kernel/udev/"]
            .iter()
            .any(|apart| path.starts_with(apart))
    };
    for path in files.lines().filter(belongs) {
        let to = source.join(path.trim_start_matches("kernel/"));
        shell.create_dir(to.parent().context("a file is in a folder")?)?;
        shell.copy_file(root.join(path), to)?;
    }
    let debian = root.join("packaging/dkms/debian");
    cmd!(shell, "cp -r {debian} {source}/debian").quiet().run()?;
    let _in = shell.push_dir(&source);
    cmd!(shell, "dpkg-buildpackage --build=all --no-sign --no-check-builddeps")
        .run()
        .context("dpkg-buildpackage failed")?;
    let name = format!("{NAME}-dkms_{}_all.deb", version());
    let output = folder().join(&name);
    shell.copy_file(top.join(&name), &output)?;
    Ok(Some(output))
}
