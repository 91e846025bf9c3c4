//! The rails of a connection: which one takes the next frame, and what their order says about losses.
//!
//! A rail keeps order. So a frame is lost as soon as a later frame of the *same* rail is known to have arrived, however far the rails have
//! drifted apart; no threshold of duplicates is needed. Each rail counts what the connection sent on it and how far of that has arrived.

use usb4_wire::{HEADER_LEN, RailId, RailSet};

/// What the engine asks about rails: the driver answers from `link`.
pub trait Rails {
    /// Expected time in nanoseconds until `len_bytes` (header included) sent now on `rail` would be delivered: backlog, serialisation and latency.
    /// `None` when the rail is down or its transmit ring is full.
    fn cost_ns(&self, rail: RailId, len_bytes: usize) -> Option<u64>;
}

/// Timeouts in a row, while the peer is heard over other rails, after which a rail gets no more frames for a while.
const UNANSWERED_MAX: u8 = 3;
/// First and longest time that such a rail is left alone, in nanoseconds.
const SUSPENSION_NS: [u64; 2] = [100_000_000, 1_600_000_000];

/// One rail as one connection sees it.
#[derive(Debug)]
pub(crate) struct RailState {
    id: RailId,
    /// Frames sent on it, control frames included.
    sent: u32,
    /// What was sent before this has arrived or is lost.
    settled: u32,
    /// The last probe sent on it and its place in the rail's order; number 0: none.
    probe: (u16, u32),
    /// Timeouts since something sent on it is known to have arrived.
    unanswered: u8,
    suspensions: u8,
    /// When it may be tried again, if it is suspended.
    suspended_until_ns: Option<u64>,
}

/// The rails of a connection.
#[derive(Debug)]
pub(crate) struct RailTable {
    /// Every rail that ever was in use; sent frames refer to them by index.
    rails: Vec<RailState>,
    /// Rails that lead to the peer and are up.
    present: RailSet,
    /// Those of them that are not suspended: bit `i` is index `i`.
    usable: u32,
}

impl RailTable {
    pub(crate) fn new() -> Self {
        Self { rails: Vec::new(), present: RailSet::EMPTY, usable: 0 }
    }

    /// Sets which rails lead to the peer and are up. Returns the indices that went out of use, as bits.
    pub(crate) fn set_present(&mut self, present: RailSet) -> u32 {
        let before = self.usable;
        for id in present.iter() {
            if !self.rails.iter().any(|rail| rail.id == id) {
                self.rails.push(RailState {
                    id,
                    sent: 0,
                    settled: 0,
                    probe: (0, 0),
                    unanswered: 0,
                    suspensions: 0,
                    suspended_until_ns: None,
                });
            }
        }
        for rail in &mut self.rails {
            if present.contains(rail.id) && !self.present.contains(rail.id) {
                // It came back: whatever was held against it belongs to the past.
                (rail.unanswered, rail.suspensions, rail.suspended_until_ns) = (0, 0, None);
            }
        }
        self.present = present;
        self.recount();
        before & !self.usable
    }

    /// Whether no rail leads to the peer.
    #[inline]
    pub(crate) fn is_stranded(&self) -> bool {
        self.present.is_empty()
    }

    #[inline]
    pub(crate) fn id(&self, index: u8) -> RailId {
        self.rails[usize::from(index)].id
    }

    /// The index of a rail that is usable, as a bit; 0 for any other.
    pub(crate) fn bit_of(&self, id: RailId) -> u32 {
        self.rails.iter().position(|rail| rail.id == id).map_or(0, |index| 1 << index) & self.usable
    }

    /// The usable indices, as bits.
    pub(crate) fn usable(&self) -> u32 {
        self.usable
    }

    /// The index of the rail that would deliver a frame with this payload first; `None` when none can take it.
    #[inline]
    pub(crate) fn cheapest(&self, payload_len: usize, rails: &impl Rails) -> Option<u8> {
        self.cheapest_of(self.usable, payload_len, rails)
    }

