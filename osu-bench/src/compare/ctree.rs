//! Finding the C OSU benchmarks in a folder.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

/// Deep enough for `libexec/osu-micro-benchmarks/mpi/pt2pt/standard`, and no walk through a whole disk.
const DEPTH: usize = 8;

/// The program of the benchmark `name` below `tree`.
///
/// # Errors
/// If there is none.
pub(super) fn program(tree: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let wanted = format!("osu_{name}");
    let found = find(tree, &wanted, DEPTH).with_context(|| format!("{} cannot be searched", tree.display()))?;
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "there is no {wanted} below {}; give the folder into which the C OSU micro-benchmarks were installed",
            tree.display()
        ),
    }
}

fn find(folder: &Path, wanted: &str, depth: usize) -> std::io::Result<Option<PathBuf>> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            folders.push(path);
        } else if path.file_name().is_some_and(|name| name == wanted) {
            return Ok(Some(path));
        }
    }
    folders.sort();
    for folder in folders.into_iter().filter(|folder| depth > 0 && !folder.is_symlink()) {
        // A folder that may not be read holds nothing for us.
        if let Ok(Some(path)) = find(&folder, wanted, depth - 1) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_where_osu_installs_it() {
        let tree = tempfile::tempdir().expect("a temporary folder");
        let folder = tree.path().join("libexec/osu-micro-benchmarks/mpi/pt2pt");
        std::fs::create_dir_all(&folder).expect("it can be made");
        std::fs::write(folder.join("osu_latency"), "").expect("it can be written");
        assert_eq!(program(tree.path(), "latency").expect("it is there"), folder.join("osu_latency"));
        assert!(program(tree.path(), "bw").is_err());
    }
}
