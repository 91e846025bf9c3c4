//! A connection's statistics in the channel's file. The owner writes, observers read: the first word is a version
//! that is odd while the owner writes, and a reader that saw it change reads again.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::fence;

use super::own::{pack, unpack};
use crate::shm::mapping::Word;
use crate::{ConnectionState, ConnectionStats};

/// Tries before an observer gives up on a slot that is always being written.
const READ_TRIES: usize = 100;

pub(crate) fn write(word: impl Fn(usize) -> Word, stats: Option<&ConnectionStats>) {
    let version = word(0);
    version.bump(1);
    fence(Release);
    word(1).store(stats.map_or(0, |stats| (stats.state as u64) << 56 | pack_peer(stats)), Relaxed);
    if let Some(stats) = stats {
        for (index, value) in fields(stats).into_iter().enumerate() {
            word(2 + index).store(value, Relaxed);
        }
    }
    version.store(version.load(Relaxed).wrapping_add(1), Release);
}

pub(crate) fn read(load: impl Fn(usize) -> Word) -> Option<ConnectionStats> {
    for _ in 0..READ_TRIES {
        let before = load(0).load(Acquire);
        let values: [u64; 13] = std::array::from_fn(|index| load(1 + index).load(Relaxed));
        fence(Acquire);
        if before.is_multiple_of(2) && load(0).load(Relaxed) == before {
            return from_words(&values);
        }
    }
    None
}

/// State, node (24 bits) and channel in one word.
fn pack_peer(stats: &ConnectionStats) -> u64 {
    pack(stats.peer) & 0x00ff_ffff_0000_ffff
}

fn fields(stats: &ConnectionStats) -> [u64; 12] {
    [
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

fn from_words(values: &[u64; 13]) -> Option<ConnectionStats> {
    let state = match values[0] >> 56 {
        1 => ConnectionState::Connecting,
        2 => ConnectionState::Ready,
        3 => ConnectionState::Closing,
        4 => ConnectionState::Failed,
        _ => return None,
    };
    Some(ConnectionStats {
        peer: unpack(values[0] & 0x00ff_ffff_ffff_ffff),
        state,
        tx_frames: values[1],
        tx_bytes: values[2],
        rx_frames: values[3],
        rx_bytes: values[4],
        retransmissions: values[5],
        timeouts: values[6],
        duplicates: values[7],
        reordered: values[8],
        reorder_depth_max: values[9],
        credit_stalls: values[10],
        in_flight: values[11],
        rtt_ns: values[12],
    })
}
