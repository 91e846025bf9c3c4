//! What an example starts.

use std::ffi::OsString;
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
    /// Variables that it needs.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

impl Program {
    /// mpirun, where the program runs.
    pub(super) fn mpirun(&self) -> Result<Command> {
        match (&self.folder, self.mpi) {
            (Some(folder), Mpi::Openmpi) => {
                folder.command("mpirun.openmpi", &[workspace::root(), &workspace::target()])
            }
            (Some(folder), Mpi::Mpich) => folder.command("mpirun.mpich", &[workspace::root(), &workspace::target()]),
            (None, Mpi::Openmpi) => Ok(Command::new(workspace::open_mpi_mpirun())),
            (None, Mpi::Mpich) => Ok(Command::new("mpirun.mpich")),
        }
    }
}
