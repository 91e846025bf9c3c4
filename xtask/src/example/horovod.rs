//! Horovod on Debian 12's torch: handwritten digits.

use std::path::PathBuf;

use anyhow::{Context, Result};
use xshell::cmd;

use super::program::Program;
use super::{Example, Mpi, Setting};
use crate::packages::{self, PYTHON};
use crate::vm::cache::Cache;
use crate::workspace;

const RELEASE: &str = "0.28.1";

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
    about: "Horovod: learns handwritten digits (Debian 12's torch; builds Horovod at first)",
    ranks: &[2, 4],
    is_for_all: true,
    prepare,
};

fn prepare(setting: &Setting) -> Result<Program> {
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
