//! Horovod on Debian 12's torch: handwritten digits.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use xshell::cmd;

use super::program::Program;
use super::{Example, Mpi, Setting};
use crate::packages::{self, PYTHON};
use crate::vm::cache::Cache;
use crate::workspace;

const RELEASE: &str = "0.28.1";

/// The torch that this release is known to build with: Debian 12's. Its own sources ask for an older C++ than newer ones need.
const TORCH: &str = "1.13";

/// What Horovod's own build reads: MPI for everything, and no framework but torch.
const BUILD: [(&str, &str); 7] = [
    ("HOROVOD_WITH_MPI", "1"),
    ("HOROVOD_WITHOUT_GLOO", "1"),
    ("HOROVOD_WITH_PYTORCH", "1"),
    ("HOROVOD_WITHOUT_TENSORFLOW", "1"),
    ("HOROVOD_WITHOUT_MXNET", "1"),
    ("HOROVOD_CPU_OPERATIONS", "MPI"),
    ("MAKEFLAGS", "-j2"),
];

/// `cargo xtask example horovod`.
pub(super) const EXAMPLE: Example = Example {
    name: "horovod",
    about: "Horovod: learns handwritten digits (on Debian 12 only, for its torch; builds Horovod at first)",
    ranks: &[2, 4],
    is_for_all: true,
    prepare,
};

fn prepare(setting: &Setting) -> Result<Program> {
    let policy = cmd!(setting.shell, "apt-cache policy python3-torch").env("LC_ALL", "C").quiet().read();
    let offered = offered(&policy.unwrap_or_default());
    ensure!(
        offered.starts_with(TORCH),
        "Horovod {RELEASE} builds with Debian 12's torch {TORCH}, and apt offers torch {offered} here; run this example on \
         Debian 12, or train with `cargo xtask example torch`"
    );
    packages::install(setting.shell, &[packages::HOROVOD])?;
    let library = library(setting)?;
    let script = workspace::root().join("mpi-examples/horovod/digits.py");
    Ok(Program {
        words: vec![PYTHON.into(), script.into()],
        mpi: Mpi::Openmpi,
        folder: None,
        shared: Vec::new(),
        variables: vec![("PYTHONPATH", library.into()), ("OMP_NUM_THREADS", "1".into())],
    })
}

/// The version that `apt-cache policy` would install.
fn offered(policy: &str) -> String {
    let candidate = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate:"));
    candidate.map_or("(none)", str::trim).to_owned()
}

/// Horovod, from the cache or built from PyPI's source.
fn library(setting: &Setting) -> Result<PathBuf> {
    Cache::open()?.folder(&format!("horovod-{RELEASE}"), false, |folder| {
        eprintln!("building Horovod {RELEASE}; this takes about ten minutes, once");
        let pip = ["-m", "pip", "install", "--no-build-isolation", "--no-deps", "--no-binary", "horovod", "--target"];
        cmd!(setting.shell, "{PYTHON} {pip...} {folder} horovod=={RELEASE}")
            .envs(BUILD)
            .run()
            .context("Horovod cannot be built; is the network there?")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_apt_would_install_is_read() {
        let policy = "python3-torch:\n  Installed: (none)\n  Candidate: 2.6.0+dfsg-7\n  Version table:\n";
        assert_eq!(offered(policy), "2.6.0+dfsg-7");
        assert_eq!(offered(""), "(none)");
    }
}
