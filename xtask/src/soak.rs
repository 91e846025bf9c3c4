//! `cargo xtask soak`: the protocol simulator with new seeds, for as long as wanted.

use xshell::{Shell, cmd};

/// Options of `cargo xtask soak`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// How long, in minutes
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
}

/// Runs it; a failure prints the seed that repeats it.
pub(crate) fn run(shell: &Shell, options: &Options) -> anyhow::Result<()> {
    let minutes = options.minutes.to_string();
    cmd!(shell, "cargo run --release --locked -p usb4-engine --example soak -- --minutes {minutes}").run()?;
    Ok(())
}
