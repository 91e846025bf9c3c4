//! `osu_fop_latency`: latency of MPI_Fetch_and_op, a sum of 8 bytes.

use super::atomics;
use super::rma::{self, ATOMIC_DEFAULTS, ATOMIC_OPTIONS, LATENCY, LATENCY_MEANING};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::mpi_raw::Reduction;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "fop_latency",
    title: "OSU MPI_Fetch_and_op latency Test",
    about: "Latency of MPI_Fetch_and_op, a sum of 8 bytes",
    meaning: LATENCY_MEANING,
    options: ATOMIC_OPTIONS,
    defaults: ATOMIC_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    rma::run(
        context,
        &LATENCY,
        |setup| {
            let (origin, result) = (setup.messages_in(setup.origin)[0], setup.messages_in(setup.result)[0]);
            let (window, target) = (setup.window, setup.targets()[0]);
            Box::new(move || window.fetch_and_op(origin, result, target, Reduction))
        },
        |setup| Box::new(atomics::Accumulated::new(setup, true)),
    )
}
