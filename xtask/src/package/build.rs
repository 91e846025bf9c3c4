//! Packages from their trees.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use super::folder;
use crate::{cargo_tool, workspace};

/// The crate whose Cargo.toml describes the packages.
const CRATE: &str = "usb4ctl";

/// The Debian package. Its files are named in `[package.metadata.deb]` below `target/package/tree/deb`.
pub(crate) fn deb(shell: &Shell, tree: &Path) -> Result<PathBuf> {
    let cargo_deb = cargo_tool::CARGO_DEB.open(shell)?;
    link(shell, tree)?;
    let output = folder().join(format!("ucx-usb4_{}-1_{}.deb", version(), debian_architecture()));
    cmd!(shell, "{cargo_deb} --locked --no-build --no-strip --package {CRATE} --output {output}").run()?;
    Ok(output)
}

/// The RPM. Its files are named in `[package.metadata.generate-rpm]`.
pub(crate) fn rpm(shell: &Shell, tree: &Path) -> Result<PathBuf> {
    let generate = cargo_tool::CARGO_GENERATE_RPM.open(shell)?;
    link(shell, tree)?;
    let output = folder().join(format!("ucx-usb4-{}.{}.rpm", version(), std::env::consts::ARCH));
    cmd!(shell, "{generate} generate-rpm --package ucx-usb4/usb4ctl --output {output} --auto-req disabled").run()?;
    Ok(output)
}

/// The archive: a folder with the tree, the install script and what to read.
pub(crate) fn archive(shell: &Shell, tree: &Path) -> Result<PathBuf> {
    let name = format!("ucx-usb4-{}-{}-linux", version(), std::env::consts::ARCH);
    let parent = folder().join("tree/archive");
    let top = parent.join(&name);
    shell.remove_path(&top)?;
    shell.create_dir(&top)?;
    for file in ["README.md", "LICENSE", "CHANGELOG.md", "packaging/files/install.sh"] {
        shell.copy_file(workspace::root().join(file), &top)?;
    }
    cmd!(shell, "cp -r {tree} {top}/files").quiet().run()?;
    let output = folder().join(format!("{name}.tar.gz"));
    cmd!(shell, "tar --create --gzip --owner=0 --group=0 --sort=name --file {output} --directory {parent} {name}")
        .run()?;
    Ok(output)
}

/// The Cargo.toml names the trees by one path, wherever the target folder is.
fn link(shell: &Shell, tree: &Path) -> Result<()> {
    let name = tree.file_name().context("a tree has a name")?;
    let link = workspace::root().join("packaging/tree");
    shell.create_dir(&link)?;
    let link = link.join(name);
    cmd!(shell, "ln -sfn {tree} {link}").quiet().run()?;
    Ok(())
}

pub(crate) fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

fn debian_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
