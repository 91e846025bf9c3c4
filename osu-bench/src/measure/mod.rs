//! What all benchmarks share: the loop of iterations, statistics over ranks, validation, memory.

mod context;
mod memory;
mod samples;
mod validate;

pub(crate) use context::Context;
pub(crate) use samples::{Samples, percentile_columns, percentiles};
pub(crate) use validate::{Check, Nothing, Piece, Pieces, Sums, expect_value, fill_value, flip_first};

use crate::options::{Iterations, Options};

/// Makes all iterations of one size and times them as OSU does: the first ones are not counted, each counted one has
/// its own pair of time stamps, and `ready` (a barrier, or nothing) and the checks stand outside them.
///
/// With validation, `check` fills the buffers before each iteration, [`Options::validation_warmup`] repetitions go
/// ahead of the timed one, and what arrived last is compared. Returns the samples and the number of wrong elements.
pub(crate) fn run_iterations(
    options: &Options,
    iterations: Iterations,
    check: &dyn Check,
    mut ready: impl FnMut(),
    mut operation: impl FnMut(),
) -> (Samples, u64) {
    let mut samples = Samples::new(iterations.timed, !options.percentiles.is_empty());
    let mut errors = 0;
    for iteration in 0..iterations.warmup + iterations.timed {
        if options.validate {
            check.fill(iteration);
            for _ in 0..options.validation_warmup {
                ready();
                operation();
            }
        }
        ready();
        let start_s = mpi::time();
        operation();
        let end_s = mpi::time();
        if iteration >= iterations.warmup {
            samples.add(end_s - start_s);
        }
        if options.validate {
            check.settle();
            if options.corrupt_received && iteration == iterations.warmup {
                check.corrupt();
            }
            errors += check.errors(iteration);
        }
    }
    (samples, errors)
}
