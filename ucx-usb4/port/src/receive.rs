//! Receiving: what the channel reaps goes through the engine, and what is for the owner comes out one by one.

use usb4_engine::{ConnId, Content, Delivery, Event as EngineEvent, Verdict};
use usb4_link::{Carrier, LinkEvent, RxFrame};
use usb4_wire::{CONTROL_MAX, Flags, Header, RailId};

use crate::kept::Kept;
use crate::{Event, Part, Port};

/// What the bytes of an arrival lie in. A copyable name, not an owner.
#[derive(Clone, Copy, Debug)]
pub struct Parcel(
    /// None: they are among those that the attendant has kept.
    Option<RxFrame>,
);

/// Something that came from a peer. Its parcel must go back with [`Port::release`].
#[derive(Clone, Copy, Debug)]
pub enum Arrival {
    /// A frame of an active message, in order.
    Message {
        /// The connection that it came over.
        conn: ConnId,
        /// The active message id, as the peer wrote it.
        id: u16,
        /// Where the frame stands in its message.
        part: Part,
        /// `length` readable bytes, which the peer may still write.
        payload: *const u8,
        /// Bytes.
        length: usize,
        /// What `payload` lies in.
        frame: Parcel,
    },
}

/// What a look for arrivals finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    /// What was kept comes before what comes now.
    KeptFirst,
    /// Only what comes now.
    FreshOnly,
}

impl Port {
    /// Begins a round of [`poll_arrival`](Self::poll_arrival) and [`service`](Self::service).
    #[inline]
    pub fn begin(&mut self) {
        self.channel.disarm();
        // A simulated cable without delay needs no time to say what is there: a clock would be the dearest part of an idle round.
        if self.delayed {
            self.look_at_clock();
        }
    }

    /// The next arrival; `None` when nothing is there now.
    #[inline]
    pub fn poll_arrival(&mut self) -> Option<Arrival> {
        self.poll(Order::KeptFirst)
    }

    #[inline]
    fn poll(&mut self, order: Order) -> Option<Arrival> {
        loop {
            if self.draining {
                if order == Order::KeptFirst && !self.kept.is_empty() {
                    return self.unkeep();
                }
                match self.engine.poll_deliver() {
                    Some(delivery) => match self.arrival(delivery) {
                        None => continue,
                        arrival => return arrival,
                    },
                    None => self.draining = false,
                }
            }
            let reaped = self.channel.reap(self.now_ns)?;
            self.active = true;
            let frame = reaped.frame;
            if self.recorder.is_some() {
                self.record_received(&reaped);
            }
            let header = match Header::parse(&reaped.header) {
                // What the header claims must lie within what has really come.
                Ok(header) if header.form.payload_len() <= frame.payload_len() => header,
                _ => {
                    self.engine.handle_damaged();
                    self.channel.release(frame);
                    continue;
                }
            };
            if let Some(conn) = self.engine.handle_message(self.now_ns, reaped.rail, &header) {
                let flags = header.form.flags();
                return Some(Arrival::Message {
                    conn,
                    id: header.word,
                    part: Part { first: flags.contains(Flags::FIRST), last: flags.contains(Flags::LAST) },
                    payload: self.channel.payload(frame),
                    length: header.form.payload_len(),
                    frame: Parcel(Some(frame)),
                });
            }
            if let Some(delivery) = self.handle(reaped.rail, &header, frame)
                && let Some(arrival) = self.arrival(delivery)
            {
                return Some(arrival);
            }
        }
    }

    /// Gives a parcel back when its payload has been used.
    #[inline]
    pub fn release(&mut self, parcel: Parcel) {
        match parcel.0 {
            Some(frame) => self.channel.release(frame),
            None => self.kept.take_back(),
        }
    }

    /// Takes messages as they come and keeps a copy of each for the owner, as many as there is room for. Returns how many.
    pub(super) fn keep_arrivals(&mut self) -> usize {
        let mut count = 0;
        while !self.kept.is_full()
            && let Some(arrival) = self.poll(Order::FreshOnly)
        {
            let Arrival::Message { conn, id, part, payload, length, frame } = arrival;
            let mut bytes = Vec::with_capacity(length);
            // SAFETY: `length` readable bytes until the parcel is released, and a new vector with room for them.
            unsafe { payload.copy_to_nonoverlapping(bytes.as_mut_ptr(), length) };
            // SAFETY: just written.
            unsafe { bytes.set_len(length) };
            self.kept.keep(Kept { conn, id, part, bytes: bytes.into_boxed_slice() });
            self.release(frame);
            count += 1;
        }
        self.draining |= !self.kept.is_empty();
        count
    }

