//! `osu_put_latency`: latency of MPI_Put.

use super::put;
use super::rma::{LATENCY, LATENCY_DEFAULTS, LATENCY_MEANING, LATENCY_OPTIONS};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "put_latency",
    title: "OSU MPI_Put Latency Test",
    about: "Latency of MPI_Put",
    meaning: LATENCY_MEANING,
    options: LATENCY_OPTIONS,
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    put::run(context, &LATENCY)
}
