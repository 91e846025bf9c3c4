//! `osu_bw_persistent`: bandwidth in one direction with persistent requests.

use super::pair::{self, BANDWIDTH_DEFAULTS, Figure, Shape};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::mpi_raw::PersistentSet;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "bw_persistent",
    title: "OSU MPI Persistent Bandwidth Test",
    about: "Bandwidth from rank 0 to rank 1 with windows of persistent requests",
    meaning: "As bw, with MPI_Startall and MPI_Waitall over a window of requests that are made once for each size.",
    options: "mixWbcudTz",
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let shape = Shape::one_pair(Figure::Bandwidth, context.options.window, false);
    pair::run(context, &shape, |exchange, context| {
        let comm = context.comm;
        let mut window = PersistentSet::new(if exchange.first {
            exchange.send.iter().map(|&message| comm.send_init(message, exchange.peer)).collect()
        } else {
            exchange.recv.iter().map(|&message| comm.recv_init(message, exchange.peer)).collect::<Vec<_>>()
        });
        move || {
            window.start_all();
            window.wait_all();
            if exchange.first {
                comm.recv(exchange.ack, exchange.ack_peer);
            } else {
                comm.send(exchange.ack, exchange.ack_peer);
            }
        }
    })
}
