//! `cargo xtask perf`: where the time goes, by counts that repeat exactly, by layers, as flame graphs, beside the budgets, and as it grows.

mod budgets;
mod counted;
mod flame;
mod instructions;
mod layers;
mod scale;

use std::path::PathBuf;

use anyhow::Context;
use xshell::{Shell, cmd};

use crate::workspace;

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

    /// The budgets: latency and bandwidth through MPI beside UCX's posix and beside what the cable allows, in the same runs
    Budgets(budgets::Options),

    /// What a message costs with 1 to 1,000 connections (docs/scale-connections.*) and on many ranks (docs/scale-ranks.svg)
    Scale(scale::Options),

    /// Flame graphs of the short path and of the bulk path: docs/flame-short.svg, docs/flame-bulk.svg
    Flame,
}

/// What CI looks at: the counts, which repeat exactly.
pub(crate) fn check(shell: &Shell) -> anyhow::Result<()> {
    instructions::check(shell)?;
    scale::check(shell)
}

/// Looks.
pub(crate) fn run(shell: &Shell, task: &Task) -> anyhow::Result<()> {
    match task {
        Task::Instructions { update: false } => instructions::check(shell),
        Task::Instructions { update: true } => instructions::update(shell),
        Task::Layers(options) => layers::run(shell, options),
        Task::Budgets(options) => budgets::run(shell, options),
        Task::Scale(options) => scale::run(shell, options),
        Task::Flame => flame::run(shell),
    }
}

/// An example of a crate, built in release.
fn example(shell: &Shell, package: &str, name: &str) -> anyhow::Result<PathBuf> {
    cmd!(shell, "cargo build --quiet --release --locked -p {package} --example {name}").run()?;
    let program = workspace::target().join("release/examples").join(name);
    program.is_file().then_some(program).with_context(|| format!("cargo built no example {name}"))
}
