//! What an example starts.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::Mpi;
use crate::folder::Folder;
use crate::workspace;

/// A program, the MPI it is built for, and the system it runs on.
pub(crate) struct Program {
    /// The program and its arguments, as mpirun gets them.
    pub(crate) words: Vec<OsString>,
    /// Its MPI.
    pub(crate) mpi: Mpi,
    /// A Debian system in a folder; none: this machine.
    pub(crate) folder: Option<Folder>,
    /// What it needs of this machine there, beside the repository.
    pub(crate) shared: Vec<PathBuf>,
    /// Variables that it needs.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Program {
    /// mpirun, where the program runs.
    pub(super) fn mpirun(&self) -> Result<Command> {
        let name = match (&self.folder, self.mpi) {
            (_, Mpi::Mpich) => "mpirun.mpich",
            (Some(_), Mpi::Openmpi) => "mpirun.openmpi",
            (None, Mpi::Openmpi) => workspace::open_mpi_mpirun(),
        };
        let Some(folder) = &self.folder else { return Ok(Command::new(name)) };
        let target = workspace::target();
        let shared = self.shared.iter().map(PathBuf::as_path).chain([workspace::root(), target.as_path()]);
        folder.command(name, &shared.collect::<Vec<_>>())
    }
}
