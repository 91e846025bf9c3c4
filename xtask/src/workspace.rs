//! Where things are.

use std::path::{Path, PathBuf};

/// The repository's top folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// Whether a program is in PATH.
pub(crate) fn has_program(name: &str) -> bool {
    find_program([name]).is_some()
}

/// The first of these programs that is in PATH.
pub(crate) fn find_program<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    names.into_iter().find(|name| std::env::split_paths(&path).any(|folder| folder.join(name).is_file()))
}

/// Open MPI's mpirun: under its own name where Debian has several MPIs.
pub(crate) fn open_mpi_mpirun() -> &'static str {
    find_program(["mpirun.openmpi"]).unwrap_or("mpirun")
}
