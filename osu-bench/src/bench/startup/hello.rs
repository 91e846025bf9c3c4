//! `osu_hello`: the smallest MPI program, to time the launcher with.

use crate::bench::{BenchError, Benchmark, Ranks, Run};
use crate::measure::Context;
use crate::options::NO_DEFAULTS;

pub(super) const BENCHMARK: Benchmark = Benchmark {
    name: "hello",
    title: "OSU MPI Hello World Test",
    about: "Start, say how many ranks there are, and end",
    meaning: "It measures nothing itself: time it from outside (time mpirun ...) to see what launching a job costs.",
    options: "",
    defaults: NO_DEFAULTS,
    ranks: Ranks::Any,
    run: Run::Alone(run),
};

fn run(context: &mut Context<'_>) -> Result<(), BenchError> {
    let ranks = context.comm.size();
    let line = format!("This is a test with {ranks} processes");
    context.report.line(context.benchmark.title, &line, &[("processes", ranks as f64)]);
    Ok(())
}
