//! `osu_get_latency`: latency of MPI_Get.

use super::get;
use super::rma::{LATENCY, LATENCY_DEFAULTS, LATENCY_MEANING, LATENCY_OPTIONS};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "get_latency",
    title: "OSU MPI_Get Latency Test",
    about: "Latency of MPI_Get",
    meaning: LATENCY_MEANING,
    options: LATENCY_OPTIONS,
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    get::run(context, &LATENCY)
}
