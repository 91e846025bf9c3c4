//! What the engine knows of a channel's connections, where other threads and processes may read it: observers of this machine
//! (`usb4ctl status`), UCX's virtual file system.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use crate::shm::mapping::{Mapping, Word};
use crate::{Address, ChannelId, ConnectionState, ConnectionStats, NodeId};

/// Connections that are shown.
const SLOTS: usize = 256;
/// Words of a slot: a version that is odd while the owner writes, then [`to_words`].
const SLOT_WORDS: usize = 16;
const FIELDS: usize = 14;
/// Tries before an observer gives up on a slot that is always being written.
const READ_TRIES: usize = 100;

/// A table in shared memory, one slot for each connection. One thread writes it, any may read: a reader that saw a slot's version change
/// reads again.
#[derive(Clone, Debug)]
pub struct Board {
    mapping: Arc<Mapping>,
    offset: usize,
}

impl Board {
    /// Its size in bytes.
    pub(crate) const BYTES: usize = SLOTS * SLOT_WORDS * 8;

    /// The board at a byte offset (a multiple of 8) of a mapping.
    pub(crate) fn new(mapping: &Arc<Mapping>, offset: usize) -> Board {
        Board { mapping: Arc::clone(mapping), offset }
    }

    fn word(&self, slot: usize, index: usize) -> Word {
        Word::new(&self.mapping, self.offset + (slot * SLOT_WORDS + index) * 8)
    }

    /// Shows a connection in `slot`; slots from 256 on are not shown. `None` clears it. For the channel's owner alone.
    pub fn show(&self, slot: usize, stats: Option<&ConnectionStats>) {
        if slot >= SLOTS {
            return;
        }
        let version = self.word(slot, 0);
        version.bump(1);
        fence(Release);
        for (index, value) in stats.map_or([0; FIELDS], to_words).into_iter().enumerate() {
            self.word(slot, 1 + index).store(value, Relaxed);
        }
        version.store(version.load(Relaxed).wrapping_add(1), Release);
    }

    /// The connections that are shown, with their slots.
    pub fn connections(&self) -> impl Iterator<Item = (usize, ConnectionStats)> {
        (0..SLOTS).filter_map(|slot| Some((slot, self.connection(slot)?)))
    }

    /// The connection in a slot, if there is one.
    pub fn connection(&self, slot: usize) -> Option<ConnectionStats> {
        let version = (slot < SLOTS).then(|| self.word(slot, 0))?;
        for _ in 0..READ_TRIES {
            let before = version.load(Acquire);
            let values = std::array::from_fn(|index| self.word(slot, 1 + index).load(Relaxed));
            fence(Acquire);
            if before.is_multiple_of(2) && version.load(Relaxed) == before {
                return from_words(&values);
            }
        }
        None
    }
}

fn to_words(stats: &ConnectionStats) -> [u64; FIELDS] {
    [
        stats.state as u64,
        u64::from(stats.peer.node.0) << 32 | u64::from(stats.peer.channel.0),
        stats.tx_frames,
        stats.tx_bytes,
        stats.rx_frames,
        stats.rx_bytes,
        stats.retransmissions,
        stats.timeouts,
        stats.duplicates,
        stats.reordered,
        stats.reorder_depth_max,
        stats.credit_stalls,
        stats.in_flight,
        stats.rtt_ns,
    ]
}

fn from_words(values: &[u64; FIELDS]) -> Option<ConnectionStats> {
    let state = match values[0] {
        1 => ConnectionState::Connecting,
        2 => ConnectionState::Ready,
        3 => ConnectionState::Closing,
        4 => ConnectionState::Failed,
        _ => return None,
    };
    Some(ConnectionStats {
        peer: Address { node: NodeId((values[1] >> 32) as u32), channel: ChannelId(values[1] as u16) },
        state,
        tx_frames: values[2],
        tx_bytes: values[3],
        rx_frames: values[4],
        rx_bytes: values[5],
        retransmissions: values[6],
        timeouts: values[7],
        duplicates: values[8],
        reordered: values[9],
        reorder_depth_max: values[10],
        credit_stalls: values[11],
        in_flight: values[12],
        rtt_ns: values[13],
    })
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::shm::mapping::Access;

    fn stats(number: u64) -> ConnectionStats {
        let mut values = [number; FIELDS];
        (values[0], values[1]) = (ConnectionState::Ready as u64, 0xffff_fffe_0000_ffff);
        from_words(&values).unwrap()
    }

    #[test]
    fn every_slot_holds_what_was_shown_there() {
        let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::empty()).unwrap();
        rustix::fs::ftruncate(&file, 8 + Board::BYTES as u64).unwrap();
        let map = |access| Board::new(&Mapping::new(file.as_fd(), 0, 8 + Board::BYTES, access).unwrap(), 8);
        let (owner, observer) = (map(Access::ReadWrite), map(Access::Read));
        assert_eq!(observer.connections().count(), 0);
        for slot in [0, 7, SLOTS - 1, SLOTS] {
            owner.show(slot, Some(&stats(slot as u64)));
        }
        owner.show(7, None);
        let shown: Vec<_> = observer.connections().collect();
        assert_eq!(shown, [(0, stats(0)), (SLOTS - 1, stats(SLOTS as u64 - 1))]);
        assert_eq!(observer.connection(SLOTS), None);
        // The owner died in the middle of writing.
        owner.word(0, 0).bump(1);
        assert_eq!(observer.connection(0), None);
    }
}
