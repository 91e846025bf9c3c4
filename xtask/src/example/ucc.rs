//! UCC's collectives, in a folder with Debian 13, sid's UCC, and the UCX that it wants.

use anyhow::{Context, Result, ensure};

use super::program::Program;
use super::{Example, Mpi, Setting};
use crate::folder::{DEBIAN13_UCC, Folder};
use crate::packages;
use crate::releases::wheel::WHEELS;
use crate::workspace;

/// What sid's UCC was built with. Under Debian 13's 1.18, whose numbers of memory types are others, its barrier fails.
const UCX: &str = "1.22";

/// `cargo xtask example ucc`.
pub(super) const EXAMPLE: Example = Example {
    name: "ucc",
    about: "UCC's collectives over UCX 1.22 (in a folder with Debian 13 and sid's UCC; installs it at first)",
    ranks: &[2, 3],
    is_for_all: true,
    prepare,
};

fn prepare(setting: &Setting) -> Result<Program> {
    packages::install(setting.shell, &[packages::PIP])?;
    let folder = Folder::open(setting.shell, &DEBIAN13_UCC, false)?;
    let ucx = WHEELS.iter().find(|wheel| wheel.release == UCX).context("there is no wheel of UCC's UCX")?.open()?;
    let program = workspace::target().join("example/ucc-collectives");
    let source = workspace::root().join("mpi-examples/ucc/collectives.c");
    let mut compiler = folder.command("mpicc.openmpi", &[workspace::root(), &workspace::target()])?;
    compiler.args(["-O2", "-Wall", "-Wextra", "-Werror"]).arg(source).args(["-lucc", "-o"]).arg(&program);
    std::fs::create_dir_all(workspace::target().join("example"))?;
    ensure!(compiler.status().context("unshare did not start")?.success(), "the example cannot be compiled");
    Ok(Program {
        words: vec![program.into()],
        mpi: Mpi::Openmpi,
        folder: Some(folder),
        // UCC's own way over UCX, and nothing beside it: its other layers would carry the bytes past usb4.
        variables: vec![
            ("UCC_CLS", "basic".into()),
            ("UCC_TLS", "ucp".into()),
            ("LD_LIBRARY_PATH", ucx.join("lib").into()),
        ],
        shared: vec![ucx],
    })
}
