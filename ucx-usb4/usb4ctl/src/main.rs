//! usb4ctl: environment, status and diagnosis of ucx-usb4.
#![forbid(unsafe_code)]

mod bench;
mod cables;
mod cli;
mod doctor;
mod environment;
mod generate;
mod host;
mod install;
mod kernel;
mod machine;
mod out;
mod run;
mod sim;
mod status;
mod table;
mod trace;
mod view;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, DoctorArgs, EnvArgs};
use environment::Environment;
use install::{Install, InstallError};

/// Exit code for a wrong set-up; clap uses the same for a wrong command line.
const SETUP_ERROR: u8 = 2;

fn main() -> ExitCode {
    match dispatch(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("usb4ctl: {}", message(&error));
            ExitCode::from(SETUP_ERROR)
        }
    }
}

/// The error and its causes, without those that an earlier one has quoted.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |text, cause| match text.as_str() {
        "" => cause,
        said if said.contains(&cause) => text,
        _ => format!("{text}: {cause}"),
    })
}

fn dispatch(cli: &Cli) -> anyhow::Result<ExitCode> {
    match &cli.command {
        Command::Env(arguments) => print_environment(&find_install(cli)?, arguments),
        Command::Run(arguments) => run::run(&find_install(cli)?, arguments),
        Command::Doctor(arguments) => run_doctor(&find_install(cli), arguments),
        Command::Status(arguments) => status::run(arguments),
        Command::Bench(arguments) => bench::run(arguments),
        Command::Trace(arguments) => trace::run(arguments),
        Command::Sim(command) => sim::run(command),
        Command::Completions { shell } => generate::completions(*shell).map(|()| ExitCode::SUCCESS).map_err(Into::into),
        Command::Man { folder } => generate::man_pages(folder).map(|()| ExitCode::SUCCESS),
    }
}

fn find_install(cli: &Cli) -> Result<Install, InstallError> {
    let executable = std::env::current_exe().and_then(std::fs::canonicalize).unwrap_or_default();
    Install::find(&executable, cli.libdir.as_deref())
}

fn print_environment(install: &Install, arguments: &EnvArgs) -> anyhow::Result<ExitCode> {
    let environment = Environment::of_process(install);
    if arguments.json {
        out::json(&environment.to_json())?;
    } else {
        out::text(environment.to_shell())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn run_doctor(install: &Result<Install, InstallError>, arguments: &DoctorArgs) -> anyhow::Result<ExitCode> {
    let report = doctor::examine(&host::ThisMachine, install, &arguments.hosts);
    if arguments.json {
        out::json(&report)?;
    } else {
        out::text(&report)?;
    }
    Ok(if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
