//! mpi4py's own test suite over usb4: 1358 tests that others wrote.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use xshell::{Shell, cmd};

use crate::counts::{self, Counts, Finished};
use crate::packages::PYTHON;
use crate::stage::Stage;
use crate::workspace;

/// The release that Debian 12 has; the suite must be of the same.
const RELEASE: &str = "3.1.4";

/// A part of the suite: arguments of mpirun, and of the suite's own runner.
struct Part {
    name: &'static str,
    mpirun: &'static [&'static str],
    runner: &'static [&'static str],
}

/// Open MPI 4.1.4's osc/ucx crashes when a dynamic window is freed, over any transport (`ompi_osc_ucx_free`), and with it the
/// whole suite. So windows have parts of their own, and the dynamic ones another osc. Spawning processes is left out: a
/// simulated job has a fixed number of ranks.
const PARTS: [Part; 3] = [
    Part { name: "everything but windows", mpirun: &[], runner: &["-e", "spawn", "-e", "dynproc", "-e", "test_win"] },
    Part {
        name: "windows",
        mpirun: &[],
        runner: &["-i", "test_win", "-k", "TestWinCreateSelf", "-k", "TestWinCreateWorld", "-k", "TestWinAllocate"],
    },
    Part {
        name: "dynamic windows, without osc/ucx",
        mpirun: &["--mca", "osc", "^ucx"],
        runner: &["-i", "test_win", "-k", "TestWinCreateDynamic"],
    },
];

/// Runs the suite on two ranks. What fails over usb4 must fail over UCX's own `self,sm` too.
pub(crate) fn run(shell: &Shell, stage: &Stage, total: &mut Counts) -> anyhow::Result<()> {
    let suite = fetch(shell)?;
    for part in &PARTS {
        let over_usb4 = run_part(stage, &suite, part, "usb4")?;
        *total += over_usb4.counts;
        if over_usb4.success {
            continue;
        }
        let failures = failures(&over_usb4.output);
        eprintln!("{}: {} tests fail over usb4; now the same over self,sm", part.name, failures.len());
        let peers = self::failures(&run_part(stage, &suite, part, "self,sm")?.output);
        let ours: Vec<&String> = failures.difference(&peers).collect();
        if failures.is_empty() || !ours.is_empty() {
            bail!("mpi4py, {}: fails over usb4 and not over self,sm: {ours:?}", part.name);
        }
    }
    Ok(())
}

/// Gets the source distribution, which holds the suite, from PyPI.
fn fetch(shell: &Shell) -> anyhow::Result<PathBuf> {
    let folder = workspace::target().join("mpi4py");
    let suite = folder.join(format!("mpi4py-{RELEASE}"));
    if !suite.join("test/runtests.py").is_file() {
        shell.create_dir(&folder)?;
        let archive = folder.join(format!("mpi4py-{RELEASE}.tar.gz"));
        cmd!(
            shell,
            "{PYTHON} -m pip download -q --no-deps --no-binary :all: --no-build-isolation -d {folder} mpi4py=={RELEASE}"
        )
        .run()
        .context("cannot fetch mpi4py's suite from PyPI")?;
        cmd!(shell, "tar -xf {archive} -C {folder}").run()?;
    }
    Ok(suite)
}

fn run_part(stage: &Stage, suite: &Path, part: &Part, transports: &str) -> anyhow::Result<Finished> {
    let mut command = Command::new(stage.program("usb4ctl"));
    command
        .current_dir(suite)
        .env("UCX_TLS", transports)
        .env("UCX_USB4_LINKS", "sim:strix-halo")
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .args(["run", "--stats", "--", workspace::open_mpi_mpirun(), "-n", "2", "--oversubscribe"])
        .args(["--mca", "mpi_yield_when_idle", "1"])
        .args(part.mpirun)
        .args([PYTHON, "test/runtests.py", "--no-builddir", "-q"])
        .args(part.runner);
    let mut finished = counts::run(&mut command)?;
    // Both ranks report the same tests.
    let Counts { passed, failed, skipped } = finished.counts;
    finished.counts = Counts { passed: passed / 2, failed: failed.div_ceil(2), skipped: skipped / 2 };
    Ok(finished)
}

/// The names of failed tests: `FAIL: testSend (test_p2p_buf.TestP2PBufSelf.testSend)`.
fn failures(output: &str) -> BTreeSet<String> {
    let name = |line: &str| {
        let line = line.trim();
        line.strip_prefix("FAIL: ").or_else(|| line.strip_prefix("ERROR: ")).map(str::to_owned)
    };
    output.lines().filter_map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_tests_are_named_once() {
        let output = "....F\nFAIL: testA (test_x.X.testA)\nFAIL: testA (test_x.X.testA)\nERROR: testB (test_y.Y)\nok\n";
        let names = failures(output);
        assert_eq!(
            names.iter().map(String::as_str).collect::<Vec<_>>(),
            ["testA (test_x.X.testA)", "testB (test_y.Y)"]
        );
    }
}
