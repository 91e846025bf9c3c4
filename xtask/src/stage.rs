//! `cargo xtask build`: a prefix as an installation has it, in `target/usb4`.

use std::path::PathBuf;

use xshell::{Shell, cmd};

use crate::{packages, workspace};

/// The packages that are staged.
const PACKAGES: [&str; 5] = ["ucx-usb4", "usb4-preload", "usb4ctl", "osu-bench", "mpi-examples"];
/// Programs, by file name, beside the examples.
const PROGRAMS: [&str; 2] = ["usb4ctl", "osu-bench"];
/// The examples, by file name.
pub(crate) const EXAMPLES: [&str; 9] = [
    "point_to_point",
    "collectives",
    "one_sided",
    "absent_target",
    "conjugate_gradient",
    "sample_sort",
    "halo",
    "ring",
    "tp_infer",
];
/// Libraries: what cargo calls them, and what UCX and usb4ctl look for.
const LIBRARIES: [(&str, &str); 2] =
    [("libuct_usb4.so", "libuct_usb4.so.0"), ("libucx_usb4_preload.so", "libucx_usb4_preload.so")];

/// A staged prefix.
pub(crate) struct Stage {
    prefix: PathBuf,
}

impl Stage {
    /// The path of a staged program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.prefix.join("bin").join(name)
    }

    /// The prefix.
    pub(crate) fn prefix(&self) -> &std::path::Path {
        &self.prefix
    }
}

/// Builds in release, and stages what was built.
pub(crate) fn build(shell: &Shell) -> anyhow::Result<Stage> {
    packages::install(shell, &[packages::BUILD])?;
    let packages = PACKAGES.iter().flat_map(|package| ["-p", package]);
    cmd!(shell, "cargo build --release --locked {packages...}").run()?;
    let stage = Stage { prefix: workspace::target().join("usb4") };
    let release = workspace::target().join("release");
    for (built, installed) in LIBRARIES {
        install(shell, &release.join(built), &stage.prefix.join("lib/ucx-usb4").join(installed))?;
    }
    for program in PROGRAMS.into_iter().chain(EXAMPLES) {
        install(shell, &release.join(program), &stage.program(program))?;
    }
    eprintln!("staged {}", stage.prefix.display());
    Ok(stage)
}

/// The examples once more, for MPICH: rsmpi is bound to one MPI when it is built.
pub(crate) fn build_for_mpich(shell: &Shell, stage: &Stage) -> anyhow::Result<()> {
    let target = workspace::target().join("mpich");
    cmd!(shell, "cargo build --release --locked -p mpi-examples --target-dir {target}")
        .env("MPICC", "mpicc.mpich")
        .run()?;
    for program in EXAMPLES {
        install(shell, &target.join("release").join(program), &stage.prefix.join("mpich/bin").join(program))?;
    }
    Ok(())
}

/// Puts a file in place at once: a job that runs the old one keeps it.
fn install(shell: &Shell, from: &std::path::Path, to: &std::path::Path) -> anyhow::Result<()> {
    let folder = to.parent().unwrap_or(to);
    shell.create_dir(folder)?;
    let temporary = to.with_extension("new");
    shell.copy_file(from, &temporary)?;
    std::fs::rename(&temporary, to)?;
    Ok(())
}
