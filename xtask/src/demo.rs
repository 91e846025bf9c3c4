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

/// Benchmarks that run with the same options.
struct Part {
    title: &'static str,
    benchmarks: &'static [&'static str],
    /// OSU's own numbers of messages take many minutes: a bandwidth test of 4 MiB moves 256 MiB in each iteration.
    effort: &'static [&'static str],
}

const PARTS: [Part; 2] = [
    Part {
        title: "Latency and allreduce",
        benchmarks: &["latency", "allreduce"],
        effort: &["-m", "8:1048576", "-i", "500", "-x", "50"],
    },
    Part { title: "Bandwidth", benchmarks: &["bw"], effort: &["-m", "4096:4194304", "-i", "30", "-x", "5"] },
];

/// Builds, compares usb4 with tcp and shared memory, and shows what usb4 carried.
pub(crate) fn run(shell: &Shell, options: &Options) -> anyhow::Result<()> {
    let stage = stage::build(shell)?;
    let usb4ctl = stage.program("usb4ctl");
    let osu_bench = stage.program("osu-bench");
    let Options { profile, rounds } = options;
    let (rounds, mpirun) = (rounds.to_string(), workspace::open_mpi_mpirun());
    let compare = ["--tls", "usb4,tcp,posix", "--profile", profile, "--rounds", &rounds, "--mpirun", mpirun];
    for Part { title, benchmarks, effort } in PARTS {
        eprintln!("\n{title}, two ranks over sim:{profile} beside UCX's tcp and shared memory:\n");
        cmd!(shell, "{usb4ctl} run --stats -- {osu_bench} compare {benchmarks...} {compare...} {effort...}")
            .env("UCX_USB4_LINKS", format!("sim:{profile}"))
            .run()
            .with_context(|| format!("the comparison failed; `{} doctor` may tell why", usb4ctl.display()))?;
    }

    let usb4ctl = usb4ctl.display();
    eprintln!(
        "\nThe counters above are the proof that usb4 carried the bytes. Your own programs:\n\n  \
         export UCX_USB4_LINKS=sim:{profile}\n  eval \"$({usb4ctl} env)\"\n  mpirun -n 2 ./app\n"
    );
    Ok(())
}
