//! One job of an example over one transport.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Mpi;
use super::measured::{Measured, Traffic};
use super::program::Program;
use crate::stage::Stage;
use crate::workspace;

const POLL: Duration = Duration::from_millis(50);
/// What mpirun gets to end its ranks before it is killed.
const GRACE: Duration = Duration::from_secs(10);

/// What carries a job's messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// usb4 alone, over these links.
    Usb4 { links: String },
    /// UCX's tcp, over loopback.
    Tcp,
    /// UCX's shared memory.
    SharedMemory,
}

impl Transport {
    /// What the table calls it.
    pub(super) fn label(&self, profile: &str) -> String {
        match self {
            Transport::Usb4 { .. } => format!("usb4, sim:{profile}"),
            Transport::Tcp => "tcp (loopback)".to_owned(),
            Transport::SharedMemory => "shared memory".to_owned(),
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        match self {
            Transport::Usb4 { links } => vec![("UCX_TLS", "usb4".into()), ("UCX_USB4_LINKS", links.clone())],
            Transport::Tcp => vec![("UCX_TLS", "tcp".into()), ("UCX_NET_DEVICES", "lo".into())],
            // pml/ucx opens an endpoint to itself, which shared memory does not offer.
            Transport::SharedMemory => vec![("UCX_TLS", "sm,self".into())],
        }
    }
}

/// A job to be run.
pub(super) struct Job<'a> {
    pub(super) stage: &'a Stage,
    pub(super) program: &'a Program,
    pub(super) ranks: u32,
    pub(super) transport: Transport,
    pub(super) interrupted: &'a Arc<AtomicBool>,
}

/// What it measured, and what usb4 carried.
pub(super) struct Outcome {
    pub(super) measured: Measured,
    pub(super) traffic: Traffic,
}

/// Ctrl-C asks the job to end, and this process stays to clean up after it.
pub(super) fn catch_interrupts() -> Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&flag)).context("interrupts cannot be caught")?;
    }
    Ok(flag)
}

impl Job<'_> {
    /// Runs it to its end. A job that fails, or claims usb4 without having used it, is an error.
    pub(super) fn run(&self) -> Result<Outcome> {
        // In the target folder, because that is where folders of other Debian releases see it too.
        let scratch = workspace::target().join("example");
        std::fs::create_dir_all(&scratch)?;
        let scratch = tempfile::tempdir_in(scratch).context("no temporary folder can be made in the target folder")?;
        let stats = scratch.path().join("stats");
        let mut command = self.command()?;
        // Set for all transports, to find usb4 where it does not belong; the others need not complain.
        command.env("UCX_USB4_STATS", &stats).env("UCX_WARN_UNUSED_ENV_VARS", "n");
        let finished = self.supervise(&mut command);
        if !matches!(&finished, Ok((status, _)) if status.success()) {
            self.clean();
        }
        let (status, measured) = finished?;
        ensure!(!self.interrupted.load(Ordering::Relaxed), "interrupted");
        ensure!(status.success(), "the job failed: {status}; what it said stands above");
        let measured = measured.context("the program ended without a line `measured: {...}`")?;
        let traffic = Traffic::read(&stats)?;
        match self.transport {
            Transport::Usb4 { .. } if traffic.cable_bytes == 0 => bail!(
                "the job ended well, but usb4's counters show no traffic over cables: something else carried it; `usb4ctl \
                 doctor` says which setting is in the way"
            ),
            Transport::Tcp | Transport::SharedMemory if traffic.channels > 0 => {
                bail!("usb4 was open in a job that was meant for another transport")
            }
            _ => Ok(Outcome { measured, traffic }),
        }
    }

    fn command(&self) -> Result<Command> {
        let mut command = self.program.mpirun()?;
        // Each job says itself what it runs over.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if ["UCX_", "OMPI_MCA_", "PMIX_MCA_", "MPICH_", "MPIR_"].iter().any(|start| text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        command.args(["-n", &self.ranks.to_string()]);
        if self.program.mpi == Mpi::Openmpi {
            command.arg("--oversubscribe");
            // Containers run as root: Open MPI wants to be told so. Its own shared memory, of no use beside UCX, would be left
            // behind when ranks are killed.
            command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
            command.env("OMPI_MCA_btl", "self");
            if std::thread::available_parallelism().is_ok_and(|processors| self.ranks as usize > processors.get()) {
                // Ranks that wait must let the others run. With a processor for each, yielding would only lengthen the wait.
                command.env("OMPI_MCA_mpi_yield_when_idle", "1");
            }
        }
        command.envs(self.environment()?).envs(self.transport.variables());
        command.envs(self.program.variables.iter().map(|(name, value)| (name, value)));
        command.args(&self.program.words);
        Ok(command)
    }

    /// What `usb4ctl env` says. The other transports get the same, so that nothing but UCX_TLS differs.
    fn environment(&self) -> Result<BTreeMap<String, String>> {
        let mut command = Command::new(self.stage.program("usb4ctl"));
        let output =
            command.env_remove("UCX_TLS").args(["env", "--json"]).output().context("usb4ctl does not start")?;
        ensure!(output.status.success(), "usb4ctl env failed: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("usb4ctl env --json printed no object of strings")
    }

    /// Shows what the job prints, and keeps the line with its times.
    fn supervise(&self, command: &mut Command) -> Result<(ExitStatus, Option<Measured>)> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Ctrl-C must reach mpirun once: a second signal is its order to give up at once, and ranks are left behind.
            .process_group(0)
            .spawn()
            .with_context(|| format!("{} does not start", command.get_program().display()))?;
        let stdout = child.stdout.take().context("standard output is a pipe")?;
        let reader = thread::spawn(move || {
            let mut measured = None;
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                match line.strip_prefix("measured: ") {
                    Some(text) => measured = Some(Measured::parse(text)),
                    None => println!("{line}"),
                }
            }
            measured
        });
        let status = self.wait(&mut child)?;
        let measured = reader.join().ok().flatten().transpose()?;
        Ok((status, measured))
    }

    fn wait(&self, child: &mut Child) -> Result<ExitStatus> {
        let mut deadline = None;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if self.interrupted.load(Ordering::Relaxed) {
                match deadline {
                    None => {
                        end(child, Signal::TERM);
                        deadline = Some(Instant::now() + GRACE);
                    }
                    Some(deadline) if Instant::now() > deadline => end(child, Signal::KILL),
                    Some(_) => {}
                }
            }
            thread::sleep(POLL);
        }
    }

    /// Removes what killed ranks left in shared memory. That of other jobs, which run, stays.
    fn clean(&self) {
        let cleaned = Command::new(self.stage.program("usb4ctl")).args(["sim", "clean"]).stdout(Stdio::null()).status();
        if !cleaned.is_ok_and(|status| status.success()) {
            eprintln!("what the job left in shared memory could not be removed: try `usb4ctl sim clean`");
        }
    }
}

/// Tells mpirun, and whatever stands between it and this process: its group. Ranks have groups of their own, and are mpirun's to end.
fn end(child: &Child, signal: Signal) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        // It may just have ended by itself.
        let _ = kill_process_group(group, signal);
    }
}
