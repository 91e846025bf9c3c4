//! The file of the channel that this process owns.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Relaxed, Release};

use rustix::fs::{FallocateFlags, fallocate, ftruncate, statvfs};
use rustix::io::Errno;

use super::counting::{CounterSet, by_direction};
use super::fabric::{Fabric, random_u64};
use super::layout::{CHANNEL_MAGIC, COUNTER_WORDS, FORMAT, channel as at};
use super::registry::{Folder, channel_file_name, system};
use super::topology::{LocalRail, local_rails};
use crate::shm::frames::{FRAME_BYTES, Frames};
use crate::shm::mapping::{Access, Counters, Mapping, Word};
use crate::{Address, Board, ChannelId, NodeId, OpenError, PAYLOAD_MAX};

const _: () = assert!(PAYLOAD_MAX <= FRAME_BYTES);

/// Rings that must fit into shared memory besides the pool when the channel is opened, so that the shortage is found
/// then and not in the first message.
const FIRST_RINGS: usize = 8;
/// Room for the fabric's own file.
const FABRIC_BYTES: usize = 64 * 1024;

/// The channel's own file: locked, reserved and mapped.
#[derive(Debug)]
pub(crate) struct OwnFile {
    pub(crate) address: Address,
    pub(crate) incarnation: u64,
    file: File,
    front: Arc<Mapping>,
    pool: Arc<Mapping>,
    pool_frames: u32,
    /// Rings in use, by number.
    rings: Vec<bool>,
    /// A shortage is reported once.
    has_warned: bool,
}

impl OwnFile {
    /// Makes the file of a new channel on a node.
    pub(crate) fn create(
        folder: &Folder,
        fabric: &Fabric,
        node: NodeId,
        pool_frames: u32,
        has_membarrier: bool,
    ) -> Result<OwnFile, OpenError> {
        let address = free_address(folder, fabric, node)?;
        let (name, incarnation) = (channel_file_name(address), random_u64());
        let path = folder.file(&name);
        let pool_bytes = pool_frames as usize * FRAME_BYTES;
        let mut mapped = None;
        let file = folder.add(&name, |file| {
            reserve(file, folder.path(), &path, pool_frames)?;
            let map = |offset: usize, len| {
                Mapping::new(file.as_fd(), offset as u64, len, Access::ReadWrite)
                    .map_err(|error| system("map", &path)(error.into()))
            };
            let (front, pool) = (map(0, at::POOL)?, map(at::POOL, pool_bytes)?);
            let put = |offset, value| Word::new(&front, offset).store(value, Relaxed);
            put(at::FORMAT, u64::from(FORMAT));
            put(at::FABRIC, fabric.id.0);
            put(at::INCARNATION, incarnation);
            put(at::ADDRESS, pack(address));
            put(at::PID, u64::from(std::process::id()));
            put(at::POOL_FRAMES, u64::from(pool_frames));
            put(at::HAS_MEMBARRIER, u64::from(has_membarrier));
            Word::new(&front, at::MAGIC).store(CHANNEL_MAGIC, Release);
            mapped = Some((front, pool));
            Ok(())
        })?;
        let Some((front, pool)) = mapped else { unreachable!("add has called the closure") };
        Ok(OwnFile { address, incarnation, file, front, pool, pool_frames, rings: Vec::new(), has_warned: false })
    }

    /// A word of the front.
    pub(crate) fn word(&self, offset: usize) -> Word {
        Word::new(&self.front, offset)
    }

    /// A word of the mailbox.
    pub(crate) fn mailbox(&self, offset: usize) -> Word {
        Word::new(&self.front, at::MAILBOX + offset)
    }

    /// The counters of one of the node's rails.
    pub(crate) fn counters(&self, rail: usize) -> CounterSet {
        CounterSet(Counters::new(&self.front, at::counters(rail)))
    }

    /// The connections' statistics.
    pub(crate) fn board(&self) -> Board {
        Board::new(&self.front, at::BOARD)
    }

    /// The transmit pool.
    pub(crate) fn pool(&self) -> Frames {
        Frames::new(&self.pool, 0, self.pool_frames)
    }

    /// Reserves an empty ring and writes where it leads; the caller announces it. `None`: no ring or no memory is left.
    pub(crate) fn add_ring(&mut self, lead: RingLead) -> Option<(u16, Arc<Mapping>)> {
        let ring = match self.rings.iter().position(|used| !used) {
            Some(ring) => ring,
            None if self.rings.len() < at::RINGS_MAX => self.rings.len(),
            None => return None,
        };
        let offset = at::ring(self.pool_frames as usize, ring);
        if let Err(error) = reserve_at(&self.file, offset, at::RING_BYTES) {
            if !std::mem::replace(&mut self.has_warned, true) {
                log::warn!(
                    "no shared memory for a ring of {} KiB ({error}); enlarge /dev/shm (mount -o remount,size=2G /dev/shm, \
                 docker run --shm-size=2g)",
                    at::RING_BYTES / 1024
                );
            }
            return None;
        }
        let mapping = Mapping::new(self.file.as_fd(), offset as u64, at::RING_BYTES, Access::ReadWrite);
        let mapping = mapping.inspect_err(|error| log::warn!("cannot map a ring: {error}; see `ulimit -v`")).ok()?;
        // A ring's former life must not look like frames of this one.
        for word in (0..at::RING_BYTES).step_by(crate::shm::cells::CELL_BYTES) {
            Word::new(&mapping, word).store(0, Relaxed);
        }
        let entry = at::ring_entry(ring);
        self.word(entry).store(pack(lead.to), Relaxed);
        self.word(entry + 8).store(lead.incarnation, Relaxed);
        self.word(entry + 16).store(lead.rail.map_or(at::LOOPBACK, |rail| rail as u64 + 1), Relaxed);
        match self.rings.get_mut(ring) {
            Some(used) => *used = true,
            None => self.rings.push(true),
        }
        Some((ring as u16, mapping))
    }

