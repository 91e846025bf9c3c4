//! `osu_bibw`: bandwidth in both directions at once.

use super::pair::{self, BANDWIDTH_DEFAULTS, Figure, Shape};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::mpi_raw::Requests;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "bibw",
    title: "OSU MPI Bi-Directional Bandwidth Test",
    about: "Bandwidth of both directions together, two ranks, windows of MPI_Isend and MPI_Irecv",
    meaning: "In an iteration both ranks post a window of 64 receives (-W), then 64 sends, and wait for all. Rank 0 measures from before \
              its first MPI_Irecv until all its requests are complete. MB/s are millions of bytes per second, both directions added.",
    options: "mixWbcudTz",
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let window = context.options.window;
    pair::run(context, &Shape::one_pair(Figure::Bandwidth, window, true), |exchange, context| {
        let comm = context.comm;
        let (mut sends, mut receives) = (Requests::with_capacity(window), Requests::with_capacity(window));
        move || {
            for &message in &exchange.recv {
                comm.irecv(message, exchange.peer, &mut receives);
            }
            for &message in &exchange.send {
                comm.isend(message, exchange.peer, &mut sends);
            }
            sends.wait_all();
            receives.wait_all();
        }
    })
}
