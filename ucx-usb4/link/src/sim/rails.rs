//! One of the node's rails as a sending channel uses it: pacing, faults, state and counters.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::counting::{Count, CounterSet};
use super::layout::fabric::STATE_DOWN;
use super::profile::Unplug;
use super::random::Random;
use super::topology::LocalRail;
use crate::shm::mapping::Word;
use crate::{HEADER_LEN, SubmitError};

/// Frames of full length that wait in a rail's transmit ring before it is full.
const TRANSMIT_RING_FRAMES: u64 = 256;
const FRAME_BYTES: u64 = 4096;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It arrives at this time; 0: at once.
    Arrives { at_ns: u64 },
    /// It arrives twice.
    ArrivesTwice { at_ns: u64 },
    /// It is lost on the way.
    Lost,
}

/// A rail in one direction.
#[derive(Debug)]
pub(crate) struct Rail {
    /// Unplugged by command: a bit that other processes set.
    state: Word,
    /// Unplugged by plan.
    plan: Plan,
    pub(crate) counters: CounterSet,
    /// `None`: frames arrive at once and whole.
    timing: Option<Timing>,
    faults: Option<Faults>,
}

#[derive(Debug)]
struct Timing {
    /// Until when the rail is busy, in nanoseconds; shared by all processes of the node.
    busy_until_ns: Word,
    /// Nanoseconds per byte, times 2^32; 0: no pacing.
    ns_per_byte_q32: u64,
    latency_ns: u64,
    /// Backlog at which the transmit ring is full.
    backlog_max_ns: u64,
}

#[derive(Debug)]
struct Faults {
    random: Random,
    loss: f64,
    duplicate: f64,
    reorder_ns: u64,
}

impl Rail {
    /// Loopback: never delayed, never lost, never down.
    pub(crate) fn loopback(zero: Word, counters: CounterSet) -> Rail {
        Rail { state: zero, plan: Plan::new(&[]), counters, timing: None, faults: None }
    }

    pub(crate) fn new(
        rail: &LocalRail,
        unplug: &[Unplug],
        state: Word,
        busy_until_ns: Word,
        counters: CounterSet,
        random: Random,
    ) -> Rail {
        let config = &rail.config;
        let ns_per_byte_q32 =
            config.rate_bits_per_s.map_or(0, |rate| ((8_000_000_000_u128 << 32) / u128::from(rate)) as u64);
        let timing = config.is_timed().then(|| Timing {
            busy_until_ns,
            ns_per_byte_q32,
            latency_ns: config.latency_ns,
            backlog_max_ns: wire_ns(ns_per_byte_q32, TRANSMIT_RING_FRAMES * FRAME_BYTES),
        });
        let has_faults = config.loss > 0.0 || config.duplicate > 0.0 || config.reorder_ns > 0;
        let faults = has_faults.then_some(Faults {
            random,
            loss: config.loss,
            duplicate: config.duplicate,
            reorder_ns: config.reorder_ns,
        });
        Rail { state, plan: Plan::new(unplug), counters, timing, faults }
    }

    /// Whether the rail carries frames at a time.
    #[inline]
    pub(crate) fn is_up(&self, now_ns: u64) -> bool {
        self.state.load(Relaxed) & STATE_DOWN == 0 && !self.plan.is_out(now_ns)
    }

    /// As `is_up`, and orders what the command's sender did before.
    pub(crate) fn look(&self, now_ns: u64) -> bool {
        self.state.load(Acquire) & STATE_DOWN == 0 && !self.plan.is_out(now_ns)
    }

    /// When the plan next unplugs or replugs it; `u64::MAX`: never.
    pub(crate) fn next_change_ns(&self, now_ns: u64) -> u64 {
        self.plan.next_change_ns(now_ns)
    }

    /// Nanoseconds until a payload of that length would have arrived; `None`: down or full.
    #[inline]
    pub(crate) fn cost_ns(&self, now_ns: u64, payload_bytes: usize) -> Option<u64> {
        if !self.is_up(now_ns) {
            return None;
        }
        let Some(timing) = &self.timing else { return Some(0) };
        let backlog_ns = timing.busy_until_ns.load(Relaxed).saturating_sub(now_ns);
        let wire_ns = wire_ns(timing.ns_per_byte_q32, (payload_bytes + HEADER_LEN) as u64);
        (backlog_ns <= timing.backlog_max_ns).then(|| backlog_ns + wire_ns + timing.latency_ns)
    }

