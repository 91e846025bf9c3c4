//! `osu_get_bw`: bandwidth of MPI_Get.

use super::rma::{self, BANDWIDTH_DEFAULTS, BANDWIDTH_OPTIONS, Shape};
use super::sync::{Sync, Traffic};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::{Context, Pieces};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "get_bw",
    title: "OSU MPI_Get Bandwidth Test",
    about: "Bandwidth of MPI_Get",
    meaning: "An iteration is a window of 64 accesses (-W), each to a place of its own, and their synchronisation, measured by rank 0. MB/s are \
              millions of bytes per second: all bytes of the timed iterations over the sum of their times.",
    options: BANDWIDTH_OPTIONS,
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let shape = Shape { traffic: Traffic::OneWay, accesses: context.options.window, default_sync: Sync::Flush };
    rma::run(
        context,
        &shape,
        |setup| {
            let places = setup.messages_in(setup.result);
            let (window, targets) = (setup.window, setup.targets());
            Box::new(move || {
                for (&place, &target) in places.iter().zip(&targets) {
                    window.get(place, target);
                }
            })
        },
        |setup| {
            // What is got lies in the window of its owner.
            let sends = if setup.is_accessed { setup.pieces(setup.window.bytes(), setup.rank) } else { Vec::new() };
            let receives = if setup.accesses { setup.pieces(setup.result.bytes(), setup.peer()) } else { Vec::new() };
            Box::new(Pieces { sends, receives })
        },
    )
}
