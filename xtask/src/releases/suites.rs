//! The MPI tests' programs, one for each suite, and what they print.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::counts::Counts;
use crate::workspace;

/// Who starts the processes of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Launcher {
    OpenMpi,
    Mpich,
    /// UCX's own programs and usb4ctl.
    NoMpi,
}

impl Launcher {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Launcher::OpenMpi => "Open MPI",
            Launcher::Mpich => "MPICH",
            Launcher::NoMpi => "UCX alone",
        }
    }

    /// Of a test: those that run under each MPI stand in modules of these names.
    fn of(suite: &str, test: &str) -> Launcher {
        match test.split_once("::").map(|(module, _)| module) {
            Some("open_mpi") => Launcher::OpenMpi,
            Some("mpich") => Launcher::Mpich,
            _ if matches!(suite, "messages" | "vfs" | "wakeup") => Launcher::NoMpi,
            _ => Launcher::OpenMpi,
        }
    }
}

/// A suite: one test program of the package `mpi-tests`.
#[derive(Debug)]
pub(crate) struct Suite {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
}

/// Builds them all.
pub(crate) fn build() -> Result<Vec<Suite>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["test", "--locked", "--no-run", "--package", "mpi-tests", "--tests"]);
    cargo.arg("--message-format=json-render-diagnostics").current_dir(workspace::root());
    let output = cargo.stderr(std::process::Stdio::inherit()).output().context("cargo did not start")?;
    ensure!(output.status.success(), "the MPI tests do not build; see above");
    let messages = output.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
    let suite = |message: Value| {
        let is_test = message["target"]["kind"][0] == "test";
        let name = message["target"]["name"].as_str().filter(|_| is_test)?.to_owned();
        Some(Suite { name, program: message["executable"].as_str()?.into() })
    };
    let mut suites: Vec<Suite> = messages.filter_map(suite).collect();
    suites.sort_by(|a, b| a.name.cmp(&b.name));
    ensure!(!suites.is_empty(), "cargo names no test program of mpi-tests");
    Ok(suites)
}

/// Counts a test program's lines by launcher: `test mpich::two_ranks_on_two_nodes ... ok`.
pub(crate) fn count(suite: &str, output: &str) -> BTreeMap<Launcher, Counts> {
    let mut counts: BTreeMap<Launcher, Counts> = BTreeMap::new();
    for line in output.lines() {
        let Some((test, result)) = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... ")) else {
            continue;
        };
        let sum = counts.entry(Launcher::of(suite, test)).or_default();
        *sum += match result.split([',', ' ']).next() {
            Some("ok") => Counts { passed: 1, ..Counts::default() },
            Some("ignored") => Counts { skipped: 1, ..Counts::default() },
            _ => Counts { failed: 1, ..Counts::default() },
        };
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_counts_for_its_launcher() {
        let output = "\nrunning 4 tests\ntest mpich::a ... ok\ntest open_mpi::a ... FAILED\ntest b ... ok\n\
                      test c ... ignored, needs a cable\n\ntest result: FAILED. 2 passed; 1 failed;\n";
        let counts = count("jobs", output);
        assert_eq!(counts[&Launcher::Mpich], Counts { passed: 1, failed: 0, skipped: 0 });
        assert_eq!(counts[&Launcher::OpenMpi], Counts { passed: 1, failed: 1, skipped: 1 });
        assert_eq!(count("wakeup", "test sleeps ... ok")[&Launcher::NoMpi].passed, 1);
    }
}
