//! Tests of the user interface of `usb4_dma.ko`, to be run where the module is loaded.
//!
//! `check` goes through what `kernel/include/uapi/linux/usb4_dma.h` promises, call by call and error by error. `fuzz` makes random calls
//! and scribbles over everything that is mapped. `cable` sends frames between two nodes while others pull the cable.

mod cable;
mod channel;
mod check;
mod fuzz;
mod sys;

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand};

use self::channel::Handle;

/// Tests of the user interface of usb4_dma.ko.
#[derive(Debug, Parser)]
#[command(name = "usb4-dma-conformance", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Wait until rails are up
    Wait {
        /// How many
        rails: u32,
        /// How long
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Every call and every error that the header tells of
    Check(check::Options),
    /// Random calls from several threads, and random writes to what is mapped
    Fuzz(fuzz::Options),
    /// Frames between two nodes, run on both of them
    Cable(cable::Options),
}

fn main() -> ExitCode {
    let result = match Cli::parse().task {
        Task::Wait { rails, seconds } => wait(rails, Duration::from_secs(seconds)),
        Task::Check(options) => check::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Cable(options) => cable::run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("usb4-dma-conformance: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Waits until so many rails are up.
fn wait(rails: u32, limit: Duration) -> Result<()> {
    let (handle, end) = (Handle::open()?, Instant::now() + limit);
    loop {
        let up = handle.query()?.rails_up;
        if up >= rails {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{up} of {rails} rails are up after {} s", limit.as_secs());
        thread::sleep(Duration::from_millis(100));
    }
}