    /// Gives a ring back whose receiver is gone.
    pub(crate) fn remove_ring(&mut self, ring: u16) {
        if let Some(used) = self.rings.get_mut(usize::from(ring)) {
            *used = false;
        }
    }
}

/// Where a ring leads: a channel, and the rail, numbered over the fabric (`None`: loopback).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RingLead {
    pub(crate) to: Address,
    pub(crate) incarnation: u64,
    pub(crate) rail: Option<usize>,
}

/// An address as one word of a file.
pub(crate) fn pack(address: Address) -> u64 {
    u64::from(address.node.0) << 32 | u64::from(address.channel.0)
}

/// The inverse of `pack`.
pub(crate) fn unpack(word: u64) -> Address {
    Address { node: NodeId((word >> 32) as u32), channel: ChannelId(word as u16) }
}

/// Adds a channel's counters to the fabric's totals. At most once: if the process dies in between, they are lost
/// rather than counted twice.
pub(crate) fn fold(address: Address, fabric: &Fabric, set: impl Fn(usize) -> [u64; COUNTER_WORDS]) {
    for LocalRail { local, fabric: rail, direction, .. } in local_rails(&fabric.config, address.node) {
        let (sent, received) = by_direction(&set(local));
        fabric.add_rail_totals(rail, direction, &sent);
        fabric.add_rail_totals(rail, 1 - direction, &received);
    }
    if address.node.0 < fabric.config.nodes {
        fabric.add_node_totals(address.node.0 as usize, &set(crate::sim::LOOPBACK));
    }
}

/// `fold` for the file of a process that has died.
pub(crate) fn fold_dead(path: &Path, fabric: &Fabric) {
    let Ok(file) = File::options().read(true).write(true).open(path) else { return };
    let read = |offset: usize| {
        let mut word = [0; 8];
        file.read_exact_at(&mut word, offset as u64).map(|()| u64::from_ne_bytes(word)).unwrap_or(0)
    };
    let is_ours = read(at::MAGIC) == CHANNEL_MAGIC && read(at::FABRIC) == fabric.id.0;
    if is_ours && read(at::FOLDED) == 0 && file.write_all_at(&1u64.to_ne_bytes(), at::FOLDED as u64).is_ok() {
        let set = |rail: usize| std::array::from_fn(|index| read(at::counters(rail) + index * 8));
        fold(unpack(read(at::ADDRESS)), fabric, set);
    }
}

/// Numbers count up, so that an address is used again as late as possible.
fn free_address(folder: &Folder, fabric: &Fabric, node: NodeId) -> Result<Address, OpenError> {
    (0..=u16::MAX)
        .map(|_| Address { node, channel: ChannelId(fabric.next_channel()) })
        .find(|address| !folder.file(&channel_file_name(*address)).exists())
        .ok_or(OpenError::NoChannel(node))
}

/// Checks that a channel fits into the file system of a folder, before anything of it is made.
pub(crate) fn require_space(folder: &Path, pool_frames: u32) -> Result<(), OpenError> {
    let needed_bytes = needed_bytes(pool_frames);
    let available_bytes = available_bytes(folder).map_err(|error| system("examine", folder)(error.into()))?;
    if available_bytes < needed_bytes {
        return Err(no_space(folder, needed_bytes, available_bytes));
    }
    Ok(())
}

/// The channel's file, its first rings and the fabric's file.
fn needed_bytes(pool_frames: u32) -> u64 {
    (at::POOL + pool_frames as usize * FRAME_BYTES + FIRST_RINGS * at::RING_BYTES + FABRIC_BYTES) as u64
}

fn available_bytes(path: &Path) -> Result<u64, Errno> {
    let info = statvfs(path)?;
    Ok(info.f_bavail.saturating_mul(info.f_frsize))
}

fn no_space(folder: &Path, needed_bytes: u64, available_bytes: u64) -> OpenError {
    const MIB: u64 = 1 << 20;
    // The fabric's folder stands in the user's, and that in the file system's.
    let path = folder.ancestors().nth(2).unwrap_or(folder).to_owned();
    OpenError::NoSpace { path, needed_mib: needed_bytes.div_ceil(MIB), available_mib: available_bytes / MIB }
}

/// Reserves the memory now: a page that is not there when it is first written raises SIGBUS.
fn reserve(file: &File, folder: &Path, path: &Path, pool_frames: u32) -> Result<(), OpenError> {
    let len_bytes = at::POOL + pool_frames as usize * FRAME_BYTES;
    let size = ftruncate(file, len_bytes as u64);
    match size.and_then(|()| reserve_at(file, 0, len_bytes)) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT) => {
            Err(no_space(folder, needed_bytes(pool_frames), available_bytes(folder).unwrap_or(0)))
        }
        Err(error) => Err(system("reserve memory for", path)(error.into())),
    }
}

fn reserve_at(file: &File, offset: usize, len_bytes: usize) -> Result<(), Errno> {
    loop {
        match fallocate(file, FallocateFlags::empty(), offset as u64, len_bytes as u64) {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}
