//! The receive side of a connection: what has arrived, and the bounded buffer for what arrived too early.

use std::collections::VecDeque;

use usb4_wire::control::Sack;

use crate::Delivery;

/// What has arrived at one place of the window.
#[derive(Debug)]
enum Place<R> {
    /// Nothing yet.
    Missing,
    /// A frame that must wait for its turn.
    Held(Delivery<R>),
    /// A frame that was dealt with on arrival.
    Done,
}

/// How a frame relates to what has arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is the next one.
    InOrder,
    /// Frames before it are missing.
    Early,
    /// It has arrived before.
    Duplicate,
    /// It was not granted.
    Beyond,
}

/// What has arrived.
#[derive(Debug)]
pub(crate) struct Reorder<R> {
    /// The first frame that has not been delivered.
    next: u64,
    /// Places from `next` on. Empty unless something arrived early; the last one is never [`Place::Missing`].
    places: VecDeque<Place<R>>,
}

impl<R> Reorder<R> {
    pub(crate) fn new(first: u64) -> Self {
        Self { next: first, places: VecDeque::new() }
    }

    /// The first frame that has not been delivered.
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Relates frame `psn` to what has arrived; `edge` is the first frame that was not granted.
    pub(crate) fn classify(&self, psn: u64, edge: u64) -> Arrival {
        if psn < self.next {
            return Arrival::Duplicate;
        }
        if psn >= edge {
            return Arrival::Beyond;
        }
        let offset = (psn - self.next) as usize;
        match self.places.get(offset) {
            Some(Place::Held(_) | Place::Done) => Arrival::Duplicate,
            _ if offset == 0 => Arrival::InOrder,
            _ => Arrival::Early,
        }
    }

    /// Whether nothing has arrived early.
    #[inline]
    pub(crate) fn is_plain(&self) -> bool {
        self.places.is_empty()
    }

    /// The same as [`Self::advance`] where nothing has arrived early.
    #[inline]
    pub(crate) fn advance_plain(&mut self) {
        debug_assert!(self.is_plain());
        self.next += 1;
    }

    /// The next frame has arrived and is dealt with.
    pub(crate) fn advance(&mut self) {
        self.next += 1;
        self.places.pop_front();
        self.skip_done();
    }

    /// Frame `psn`, which is [`Arrival::Early`], must wait.
    pub(crate) fn hold(&mut self, psn: u64, delivery: Delivery<R>) {
        self.set(psn, Place::Held(delivery));
    }

    /// Frame `psn`, which is [`Arrival::Early`], has been dealt with.
    pub(crate) fn done(&mut self, psn: u64) {
        self.set(psn, Place::Done);
    }

    /// Whether a frame that waited is next.
    pub(crate) fn has_ready(&self) -> bool {
        matches!(self.places.front(), Some(Place::Held(_)))
    }

    /// Takes the next frame if it is one that waited.
    pub(crate) fn take_ready(&mut self) -> Option<Delivery<R>> {
        if !self.has_ready() {
            return None;
        }
        let Some(Place::Held(delivery)) = self.places.pop_front() else { return None };
        self.next += 1;
        self.skip_done();
        Some(delivery)
    }

    /// Whether a frame is missing before one that has arrived.
    pub(crate) fn has_gap(&self) -> bool {
        matches!(self.places.front(), Some(Place::Missing))
    }

    /// Frames between the next one and the last that has arrived.
    pub(crate) fn depth(&self) -> usize {
        self.places.len()
    }

    /// Names what has arrived at and after frame `ack`.
    pub(crate) fn sack(&self, ack: u64) -> Sack {
        let mut sack = Sack::NONE;
        // Between `ack` and `next` everything has arrived; `ack` lags behind while a refusal is on its way.
        (0..(self.next - ack) as usize).for_each(|offset| sack.insert(offset));
        let base = (self.next - ack) as usize;
        for (offset, place) in self.places.iter().enumerate() {
            if !matches!(place, Place::Missing) {
                sack.insert(base + offset);
            }
        }
        sack
    }

    /// Empties the buffer and yields the frames that still waited.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = R> {
        std::mem::take(&mut self.places).into_iter().filter_map(|place| match place {
            Place::Held(delivery) => Some(delivery.frame),
            Place::Missing | Place::Done => None,
        })
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.places.shrink_to_fit();
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.places.capacity() * size_of::<Place<R>>()
    }

    fn set(&mut self, psn: u64, place: Place<R>) {
        let offset = (psn - self.next) as usize;
        while self.places.len() <= offset {
            self.places.push_back(Place::Missing);
        }
        self.places[offset] = place;
    }

    fn skip_done(&mut self) {
        while matches!(self.places.front(), Some(Place::Done)) {
            self.places.pop_front();
            self.next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::{ConnId, Content};

    const WINDOW: u64 = 64;

    fn delivery(psn: u64) -> Delivery<u64> {
        let content = Content::Am { id: 0, first: true, last: true };
        Delivery { conn: ConnId::new(0, 0), content, data_offset: 0, data_len: 0, frame: psn }
    }

    proptest! {
        /// Against a plain set of what has arrived: frames come in any order, some again, some too far ahead, some to be held and some not.
        #[test]
        fn it_is_a_set_that_yields_in_order(arrivals in prop::collection::vec((0u64..200, any::<bool>()), 0..400), first in 0u64..1 << 40) {
            let mut reorder = Reorder::new(first);
            let mut known = BTreeSet::new();
            let mut held = BTreeSet::new();
            let mut delivered = Vec::new();
            for (offset, hold) in arrivals {
                // Near the present, or nothing would ever get through.
                let psn = reorder.next().saturating_sub(20).max(first) + offset % 100;
                let edge = reorder.next() + WINDOW;
                let arrival = reorder.classify(psn, edge);
                let expected = if known.contains(&psn) || psn < reorder.next() {
                    Arrival::Duplicate
                } else if psn >= edge {
                    Arrival::Beyond
                } else if psn == reorder.next() {
                    Arrival::InOrder
                } else {
                    Arrival::Early
                };
                prop_assert_eq!(arrival, expected);
                match arrival {
                    Arrival::InOrder => {
                        reorder.advance();
                        known.insert(psn);
                    }
                    Arrival::Early if hold => {
                        reorder.hold(psn, delivery(psn));
                        known.insert(psn);
                        held.insert(psn);
                    }
                    Arrival::Early => {
                        reorder.done(psn);
                        known.insert(psn);
                    }
                    Arrival::Duplicate | Arrival::Beyond => {}
                }
                let next = (first..).find(|psn| !known.contains(psn)).expect("it ends");
                let sack = reorder.sack(reorder.next());
                for psn in reorder.next()..reorder.next() + WINDOW {
                    prop_assert_eq!(sack.contains((psn - reorder.next()) as usize), known.contains(&psn));
                }
                while let Some(ready) = reorder.take_ready() {
                    delivered.push(ready.frame);
                }
                prop_assert_eq!(reorder.next(), next);
                prop_assert_eq!(reorder.has_gap(), known.range(next..).next().is_some());
                prop_assert!(reorder.depth() as u64 <= WINDOW);
            }
            let expected: Vec<u64> = held.iter().copied().filter(|&psn| psn < reorder.next()).collect();
            prop_assert_eq!(delivered, expected, "held frames come out in order, once");
            prop_assert_eq!(reorder.drain().count(), held.range(reorder.next()..).count());
        }
    }
}
