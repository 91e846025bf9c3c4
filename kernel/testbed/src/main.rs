//! `usb4-testbed`: plays USB4 hosts and cables for virtual machines, and talks to a running one.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use rustix::process::{Signal, set_parent_process_death_signal};
use usb4_testbed::command::{self, Command};
use usb4_testbed::server::{self, control_path};
use usb4_testbed::topology::{DEFAULT_RINGS, Topology};

/// Simulated USB4 host routers and cables for virtual machines
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Play hosts and cables until told to quit
    Serve {
        /// Who is joined to whom: pair, pair:2, chain:N, ring:N, triangle, or cables such as 0.0-1.0,1.1-2.0
        #[arg(long, default_value = "pair")]
        topology: Topology,
        /// Rings per NHI and direction, the control ring included (Strix Halo: 3)
        #[arg(long, default_value_t = DEFAULT_RINGS)]
        rings: usize,
        /// Folder for the sockets host0.sock, host1.sock, ... and control.sock
        #[arg(long)]
        dir: PathBuf,
        /// End when the process that started this one ends
        #[arg(long)]
        with_parent: bool,
    },
    /// Send a command to a running testbed
    Ctl {
        /// Its folder
        #[arg(long)]
        dir: PathBuf,
        #[command(subcommand)]
        command: Command,
    },
}

fn main() -> ExitCode {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    match run(Cli::parse().action) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("usb4-testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(action: Action) -> anyhow::Result<()> {
    match action {
        Action::Serve { topology, rings, dir, with_parent } => {
            if with_parent {
                set_parent_process_death_signal(Some(Signal::TERM))
                    .context("--with-parent cannot be had on this kernel")?;
            }
            let topology = topology.with_rings(rings)?;
            server::serve(&topology, &dir, || println!("ready"))?;
        }
        Action::Ctl { dir, command } => {
            let answer = command::send(&control_path(&dir), &command)?;
            if !answer.is_null() {
                println!("{}", serde_json::to_string_pretty(&answer)?);
            }
        }
    }
    Ok(())
}
