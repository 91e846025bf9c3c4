//! The folder for everything downloaded: `$XDG_CACHE_HOME/ucx-usb4` or `~/.cache/ucx-usb4`.

use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock, statvfs};

/// What a first run downloads and unpacks, all kernels and the Debian image included, rounded up.
const NEEDED_MIB: u64 = 2048;

/// The cache folder.
pub(crate) struct Cache {
    root: PathBuf,
}

impl Cache {
    /// Finds the folder, or makes it.
    pub(crate) fn open() -> Result<Cache> {
        let base = match env::var_os("XDG_CACHE_HOME").filter(|value| !value.is_empty()) {
            Some(folder) => PathBuf::from(folder),
            None => {
                PathBuf::from(env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set: set one of them")?)
                    .join(".cache")
            }
        };
        let root = base.join("ucx-usb4");
        fs::create_dir_all(&root)
            .with_context(|| format!("{} cannot be made: set XDG_CACHE_HOME to a writable folder", root.display()))?;
        // QEMU runs in another folder than this process, so paths must not be relative.
        let root = fs::canonicalize(&root)?;
        Ok(Cache { root })
    }

    /// The folder.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Gives the folder `name`, and has `fill` fill it first if it is not there or `refresh` is asked for. Half-filled folders never
    /// count: `fill` works in another one, which gets the name when all is well.
    pub(crate) fn folder(&self, name: &str, refresh: bool, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
        let folder = self.root.join(name);
        if folder.is_dir() && !refresh {
            return Ok(folder);
        }
        // Two runs at once must not fill the same folder; the second waits and then finds it there.
        let lock = File::create(self.root.join("lock")).context("the cache's lock file cannot be made")?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            eprintln!("waiting for another run that fills {}", self.root.display());
            flock(&lock, FlockOperation::LockExclusive).context("the cache cannot be locked")?;
        }
        if folder.is_dir() && !refresh {
            return Ok(folder);
        }
        self.check_room()?;
        let partial = self.root.join(format!("{name}.partial"));
        remove(&partial)?;
        fs::create_dir_all(&partial).with_context(|| format!("{} cannot be made", partial.display()))?;
        if let Err(error) = fill(&partial) {
            remove(&partial)?;
            return Err(error);
        }
        remove(&folder)?;
        fs::rename(&partial, &folder).with_context(|| format!("{} cannot be put in place", folder.display()))?;
        Ok(folder)
    }

    fn check_room(&self) -> Result<()> {
        let stat = statvfs(&self.root).with_context(|| format!("{} cannot be examined", self.root.display()))?;
        let free_mib = (stat.f_bavail * stat.f_frsize) >> 20;
        if free_mib < NEEDED_MIB {
            bail!(
                "{} has {free_mib} MiB free, and up to {NEEDED_MIB} MiB are needed: free some, or set XDG_CACHE_HOME to a folder elsewhere",
                self.root.display()
            );
        }
        Ok(())
    }
}

/// Tells what folders were made from apart, in their names.
pub(crate) fn checksum(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("{} cannot be removed", folder.display()))?;
    }
    Ok(())
}
