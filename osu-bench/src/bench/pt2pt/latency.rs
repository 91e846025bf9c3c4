//! `osu_latency`: ping-pong.

use super::pair::{self, Figure, LATENCY_DEFAULTS, Shape};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "latency",
    title: "OSU MPI Latency Test",
    about: "Ping-pong between two ranks with MPI_Send and MPI_Recv",
    meaning: "Half of a round trip, measured by rank 0 from before its MPI_Send until its MPI_Recv has the answer of the same size; the \
              mean of the timed iterations.",
    options: "mixcudTz",
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(|context| ping_pong(context, &Shape::one_pair(Figure::HalfRoundTrip, 1, true))),
};

/// Sends there and back.
pub(super) fn ping_pong(context: &mut Context<'_>, shape: &Shape) -> Result<(), BenchError> {
    pair::run(context, shape, |exchange, context| {
        let comm = context.comm;
        let (send, recv) = (exchange.send[0], exchange.recv[0]);
        move || {
            if exchange.first {
                comm.send(send, exchange.peer);
                comm.recv(recv, exchange.peer);
            } else {
                comm.recv(recv, exchange.peer);
                comm.send(send, exchange.peer);
            }
        }
    })
}
