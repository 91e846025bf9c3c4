//! `osu_put_bw`: bandwidth of MPI_Put.

use super::rma::{self, BANDWIDTH_DEFAULTS, BANDWIDTH_OPTIONS, Shape};
use super::sync::{Sync, Traffic};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::{Context, Pieces};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "put_bw",
    title: "OSU MPI_Put Bandwidth Test",
    about: "Bandwidth of MPI_Put",
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
            let places = setup.messages_in(setup.origin);
            let (window, targets) = (setup.window, setup.targets());
            Box::new(move || {
                for (&place, &target) in places.iter().zip(&targets) {
                    window.put(place, target);
                }
            })
        },
        |setup| {
            let sends = if setup.accesses { setup.pieces(setup.origin.bytes(), setup.rank) } else { Vec::new() };
            let receives =
                if setup.is_accessed { setup.pieces(setup.window.bytes(), setup.peer()) } else { Vec::new() };
            Box::new(Pieces { sends, receives })
        },
    )
}
