//! The machine as the checks see it. Tests put a fake one in its place and create each trap there.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a program printed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    /// Whether it ended with exit code 0.
    pub(crate) success: bool,
    /// Its exit code; none: a signal ended it.
    pub(crate) code: Option<i32>,
    /// Its standard output.
    pub(crate) stdout: String,
    /// Its standard error.
    pub(crate) stderr: String,
}

/// The machine and the environment in which a job would start.
pub(crate) trait Host {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String>;
    /// Opens a device for reading and writing, and closes it.
    fn open(&self, path: &Path) -> io::Result<()>;
    /// Reads a text file.
    fn read(&self, path: &Path) -> io::Result<String>;
    /// Reads a file that need not be text.
    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>>;
    /// Whether there is such a file or folder.
    fn exists(&self, path: &Path) -> bool;
    /// The names in a folder, in order; none where there is no such folder.
    fn list(&self, path: &Path) -> Vec<String>;
    /// Free bytes of the file system that holds `path`.
    fn free_bytes(&self, path: &Path) -> io::Result<u64>;
    /// Runs a program with further variables.
    fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> io::Result<Output>;
}

/// This machine, and the environment of this process.
pub(crate) struct ThisMachine;

impl Host for ThisMachine {
    fn variable(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn open(&self, path: &Path) -> io::Result<()> {
        std::fs::OpenOptions::new().read(true).write(true).open(path).map(drop)
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        std::fs::read_to_string(path)
    }

    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        std::fs::read(path)
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }

    fn list(&self, path: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn free_bytes(&self, path: &Path) -> io::Result<u64> {
        let stat = rustix::fs::statvfs(path)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn run(&self, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> io::Result<Output> {
        let output =
            Command::new(program).args(arguments).envs(variables.iter().copied()).stdin(Stdio::null()).output()?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (success, code) = (output.status.success(), output.status.code());
        Ok(Output { success, code, stdout: text(output.stdout), stderr: text(output.stderr) })
    }
}
