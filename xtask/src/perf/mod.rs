//! `cargo xtask perf`: where the time goes, by counts that repeat exactly, by layers, and as flame graphs.

mod flame;
mod instructions;
mod layers;

use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::workspace;

pub(crate) use instructions::check;

/// What to look at.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Task {
    /// Instructions of one message, counted by valgrind, beside those in docs/instruction-counts.txt
    ///
    /// Fails when one has grown by more than 5 %. With --update the file is rewritten; say in the commit why.
    Instructions {
        /// Rewrite the file
        #[arg(long)]
        update: bool,
    },

    /// One-way latency of 8 bytes at each layer: bare ring, engine on it, UCT, UCP, MPI; UCX's posix beside it
    Layers(layers::Options),

    /// Flame graphs of the short path and of the bulk path: docs/flame-short.svg, docs/flame-bulk.svg
    Flame,
}

/// Looks.
pub(crate) fn run(shell: &Shell, task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Instructions { update: false } => check(shell),
        Task::Instructions { update: true } => instructions::update(shell),
        Task::Layers(options) => layers::run(shell, options),
        Task::Flame => flame::run(shell),
    }
}

/// An example of the transport's crate, built in release.
fn example(shell: &Shell, name: &str) -> anyhow::Result<PathBuf> {
    cmd!(shell, "cargo build --quiet --release --locked -p usb4-port --example {name}").run()?;
    let program = workspace::target().join("release/examples").join(name);
    program.is_file().then_some(program).with_context(|| format!("cargo built no example {name}"))
}
