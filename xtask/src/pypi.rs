//! Files from PyPI, each known by its digest.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::packages::PYTHON;

/// Installs one release of a package into a folder, without what it depends on. One of `sha256` must be its file's: there is one
/// for each kind of machine.
pub(crate) fn install(package: &str, version: &str, sha256: &[&str], folder: &Path) -> Result<()> {
    eprintln!("fetching {package} {version} from PyPI");
    let hashes: String = sha256.iter().map(|digest| format!(" --hash=sha256:{digest}")).collect();
    let requirements = folder.join("requirements.txt");
    std::fs::write(&requirements, format!("{package}=={version}{hashes}\n"))?;
    let mut pip = Command::new(PYTHON);
    pip.args(["-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]);
    pip.arg("--target").arg(folder).arg("-r").arg(&requirements);
    let status = pip.status().context("pip did not start")?;
    ensure!(status.success(), "{package} {version} cannot be fetched from PyPI; is the network there?");
    Ok(())
}