    /// The first message that was kept.
    #[cold]
    fn unkeep(&mut self) -> Option<Arrival> {
        let (conn, id, part, bytes) = self.kept.hand_out()?;
        Some(Arrival::Message { conn, id, part, payload: bytes.as_ptr(), length: bytes.len(), frame: Parcel(None) })
    }

    /// Private copy of the first bytes of an arrival's payload, for owners that look at no more; returns how many there were.
    pub fn peek(&self, arrival: &Arrival, out: &mut [u8; CONTROL_MAX]) -> usize {
        let Arrival::Message { frame, length, .. } = *arrival;
        let length = length.min(CONTROL_MAX);
        let Some(frame) = frame.0 else {
            out[..length].copy_from_slice(&self.kept.handed()[..length]);
            return length;
        };
        self.channel.copy_control(frame, length, out)
    }

    fn handle(&mut self, rail: RailId, header: &Header, frame: RxFrame) -> Option<Delivery<RxFrame>> {
        let mut copy = [0; CONTROL_MAX];
        let wanted = header.private_len();
        let copied = if wanted == 0 { 0 } else { self.channel.copy_control(frame, wanted, &mut copy) };
        // Whatever it was, it may have been what others waited for.
        self.draining = true;
        match self.engine.handle_frame(self.now_ns, rail, header, &copy[..copied], frame) {
            Verdict::Deliver(delivery) => Some(delivery),
            Verdict::Held => None,
            Verdict::Drop(frame) => {
                self.channel.release(frame);
                None
            }
        }
    }

    /// A message for the owner; what is no message is served here.
    fn arrival(&mut self, delivery: Delivery<RxFrame>) -> Option<Arrival> {
        let Content::Am { id, first, last } = delivery.content else {
            self.serve(delivery);
            return None;
        };
        Some(Arrival::Message {
            conn: delivery.conn,
            id,
            part: Part { first, last },
            payload: self.channel.payload(delivery.frame).wrapping_add(delivery.data_offset),
            length: delivery.data_len,
            frame: Parcel(Some(delivery.frame)),
        })
    }

    /// Whether [`service`](Self::service) can wait for a round in which nothing arrives: nobody would notice. Whoever waits for the
    /// message that has just arrived has it sooner so.
    #[inline]
    #[must_use]
    pub fn can_rest(&self) -> bool {
        !self.engine.wants_transmit() && !self.engine.has_events()
    }

    /// Everything that goes on by itself: acknowledgements, retransmissions, time. To be called after the arrivals. Returns whether
    /// something may have changed for the owner (events, room, flushes).
    #[inline]
    pub fn service(&mut self) -> bool {
        let active = std::mem::take(&mut self.active);
        if !active && !self.idling.is_clock_due() {
            return false;
        }
        self.look_at_clock();
        self.idling.note_clock(self.now_ns);
        self.service_now();
        true
    }

    /// The same, at the time that the clock showed last.
    pub(super) fn service_now(&mut self) {
        self.publish_if_due();
        while let Some(event) = self.channel.poll_event(self.now_ns) {
            match event {
                LinkEvent::RailDown(rail) => self.engine.handle_rail_down(self.now_ns, rail),
                LinkEvent::RailUp(rail) => self.engine.handle_rail_up(self.now_ns, rail),
                LinkEvent::PeerGone(peer) => self.engine.handle_peer_gone(self.now_ns, peer),
                LinkEvent::RailsChanged(node) => {
                    let rails = self.rails_to(node);
                    self.engine.handle_rails(self.now_ns, node, rails);
                }
            }
        }
        self.push_operations();
        // Deals with deadlines that have passed, too.
        self.transmit();
        self.recycle();
        while let Some(frame) = self.engine.poll_held_release() {
            self.channel.release(frame);
        }
    }

    /// The next event, after [`service`](Self::service) said that there may be one.
    pub fn poll_event(&mut self) -> Option<Event> {
        loop {
            match self.engine.poll_event()? {
                EngineEvent::Failed(conn, reason) => return Some(Event::Failed { conn, reason }),
                EngineEvent::Completed { cookie, result, .. } => return Some(Event::Completed { cookie, result }),
                EngineEvent::Refused { conn, reason } => return Some(Event::Refused { conn, reason }),
                // A connection that the peer opened knows only the rail by which it came.
                EngineEvent::Connected(conn) => {
                    if let Some(info) = self.engine.info(conn) {
                        let node = info.peer.address.node;
                        self.engine.handle_rails(self.now_ns, node, self.rails_to(node));
                    }
                }
                // Whoever waits for these looks by himself: sends in the pending queue, flushes.
                EngineEvent::Unblocked(_) | EngineEvent::Closed(_) => {}
            }
        }
    }
}