    /// The same among the indices of `among`.
    #[inline]
    pub(crate) fn cheapest_of(&self, among: u32, payload_len: usize, rails: &impl Rails) -> Option<u8> {
        let cost = |index| rails.cost_ns(self.id(index), HEADER_LEN + payload_len).map(|cost_ns| (cost_ns, index));
        let among = among & self.usable;
        if among.is_power_of_two() {
            return cost(among.trailing_zeros() as u8).map(|(_, index)| index);
        }
        bits(among).filter_map(cost).min().map(|(_, index)| index)
    }

    /// The index for a frame that must go now: the cheapest rail, without asking where there is no choice.
    #[inline]
    pub(crate) fn for_frame(&self, payload_len: usize, rails: &impl Rails) -> u8 {
        if self.usable.is_power_of_two() {
            return self.usable.trailing_zeros() as u8;
        }
        let fallback = || bits(self.usable).next().unwrap_or(0);
        self.cheapest(payload_len, rails).unwrap_or_else(fallback)
    }

    /// The place of a frame that goes out on the rail now.
    #[inline]
    pub(crate) fn next_seq(&mut self, index: u8) -> u32 {
        let rail = &mut self.rails[usize::from(index)];
        rail.sent = rail.sent.wrapping_add(1);
        rail.sent
    }

    /// Remembers the probe that goes out on the rail now.
    pub(crate) fn probed(&mut self, index: u8, number: u16) {
        let seq = self.next_seq(index);
        self.rails[usize::from(index)].probe = (number, seq);
    }

    /// A frame of the rail is known to have arrived.
    #[inline]
    pub(crate) fn arrived(&mut self, index: u8, seq: u32) {
        let rail = &mut self.rails[usize::from(index)];
        if seq.wrapping_sub(rail.settled).cast_signed() > 0 {
            rail.settled = seq;
        }
        (rail.unanswered, rail.suspensions) = (0, 0);
    }

    /// A probe was answered.
    pub(crate) fn echoed(&mut self, number: u16) {
        if let Some(index) = self.rails.iter().position(|rail| number != 0 && rail.probe.0 == number) {
            let seq = self.rails[index].probe.1;
            self.rails[index].probe = (0, 0);
            self.arrived(index as u8, seq);
        }
    }

    /// Those of the indices in `among` whose last probe was not answered, as bits.
    pub(crate) fn silent(&self, among: u32) -> u32 {
        bits(among).filter(|&index| self.rails[usize::from(index)].probe.0 != 0).fold(0, |set, index| set | 1 << index)
    }

    /// Whether a frame of the rail that has not arrived must be lost: a later one of the same rail has.
    pub(crate) fn is_passed(&self, index: u8, seq: u32) -> bool {
        self.rails[usize::from(index)].settled.wrapping_sub(seq).cast_signed() > 0
    }

    /// Nothing was heard in time of what is under way on the rails in `pending`. With `peer_heard`, other rails work, and a rail that
    /// stays silent is suspended. Returns the indices that went out of use, as bits.
    pub(crate) fn unanswered(&mut self, pending: u32, peer_heard: bool, now_ns: u64) -> u32 {
        let before = self.usable;
        for index in bits(pending & self.usable) {
            let others = self.usable & !(1 << index) != 0;
            let rail = &mut self.rails[usize::from(index)];
            rail.unanswered = rail.unanswered.saturating_add(1);
            if rail.unanswered >= UNANSWERED_MAX && peer_heard && others {
                let pause_ns = (SUSPENSION_NS[0] << rail.suspensions.min(8)).min(SUSPENSION_NS[1]);
                rail.suspended_until_ns = Some(now_ns + pause_ns);
                (rail.unanswered, rail.suspensions) = (0, rail.suspensions.saturating_add(1));
                self.usable &= !(1 << index);
            }
        }
        before & !self.usable
    }

