//! Benchmarks as one rank of an MPI job.
//!
//! What goes wrong is said once, in one line, by rank 0, and only rank 0 ends with an exit code: mpirun adds its own
//! lines for every failing rank, and those should not bury the one that counts.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use mpi::Threading;
use mpi::topology::SimpleCommunicator;
use mpi::traits::Communicator;
use serde_json::{Map, Value, json};

use crate::bench::{BenchError, Benchmark, Run};
use crate::measure::Context;
use crate::mpi_raw::Comm;
use crate::options::{self, Options};
use crate::place;
use crate::report::Report;

/// Exit code for a usage error, as clap's.
const USAGE: u8 = 2;

/// Variables in which launchers name the rank, before MPI is there to ask: Open MPI, PMIx, MPICH, Slurm.
const RANK_VARIABLES: [&str; 4] = ["OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK", "SLURM_PROCID"];

/// Whether this process speaks for the job: rank 0, or not started by a launcher.
pub(crate) fn speaks() -> bool {
    let rank = RANK_VARIABLES.iter().find_map(|name| std::env::var(name).ok());
    rank.is_none_or(|rank| rank.trim() == "0")
}

/// Reports a usage error from before MPI was started.
pub(crate) fn usage_error(message: &str) -> ExitCode {
    if !speaks() {
        return ExitCode::SUCCESS;
    }
    eprintln!("osu-bench: {message}");
    ExitCode::from(USAGE)
}

/// A benchmark and what the user asked of it.
pub(crate) struct Task {
    benchmark: &'static Benchmark,
    options: Options,
}

impl Task {
    /// Reads the options of `benchmark` from parsed arguments.
    ///
    /// # Errors
    /// If they contradict each other or cannot be had: one line.
    pub(crate) fn new(benchmark: &'static Benchmark, matches: &ArgMatches) -> Result<Task, String> {
        match options::read(matches, benchmark.options, benchmark.defaults) {
            Ok(options) => Ok(Task { benchmark, options }),
            Err(error) => Err(format!("{}: {error}", benchmark.name)),
        }
    }
}

/// Starts MPI and runs `tasks` one after the other, whatever becomes of each. With `skip`, those that cannot run on
/// this number of ranks are left out.
pub(crate) fn run(tasks: &[Task], skip: bool) -> ExitCode {
    let threads = tasks.iter().any(|task| matches!(task.benchmark.run, Run::Threads(_)));
    let threading = if threads { Threading::Multiple } else { Threading::Single };
    let before = Instant::now();
    let Some((universe, _)) = mpi::initialize_with_threading(threading) else {
        return usage_error("MPI is already initialised in this process");
    };
    let init = before.elapsed();
    let errors = run_all(tasks, skip, universe.world(), init);
    let speaks = universe.world().rank() == 0;
    drop(universe);
    if errors.is_empty() || !speaks {
        return ExitCode::SUCCESS;
    }
    for error in errors {
        eprintln!("osu-bench: {error}");
    }
    ExitCode::FAILURE
}

/// All handles of MPI are gone when this returns, so that it can be finalised. All ranks see the same errors.
fn run_all(tasks: &[Task], skip: bool, world: SimpleCommunicator, init: Duration) -> Vec<BenchError> {
    let comm = Comm::new(world);
    let warnings = place::warnings(&comm);
    if comm.rank() == 0 {
        warnings.iter().for_each(|warning| eprintln!("osu-bench warns: {warning}"));
    }
    let mut errors = Vec::new();
    for Task { benchmark, options } in tasks {
        if let Err(error) = benchmark.ranks.check(benchmark.name, comm.size()) {
            errors.extend((!skip).then_some(error));
            continue;
        }
        let report = Report::new(options.format, comm.rank() == 0, about(benchmark, options, &comm, &warnings));
        let mut context = Context { benchmark, comm: &comm, options, init, report };
        errors.extend(benchmark.run.run(&mut context).err());
        context.report.finish();
    }
    errors
}

fn about(benchmark: &Benchmark, options: &Options, comm: &Comm, warnings: &[String]) -> Map<String, Value> {
    let library = mpi::environment::library_version().unwrap_or_default();
    let mut about = Map::new();
    about.insert("benchmark".into(), json!(benchmark.name));
    about.insert("version".into(), json!(env!("CARGO_PKG_VERSION")));
    about.insert("mpi".into(), json!(library.trim_end_matches('\0').trim()));
    about.insert("ranks".into(), json!(comm.size()));
    about.insert("window".into(), json!(options.window));
    about.insert("warnings".into(), json!(warnings));
    about
}
