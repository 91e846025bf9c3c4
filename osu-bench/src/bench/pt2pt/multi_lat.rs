//! `osu_multi_lat`: ping-pong of several pairs at once.

use super::latency::ping_pong;
use super::pair::{Figure, LATENCY_DEFAULTS, Shape};
use crate::bench::{Benchmark, Ranks, Run};

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "multi_lat",
    title: "OSU MPI Multi Latency Test",
    about: "Ping-pong of several pairs at once: rank i with rank i + n/2",
    meaning: "Half of a round trip, as in latency, while all pairs do the same; the mean over the timed iterations and all ranks.",
    options: "mixcudTz",
    defaults: LATENCY_DEFAULTS,
    ranks: Ranks::Even,
    run: Run::Alone(|context| {
        let pairs = context.comm.size() / 2;
        ping_pong(context, &Shape { pairs, ..Shape::one_pair(Figure::HalfRoundTripOfBoth, 1, true) })
    }),
};
