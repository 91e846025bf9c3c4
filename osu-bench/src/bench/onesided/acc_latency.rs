//! `osu_acc_latency`: latency of MPI_Accumulate, a sum.

use super::atomics;
use super::rma::{self, LATENCY_DEFAULTS, LATENCY_OPTIONS, Shape};
use super::sync::{Sync, Traffic};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::mpi_raw::Reduction;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "acc_latency",
    title: "OSU MPI_Accumulate latency Test",
    about: "Latency of MPI_Accumulate, a sum",
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
            let origin = setup.messages_in(setup.origin)[0];
            let (window, target) = (setup.window, setup.targets()[0]);
            Box::new(move || window.accumulate(origin, target, Reduction))
        },
        |setup| Box::new(atomics::Accumulated::new(setup, false)),
    )
}
