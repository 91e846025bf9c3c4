//! A machine made of maps, for tests.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::openmpi::{Absent, Settings};
use super::report::{Finding, Outcome};
use crate::host::{Host, Output};
use crate::install::tests::example;
use crate::install::{Install, InstallError};

/// Where the fake installation's preload library is.
pub(crate) const PRELOAD: &str = "/opt/usb4/lib/libucx_usb4_preload.so";

/// A machine that has only what a test put there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fake {
    variables: BTreeMap<String, String>,
    files: BTreeMap<PathBuf, Result<String, io::ErrorKind>>,
    folders: Vec<PathBuf>,
    programs: BTreeMap<String, Output>,
    free_bytes: u64,
}

impl Fake {
    pub(crate) fn new() -> Fake {
        Fake { free_bytes: 8 << 30, ..Fake::default() }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Fake {
        self.variables.insert(name.into(), value.into());
        self
    }

    pub(crate) fn file(mut self, path: &str, text: Result<&str, io::ErrorKind>) -> Fake {
        self.files.insert(path.into(), text.map(str::to_owned));
        self
    }

    pub(crate) fn free_bytes(mut self, bytes: u64) -> Fake {
        self.free_bytes = bytes;
        self
    }

    /// A program with its arguments in one string, and what it prints.
    pub(crate) fn program(mut self, command: &str, stdout: &str, stderr: &str) -> Fake {
        let output = Output { success: true, code: Some(0), stdout: stdout.into(), stderr: stderr.into() };
        self.programs.insert(command.into(), output);
        self
    }

    /// A program that ends with this exit code.
    pub(crate) fn program_that_ends(mut self, command: &str, code: i32, stderr: &str) -> Fake {
        let output = Output { success: code == 0, code: Some(code), stdout: String::new(), stderr: stderr.into() };
        self.programs.insert(command.into(), output);
        self
    }

    /// An empty folder.
    pub(crate) fn folder(mut self, path: &str) -> Fake {
        self.folders.push(path.into());
        self
    }

    /// A cable to another host, trained alike in both directions.
    pub(crate) fn cable(self, name: &str, speed: &str, lanes: &str) -> Fake {
        let file = |file: &str| format!("{}/{name}/{file}", crate::cables::DEVICES);
        let router = self.folder(&format!("{}/0-0", crate::cables::DEVICES));
        let cable = router.file(&file("uevent"), Ok("DEVTYPE=thunderbolt_xdomain\n"));
        let receives = cable.file(&file("rx_speed"), Ok(speed)).file(&file("rx_lanes"), Ok(lanes));
        receives.file(&file("tx_speed"), Ok(speed)).file(&file("tx_lanes"), Ok(lanes))
    }

    /// What `check` says of this machine.
    pub(super) fn examine(&self, check: fn(&dyn Host) -> Finding) -> Finding {
        complete(check(self))
    }

    /// The same for a check that looks at the installation, too.
    pub(super) fn with_install(&self, check: impl Fn(&dyn Host, &Result<Install, InstallError>) -> Finding) -> Finding {
        complete(check(self, &Ok(example("/opt/usb4/lib"))))
    }

    /// The same for a check of Open MPI's settings.
    pub(super) fn open_mpi(&self, check: fn(&Result<Settings, Absent>) -> Finding) -> Finding {
        complete(check(&Settings::read(self)))
    }
}

fn complete(finding: Finding) -> Finding {
    assert_eq!(finding.advice.is_none(), finding.outcome == Outcome::Ok, "advice exactly when needed");
    finding
}

impl Host for Fake {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned()
    }

    fn open(&self, path: &Path) -> io::Result<()> {
        self.read(path).map(drop)
    }

    fn read(&self, path: &Path) -> io::Result<String> {
        match self.files.get(path) {
            Some(Ok(text)) => Ok(text.clone()),
            Some(Err(kind)) => Err((*kind).into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn read_bytes(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.read(path).map(String::into_bytes)
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(path) || self.folders.iter().any(|folder| folder == path)
    }

    fn list(&self, path: &Path) -> Vec<String> {
        let all = self.files.keys().chain(&self.folders);
        let inside = all.filter_map(|other| other.strip_prefix(path).ok()?.components().next());
        let mut names: Vec<String> = inside.map(|name| name.as_os_str().to_string_lossy().into_owned()).collect();
        names.sort();
        names.dedup();
        names
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(self.free_bytes)
    }

    fn run(&self, program: &str, arguments: &[&str], _: &[(&str, &str)]) -> io::Result<Output> {
        let command = [&[program], arguments].concat().join(" ");
        self.programs.get(&command).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}
