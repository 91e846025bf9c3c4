//! `cargo xtask package`: what users install. A Debian package, an RPM and an archive with an install script, each from a
//! [`tree`] of files in its system's places; and the kernel module's source for DKMS.

mod build;
mod check;
mod dkms;
mod tree;

use std::path::PathBuf;

use anyhow::Result;
use xshell::Shell;

use crate::{packages, stage, workspace};

/// Options of `cargo xtask package`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only these
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Kind>,

    /// Check them too: lintian, and installation, use and removal in Debian 12 and 13 (as root, or with the package uidmap)
    #[arg(long)]
    check: bool,
}

/// A kind of package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// ucx-usb4_VERSION_ARCH.deb, with cargo-deb
    Deb,
    /// usb4-dma-dkms_VERSION_all.deb, with dh-dkms
    Dkms,
    /// ucx-usb4-VERSION.ARCH.rpm, with cargo-generate-rpm
    Rpm,
    /// ucx-usb4-VERSION-ARCH-linux.tar.gz with install.sh
    Tar,
}

const ALL: [Kind; 4] = [Kind::Deb, Kind::Dkms, Kind::Rpm, Kind::Tar];

/// Where the packages are put.
fn folder() -> PathBuf {
    workspace::target().join("package")
}

/// Builds them, and checks them if that was asked for.
pub(crate) fn run(shell: &Shell, options: &Options) -> Result<()> {
    let kinds = if options.only.is_empty() { ALL.to_vec() } else { options.only.clone() };
    packages::install(shell, &[packages::BUILD, packages::PACKAGE])?;
    shell.create_dir(folder())?;
    let mut made = Vec::new();
    if kinds.iter().any(|kind| *kind != Kind::Dkms) {
        let stage = stage::build(shell)?;
        for kind in &kinds {
            match kind {
                Kind::Deb => made.push(build::deb(shell, &tree::make(shell, &stage, &tree::DEBIAN)?)?),
                Kind::Rpm => made.push(build::rpm(shell, &tree::make(shell, &stage, &tree::FEDORA)?)?),
                Kind::Tar => made.push(build::archive(shell, &tree::make(shell, &stage, &tree::PREFIX)?)?),
                Kind::Dkms => {}
            }
        }
    }
    if kinds.contains(&Kind::Dkms) {
        made.extend(dkms::build(shell)?);
    }
    for path in &made {
        println!("{}", path.display());
    }
    if options.check { check::run(shell, &made) } else { Ok(()) }
}