    /// Takes the rail for a frame of that length, and says what becomes of it.
    #[inline]
    pub(crate) fn carry(&mut self, now_ns: u64, payload_bytes: usize) -> Result<Fate, SubmitError> {
        if !self.is_up(now_ns) {
            return Err(SubmitError::RailDown);
        }
        if self.timing.is_none() && self.faults.is_none() {
            return Ok(Fate::Arrives { at_ns: 0 });
        }
        self.carry_slowly(now_ns, (payload_bytes + HEADER_LEN) as u64)
    }

    fn carry_slowly(&mut self, now_ns: u64, frame_bytes: u64) -> Result<Fate, SubmitError> {
        let mut at_ns = 0;
        if let Some(timing) = &self.timing {
            at_ns = timing.reserve(now_ns, frame_bytes)? + timing.latency_ns;
        }
        let Some(faults) = &mut self.faults else { return Ok(self.unless_unplugged(now_ns, Fate::Arrives { at_ns })) };
        if faults.reorder_ns > 0 {
            at_ns += faults.random.below(faults.reorder_ns + 1);
        }
        let fate = if faults.random.chance(faults.loss) {
            Fate::Lost
        } else if faults.random.chance(faults.duplicate) {
            Fate::ArrivesTwice { at_ns }
        } else {
            Fate::Arrives { at_ns }
        };
        Ok(self.unless_unplugged(now_ns, fate))
    }

    /// A frame is lost if the cable is pulled, by plan, before it arrives.
    fn unless_unplugged(&self, now_ns: u64, fate: Fate) -> Fate {
        match fate {
            Fate::Arrives { at_ns } | Fate::ArrivesTwice { at_ns } if at_ns >= self.plan.next_change_ns(now_ns) => {
                Fate::Lost
            }
            fate => fate,
        }
    }

    /// Counts a frame that was taken, and what became of it.
    #[inline]
    pub(crate) fn count_sent(&self, payload_bytes: usize) {
        self.counters.add(Count::TxFrames, 1);
        self.counters.add(Count::TxBytes, (payload_bytes + HEADER_LEN) as u64);
    }
}

impl Timing {
    /// Puts a frame behind what the rail already carries; returns when its last byte has left.
    fn reserve(&self, now_ns: u64, frame_bytes: u64) -> Result<u64, SubmitError> {
        let wire_ns = wire_ns(self.ns_per_byte_q32, frame_bytes);
        let mut busy_until_ns = self.busy_until_ns.load(Relaxed);
        loop {
            if busy_until_ns.saturating_sub(now_ns) > self.backlog_max_ns {
                return Err(SubmitError::RingFull);
            }
            let end_ns = busy_until_ns.max(now_ns) + wire_ns;
            // An unpaced rail has no backlog to share.
            if self.ns_per_byte_q32 == 0 {
                return Ok(now_ns);
            }
            match self.busy_until_ns.replace(busy_until_ns, end_ns) {
                Ok(()) => return Ok(end_ns),
                Err(other) => busy_until_ns = other,
            }
        }
    }
}

/// Rounded to the nearest nanosecond, so that many small frames do not make a slower rail.
#[inline]
fn wire_ns(ns_per_byte_q32: u64, bytes: u64) -> u64 {
    ((u128::from(bytes) * u128::from(ns_per_byte_q32) + (1 << 31)) >> 32) as u64
}

/// When the cable is out, by plan.
#[derive(Debug)]
struct Plan {
    times: Box<[Unplug]>,
}

impl Plan {
    fn new(times: &[Unplug]) -> Plan {
        Plan { times: times.into() }
    }

    #[inline]
    fn is_out(&self, now_ns: u64) -> bool {
        self.times.iter().any(|time| (time.at_ns..time.until_ns()).contains(&now_ns))
    }

    fn next_change_ns(&self, now_ns: u64) -> u64 {
        let changes = self.times.iter().flat_map(|time| [time.at_ns, time.until_ns()]);
        changes.filter(|change| *change > now_ns).min().unwrap_or(u64::MAX)
    }
}
