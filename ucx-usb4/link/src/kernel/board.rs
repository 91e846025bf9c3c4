//! The board of a channel of the kernel's: an anonymous file of the process that has the channel. Observers find it in procfs beside the
//! channel's own descriptor, if they may look at the process, and it is gone with the process.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate, memfd_create};

use crate::shm::mapping::{Access, Mapping};
use crate::{Board, ChannelId, ConnectionStats};

/// The board of the process's own channel.
#[derive(Debug)]
pub(super) struct OwnBoard {
    pub(super) board: Board,
    // Open, so that it is listed.
    _file: OwnedFd,
}

impl OwnBoard {
    pub(super) fn new(channel: ChannelId) -> io::Result<OwnBoard> {
        let file = memfd_create(name(channel), MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
        ftruncate(&file, Board::BYTES as u64)?;
        fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::SEAL)?;
        let mapping = Mapping::new(file.as_fd(), 0, Board::BYTES, Access::ReadWrite)?;
        Ok(OwnBoard { board: Board::new(&mapping, 0), _file: file })
    }
}

/// What the board of a process's channel shows; `process` is its folder in procfs.
pub(super) fn connections(process: &Path, channel: ChannelId) -> Vec<ConnectionStats> {
    let target = format!("/memfd:{} (deleted)", name(channel));
    let is_board = |path: &Path| fs::read_link(path).is_ok_and(|link| link == Path::new(&target));
    let descriptors = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    let found = descriptors.map(|descriptor| descriptor.path()).find(|path| is_board(path));
    let shown = found.and_then(|path| map(&path).ok().flatten());
    shown.iter().flat_map(|board| board.connections()).map(|(_, stats)| stats).collect()
}

/// `None`: a file of that name which its owner could cut short while we look.
fn map(path: &Path) -> io::Result<Option<Board>> {
    let file = File::open(path)?;
    if !fcntl_get_seals(&file)?.contains(SealFlags::SHRINK) || file.metadata()?.len() != Board::BYTES as u64 {
        return Ok(None);
    }
    Ok(Some(Board::new(&Mapping::new(file.as_fd(), 0, Board::BYTES, Access::Read)?, 0)))
}

fn name(channel: ChannelId) -> String {
    format!("usb4dma.channel{}", channel.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, ConnectionState};

    #[test]
    fn observers_find_the_board_while_the_channel_is_open() {
        let (channel, procfs) = (ChannelId(60_001), Path::new("/proc/self"));
        assert!(connections(procfs, channel).is_empty());
        let stats = ConnectionStats {
            peer: Address::new(0xbadc_afe5, 7),
            state: ConnectionState::Ready,
            tx_frames: 3,
            ..ConnectionStats::default()
        };
        let own = OwnBoard::new(channel).unwrap();
        own.board.show(2, Some(&stats));
        assert_eq!(connections(procfs, channel), [stats]);
        assert!(connections(procfs, ChannelId(60_002)).is_empty());
        drop(own);
        assert!(connections(procfs, channel).is_empty());
    }

    #[test]
    fn a_file_that_could_be_cut_short_is_not_mapped() {
        let channel = ChannelId(60_003);
        let file = memfd_create(name(channel), MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, Board::BYTES as u64).unwrap();
        assert!(connections(Path::new("/proc/self"), channel).is_empty());
    }
}
