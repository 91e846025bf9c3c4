//! The examples in Rust: built and staged with everything else.

use anyhow::Result;

use super::program::Program;
use super::{Example, Mpi, Setting};
use crate::{packages, stage};

const fn example(name: &'static str, about: &'static str) -> Example {
    Example { name, about, ranks: &[2, 3], is_for_all: true, prepare }
}

/// All of them.
pub(super) const EXAMPLES: [Example; 8] = [
    example("point_to_point", "a farm of workers, and blocks swapped in the background"),
    example("collectives", "all collective operations, each checked word by word"),
    example("one_sided", "a distributed hash table with fetch-and-add and compare-and-swap"),
    // Elsewhere a target that computes is waited for.
    Example {
        is_for_all: false,
        ..example(
            "absent_target",
            "puts, gets and fetch-and-adds at a rank that calls no MPI meanwhile; over usb4 only",
        )
    },
    example("conjugate_gradient", "Poisson's equation on a square, residual checked"),
    example("sample_sort", "a parallel sort"),
    example("halo", "a two-dimensional grid whose edges are swapped before every step"),
    example("ring", "blocks around the ring of all ranks"),
];

/// Builds it for the MPI that was asked for.
pub(super) fn prepare(setting: &Setting) -> Result<Program> {
    let Setting { example, shell, stage, mpi, .. } = setting;
    let program = match mpi {
        Mpi::Openmpi => stage.program(example.name),
        Mpi::Mpich => {
            packages::install(shell, &[packages::TEST])?;
            stage::build_for_mpich(shell, stage)?;
            stage.prefix().join("mpich/bin").join(example.name)
        }
    };
    Ok(Program { words: vec![program.into()], mpi: *mpi, folder: None, shared: Vec::new(), variables: Vec::new() })
}
