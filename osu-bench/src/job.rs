//! One benchmark as one rank of an MPI job.
//!
//! What goes wrong is said once, in one line, by rank 0, and only rank 0 ends with an exit code: mpirun adds its own lines for
//! every failing rank, and those should not bury the one that counts.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use serde_json::{Map, Value, json};

use crate::bench::{BenchError, Benchmark};
use crate::measure::Context;
use crate::mpi_raw::Comm;
use crate::options::{self, Options};
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

/// Runs `benchmark` with parsed arguments.
pub(crate) fn run(benchmark: &'static Benchmark, matches: &ArgMatches) -> ExitCode {
    let options = match options::read(matches, benchmark.defaults) {
        Ok(options) => options,
        Err(error) => return usage_error(&format!("{}: {error}", benchmark.name)),
    };
    let before = Instant::now();
    let Some(universe) = mpi::initialize() else {
        return usage_error("MPI is already initialised in this process");
    };
    let init = before.elapsed();
    let comm = Comm::new(universe.world());
    let result = run_in(benchmark, &options, &comm, init);
    let speaks = comm.rank() == 0;
    drop(universe);
    match result {
        Err(error) if speaks => {
            eprintln!("osu-bench: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}

fn run_in(benchmark: &'static Benchmark, options: &Options, comm: &Comm, init: Duration) -> Result<(), BenchError> {
    benchmark.ranks.check(benchmark.name, comm.size())?;
    let report = Report::new(options.format, comm.rank() == 0, about(benchmark, options, comm));
    let mut context = Context { benchmark, comm, options, init, report };
    let result = (benchmark.run)(&mut context);
    context.report.finish();
    result
}

fn about(benchmark: &Benchmark, options: &Options, comm: &Comm) -> Map<String, Value> {
    let library = mpi::environment::library_version().unwrap_or_default();
    let mut about = Map::new();
    about.insert("benchmark".into(), json!(benchmark.name));
    about.insert("version".into(), json!(env!("CARGO_PKG_VERSION")));
    about.insert("mpi".into(), json!(library.trim_end_matches('\0').trim()));
    about.insert("ranks".into(), json!(comm.size()));
    about.insert("window".into(), json!(options.window));
    about
}
