//! `osu_bw`: bandwidth in one direction.

use super::pair::{self, BANDWIDTH_DEFAULTS, Figure};
use crate::bench::{BenchError, Benchmark, Ranks};
use crate::measure::Context;
use crate::mpi_raw::Requests;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "bw",
    title: "OSU MPI Bandwidth Test",
    about: "Bandwidth from rank 0 to rank 1 with windows of MPI_Isend and MPI_Irecv",
    meaning: "An iteration is a window of 64 messages (-W) from rank 0 and an answer of four bytes when rank 1 has them all. Rank 0 \
              measures from before the first MPI_Isend until it has the answer. MB/s are millions of bytes per second: all \
              bytes of the timed iterations over the sum of their times.",
    options: "mixWbcuTz",
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run,
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let window = context.options.window;
    pair::run(context, Figure::Bandwidth { messages: window }, window, false, |exchange, context| {
        let comm = context.comm;
        let mut requests = Requests::with_capacity(window);
        move || {
            if exchange.rank == 0 {
                for &message in exchange.send.iter().cycle().take(window) {
                    comm.isend(message, exchange.peer, &mut requests);
                }
                requests.wait_all();
                comm.recv(exchange.ack, exchange.ack_peer);
            } else {
                for &message in exchange.recv.iter().cycle().take(window) {
                    comm.irecv(message, exchange.peer, &mut requests);
                }
                requests.wait_all();
                comm.send(exchange.ack, exchange.ack_peer);
            }
        }
    })
}
