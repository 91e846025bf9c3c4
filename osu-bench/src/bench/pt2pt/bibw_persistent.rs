//! `osu_bibw_persistent`: bandwidth in both directions with persistent requests.

use super::pair::{self, BANDWIDTH_DEFAULTS, Figure, Shape};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::mpi_raw::PersistentSet;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "bibw_persistent",
    title: "OSU MPI Persistent Bi-Directional Bandwidth Test",
    about: "Bandwidth of both directions together with windows of persistent requests",
    meaning: "As bibw, with MPI_Startall and MPI_Waitall over windows of requests that are made once for each size.",
    options: "mixWbcudTz",
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let shape = Shape::one_pair(Figure::Bandwidth, context.options.window, true);
    pair::run(context, &shape, |exchange, context| {
        let comm = context.comm;
        let mut receives =
            PersistentSet::new(exchange.recv.iter().map(|&message| comm.recv_init(message, exchange.peer)));
        let mut sends = PersistentSet::new(exchange.send.iter().map(|&message| comm.send_init(message, exchange.peer)));
        move || {
            receives.start_all();
            sends.start_all();
            sends.wait_all();
            receives.wait_all();
        }
    })
}
