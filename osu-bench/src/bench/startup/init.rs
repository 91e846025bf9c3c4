//! `osu_init`: how long MPI takes to start.

use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::options::NO_DEFAULTS;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "init",
    title: "OSU MPI Init Test",
    about: "Duration of MPI_Init",
    meaning: "Every rank measures its MPI_Init_thread once; least, greatest and mean of all ranks in whole milliseconds. JSON and CSV \
              have the fractions.",
    options: "",
    defaults: NO_DEFAULTS,
    ranks: Ranks::Any,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let mine_ms = context.init.as_secs_f64() * 1e3;
    let (min, max, mean) = (context.min(mine_ms), context.max(mine_ms), context.mean(mine_ms));
    let line = format!("nprocs: {}, min: {min:.0} ms, max: {max:.0} ms, avg: {mean:.0} ms", context.comm.size());
    context.report.line(
        context.benchmark.title,
        &line,
        &[("init_ms", mean), ("min_init_ms", min), ("max_init_ms", max)],
    );
    Ok(())
}
