//! An MPI job that cannot hang a test.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::prefix::clear;
use crate::processes::kill_family;
use crate::ucx::Ucx;
use crate::{Fabric, Prefix, Traffic};

/// Far beyond what any job takes: it only keeps a hang from stopping everything.
const HANG_GUARD: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(10);

/// The MPI that runs a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mpi {
    /// Open MPI, pml/ucx and osc/ucx.
    OpenMpi,
    /// MPICH, ch4:ucx.
    Mpich,
}

impl Mpi {
    fn mpirun(self) -> &'static str {
        match self {
            Mpi::Mpich => "mpirun.mpich",
            Mpi::OpenMpi if Path::new("/usr/bin/mpirun.openmpi").is_file() => "mpirun.openmpi",
            Mpi::OpenMpi => "mpirun",
        }
    }
}

/// A job to be started: with the variables of `usb4ctl env` and a fabric of its own.
#[derive(Debug)]
pub struct Job {
    command: Command,
    stats: PathBuf,
}

impl Job {
    /// `ranks` ranks of a program that `mpi` starts: `usb4ctl env`, UCX_USB4_LINKS, and nothing else.
    #[must_use]
    pub fn new(mpi: Mpi, prefix: &Prefix, fabric: &Fabric, ranks: u32, program: impl AsRef<OsStr>) -> Job {
        let mut job = Job::command(prefix, fabric, mpi.mpirun());
        job.command.args(["-n", &ranks.to_string()]);
        if mpi == Mpi::OpenMpi {
            job.command.arg("--oversubscribe");
        }
        job.command.arg(program);
        job
    }

    /// An example of this repository, built for that MPI.
    #[must_use]
    pub fn example(mpi: Mpi, prefix: &Prefix, fabric: &Fabric, ranks: u32, name: &str) -> Job {
        let program = match mpi {
            Mpi::OpenMpi => prefix.program(name),
            Mpi::Mpich => prefix.mpich_program(name),
        };
        Job::new(mpi, prefix, fabric, ranks, program)
    }

    /// Any other command in the same surroundings, without mpirun.
    #[must_use]
    pub fn command(prefix: &Prefix, fabric: &Fabric, program: impl AsRef<OsStr>) -> Job {
        let mut job = Job::bare(fabric, program);
        job.command.envs(prefix.environment());
        job
    }

    /// Any command in the shell of a user who has chosen a cable and has not run `usb4ctl env`.
    #[must_use]
    pub fn bare(fabric: &Fabric, program: impl AsRef<OsStr>) -> Job {
        let mut command = Command::new(program);
        clear(&mut command);
        Ucx::chosen().apply(&mut command);
        let stats = fabric.scratch("stats");
        command.env("UCX_USB4_LINKS", fabric.links()).env("UCX_USB4_STATS", &stats);
        allow(&mut command);
        Job { command, stats }
    }

    /// Adds an argument of the program.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Job {
        self.command.arg(argument);
        self
    }

    /// Adds several.
    #[must_use]
    pub fn args(mut self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Job {
        self.command.args(arguments);
        self
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Job {
        self.command.env(name, value);
        self
    }

    /// Takes a variable away.
    #[must_use]
    pub fn env_remove(mut self, name: &str) -> Job {
        self.command.env_remove(name);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If the program is not there.
    #[must_use]
    pub fn start(mut self) -> Running {
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.command.get_program()));
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        Running { child, stdout: Some(stdout), stderr: Some(stderr), stats: self.stats }
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it hangs.
    #[must_use]
    pub fn run(self) -> Outcome {
        self.start().finish()
    }
}

/// Test machines have fewer processors than ranks, and tests in containers run as root: Open MPI wants to be told so.
fn allow(command: &mut Command) {
    command.env("OMPI_MCA_mpi_yield_when_idle", "1");
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
}

/// A job that runs. Dropping it kills all its processes.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
    stats: PathBuf,
}

impl Running {
    /// The process number of what was started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether what was started still runs.
    ///
    /// # Panics
    /// If it cannot be waited for.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("the job can be waited for").is_none()
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it hangs; everything is then killed.
    #[must_use]
    pub fn finish(mut self) -> Outcome {
        let deadline = Instant::now() + HANG_GUARD;
        let status = loop {
            match self.child.try_wait().expect("the job can be waited for") {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    kill_family(self.child.id());
                    let texts = [self.stdout.take(), self.stderr.take()].map(|text| text.map(JoinHandle::join));
                    panic!("the job hangs; it printed {texts:?}");
                }
                None => thread::sleep(POLL),
            }
        };
        let text = |reader: &mut Option<JoinHandle<String>>| {
            reader.take().map_or_else(String::new, |reader| reader.join().unwrap_or_default())
        };
        let (stdout, stderr) = (text(&mut self.stdout), text(&mut self.stderr));
        let traffic = Traffic::read(&self.stats);
        let ucx = Ucx::chosen();
        traffic.channels.iter().for_each(|channel| ucx.check(&channel.ucx));
        Outcome { status, stdout, stderr, traffic }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        kill_family(self.child.id());
        let _ = self.child.wait();
    }
}

/// How a job ended.
#[derive(Debug)]
pub struct Outcome {
    /// How its first process ended.
    pub status: ExitStatus,
    /// All that it printed.
    pub stdout: String,
    /// All that it complained about.
    pub stderr: String,
    /// What its channels moved.
    pub traffic: Traffic,
}

impl Outcome {
    /// Checks that the job succeeded and said PASS.
    ///
    /// # Panics
    /// If not, with all that it printed.
    pub fn assert_pass(&self) {
        assert!(
            self.status.success() && self.stdout.contains("PASS"),
            "{}\n--- stdout\n{}\n--- stderr\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
    }
}

/// Reads a pipe to its end beside the job, which would block on a full one.
fn drain(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is all there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