    /// Readmits rails whose suspension is over.
    pub(crate) fn readmit(&mut self, now_ns: u64) {
        for rail in &mut self.rails {
            if rail.suspended_until_ns.is_some_and(|until_ns| until_ns <= now_ns) {
                rail.suspended_until_ns = None;
            }
        }
        self.recount();
    }

    /// When the next suspension ends.
    pub(crate) fn readmission_ns(&self) -> Option<u64> {
        self.rails.iter().filter_map(|rail| rail.suspended_until_ns).min()
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.rails.capacity() * size_of::<RailState>()
    }

    fn recount(&mut self) {
        let present = self.present;
        let bit = |(index, rail): (usize, &RailState)| {
            u32::from(present.contains(rail.id) && rail.suspended_until_ns.is_none()) << index
        };
        self.usable = self.rails.iter().enumerate().map(bit).sum();
        if self.usable == 0 && !present.is_empty() {
            // A doubtful rail is better than none.
            self.rails.iter_mut().for_each(|rail| rail.suspended_until_ns = None);
            let bit = |(index, rail): (usize, &RailState)| u32::from(present.contains(rail.id)) << index;
            self.usable = self.rails.iter().enumerate().map(bit).sum();
        }
    }
}

/// The numbers of the bits that are set.
pub(crate) fn bits(set: u32) -> impl Iterator<Item = u8> {
    let mut rest = set;
    std::iter::from_fn(move || {
        let bit = (rest != 0).then(|| rest.trailing_zeros() as u8)?;
        rest &= rest - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Costs(Vec<Option<u64>>);

    impl Rails for Costs {
        fn cost_ns(&self, rail: RailId, _len_bytes: usize) -> Option<u64> {
            self.0[rail.index()]
        }
    }

    fn set(numbers: &[u8]) -> RailSet {
        numbers.iter().filter_map(|&number| RailId::new(number)).collect()
    }

    #[test]
    fn the_rail_that_delivers_first_is_taken() {
        let mut table = RailTable::new();
        table.set_present(set(&[0, 1, 2]));
        assert_eq!(table.cheapest(100, &Costs(vec![Some(9), None, Some(5)])), Some(2));
        assert_eq!(table.cheapest(100, &Costs(vec![None, None, None])), None);
        assert_eq!(table.set_present(set(&[0, 1])), 1 << 2);
        assert_eq!(table.cheapest(100, &Costs(vec![Some(9), None, Some(5)])), Some(0));
    }

    #[test]
    fn a_frame_is_lost_when_its_successor_on_the_same_rail_arrived() {
        let mut table = RailTable::new();
        table.set_present(set(&[0, 1]));
        let (first, second) = (table.next_seq(0), table.next_seq(0));
        let other = table.next_seq(1);
        table.arrived(0, second);
        assert!(table.is_passed(0, first) && !table.is_passed(0, second) && !table.is_passed(1, other));
        table.probed(1, 7);
        table.echoed(7);
        assert!(table.is_passed(1, other));
    }

    #[test]
    fn a_silent_rail_is_suspended_only_while_others_work() {
        let mut table = RailTable::new();
        table.set_present(set(&[0, 1]));
        for _ in 0..UNANSWERED_MAX - 1 {
            assert_eq!(table.unanswered(1, true, 0), 0);
        }
        assert_eq!(table.unanswered(1, false, 0), 0, "a silent peer is not the rail's fault");
        assert_eq!(table.unanswered(1, true, 0), 1);
        for _ in 0..10 {
            assert_eq!(table.unanswered(2, true, 0), 0, "the last rail stays");
        }
        let until_ns = table.readmission_ns().expect("suspended");
        table.readmit(until_ns);
        assert_eq!(table.usable(), 0b11);
        assert_eq!(table.set_present(RailSet::EMPTY), 0b11);
        assert!(table.is_stranded());
    }
}
