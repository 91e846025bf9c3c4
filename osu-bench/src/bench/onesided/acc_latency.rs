//! `osu_acc_latency`: latency of MPI_Accumulate, a sum.

use super::atomics;
use super::rma::{self, LATENCY, LATENCY_DEFAULTS, LATENCY_MEANING, LATENCY_OPTIONS};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::mpi_raw::Reduction;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "acc_latency",
    title: "OSU MPI_Accumulate latency Test",
    about: "Latency of MPI_Accumulate, a sum",
    meaning: LATENCY_MEANING,
    options: LATENCY_OPTIONS,
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    rma::run(
        context,
        &LATENCY,
        |setup| {
            let origin = setup.messages_in(setup.origin)[0];
            let (window, target) = (setup.window, setup.targets()[0]);
            Box::new(move || window.accumulate(origin, target, Reduction))
        },
        |setup| Box::new(atomics::Accumulated::new(setup, false)),
    )
}
