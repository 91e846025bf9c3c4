//! One build of the module: a mirror of its sources, and the kernel's own Makefile on it.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::headers::Headers;
use super::toolchain::Toolchain;
use crate::workspace;

/// The module's file.
const MODULE: &str = "usb4_dma.ko";

/// What a build gave.
pub(crate) struct Built {
    /// The module.
    pub(crate) module: PathBuf,
    /// Lines with a warning or an error of compiler, modpost, objtool or sparse, as they were printed.
    pub(crate) complaints: Vec<String>,
}

/// Builds `kernel/` against `headers` in `target/kernel/SERIES`. `variables` go to make, such as `C=2`.
pub(crate) fn build(toolchain: &Toolchain, headers: &Headers, series: &str, variables: &[&str]) -> Result<Built> {
    let folder = mirror(series)?;
    let mut command = toolchain.make();
    command.arg("--no-print-directory").arg("-C").arg(headers.build_folder()).arg(format!("M={}", folder.display()));
    // Not to be asked of dpkg, which other distributions do not have.
    command.args(["DEB_BUILD_ARCH=amd64", "DEB_HOST_ARCH=amd64", "W=1", "modules"]).args(variables);
    let (reader, writer) = std::io::pipe().context("no pipe can be made")?;
    command.stdin(Stdio::null()).stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn().context("make did not start")?;
    // It holds the pipe's writing ends, and the loop below waits until they are closed.
    drop(command);
    let mut complaints = Vec::new();
    for line in BufReader::new(reader).lines() {
        let line = line?.replace(&format!("{}/", folder.display()), "kernel/");
        if is_complaint(&line) {
            complaints.push(line.clone());
        }
        if !is_chatter(&line) {
            println!("{line}");
        }
    }
    let status = child.wait()?;
    if !complaints.is_empty() {
        // The next build is to repeat them, whether or not the sources have changed.
        forget(&folder)?;
    }
    ensure!(status.success(), "the module does not build for kernel {series}");
    let module = folder.join(MODULE);
    ensure!(
        module.is_file(),
        "the build for kernel {series} ended well, but made no {MODULE}: does kernel/Kbuild name it?"
    );
    Ok(Built { module, complaints })
}

/// Makes `target/kernel/SERIES` a copy of the sources in links, so that nothing is written beside the sources and the builds for several
/// kernels stay apart. Links to files that are gone are removed: make would not see that they are.
pub(super) fn mirror(series: &str) -> Result<PathBuf> {
    let folder = workspace::target().join("kernel").join(series);
    let from = workspace::root().join("kernel");
    ensure!(from.join("Kbuild").is_file(), "there is no {}: the module is built by it", from.join("Kbuild").display());
    let mut sources = BTreeSet::new();
    find(&from, Path::new(""), &mut sources)?;
    remove_stale(&folder, &from)?;
    for source in sources {
        let link = folder.join(&source);
        if fs::read_link(&link).is_ok() {
            continue;
        }
        fs::create_dir_all(link.parent().unwrap_or(&folder)).context("the build folder cannot be made")?;
        symlink(from.join(&source), &link).with_context(|| format!("{} cannot be linked", link.display()))?;
    }
    Ok(folder)
}

fn find(root: &Path, folder: &Path, found: &mut BTreeSet<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(root.join(folder)).with_context(|| format!("{} cannot be read", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            // A crate's folder is cargo's.
            if !entry.path().join("Cargo.toml").is_file() {
                find(root, &path, found)?;
            }
        } else if entry.file_name() == "Kbuild" || matches!(path.extension().and_then(OsStr::to_str), Some("c" | "h")) {
            found.insert(path);
        }
    }
    Ok(())
}

fn remove_stale(folder: &Path, sources: &Path) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            remove_stale(&path, sources)?;
        } else if fs::read_link(&path).is_ok_and(|target| !target.starts_with(sources) || !target.is_file()) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes the object files, so that everything is compiled again.
fn forget(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            forget(&entry.path())?;
        } else if entry.path().extension() == Some(OsStr::new("o")) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// Whether a line of the build's output is one that a clean build has not.
fn is_complaint(line: &str) -> bool {
    ["warning:", "error:", "WARNING:", "ERROR:"].iter().any(|word| line.contains(word))
}

/// Whether a line says nothing to a developer: what make and kbuild say in every build.
fn is_chatter(line: &str) -> bool {
    line.starts_with("make")
        || line.starts_with("Skipping BTF generation")
        || line.trim_start().split_once(' ').is_some_and(|(word, _)| {
            ["CC", "LD", "MODPOST", "BTF", "CHECK", "AR", "GEN"].contains(&word) && line.starts_with("  ")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_are_told_from_chatter() {
        for line in [
            "kernel/main.c:7:13: warning: unused variable 'x' [-Wunused-variable]",
            "ERROR: modpost: \"tb_ring\" [usb4_dma.ko] undefined!",
            "usb4_dma.o: warning: objtool: poll() falls through",
        ] {
            assert!(is_complaint(line) && !is_chatter(line), "{line}");
        }
        for line in ["  CC [M]  kernel/main.o", "make[2]: Entering directory", "  MODPOST kernel/Module.symvers"] {
            assert!(is_chatter(line) && !is_complaint(line), "{line}");
        }
    }
}
