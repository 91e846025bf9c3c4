//! `osu_get_latency`: latency of MPI_Get.

use super::rma::{self, LATENCY_DEFAULTS, LATENCY_OPTIONS, Shape};
use super::sync::{Sync, Traffic};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::{Context, Pieces};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "get_latency",
    title: "OSU MPI_Get Latency Test",
    about: "Latency of MPI_Get",
    meaning: "Rank 0 measures one access and its synchronisation. With a passive synchronisation (lock, lock_all, flush, flush_local) that is the \
              latency; with pscw and fence rank 1 then does the same to rank 0, and half of the time of both is. The mean of the timed iterations.",
    options: LATENCY_OPTIONS,
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let shape = Shape { traffic: Traffic::Latency, accesses: 1, default_sync: Sync::Flush };
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
