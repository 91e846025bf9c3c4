//! The folder of a fabric: who is in it, and who has died.
//!
//! `/dev/shm/ucx-usb4-<uid>/<fabric>/` holds the `fabric` file and one file per member: a channel
//! (`n<node>.c<channel>`) or a holder (`hold.<number>`). Members come and go under an flock on the folder. A member
//! holds an flock on its own file for life, which the kernel drops when its process ends, however it ends: a file
//! that can be locked belongs to a dead process. So nothing has to be cleaned up by those who are killed; the next
//! one to come or go does it.

use std::fs::{self, DirBuilder, File, OpenOptions as FileOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::fabric::Fabric;
use super::own;
use crate::{Address, ChannelId, NodeId, OpenError};

/// The name of the fabric's own file.
pub(crate) const FABRIC_FILE: &str = "fabric";

/// The simulated fabrics of one user.
#[derive(Clone, Debug)]
pub struct Registry {
    root: PathBuf,
}

impl Default for Registry {
    /// The fabrics of the calling user in `/dev/shm`.
    fn default() -> Self {
        Registry::in_folder(Path::new("/dev/shm"))
    }
}

impl Registry {
    /// The fabrics of the calling user under another folder (of a file system in memory).
    #[must_use]
    pub fn in_folder(folder: &Path) -> Registry {
        Registry { root: folder.join(format!("ucx-usb4-{}", rustix::process::geteuid().as_raw())) }
    }

    /// Names of all fabrics, whether in use or left over.
    pub(crate) fn names(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(&self.root) else { return Vec::new() };
        let mut names: Vec<_> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    /// Locks a fabric's folder and makes it if need be.
    pub(crate) fn enter(&self, name: &str) -> Result<Folder, OpenError> {
        loop {
            make_folder(&self.root)?;
            self.check_owner()?;
            let path = self.root.join(name);
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(system("make", &path)(error)),
                _ => {}
            }
            if let Some(folder) = Folder::lock(path, FlockOperation::LockExclusive)? {
                return Ok(folder);
            }
        }
    }

    /// Locks a fabric's folder if it exists.
    pub(crate) fn visit(&self, name: &str) -> Result<Option<Folder>, OpenError> {
        Folder::lock(self.root.join(name), FlockOperation::LockExclusive)
    }

    /// Removes fabrics that no living process uses; returns their names. A fabric that somebody is entering or
    /// leaving at this moment is in use.
    pub(crate) fn sweep(&self) -> Vec<String> {
        let mut removed = Vec::new();
        for name in self.names() {
            let folder = Folder::lock(self.root.join(&name), FlockOperation::NonBlockingLockExclusive);
            if let Ok(Some(folder)) = folder {
                folder.remove_dead();
                if folder.remove_if_unused() {
                    removed.push(name);
                }
            }
        }
        removed
    }

    /// A folder that somebody else prepared could be made to carry our frames to them.
    fn check_owner(&self) -> Result<(), OpenError> {
        let user = rustix::process::geteuid().as_raw();
        match fs::symlink_metadata(&self.root) {
            Ok(metadata) if metadata.uid() == user && metadata.is_dir() => Ok(()),
            Ok(metadata) => Err(OpenError::ForeignOwner { path: self.root.clone(), owner: metadata.uid(), user }),
            // Somebody left at this moment and took the folder along; entering makes it again.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(system("examine", &self.root)(error)),
        }
    }
}

/// A file in a fabric's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// A process's channel.
    Channel(Address),
    /// Somebody who keeps the fabric alive.
    Holder,
}

impl Member {
    pub(crate) fn from_file_name(name: &str) -> Option<Member> {
        if name.starts_with("hold.") {
            return Some(Member::Holder);
        }
        let (node, channel) = name.strip_prefix('n')?.split_once(".c")?;
        Some(Member::Channel(Address { node: NodeId(node.parse().ok()?), channel: ChannelId(channel.parse().ok()?) }))
    }
}

/// The file name of a channel.
pub(crate) fn channel_file_name(address: Address) -> String {
    format!("n{}.c{}", address.node.0, address.channel.0)
}

