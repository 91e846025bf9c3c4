//! Where things lie in the files of a fabric. All words are 64 bits of the machine's byte order: the files never
//! leave the machine.
//!
//! `fabric`: header, one block per rail, one block per node, the description (TOML).
//! `n<node>.c<channel>`: identity, mailbox and inbox, ring table, counters, statistics, transmit pool, rings.
//! Peers map the mailbox and the inbox for writing, the rest for reading only.

use crate::Board;
use crate::shm::cells::CELL_BYTES;
use crate::shm::frames::FRAME_BYTES;

/// Changes whenever anything in this file does.
pub(crate) const FORMAT: u32 = 2;
/// First word of every file: "usb4sim" and the kind.
pub(crate) const FABRIC_MAGIC: u64 = u64::from_le_bytes(*b"usb4simF");
/// First word of a channel's file.
pub(crate) const CHANNEL_MAGIC: u64 = u64::from_le_bytes(*b"usb4simC");

const PAGE: usize = 4096;

/// Words of a set of rail counters (`RailCounters`), padded to two cache lines.
pub(crate) const COUNTER_WORDS: usize = 16;

/// The `fabric` file.
pub(crate) mod fabric {
    use super::{COUNTER_WORDS, PAGE};

    pub(crate) const MAGIC: usize = 0;
    pub(crate) const FORMAT: usize = 8;
    pub(crate) const ID: usize = 16;
    pub(crate) const NS_PER_TICK: usize = 24;
    pub(crate) const BASE_TICKS: usize = 32;
    pub(crate) const BASE_NS: usize = 40;
    pub(crate) const SEED: usize = 48;
    pub(crate) const NEXT_CHANNEL: usize = 56;
    pub(crate) const TEXT_BYTES: usize = 64;
    pub(crate) const RAILS: usize = 72;
    pub(crate) const NODES: usize = 80;
    /// Counts changes of rail states, so that one load says whether there was any. Its own cache line.
    pub(crate) const CHANGES: usize = 256;
    /// A word that is always zero: the state of loopback.
    pub(crate) const ZERO: usize = 320;

    const RAIL_BYTES: usize = 1024;
    const NODE_BYTES: usize = COUNTER_WORDS * 8;

    /// Bit of a rail's state word: unplugged by command.
    pub(crate) const STATE_DOWN: u64 = 1;

    /// A rail's state word. It is read with every frame and written seldom, so it has its own cache line.
    pub(crate) fn rail_state(rail: usize) -> usize {
        PAGE + rail * RAIL_BYTES
    }

    /// Until when the rail is busy in a direction (0: away from the cable's first node), in nanoseconds.
    pub(crate) fn rail_busy(rail: usize, direction: usize) -> usize {
        rail_state(rail) + 128 * (1 + direction)
    }

    /// What closed channels counted on the rail, by direction of sending.
    pub(crate) fn rail_totals(rail: usize, direction: usize) -> usize {
        rail_state(rail) + 512 + COUNTER_WORDS * 8 * direction
    }

    /// What closed channels of a node counted on loopback.
    pub(crate) fn node_totals(rails: usize, node: usize) -> usize {
        PAGE + rails * RAIL_BYTES + node * NODE_BYTES
    }

    /// The description.
    pub(crate) fn text(rails: usize, nodes: usize) -> usize {
        node_totals(rails, nodes)
    }
}

/// A channel's file.
pub(crate) mod channel {
    use super::{Board, CELL_BYTES, COUNTER_WORDS, FRAME_BYTES, PAGE};

    pub(crate) const MAGIC: usize = 0;
    pub(crate) const FORMAT: usize = 8;
    pub(crate) const FABRIC: usize = 16;
    pub(crate) const INCARNATION: usize = 24;
    pub(crate) const ADDRESS: usize = 32;
    pub(crate) const PID: usize = 40;
    pub(crate) const POOL_FRAMES: usize = 48;
    /// 1 if the owner can make senders pass a barrier (membarrier); else senders must pass one themselves.
    pub(crate) const HAS_MEMBARRIER: usize = 56;
    pub(crate) const WAKEUPS_SENT: usize = 64;
    pub(crate) const SLEEPS: usize = 72;
    /// 1 once the counters have been added to the fabric's.
    pub(crate) const FOLDED: usize = 80;
    /// 1 once the owner has closed the channel. Its own cache line.
    pub(crate) const CLOSED: usize = 128;

    /// What peers write: mailbox and inbox.
    pub(crate) const MAILBOX: usize = PAGE;
    pub(crate) const MAILBOX_BYTES: usize = PAGE + INBOX_SLOTS * SLOT_BYTES;
    /// 1 while the owner sleeps (offset in the mailbox).
    pub(crate) const SLEEPING: usize = 0;
    /// Counts announcements (offset in the mailbox).
    pub(crate) const ANNOUNCEMENTS: usize = 64;

    /// Rings that can be announced to one channel.
    pub(crate) const INBOX_SLOTS: usize = 2048;
    const SLOT_BYTES: usize = 64;

    /// The word in which a ring is announced (offset in the mailbox).
    pub(crate) fn slot_announcement(slot: usize) -> usize {
        PAGE + slot * SLOT_BYTES
    }

    /// The consumed count of the announced ring (offset in the mailbox).
    pub(crate) fn slot_consumed(slot: usize) -> usize {
        slot_announcement(slot) + 8
    }

    /// Rings that one channel can send to.
    pub(crate) const RINGS_MAX: usize = 2048;
    /// Cells of a ring.
    pub(crate) const RING_DEPTH: u32 = 512;
    pub(crate) const RING_BYTES: usize = RING_DEPTH as usize * CELL_BYTES;

    const RING_TABLE: usize = MAILBOX + MAILBOX_BYTES;
    const RING_ENTRY_BYTES: usize = 32;

    /// Where the ring leads: destination address, its incarnation, and the rail (numbered over the fabric, plus one;
    /// `LOOPBACK`).
    pub(crate) fn ring_entry(ring: usize) -> usize {
        RING_TABLE + ring * RING_ENTRY_BYTES
    }

    /// Rail word of a ring entry inside a node.
    pub(crate) const LOOPBACK: u64 = u64::MAX;

    const COUNTERS: usize = RING_TABLE + RINGS_MAX * RING_ENTRY_BYTES;

    /// What the channel counted on one of its node's rails (0..32).
    pub(crate) fn counters(rail: usize) -> usize {
        COUNTERS + rail * COUNTER_WORDS * 8
    }

    /// The connections' statistics.
    pub(crate) const BOARD: usize = COUNTERS + 32 * COUNTER_WORDS * 8;

    /// The transmit pool; all before it is the front.
    pub(crate) const POOL: usize = BOARD + Board::BYTES;

    /// A ring's cells.
    pub(crate) fn ring(pool_frames: usize, ring: usize) -> usize {
        POOL + pool_frames * FRAME_BYTES + ring * RING_BYTES
    }

    const _: () = assert!(POOL.is_multiple_of(PAGE) && RING_BYTES.is_multiple_of(PAGE));
}
