//! Where this installation keeps its libraries.

use std::path::{Path, PathBuf};

/// File name of the preload library.
pub(crate) const PRELOAD: &str = "libucx_usb4_preload.so";
/// File name of the transport: what UCX calls a module named `usb4`.
pub(crate) const TRANSPORT: &str = "libuct_usb4.so.0";

/// Library folders relative to the folder of the executable: a prefix, Fedora's layout, and Debian's multi-arch layout.
const RELATIVE: [&str; 4] =
    ["../lib/ucx-usb4", "../lib64/ucx-usb4", "../lib/x86_64-linux-gnu/ucx-usb4", "../lib/aarch64-linux-gnu/ucx-usb4"];

/// An installation's libraries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Install {
    /// The folder that holds both libraries; absolute.
    folder: PathBuf,
}

/// Why the libraries cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InstallError {
    #[error("cannot find {PRELOAD} and {TRANSPORT}; looked in {}; install ucx-usb4 completely, or name their folder with --libdir", list(.0))]
    Missing(Vec<PathBuf>),
    #[error(
        "{0} cannot be preloaded, because LD_PRELOAD separates names with spaces and colons; move the installation to a \
         folder whose path has neither"
    )]
    Path(PathBuf),
}

impl Install {
    /// Finds the libraries: in `libdir` if given, else from the place of `executable`.
    pub(crate) fn find(executable: &Path, libdir: Option<&Path>) -> Result<Install, InstallError> {
        let bin = executable.parent().unwrap_or(Path::new("/"));
        let candidates: Vec<PathBuf> = match libdir {
            Some(folder) => vec![folder.to_owned()],
            None => RELATIVE.iter().map(|relative| bin.join(relative)).collect(),
        };
        let complete = |folder: &&PathBuf| folder.join(PRELOAD).is_file() && folder.join(TRANSPORT).is_file();
        let Some(folder) = candidates.iter().find(complete) else {
            return Err(InstallError::Missing(candidates));
        };
        let folder = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        match folder.to_str() {
            Some(text) if !text.contains([' ', ':', '\t', '\n']) => Ok(Install { folder }),
            _ => Err(InstallError::Path(folder)),
        }
    }

    /// The preload library's path; it holds no character that LD_PRELOAD splits at.
    pub(crate) fn preload(&self) -> String {
        self.folder.join(PRELOAD).to_string_lossy().into_owned()
    }

    /// The folder of both libraries.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::fs;

    /// A complete installation below `prefix`; returns its executable.
    fn install_at(prefix: &Path, libdir: &str) -> PathBuf {
        let libraries = prefix.join(libdir);
        fs::create_dir_all(&libraries).unwrap();
        fs::create_dir_all(prefix.join("bin")).unwrap();
        fs::write(libraries.join(PRELOAD), "").unwrap();
        fs::write(libraries.join(TRANSPORT), "").unwrap();
        prefix.join("bin/usb4ctl")
    }

    /// An installation in a folder that need not exist.
    pub(crate) fn example(folder: &str) -> Install {
        Install { folder: folder.into() }
    }

    #[test]
    fn every_layout_is_found_from_the_executable() {
        for libdir in ["lib/ucx-usb4", "lib64/ucx-usb4", "lib/x86_64-linux-gnu/ucx-usb4"] {
            let prefix = tempfile::tempdir().unwrap();
            let executable = install_at(prefix.path(), libdir);
            let install = Install::find(&executable, None).unwrap();
            assert_eq!(
                install.preload(),
                prefix.path().canonicalize().unwrap().join(libdir).join(PRELOAD).to_str().unwrap()
            );
        }
    }

    #[test]
    fn an_incomplete_folder_is_not_taken() {
        let prefix = tempfile::tempdir().unwrap();
        let executable = install_at(prefix.path(), "lib/ucx-usb4");
        fs::remove_file(prefix.path().join("lib/ucx-usb4").join(TRANSPORT)).unwrap();
        let message = Install::find(&executable, None).unwrap_err().to_string();
        assert!(message.contains(TRANSPORT) && message.contains("--libdir"), "{message}");
    }

    #[test]
    fn the_override_wins() {
        let prefix = tempfile::tempdir().unwrap();
        let executable = install_at(prefix.path(), "lib/ucx-usb4");
        install_at(prefix.path(), "elsewhere");
        let folder = prefix.path().join("elsewhere");
        assert_eq!(Install::find(&executable, Some(&folder)).unwrap().folder(), folder.canonicalize().unwrap());
    }

    #[test]
    fn a_path_that_ld_preload_would_split_is_refused() {
        for bad in ["with space", "with:colon"] {
            let prefix = tempfile::tempdir().unwrap();
            let executable = install_at(&prefix.path().join(bad), "lib/ucx-usb4");
            let message = Install::find(&executable, None).unwrap_err().to_string();
            assert!(message.contains("LD_PRELOAD"), "{message}");
        }
    }
}
