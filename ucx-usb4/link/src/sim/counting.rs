//! A channel's counters in its file: one set per rail, written by the owner alone.

use std::array;

use super::layout::COUNTER_WORDS;
use crate::RailCounters;
use crate::shm::mapping::Counters;

/// One counter of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Count {
    TxFrames = 0,
    TxBytes = 1,
    RxFrames = 2,
    RxBytes = 3,
    Lost = 4,
    NoBuffer = 5,
    Unplugged = 6,
    Duplicated = 7,
    Malformed = 8,
}

/// The counters that the receiving side of a rail keeps.
const RECEIVED: [Count; 4] = [Count::RxFrames, Count::RxBytes, Count::Unplugged, Count::Malformed];

/// Splits a set into what belongs to the direction away from the channel's node and what belongs to the other.
pub(crate) fn by_direction(set: &[u64; COUNTER_WORDS]) -> ([u64; COUNTER_WORDS], [u64; COUNTER_WORDS]) {
    let is_received = |index: usize| RECEIVED.iter().any(|count| *count as usize == index);
    (
        array::from_fn(|index| if is_received(index) { 0 } else { set[index] }),
        array::from_fn(|index| if is_received(index) { set[index] } else { 0 }),
    )
}

/// A set as it is shown.
pub(crate) fn to_public(set: &[u64; COUNTER_WORDS]) -> RailCounters {
    let get = |count: Count| set[count as usize];
    RailCounters {
        tx_frames: get(Count::TxFrames),
        tx_bytes: get(Count::TxBytes),
        rx_frames: get(Count::RxFrames),
        rx_bytes: get(Count::RxBytes),
        lost: get(Count::Lost),
        no_buffer: get(Count::NoBuffer),
        unplugged: get(Count::Unplugged),
        duplicated: get(Count::Duplicated),
        malformed: get(Count::Malformed),
    }
}

/// The words of one set in the owner's mapping.
#[derive(Debug)]
pub(crate) struct CounterSet(pub(crate) Counters<COUNTER_WORDS>);

impl CounterSet {
    #[inline]
    pub(crate) fn add(&self, count: Count, amount: u64) {
        self.0.add(count as usize, amount);
    }

    pub(crate) fn get(&self) -> [u64; COUNTER_WORDS] {
        self.0.get()
    }
}
