//! `cargo xtask example NAME`: a program of real use over usb4, beside tcp and shared memory.
//!
//! An example is one small file here, which says what to install and what to start, and a program in `mpi-examples/`, which
//! checks its own result and ends with a line `measured: {...}` (`measured.rs`).

mod faults;
mod horovod;
mod job;
mod measured;
mod program;
mod rust;
mod table;
mod torch;
mod tp_infer;
mod ucc;

use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, ensure};
use xshell::Shell;

use self::job::{Job, Outcome, Transport};
use self::program::Program;
use crate::stage::{self, Stage};

/// Options of `cargo xtask example`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// The example
    #[arg(required_unless_present = "list")]
    name: Option<String>,

    /// List the examples
    #[arg(long)]
    list: bool,

    /// Ranks of each job; by default what suits the example
    #[arg(long, value_delimiter = ',')]
    ranks: Vec<u32>,

    /// Profile of the simulated cable (`usb4ctl sim profiles` lists them)
    #[arg(long, default_value = "strix-halo")]
    profile: String,

    /// The MPI, for examples in Rust
    #[arg(long, value_enum, default_value_t = Mpi::Openmpi)]
    mpi: Mpi,

    /// Once more over cables that lose a frame in a thousand, one of which is pulled and put back again and again: the result must
    /// be the same
    #[arg(long)]
    faults: bool,

    /// Arguments of the program, such as `--tokens 2000`
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// The MPI that runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Mpi {
    /// Open MPI
    Openmpi,
    /// MPICH
    Mpich,
}

/// An example.
pub(crate) struct Example {
    /// Its name on the command line.
    name: &'static str,
    /// What it does, in a line.
    about: &'static str,
    /// Ranks of its jobs.
    ranks: &'static [u32],
    /// Whether tcp and shared memory can do it, too.
    is_for_all: bool,
    /// Installs and builds what it needs, and says what to start.
    prepare: fn(&Setting) -> Result<Program>,
}

/// What examples are prepared with.
pub(crate) struct Setting<'a> {
    example: &'a Example,
    shell: &'a Shell,
    stage: &'a Stage,
    mpi: Mpi,
    profile: &'a str,
    interrupted: &'a Arc<AtomicBool>,
}

impl Setting<'_> {
    /// Runs a program on two ranks over usb4, for what it leaves behind.
    fn once(&self, program: &Program) -> Result<Outcome> {
        let transport = Transport::Usb4 { links: format!("sim:{}", self.profile) };
        Job { stage: self.stage, program, ranks: 2, transport, interrupted: self.interrupted }.run()
    }
}

/// Lists the examples, or runs one.
pub(crate) fn run(shell: &Shell, options: &Options) -> Result<()> {
    let Some(name) = options.name.as_deref().filter(|_| !options.list) else {
        examples().for_each(|example| println!("{:20} {}", example.name, example.about));
        return Ok(());
    };
    let example = examples().find(|example| example.name == name);
    let example =
        example.with_context(|| format!("there is no example {name}; `cargo xtask example --list` shows them"))?;
    let stage = stage::build(shell)?;
    let interrupted = job::catch_interrupts()?;
    let Options { profile, mpi, .. } = options;
    let setting = Setting { example, shell, stage: &stage, mpi: *mpi, profile, interrupted: &interrupted };
    let mut program = (example.prepare)(&setting)?;
    program.words.extend(options.arguments.iter().cloned());
    let ranks = if options.ranks.is_empty() { example.ranks } else { &options.ranks };
    for &ranks in ranks {
        let job = |transport| Job { stage: &stage, program: &program, ranks, transport, interrupted: &interrupted };
        compare(example, options, job)?;
    }
    Ok(())
}

fn examples() -> impl Iterator<Item = &'static Example> {
    rust::EXAMPLES.iter().chain([&horovod::EXAMPLE, &torch::EXAMPLE, &tp_infer::EXAMPLE, &ucc::EXAMPLE])
}

/// Runs the same job over each transport, and shows the times side by side.
fn compare<'a>(example: &Example, options: &Options, job: impl Fn(Transport) -> Job<'a>) -> Result<()> {
    let profile = &options.profile;
    let mut transports = vec![Transport::Usb4 { links: format!("sim:{profile}") }];
    if example.is_for_all {
        transports.extend([Transport::Tcp, Transport::SharedMemory]);
    }
    let good = transports.len();
    let plan = options.faults.then(faults::Plan::new).transpose()?;
    if let Some(plan) = &plan {
        transports.push(Transport::Usb4 { links: plan.links() });
    }
    let mut outcomes: Vec<(String, Outcome)> = Vec::new();
    for (number, transport) in transports.into_iter().enumerate() {
        let label = if number == good { "usb4, bad cables".to_owned() } else { transport.label(profile) };
        let job = job(transport);
        eprintln!("\n{}, {} ranks over {label}", example.name, job.ranks);
        outcomes.push((label, job.run()?));
    }
    println!("\n{} on {} ranks:\n{}", example.name, job(Transport::Tcp).ranks, table::render(&outcomes));
    let (first, rest) = outcomes.split_first().context("usb4 ran first")?;
    for (label, outcome) in rest {
        ensure!(
            outcome.measured.result == first.1.measured.result,
            "the result over {label} is {}, and over usb4 {}: a transport changed a byte",
            outcome.measured.result,
            first.1.measured.result
        );
    }
    if let (Some(_), Some((_, bad))) = (plan, rest.last()) {
        println!("{}", faults::verdict(bad)?);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_staged_can_be_run() {
        for name in stage::EXAMPLES {
            assert!(examples().any(|example| example.name == name), "{name}");
        }
    }
}