/// A fabric's folder, locked: nobody comes or goes while it is held.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// `None` if it does not exist, was removed while we waited, or (for a non-blocking lock) is held.
    fn lock(path: PathBuf, operation: FlockOperation) -> Result<Option<Folder>, OpenError> {
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(system("open", &path)(error)),
        };
        match retry_interrupted(|| flock(&lock, operation)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(system("lock", &path)(error.into())),
        }
        let metadata = lock.metadata().map_err(system("examine", &path))?;
        if metadata.nlink() == 0 || !metadata.is_dir() {
            return Ok(None);
        }
        Ok(Some(Folder { path, _lock: lock }))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Makes a member's file, locked by this process for as long as the returned file lives. It has its final name
    /// only after `fill` has written it, so nobody ever sees half a member.
    pub(crate) fn add(&self, name: &str, fill: impl FnOnce(&File) -> Result<(), OpenError>) -> Result<File, OpenError> {
        let new = self.file(&format!(".new.{name}"));
        let file = FileOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&new);
        let file = file.map_err(system("make", &new))?;
        let filled = flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|error| system("lock", &new)(error.into()))
            .and_then(|()| fill(&file))
            .and_then(|()| fs::rename(&new, self.file(name)).map_err(system("rename", &new)));
        if let Err(error) = filled {
            let _ = fs::remove_file(&new);
            return Err(error);
        }
        Ok(file)
    }

    /// Removes a member's file.
    pub(crate) fn remove(&self, name: &str) {
        let path = self.file(name);
        if let Err(error) = fs::remove_file(&path) {
            log::warn!("cannot remove {}: {error}; `usb4ctl sim clean` will try again", path.display());
        }
    }

    /// All members whose processes live.
    pub(crate) fn members(&self) -> Vec<Member> {
        self.entries()
            .into_iter()
            .filter_map(|(name, member)| member.filter(|_| is_locked(&self.file(&name))))
            .collect()
    }

    /// Removes the files of members whose processes have ended, and adds what they counted to the fabric's totals.
    pub(crate) fn remove_dead(&self) {
        let mut fabric = None;
        for (name, member) in self.entries() {
            if name == FABRIC_FILE || is_locked(&self.file(&name)) {
                continue;
            }
            if let Some(Member::Channel(_)) = member {
                let fabric = fabric.get_or_insert_with(|| Fabric::open(self).ok());
                if let Some(fabric) = fabric {
                    own::fold_dead(&self.file(&name), fabric);
                }
            }
            self.remove(&name);
        }
    }

    /// Removes the fabric if nobody is left in it, and the user's folder if that was the last.
    pub(crate) fn remove_if_unused(&self) -> bool {
        if !self.members().is_empty() {
            return false;
        }
        for (name, _) in self.entries() {
            self.remove(&name);
        }
        let removed = fs::remove_dir(&self.path).is_ok();
        if let Some(root) = self.path.parent() {
            // Fails while there are other fabrics, as it should.
            let _ = fs::remove_dir(root);
        }
        removed
    }

    fn entries(&self) -> Vec<(String, Option<Member>)> {
        let Ok(entries) = fs::read_dir(&self.path) else { return Vec::new() };
        let names = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        let mut entries: Vec<_> =
            names.map(|name| (Member::from_file_name(&name), name)).map(|(m, n)| (n, m)).collect();
        entries.sort_by(|(left, _), (right, _)| left.cmp(right));
        entries
    }
}

/// Whether a living process owns the member's file. When in doubt (no descriptor left to look with) it does: to take
/// the living for dead is worse than the other way round.
pub(crate) fn is_locked(path: &Path) -> bool {
    match File::open(path) {
        Ok(file) => is_file_locked(&file),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    }
}

/// As `is_locked`, for a file that is open already. A shared lock is tried, so that two who ask at the same time
/// do not take each other for the owner.
pub(crate) fn is_file_locked(file: &File) -> bool {
    match retry_interrupted(|| flock(file, FlockOperation::NonBlockingLockShared)) {
        Ok(()) => {
            let _ = flock(file, FlockOperation::Unlock);
            false
        }
        Err(_) => true,
    }
}

fn make_folder(path: &Path) -> Result<(), OpenError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(system("make", path)(error)),
        _ => Ok(()),
    }
}

fn retry_interrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

/// An `OpenError::System` from what the system said.
pub(crate) fn system(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    move |source| OpenError::System { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_in_use_while_it_is_locked_and_when_one_cannot_tell() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("member");
        assert!(!is_locked(&path), "there is none");
        let file = File::create(&path).unwrap();
        assert!(!is_locked(&path));
        flock(&file, FlockOperation::LockExclusive).unwrap();
        assert!(is_locked(&path));
        assert!(is_locked(&path), "asking does not take the lock");
        drop(file);
        assert!(!is_locked(&path));
        assert!(is_locked(&path.join("below")), "cannot be opened");
    }

    #[test]
    fn only_members_names_are_members() {
        let channel = |node, channel| Some(Member::Channel(Address::new(node, channel)));
        assert_eq!(Member::from_file_name("n1.c20"), channel(1, 20));
        assert_eq!(Member::from_file_name(&channel_file_name(Address::new(255, 65535))), channel(255, 65535));
        assert_eq!(Member::from_file_name("hold.00ff"), Some(Member::Holder));
        for other in ["fabric", ".new.n1.c2", "n1", "n1.c", "n.c1", "n1.c65536", "n1.c2.bak"] {
            assert_eq!(Member::from_file_name(other), None, "{other}");
        }
    }
}
