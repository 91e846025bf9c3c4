//! `cargo xtask demo`: what a newcomer runs first.

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::{stage, workspace};

/// Options of `cargo xtask demo`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Profile of the simulated cable (`usb4ctl sim profiles` lists them)
    #[arg(long, default_value = "strix-halo")]
    profile: String,

    /// Rounds of measurements; the table shows medians
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

/// Builds, compares usb4 with tcp and shared memory, and shows what usb4 carried.
pub(crate) fn run(shell: &Shell, options: &Options) -> anyhow::Result<()> {
    let stage = stage::build(shell)?;
    let usb4ctl = stage.program("usb4ctl");
    let osu_bench = stage.program("osu-bench");
    let Options { profile, rounds } = options;
    let (rounds, mpirun) = (rounds.to_string(), workspace::open_mpi_mpirun());
    let compare = ["--tls", "usb4,tcp,posix", "--profile", profile, "--rounds", &rounds, "--mpirun", mpirun];

    eprintln!("\nTwo ranks over sim:{profile}, beside UCX's tcp and shared memory:\n");
    cmd!(shell, "{usb4ctl} run --stats -- {osu_bench} compare latency bw allreduce {compare...}")
        .env("UCX_USB4_LINKS", format!("sim:{profile}"))
        .run()
        .with_context(|| format!("the comparison failed; `{} doctor` may tell why", usb4ctl.display()))?;

    let usb4ctl = usb4ctl.display();
    eprintln!(
        "\nThe counters above are the proof that usb4 carried the bytes. Your own programs:\n\n  \
         export UCX_USB4_LINKS=sim:{profile}\n  eval \"$({usb4ctl} env)\"\n  mpirun -n 2 ./app\n"
    );
    Ok(())
}
