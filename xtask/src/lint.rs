//! Format, lints, and the rules of this repository that no tool knows.

use std::path::{Path, PathBuf};

use anyhow::bail;
use xshell::{Shell, cmd};

use crate::workspace;

/// Most lines of a source file. One concept per file stays far below.
const LINES_MAX: usize = 800;

/// rustfmt over all members.
pub(crate) fn format(shell: &Shell, check: bool) -> anyhow::Result<()> {
    let check = check.then_some("--check");
    cmd!(shell, "cargo fmt --all {check...}").run()?;
    Ok(())
}

/// Clippy with warnings as errors, then our own rules.
pub(crate) fn lint(shell: &Shell) -> anyhow::Result<()> {
    cmd!(shell, "cargo clippy --workspace --all-targets --locked -- -D warnings").run()?;
    let sources = sources(shell)?;
    let faults: Vec<String> = sources.iter().filter_map(|path| fault(path)).collect();
    if !faults.is_empty() {
        bail!("{}", faults.join("\n"));
    }
    eprintln!("{} source files keep the repository's rules", sources.len());
    Ok(())
}

/// The files that git knows, or would add, with the endings of source files.
fn sources(shell: &Shell) -> anyhow::Result<Vec<PathBuf>> {
    let list = cmd!(shell, "git ls-files --cached --others --exclude-standard -- *.rs *.c *.h *.py *.sh .ci/run")
        .quiet()
        .read()?;
    Ok(list.lines().map(|path| workspace::root().join(path)).filter(|path| path.is_file()).collect())
}

/// What is wrong with a file, if anything.
fn fault(path: &Path) -> Option<String> {
    let shown = path.strip_prefix(workspace::root()).unwrap_or(path).display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return Some(format!("{shown}: cannot be read: {error}")),
    };
    let lines = text.lines().count();
    if lines > LINES_MAX {
        return Some(format!("{shown}: {lines} lines, {LINES_MAX} allowed; split it by concept"));
    }
    let is_kernel_c = path.starts_with(workspace::root().join("kernel")) && matches!(extension(path), "c" | "h");
    if is_kernel_c
        && !text.starts_with("// SPDX-License-Identifier: GPL-2.0")
        && !text.starts_with("/* SPDX-License-Identifier: GPL-2.0")
    {
        return Some(format!("{shown}: the first line must be SPDX-License-Identifier: GPL-2.0-only"));
    }
    None
}

fn extension(path: &Path) -> &str {
    path.extension().and_then(|extension| extension.to_str()).unwrap_or("")
}
