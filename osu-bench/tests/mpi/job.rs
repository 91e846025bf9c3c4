//! One mpirun, alone on the machine and with an end.

use std::process::Command;
use std::sync::Mutex;

use serde_json::Value;

/// osu-bench as built for these tests.
pub(crate) const OSU_BENCH: &str = env!("CARGO_BIN_EXE_osu-bench");
/// Only keeps a hang from stopping everything.
const HANG_GUARD_S: &str = "120";
/// Ranks spin while they wait; two jobs at once would slow each other down tenfold.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What a job left.
pub(crate) struct Outcome {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

/// A transport as UCX_TLS names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Transport {
    Tcp,
    SharedMemory,
}

/// Runs osu-bench on `ranks` ranks.
pub(crate) fn job(ranks: usize, transport: Transport, arguments: &[&str]) -> Outcome {
    let mut command = guarded("mpirun");
    command.args(["-n", &ranks.to_string(), "--oversubscribe"]);
    let tls = match transport {
        Transport::Tcp => "tcp",
        Transport::SharedMemory => "posix,self",
    };
    command.env("UCX_TLS", tls).env("OMPI_MCA_pml", "ucx").env("OMPI_MCA_osc", "ucx");
    for whitelist in ["pml_ucx_tls", "pml_ucx_devices", "opal_common_ucx_tls", "opal_common_ucx_devices"] {
        command.env(format!("OMPI_MCA_{whitelist}"), "any");
    }
    command.env("OMPI_MCA_mpi_yield_when_idle", "1");
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    finish(command.arg(OSU_BENCH).args(arguments))
}

/// Runs osu-bench itself, which may start mpirun.
pub(crate) fn alone(arguments: &[&str]) -> Outcome {
    finish(guarded(OSU_BENCH).args(arguments))
}

impl Outcome {
    /// This job, if it ended well.
    pub(crate) fn expect_success(self) -> Outcome {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// The JSON documents that it printed.
    pub(crate) fn documents(&self) -> Vec<Value> {
        let documents = serde_json::Deserializer::from_str(&self.stdout).into_iter();
        documents.collect::<Result<_, _>>().unwrap_or_else(|error| panic!("{error} in {}", self.stdout))
    }

    /// The lines that osu-bench itself wrote to standard error.
    pub(crate) fn own_lines(&self) -> Vec<&str> {
        self.stderr.lines().filter_map(|line| line.strip_prefix("osu-bench: ")).collect()
    }
}

fn guarded(program: &str) -> Command {
    let mut command = Command::new("timeout");
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if ["UCX_", "OMPI_", "PMIX_", "PMI_"].iter().any(|start| text.starts_with(start)) || text == "LD_PRELOAD" {
            command.env_remove(&name);
        }
    }
    command.args(["--kill-after=5", HANG_GUARD_S, program]);
    command
}

fn finish(command: &mut Command) -> Outcome {
    // A test that failed while it held the lock says nothing about the others.
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let output = command.output().expect("timeout(1) starts");
    Outcome {
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    }
}
