//! One mpirun.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::variant::CLEARED;

/// How often a running job is looked at.
const POLL: Duration = Duration::from_millis(20);
/// What mpirun gets to end its ranks before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// Lines of a failed job that are shown.
const SHOWN_LINES: usize = 12;

/// Starts jobs.
pub(super) struct Launcher {
    mpirun: String,
    arguments: Vec<String>,
    osu_bench: PathBuf,
    timeout: Duration,
    open_mpi: bool,
    /// More ranks than processors.
    oversubscribed: bool,
    /// Set when we are asked to end: the job must not outlive us.
    interrupted: Arc<AtomicBool>,
}

impl Launcher {
    /// A launcher of jobs with `ranks` ranks.
    ///
    /// # Errors
    /// If mpirun does not start.
    pub(super) fn new(mpirun: &str, extra: Vec<String>, ranks: usize, timeout_s: u64) -> anyhow::Result<Self> {
        let version = Command::new(mpirun).arg("--version").output().with_context(|| {
            format!(
                "{mpirun} does not start; install an MPI (apt-get install openmpi-bin) or name its mpirun with --mpirun"
            )
        })?;
        // Open MPI 4.1 names itself after the program: "mpirun.openmpi (OpenRTE) 4.1.4".
        let version = String::from_utf8_lossy(&version.stdout);
        let open_mpi = version.contains("Open MPI") || version.contains("OpenRTE");
        let mut arguments = vec!["-n".to_owned(), ranks.to_string()];
        let oversubscribed = std::thread::available_parallelism().is_ok_and(|processors| ranks > processors.get());
        if open_mpi && oversubscribed {
            arguments.push("--oversubscribe".to_owned());
        }
        arguments.extend(extra);
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        let osu_bench = std::env::current_exe().context("the path of osu-bench itself is not known")?;
        Ok(Self {
            mpirun: mpirun.to_owned(),
            arguments,
            osu_bench,
            timeout: Duration::from_secs(timeout_s),
            open_mpi,
            oversubscribed,
            interrupted,
        })
    }

    /// Runs one benchmark of ours to its end and returns the JSON that it printed.
    ///
    /// # Errors
    /// If the job fails, hangs, or prints no result.
    pub(super) fn run(
        &self,
        benchmark: &str,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<Value> {
        let program = [self.osu_bench.as_os_str(), benchmark.as_ref(), "--json".as_ref()];
        let (stdout, stderr) = self.finish(&program, arguments, environment)?;
        let Some(start) = stdout.find('{') else { bail!("it printed no result: {}", last_lines(&stderr)) };
        serde_json::from_str(&stdout[start..]).context("its result is not JSON")
    }

    /// Runs a C OSU benchmark to its end and returns what it printed.
    ///
    /// # Errors
    /// If the job fails or hangs.
    pub(super) fn run_c(
        &self,
        program: &Path,
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<String> {
        Ok(self.finish(&[program.as_os_str()], arguments, environment)?.0)
    }

    fn finish(
        &self,
        program: &[&OsStr],
        arguments: &[String],
        environment: &[(String, String)],
    ) -> anyhow::Result<(String, String)> {
        let mut command = Command::new(&self.mpirun);
        for name in CLEARED {
            command.env_remove(name);
        }
        command.envs(environment.iter().map(|(name, value)| (name, value))).args(&self.arguments);
        if self.open_mpi {
            // Open MPI hands only its own variables to other hosts.
            for (name, _) in environment.iter().filter(|(name, _)| !name.starts_with("OMPI_")) {
                command.args(["-x", name]);
            }
            allow_as_it_is(&mut command, self.oversubscribed);
        }
        command.args(program).args(arguments);
        finish(command, self.timeout, &self.interrupted)
    }
}

/// Containers run as root and have few processors; Open MPI wants to be told that this is meant.
fn allow_as_it_is(command: &mut Command, oversubscribed: bool) {
    if rustix::process::geteuid().is_root() {
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    }
    if oversubscribed {
        // Ranks that wait must let the others run. With a processor for each, yielding would only lengthen what is measured.
        command.env("OMPI_MCA_mpi_yield_when_idle", "1");
    }
}

/// Runs `command` to its end; its standard output and error.
fn finish(mut command: Command, timeout: Duration, interrupted: &AtomicBool) -> anyhow::Result<(String, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("{} does not start", command.get_program().display()))?;
    let stdout = drain(child.stdout.take().expect("it is piped"));
    let stderr = drain(child.stderr.take().expect("it is piped"));
    let deadline = Instant::now() + timeout;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if interrupted.load(Ordering::Relaxed) {
            stop(&mut child)?;
            bail!("interrupted; the running job was ended, and nothing was written");
        }
        if Instant::now() > deadline {
            stop(&mut child)?;
            let seconds = timeout.as_secs();
            bail!(
                "the job did not end within {seconds} s and was stopped; a slow transport may need --timeout or smaller sizes (-m)"
            );
        }
        std::thread::sleep(POLL);
    };
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.join().unwrap_or_default();
    if !status.success() {
        bail!("the job failed ({status}): {}", cause(&stderr));
    }
    Ok((stdout, stderr))
}

/// Reads a pipe to its end beside the job, which would block on a full one.
fn drain(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before an error is all there is to show.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// mpirun ends its ranks when it is asked to; killing it at once would leave them behind.
fn stop(child: &mut Child) -> anyhow::Result<()> {
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        kill_process(pid, Signal::TERM)?;
    }
    let deadline = Instant::now() + GRACE;
    while child.try_wait()?.is_none() {
        if Instant::now() > deadline {
            child.kill()?;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// The line in which the benchmark itself says what is wrong, or else the end of what mpirun printed.
fn cause(stderr: &str) -> String {
    match stderr.lines().find_map(|line| line.strip_prefix("osu-bench: ")) {
        Some(line) => line.to_owned(),
        None => last_lines(stderr),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let shown = &lines[lines.len().saturating_sub(SHOWN_LINES)..];
    if shown.is_empty() { "it said nothing".to_owned() } else { format!("\n  {}", shown.join("\n  ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_benchmarks_own_line_is_the_cause() {
        let stderr = "warning\nosu-bench: latency needs exactly two ranks\n-----\nmpirun noticed\n";
        assert_eq!(cause(stderr), "latency needs exactly two ranks");
        assert_eq!(cause("a\n\nb\n"), "\n  a\n  b");
    }

    #[test]
    fn a_job_that_hangs_is_stopped() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let error =
            finish(command, Duration::from_millis(100), &AtomicBool::new(false)).expect_err("it cannot end by itself");
        assert!(error.to_string().contains("did not end within"), "{error}");
    }

    #[test]
    fn an_interrupted_comparison_ends_its_job() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let error = finish(command, Duration::from_secs(600), &AtomicBool::new(true)).expect_err("it is interrupted");
        assert!(error.to_string().contains("interrupted"), "{error}");
    }
}
