//! QEMU and what else comes from Debian, run through its own loader so that the host's C library does not matter.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::apt::Apt;
use super::cache::Cache;

const PACKAGES: [&str; 5] = ["qemu-system-x86", "seabios", "busybox-static", "erofs-utils", "xz-utils"];
/// The first QEMU with `vfio-user-pci`.
const MIN_QEMU: (u32, u32) = (10, 1);
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";

/// The unpacked programs.
pub(crate) struct Tools {
    root: PathBuf,
}

impl Tools {
    /// Takes the programs from the cache, or downloads them.
    pub(crate) fn fetch(cache: &Cache, refresh: bool) -> Result<Tools> {
        let fill = |folder: &Path| Apt::open(cache, refresh)?.unpack_with_dependencies(&PACKAGES, folder);
        let root = cache.folder("tools", refresh, fill)?;
        let tools = Tools { root };
        tools.check_qemu()?;
        Ok(tools)
    }

    /// A command that runs `program` (a path below the tools' root) with the tools' own libraries.
    pub(crate) fn command(&self, program: &str) -> Command {
        let libraries = self.root.join(LIBRARIES);
        let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries).arg(self.root.join(program));
        command
    }

    /// A command that runs QEMU.
    pub(crate) fn qemu(&self) -> Command {
        let mut command = self.command("usr/bin/qemu-system-x86_64");
        for folder in ["usr/share/qemu", "usr/share/seabios"] {
            command.arg("-L").arg(self.root.join(folder));
        }
        command
    }

    /// The static busybox for guests.
    pub(crate) fn busybox(&self) -> PathBuf {
        self.root.join("usr/bin/busybox")
    }

    fn check_qemu(&self) -> Result<()> {
        let output = self.qemu().arg("--version").output().context("QEMU did not start")?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = parse_version(&text).with_context(|| {
            let errors = String::from_utf8_lossy(&output.stderr).into_owned();
            format!(
                "QEMU from {} does not run: {errors}; fetch it anew with `cargo xtask vm fetch --refresh`",
                self.root.display()
            )
        })?;
        check_version(version)?;
        let devices = self.qemu().args(["-device", "vfio-user-pci,help"]).output().context("QEMU did not start")?;
        if !devices.status.success() {
            bail!("this QEMU has no vfio-user-pci: fetch Debian's with `cargo xtask vm fetch --refresh`");
        }
        Ok(())
    }
}

fn check_version(version: (u32, u32)) -> Result<()> {
    ensure!(
        version >= MIN_QEMU,
        "QEMU {}.{} is too old: vfio-user-pci came with {}.{}. Fetch a newer one with `cargo xtask vm fetch --refresh`; if that gives the \
         same, the mirror has no trixie-backports: name another in UCX_USB4_DEBIAN_MIRROR",
        version.0,
        version.1,
        MIN_QEMU.0,
        MIN_QEMU.1
    );
    Ok(())
}

/// Major and minor of `QEMU emulator version 11.1.3 (...)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().skip_while(|word| *word != "version").nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_old_ones_told() {
        assert_eq!(parse_version("QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)"), Some((11, 1)));
        assert_eq!(parse_version("no such thing"), None);
        assert!(check_version((7, 2)).is_err() && check_version((10, 0)).is_err());
        assert!(check_version((10, 1)).is_ok() && check_version((11, 0)).is_ok());
    }
}
