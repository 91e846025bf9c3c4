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
