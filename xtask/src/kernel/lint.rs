//! What kernel developers run over a driver: sparse, `checkpatch --strict`, kernel-doc.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// Types of messages that are switched off, and why.
const EXCEPTIONS: [(&str, &str); 7] = [
    ("LINUX_VERSION_CODE", "the module stands outside of the kernel's tree and is built for several versions"),
    ("FILE_PATH_CHANGES", "MAINTAINERS is a file of the kernel's tree"),
    ("PARENTHESIS_ALIGNMENT", "trace headers are laid out as all of the kernel's are"),
    ("OPEN_ENDED_LINE", "the same"),
    ("MACRO_WITH_FLOW_CONTROL", "the macro of sysfs.c defines a function"),
    ("MACRO_ARG_REUSE", "the same: its argument is a name"),
    ("CONFIG_DESCRIPTION", "there is no Kconfig outside of the kernel's tree"),
];

/// Runs checkpatch over the module's C sources.
pub(crate) fn checkpatch(kernel_source: &Path) -> Result<()> {
    let root = workspace::root();
    let mut files = Vec::new();
    sources(&root.join("kernel"), &mut files)?;
    ensure!(!files.is_empty(), "there are no C sources in kernel/");
    files.sort();
    for (name, why) in EXCEPTIONS {
        println!("checkpatch leaves out {name}: {why}");
    }
    let ignored = EXCEPTIONS.map(|(name, _)| name).join(",");
    let status = Command::new("perl")
        .arg(kernel_source.join("scripts/checkpatch.pl"))
        .args(["--strict", "--no-tree", "--terse", "--show-types", "--no-summary", "--quiet", "--ignore", &ignored])
        .arg("--file")
        .args(&files)
        .current_dir(root)
        .status()
        .context("perl did not start: install the package perl")?;
    if !status.success() {
        bail!("checkpatch has complaints");
    }
    println!("checkpatch has no complaints about {} files", files.len());
    Ok(())
}

/// Runs the checker of kernel-doc comments over the module's C sources: what they say of parameters and fields must be what is there.
pub(crate) fn kernel_doc(build_folder: &Path) -> Result<()> {
    let root = workspace::root();
    let mut files = Vec::new();
    sources(&root.join("kernel"), &mut files)?;
    let status = Command::new("perl")
        .arg(build_folder.join("scripts/kernel-doc"))
        .args(["-none", "-Werror"])
        .args(&files)
        .current_dir(root)
        .status()
        .context("perl did not start: install the package perl")?;
    ensure!(status.success(), "kernel-doc has complaints");
    println!("kernel-doc has no complaints");
    Ok(())
}

/// The C files below `folder`, those of crates aside.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("{} cannot be read", folder.display()))? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_type()?.is_dir() {
            if !path.join("Cargo.toml").is_file() {
                sources(&path, found)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "c" || extension == "h") {
            found.push(path);
        }
    }
    Ok(())
}
