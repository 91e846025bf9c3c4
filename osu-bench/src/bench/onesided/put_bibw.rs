//! `osu_put_bibw`: bandwidth of MPI_Put in both directions at once.

use super::put;
use super::rma::{BANDWIDTH_DEFAULTS, BANDWIDTH_OPTIONS, Shape};
use super::sync::{Sync, Traffic};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "put_bibw",
    title: "OSU MPI_Put Bi-directional Bandwidth Test",
    about: "Bandwidth of MPI_Put in both directions at once",
    meaning: "An iteration is a window of 64 accesses (-W), each to a place of its own, and their synchronisation, made by both ranks at once, measured by rank 0. Both directions are added. MB/s are \
              millions of bytes per second: all bytes of the timed iterations over the sum of their times.",
    options: BANDWIDTH_OPTIONS,
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let shape = Shape { traffic: Traffic::Both, accesses: context.options.window, default_sync: Sync::Pscw };
    put::run(context, &shape)
}
