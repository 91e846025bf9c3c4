//! A cable: two ends, two directions, frames under way.

use std::collections::VecDeque;

use serde::Serialize;

use crate::adapter::LaneSpeed;
use crate::descriptor::Frame;
use crate::faults::{Faults, Verdict};
use crate::topology::End;

/// Most frames under way per direction; what is sent beyond that is lost. 40 Gb/s times 200 ms, in frames of 4 KiB.
pub const MAX_IN_FLIGHT: usize = 250_000;

/// What travels.
#[derive(Debug, Clone)]
pub enum Cargo {
    /// A control packet, CRC included, and its EOF.
    Control {
        /// Packet type as the EOF code.
        eof: u8,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A frame of a data ring.
    Data {
        /// HopID at the far end's lane adapter.
        hop: usize,
        /// The frame.
        frame: Frame,
        /// The flow-controlled ring (host, ring) that keeps a descriptor for it.
        promise: Option<(usize, usize)>,
        /// Cables it may still cross, so that path tables that form a loop do not hold a frame for ever.
        hops_left: u8,
    },
}

/// What one direction of a cable did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WayCounters {
    /// Data frames handed to the far end.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Control packets handed to the far end.
    pub control: u64,
    /// Lost by the fault plan, by an unplug, or for lack of room.
    pub lost: u64,
    /// Damaged by the fault plan.
    pub corrupted: u64,
}

/// One direction of a cable.
#[derive(Debug, Clone)]
pub struct Way {
    /// Fault plan.
    pub faults: Faults,
    /// Counters since the process started.
    pub counters: WayCounters,
    in_flight: VecDeque<(u64, Cargo)>,
}

impl Way {
    fn new(seed: u64) -> Way {
        Way { faults: Faults::new(seed), counters: WayCounters::default(), in_flight: VecDeque::new() }
    }

    /// Sends `cargo` at `now_ns`. Gives it back when it is lost on the way, so that its promise can be redeemed.
    pub fn send(&mut self, mut cargo: Cargo, now_ns: u64) -> Option<Cargo> {
        let is_control = matches!(cargo, Cargo::Control { .. });
        let verdict = if self.in_flight.len() < MAX_IN_FLIGHT { self.faults.judge(is_control) } else { Verdict::Drop };
        match verdict {
            Verdict::Deliver => {}
            Verdict::Corrupt(bit) => {
                self.counters.corrupted += 1;
                corrupt(&mut cargo, bit);
            }
            Verdict::Drop => {
                self.counters.lost += 1;
                return Some(cargo);
            }
        }
        // The queue keeps order: a frame sent after the delay was lowered waits behind those sent before.
        let due_ns = now_ns.saturating_add(self.faults.plan().delay_us.saturating_mul(1000));
        self.in_flight.push_back((due_ns, cargo));
        None
    }

    /// Takes the next frame that has arrived by `now_ns`.
    pub fn poll_arrival(&mut self, now_ns: u64) -> Option<Cargo> {
        if self.in_flight.front()?.0 > now_ns {
            return None;
        }
        let (_, cargo) = self.in_flight.pop_front()?;
        match &cargo {
            Cargo::Control { .. } => self.counters.control += 1,
            Cargo::Data { frame, .. } => {
                self.counters.frames += 1;
                self.counters.bytes += frame.bytes.len() as u64;
            }
        }
        Some(cargo)
    }

    /// When the next frame arrives, if one is under way.
    pub fn next_arrival_ns(&self) -> Option<u64> {
        self.in_flight.front().map(|(due_ns, _)| *due_ns)
    }

    /// Loses everything that is under way.
    pub fn clear(&mut self) -> impl Iterator<Item = Cargo> {
        self.counters.lost += self.in_flight.len() as u64;
        std::mem::take(&mut self.in_flight).into_iter().map(|(_, cargo)| cargo)
    }
}

fn corrupt(cargo: &mut Cargo, bit: u32) {
    let bytes = match cargo {
        Cargo::Control { bytes, .. } => bytes,
        Cargo::Data { frame, .. } => {
            frame.crc_error = true;
            &mut frame.bytes
        }
    };
    let len_bits = bytes.len() * 8;
    if let Some(target) = (bit as usize).checked_rem(len_bits) {
        bytes[target / 8] ^= 1 << (target % 8);
    }
}

/// A cable.
#[derive(Debug, Clone)]
pub struct Cable {
    /// The two ends.
    pub ends: [End; 2],
    /// Whether both plugs are in.
    pub plugged: bool,
    /// Rate at which it trains.
    pub speed: LaneSpeed,
    /// Whether the link is up, as last told to the routers.
    pub up: bool,
    /// Direction 0 leads from end 0 to end 1, direction 1 back.
    pub ways: [Way; 2],
}

impl Cable {
    /// A plugged cable whose link is not up yet; `seed` is for its faults.
    pub fn new(ends: [End; 2], speed: LaneSpeed, seed: u64) -> Cable {
        let ways = [Way::new(seed.wrapping_mul(2)), Way::new(seed.wrapping_mul(2).wrapping_add(1))];
        Cable { ends, plugged: true, speed, up: false, ways }
    }

    /// The direction that leads away from `end`.
    pub fn way_from(&self, end: End) -> Option<usize> {
        self.ends.iter().position(|&other| other == end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::FaultPlan;

    fn data(byte: u8) -> Cargo {
        let frame = Frame { bytes: vec![byte; 4], sof: 0, eof: 0, crc_error: false };
        Cargo::Data { hop: 8, frame, promise: None, hops_left: 1 }
    }

    fn first_byte(cargo: Option<Cargo>) -> Option<u8> {
        match cargo? {
            Cargo::Data { frame, .. } => frame.bytes.first().copied(),
            Cargo::Control { .. } => None,
        }
    }

    #[test]
    fn delayed_frames_arrive_late_and_in_order() {
        let mut way = Way::new(0);
        way.faults.set_plan(FaultPlan { delay_us: 5, ..FaultPlan::default() });
        assert!(way.send(data(1), 1000).is_none());
        way.faults.set_plan(FaultPlan::default());
        assert!(way.send(data(2), 2000).is_none());
        assert!(way.poll_arrival(5999).is_none());
        assert_eq!(way.next_arrival_ns(), Some(6000));
        assert_eq!(first_byte(way.poll_arrival(6000)), Some(1));
        assert_eq!(first_byte(way.poll_arrival(6000)), Some(2));
    }

    #[test]
    fn a_damaged_frame_differs_in_one_bit_and_is_flagged() {
        let mut way = Way::new(0);
        way.faults.set_plan(FaultPlan { corrupt_next: 1, ..FaultPlan::default() });
        assert!(way.send(data(0), 0).is_none());
        let Some(Cargo::Data { frame, .. }) = way.poll_arrival(0) else { panic!("a frame was sent") };
        assert!(frame.crc_error);
        assert_eq!(frame.bytes.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert_eq!(way.counters.corrupted, 1);
    }

    #[test]
    fn lost_frames_come_back_to_the_sender_and_are_counted() {
        let mut way = Way::new(0);
        way.faults.set_plan(FaultPlan { drop_next: 1, ..FaultPlan::default() });
        assert!(way.send(data(0), 0).is_some());
        assert!(way.send(data(0), 0).is_none());
        assert_eq!(way.clear().count(), 1);
        assert_eq!(way.counters, WayCounters { lost: 2, ..WayCounters::default() });
    }
}
