//! `osu-bench`: the OSU micro-benchmarks in Rust, and a driver that puts several transports side by side.
//!
//! `osu-bench latency` under mpirun is `osu_latency`; `osu-bench compare latency` starts mpirun itself.
#![deny(unsafe_code)]

mod bench;
mod cli;
mod compare;
mod job;
mod man;
mod measure;
mod mpi_raw;
mod options;
mod place;
mod report;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
