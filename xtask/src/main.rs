//! `cargo xtask`: build, test and demonstrate ucx-usb4.
#![forbid(unsafe_code)]

mod book;
mod cargo_tool;
mod counts;
mod demo;
mod deny;
mod example;
mod folder;
mod kernel;
mod lint;
mod mpi4py;
mod package;
mod packages;
mod perf;
mod pypi;
mod releases;
mod soak;
mod stage;
mod suites;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use xshell::Shell;

/// Build, test and demonstrate ucx-usb4.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// The tasks.
#[derive(Debug, Subcommand)]
enum Task {
    /// Latency, bandwidth and allreduce of two ranks over the simulated cable, beside tcp and shared memory
    ///
    /// Installs what is missing through apt, builds in release, and ends with the tables and with the counters that prove that
    /// usb4 carried the bytes.
    Demo(demo::Options),

    /// A program of real use over usb4, beside tcp and shared memory
    ///
    /// Installs what it needs, runs it over each transport, checks that it is right and the same over all, and prints the time
    /// of a step and how much of it was communication.
    Example(example::Options),

    /// All checks and tests: format, lints, unit, property and simulator tests, MPI tests
    ///
    /// Installs what is missing through apt. This is what CI runs.
    Test(suites::Options),

    /// Build in release and stage target/usb4: bin/, lib/ucx-usb4/
    Build,

    /// Install the Debian packages that building and testing need
    Install,

    /// Format all sources
    Fmt {
        /// Change nothing, fail if something would change
        #[arg(long)]
        check: bool,
    },

    /// Clippy with warnings as errors, and the repository's own rules
    Lint,

    /// Run the protocol simulator with new seeds
    Soak(soak::Options),

    /// The MPI tests under every release of UCX at hand: a table of release, MPI and suite
    ///
    /// The machine's UCX, releases from PyPI in its place, and Debian 13 in a folder with its own MPIs; each with both values
    /// of UCX_PROTO_ENABLE. Downloads 43 MB for each release and 300 MB for Debian 13, once.
    Matrix(releases::matrix::Options),

    /// Packages: .deb, DKMS source, .rpm, archive with an install script; with --check, installed, used and removed
    Package(package::Options),

    /// Where the time goes: instruction counts, layers, flame graphs
    #[command(subcommand)]
    Perf(perf::Task),

    /// The documentation as a book in target/book, with its links checked
    Book,

    /// Other Debian releases in folders, and commands in them
    #[command(subcommand)]
    Folder(folder::Task),

    /// Real kernels in virtual machines, joined by simulated USB4 cables
    #[command(subcommand)]
    Vm(vm::Vm),

    /// The kernel module: build it for several kernels
    #[command(subcommand)]
    Kernel(kernel::Task),
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> anyhow::Result<()> {
    let shell = Shell::new()?;
    shell.change_dir(workspace::root());
    match task {
        Task::Demo(options) => demo::run(&shell, &options),
        Task::Example(options) => example::run(&shell, &options),
        Task::Test(options) => suites::run(&shell, &options),
        Task::Build => stage::build(&shell).map(drop),
        Task::Install => packages::install(&shell, &[packages::BUILD, packages::TEST]),
        Task::Fmt { check } => lint::format(&shell, check),
        Task::Lint => lint::lint(&shell),
        Task::Soak(options) => soak::run(&shell, &options),
        Task::Matrix(options) => releases::matrix::run(&shell, &options, &mut counts::Counts::default()),
        Task::Package(options) => package::run(&shell, &options),
        Task::Perf(task) => perf::run(&shell, &task),
        Task::Book => book::build(&shell).map(drop),
        Task::Folder(task) => folder::run(&shell, &task),
        Task::Vm(vm) => vm::run(&vm),
        Task::Kernel(task) => kernel::run(&task),
    }
}
