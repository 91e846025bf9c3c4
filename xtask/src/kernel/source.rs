//! The newest kernel's source, as Debian ships it: for checkpatch, and for kernels of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::vm::apt::Apt;
use crate::vm::cache::Cache;
use crate::vm::tools::Tools;

/// The newest of the supported kernels.
pub(crate) const SERIES: &str = "7.3";
/// What no kernel of ours compiles: other machines than x86 and User Mode Linux, and drivers. Their Kconfig files and Makefiles stay,
/// because the others read them.
const UNNEEDED: [&str; 13] = [
    "Documentation/*/*",
    "arch/a*/*.[chS]",
    "arch/[b-t]*/*.[chS]",
    "arch/*/boot/dts/*",
    "drivers/gpu/*.[chS]",
    "drivers/media/*.[chS]",
    "drivers/infiniband/*.[chS]",
    "drivers/net/ethernet/*.[chS]",
    "drivers/net/wireless/*.[chS]",
    "drivers/scsi/*.[chS]",
    "drivers/staging/*.[chS]",
    "sound/*.[chS]",
    "tools/testing/*.[chS]",
];

/// Takes the source from the cache, or downloads it. Gives its folder.
pub(crate) fn fetch(cache: &Cache, tools: &Tools) -> Result<PathBuf> {
    let fill = |folder: &Path| {
        let package = format!("linux-source-{SERIES}");
        // Not into the same folder: the source has a folder usr, too.
        let packed = folder.join("package");
        fs::create_dir(&packed)?;
        Apt::open(cache, false)?.unpack_some(&package, &["./usr/src/*"], &packed)?;
        let archive = packed.join(format!("usr/src/linux-source-{SERIES}.tar.xz"));
        unpack(tools, &archive, folder).with_context(|| format!("{} cannot be unpacked", archive.display()))?;
        fs::remove_dir_all(packed)?;
        Ok(())
    };
    cache.folder(&format!("source-{SERIES}"), false, fill)
}

fn unpack(tools: &Tools, archive: &Path, into: &Path) -> Result<()> {
    println!("unpacking the source of kernel {SERIES}");
    let mut reader = tools.command("usr/bin/xz").args(["-dc", "--"]).arg(archive).stdout(Stdio::piped()).spawn()?;
    let stream = reader.stdout.take().context("xz gave no output")?;
    let mut tar = Command::new("tar");
    tar.args(["-x", "--no-same-owner", "--strip-components=1", "-C"]).arg(into);
    for pattern in UNNEEDED {
        tar.arg(format!("--exclude=linux-source-{SERIES}/{pattern}"));
    }
    let status = tar.stdin(stream).status().context("tar did not start")?;
    ensure!(status.success() && reader.wait()?.success(), "is the disk full?");
    Ok(())
}
