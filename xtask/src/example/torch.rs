//! torch.distributed over MPI, in a folder with Debian 13: a transformer learns to continue text.

use std::path::PathBuf;

use anyhow::Result;

use super::program::Program;
use super::{Example, Mpi, Setting};
use crate::folder::{DEBIAN13_TORCH, Folder};
use crate::packages::PYTHON;
use crate::workspace;

/// `cargo xtask example torch`.
pub(super) const EXAMPLE: Example = Example {
    name: "torch",
    about: "torch's DDP and FSDP: a transformer learns to continue text (in a folder with Debian 13; installs it at first)",
    ranks: &[2],
    is_for_all: true,
    prepare,
};

/// Where the parameters are written, for `tp_infer`.
pub(super) fn checkpoint() -> PathBuf {
    workspace::target().join("example/text.safetensors")
}

/// Installs the system, and says how to train.
pub(super) fn prepare(setting: &Setting) -> Result<Program> {
    let script = workspace::root().join("mpi-examples/torch/text.py");
    Ok(Program {
        words: vec![PYTHON.into(), script.into(), "--checkpoint".into(), checkpoint().into()],
        mpi: Mpi::Openmpi,
        folder: Some(Folder::open(setting.shell, &DEBIAN13_TORCH, false)?),
        shared: Vec::new(),
        variables: vec![("OMP_NUM_THREADS", "1".into()), ("PYTHONWARNINGS", "ignore".into())],
    })
}
