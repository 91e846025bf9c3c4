//! `osu_get_bw`: bandwidth of MPI_Get.

use super::get;
use super::rma::{BANDWIDTH_DEFAULTS, BANDWIDTH_MEANING, BANDWIDTH_OPTIONS, Shape};
use super::sync::{Sync, Traffic};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "get_bw",
    title: "OSU MPI_Get Bandwidth Test",
    about: "Bandwidth of MPI_Get",
    meaning: BANDWIDTH_MEANING,
    options: BANDWIDTH_OPTIONS,
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let shape = Shape { traffic: Traffic::OneWay, accesses: context.options.window, default_sync: Sync::Flush };
    get::run(context, &shape)
}
