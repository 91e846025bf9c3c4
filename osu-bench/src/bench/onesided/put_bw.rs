//! `osu_put_bw`: bandwidth of MPI_Put.

use super::put;
use super::rma::{BANDWIDTH_DEFAULTS, BANDWIDTH_MEANING, BANDWIDTH_OPTIONS, Shape};
use super::sync::{Sync, Traffic};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "put_bw",
    title: "OSU MPI_Put Bandwidth Test",
    about: "Bandwidth of MPI_Put",
    meaning: BANDWIDTH_MEANING,
    options: BANDWIDTH_OPTIONS,
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let shape = Shape { traffic: Traffic::OneWay, accesses: context.options.window, default_sync: Sync::Flush };
    put::run(context, &shape)
}
