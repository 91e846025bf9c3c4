//! `osu_mbw_mr`: bandwidth and message rate of several pairs at once.

use super::bw::windows;
use super::pair::{BANDWIDTH_DEFAULTS, Figure, Shape};
use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "mbw_mr",
    title: "OSU MPI Multiple Bandwidth / Message Rate Test",
    about: "Bandwidth and message rate of several pairs at once: rank i sends to rank i + n/2",
    meaning: "Each pair does what bw does. MB/s and Messages/s are those of all pairs together: all bytes (messages) of the timed \
              iterations over the mean of the senders' times. -p takes fewer pairs than half of the ranks, -R 0 leaves the rate out.",
    options: "mixWpRbcudTz",
    defaults: BANDWIDTH_DEFAULTS,
    ranks: Ranks::Even,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let most = context.comm.size() / 2;
    let pairs = context.options.pairs.unwrap_or(most);
    if pairs > most {
        return Err(BenchError::Pairs { asked: pairs, ranks: context.comm.size(), most });
    }
    let window = context.options.window;
    let figure = if context.options.print_rate { Figure::BandwidthAndRate } else { Figure::Bandwidth };
    let notes = vec![format!("[ pairs: {pairs} ] [ window size: {window} ]")];
    windows(context, &Shape { pairs, notes, ..Shape::one_pair(figure, window, false) })
}
