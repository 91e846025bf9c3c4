//! Another channel's file, as this process maps it.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::fabric::Fabric;
use super::layout::{CHANNEL_MAGIC, FORMAT, channel as at};
use super::own::{RingLead, pack, unpack};
use super::registry::{channel_file_name, is_file_locked};
use crate::Address;
use crate::shm::cells::MappedRing;
use crate::shm::frames::{FRAME_BYTES, Frames};
use crate::shm::mapping::{Access, Mapping, Word};

/// A mapped peer. What it says about itself was read once, when it was mapped.
#[derive(Debug)]
pub(crate) struct PeerFile {
    pub(crate) address: Address,
    pub(crate) incarnation: u64,
    /// Senders must pass a full barrier before they look whether it sleeps.
    pub(crate) needs_barrier: bool,
    pool_frames: u32,
    file: File,
    front: Arc<Mapping>,
    mailbox: Arc<Mapping>,
    pool: Arc<Mapping>,
    closed: Word,
}

impl PeerFile {
    /// Maps the channel at an address, if it exists, lives and belongs to this fabric.
    pub(crate) fn open(folder: &Path, fabric: &Fabric, address: Address) -> Option<PeerFile> {
        let file = File::options().read(true).write(true).open(folder.join(channel_file_name(address))).ok()?;
        let len_bytes = usize::try_from(file.metadata().ok()?.len()).ok()?;
        if len_bytes < at::POOL || !is_file_locked(&file) {
            return None;
        }
        let map = |offset: usize, len, access| Mapping::new(file.as_fd(), offset as u64, len, access).ok();
        let front = map(0, at::POOL, Access::Read)?;
        let get = |offset| Word::new(&front, offset).load(Acquire);
        let is_right = get(at::MAGIC) == CHANNEL_MAGIC
            && get(at::FORMAT) == u64::from(FORMAT)
            && get(at::FABRIC) == fabric.id.0
            && get(at::ADDRESS) == pack(address);
        let pool_frames = u32::try_from(get(at::POOL_FRAMES)).ok()?;
        let pool_bytes = pool_frames as usize * FRAME_BYTES;
        if !is_right || len_bytes - at::POOL < pool_bytes {
            return None;
        }
        let mailbox = map(at::MAILBOX, at::MAILBOX_BYTES, Access::ReadWrite)?;
        let pool = map(at::POOL, pool_bytes, Access::Read)?;
        let (incarnation, needs_barrier) = (get(at::INCARNATION), get(at::HAS_MEMBARRIER) == 0);
        let closed = Word::new(&front, at::CLOSED);
        Some(PeerFile { address, incarnation, needs_barrier, pool_frames, file, front, mailbox, pool, closed })
    }

    /// Whether the owner has neither closed the channel nor died.
    pub(crate) fn is_alive(&self) -> bool {
        self.closed.load(Acquire) == 0 && is_file_locked(&self.file)
    }

    /// The word that says whether the owner sleeps.
    pub(crate) fn sleeping(&self) -> Word {
        Word::new(&self.mailbox, at::SLEEPING)
    }

    /// Its transmit pool, for reading.
    pub(crate) fn pool(&self) -> Frames {
        Frames::new(&self.pool, 0, self.pool_frames)
    }

    /// Claims a free place in its inbox for a ring of `from`: its number, and the word for its consumed count.
    pub(crate) fn reserve_slot(&self, from: Address) -> Option<Slot> {
        // Senders start at different places, so that they seldom look at the same slot.
        let start = (from.node.0 as usize).wrapping_mul(31).wrapping_add(usize::from(from.channel.0) * 7);
        (0..at::INBOX_SLOTS)
            .map(|step| Slot((start + step) % at::INBOX_SLOTS))
            .find(|slot| Word::new(&self.mailbox, at::slot_announcement(slot.0)).load(Relaxed) == 0)
    }

    /// The consumed count that belongs to a slot.
    pub(crate) fn consumed(&self, slot: Slot) -> Word {
        Word::new(&self.mailbox, at::slot_consumed(slot.0))
    }

    /// Announces a ring in one step; false if another sender took the slot.
    pub(crate) fn announce(&self, slot: Slot, from: Announcement) -> bool {
        let is_done = Word::new(&self.mailbox, at::slot_announcement(slot.0)).replace(0, from.to_word()).is_ok();
        if is_done {
            Word::new(&self.mailbox, at::ANNOUNCEMENTS).add(1);
        }
        is_done
    }

    /// Where one of its rings leads, as it says.
    pub(crate) fn ring_lead(&self, ring: u16) -> Option<RingLead> {
        let entry = at::ring_entry(usize::from(ring).min(at::RINGS_MAX - 1));
        let get = |offset| Word::new(&self.front, entry + offset).load(Relaxed);
        let rail = match get(16) {
            at::LOOPBACK => None,
            number => Some(usize::try_from(number.checked_sub(1)?).ok()?),
        };
        Some(RingLead { to: unpack(get(0)), incarnation: get(8), rail })
    }

    /// Maps one of its rings for reading.
    pub(crate) fn ring(&self, ring: u16, consumed: Word) -> Option<MappedRing> {
        let ring = usize::from(ring);
        let offset = at::ring(self.pool_frames as usize, ring);
        let len_bytes = self.file.metadata().ok()?.len();
        if ring >= at::RINGS_MAX || len_bytes < (offset + at::RING_BYTES) as u64 {
            return None;
        }
        let mapping = Mapping::new(self.file.as_fd(), offset as u64, at::RING_BYTES, Access::Read).ok()?;
        Some(MappedRing::new(&mapping, at::RING_DEPTH, consumed))
    }
}

/// A place in an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot(pub(crate) usize);

/// What one word in an inbox says: a channel has a ring for you.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Announcement {
    pub(crate) from: Address,
    pub(crate) ring: u16,
    /// The low bits of the channel's incarnation, against one that was left by its predecessor.
    pub(crate) incarnation_low: u16,
}

impl Announcement {
    pub(crate) fn to_word(self) -> u64 {
        // A node number has 8 bits (NODES_MAX), and the 1 makes the word differ from a free slot.
        u64::from(self.from.channel.0)
            | u64::from(self.from.node.0 as u8) << 16
            | 1 << 24
            | u64::from(self.ring) << 32
            | u64::from(self.incarnation_low) << 48
    }

    /// `None`: the slot is free.
    pub(crate) fn from_word(word: u64) -> Option<Announcement> {
        let from = Address { node: crate::NodeId((word >> 16) as u32 & 0xff), channel: crate::ChannelId(word as u16) };
        (word != 0).then_some(Announcement { from, ring: (word >> 32) as u16, incarnation_low: (word >> 48) as u16 })
    }
}
