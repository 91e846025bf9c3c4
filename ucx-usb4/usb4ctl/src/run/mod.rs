//! `usb4ctl run`: a command with the variables of `usb4ctl env`.

mod child;
mod traffic;

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::cli::RunArgs;
use crate::doctor;
use crate::environment::Environment;
use crate::install::Install;
use traffic::Meter;

/// Exit code for a command that does not exist, and for one that cannot be run, as shells have them.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// Runs the command: in place of this process, or as its child when its traffic is wanted.
pub(crate) fn run(install: &Install, arguments: &RunArgs) -> anyhow::Result<ExitCode> {
    let Some((program, rest)) = arguments.command.split_first() else {
        anyhow::bail!("no command given; write it after --");
    };
    let meter = arguments.stats.then(Meter::start).transpose()?;
    for warning in doctor::warnings(&crate::host::ThisMachine) {
        eprintln!("usb4ctl: warning: {warning}");
    }
    let mut command = Command::new(program);
    command.args(rest).envs(Environment::of_process(install).variables());
    let result = match &meter {
        Some(_) => child::supervise(&mut command),
        None => Err(command.exec()),
    };
    match result {
        Ok(code) => {
            if let Some(meter) = meter {
                eprint!("\n{}", meter.stop()?.describe());
            }
            Ok(ExitCode::from(code))
        }
        Err(error) => {
            let (code, advice) = match error.kind() {
                io::ErrorKind::NotFound => (NOT_FOUND, "give its path, or install it"),
                _ => (NOT_EXECUTABLE, "see `ls -l` of it: is it a program, and may you run it?"),
            };
            eprintln!("usb4ctl: cannot run {}: {error}; {advice}", program.display());
            Ok(ExitCode::from(code))
        }
    }
}
