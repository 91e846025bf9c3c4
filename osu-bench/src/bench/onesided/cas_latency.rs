//! `osu_cas_latency`: latency of MPI_Compare_and_swap of 8 bytes.

use super::atomics;
use super::rma::{self, ATOMIC_DEFAULTS, ATOMIC_OPTIONS, LATENCY, LATENCY_MEANING};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "cas_latency",
    title: "OSU MPI_Compare_and_swap latency Test",
    about: "Latency of MPI_Compare_and_swap of 8 bytes",
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
            let compare = setup.messages_in(setup.compare)[0];
            let (window, target) = (setup.window, setup.targets()[0]);
            Box::new(move || window.compare_and_swap(origin, compare, result, target))
        },
        |setup| Box::new(atomics::Swapped::new(setup)),
    )
}
