//! `osu_latency_persistent`: ping-pong with persistent requests.

use super::pair::{self, Figure, LATENCY_DEFAULTS, Shape};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "latency_persistent",
    title: "OSU MPI Persistent Latency Test",
    about: "Ping-pong between two ranks with persistent requests (MPI_Send_init, MPI_Recv_init)",
    meaning: "Half of a round trip, measured by rank 0 from before MPI_Start of its send until MPI_Wait has the answer; the requests are \
              made once for each size. The mean of the timed iterations.",
    options: "mixcudTz",
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Two,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    pair::run(context, &Shape::one_pair(Figure::HalfRoundTrip, 1, true), |exchange, context| {
        let mut send = context.comm.send_init(exchange.send[0], exchange.peer);
        let mut recv = context.comm.recv_init(exchange.recv[0], exchange.peer);
        move || {
            let (one, other) = if exchange.first { (&mut send, &mut recv) } else { (&mut recv, &mut send) };
            for request in [one, other] {
                request.start();
                request.wait();
            }
        }
    })
}
