//! `osu_bw`: bandwidth in one direction.

use super::pair::{self, BANDWIDTH_DEFAULTS, Figure, Shape};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::mpi_raw::Requests;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "bw",
    title: "OSU MPI Bandwidth Test",
    about: "Bandwidth from rank 0 to rank 1 with windows of MPI_Isend and MPI_Irecv",
    meaning: "An iteration is a window of 64 messages (-W) from rank 0 and an answer of four bytes when rank 1 has them all. Rank 0 \
              measures from before the first MPI_Isend until it has the answer. MB/s are millions of bytes per second: all bytes of \
              the timed iterations over the sum of their times.",
    options: "mixWbcudTz",
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(|context| windows(context, &Shape::one_pair(Figure::Bandwidth, context.options.window, false))),
};

/// Sends a window and waits for the answer.
pub(super) fn windows(context: &mut Context<'_>, shape: &Shape) -> Result<(), BenchError> {
    pair::run(context, shape, |exchange, context| {
        let comm = context.comm;
        let mut requests = Requests::with_capacity(shape.window);
        move || {
            if exchange.first {
                for &message in &exchange.send {
                    comm.isend(message, exchange.peer, &mut requests);
                }
                requests.wait_all();
                comm.recv(exchange.ack, exchange.ack_peer);
            } else {
                for &message in &exchange.recv {
                    comm.irecv(message, exchange.peer, &mut requests);
                }
                requests.wait_all();
                comm.send(exchange.ack, exchange.ack_peer);
            }
        }
    })
}
