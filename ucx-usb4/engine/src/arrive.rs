//! Frames that arrive on a connection.

use usb4_wire::control::{Refusal, Sack};
use usb4_wire::{Flags, Header, Kind, RailId, extension};

use crate::ack::Urgency;
use crate::connection::{Connection, Phase};
use crate::reorder::Arrival;
use crate::shared::Shared;
use crate::timers::Timer;
use crate::{Content, Delivery, Verdict};

/// What a sequenced frame turned out to be.
enum Reading {
    /// Something for the driver.
    Deliver(Content, usize),
    /// The engine has used it up.
    Consumed,
    /// Damaged: as good as lost.
    Damaged,
}

/// What the engine must do about a frame besides.
pub(crate) enum Reply<R> {
    /// Nothing.
    Verdict(Verdict<R>),
    /// Refuse it: the connection is over here.
    Refuse(R),
}

impl<T: Copy, R: Copy> Connection<T, R> {
    /// Takes the next active message, as [`Self::arrive`] would, and says whether it was that.
    #[inline]
    pub(crate) fn arrive_message(&mut self, cx: &mut Shared<T, R>, now_ns: u64, rail: RailId, header: &Header) -> bool {
        let psn = header.psn.extend(self.rx.next());
        let is_next = psn == self.rx.next() && psn < self.grant.edge() && self.rx.is_plain();
        if header.form.kind() != Kind::Am || self.phase != Phase::Open || !is_next {
            return false;
        }
        (self.last_heard_ns, self.heard_on) = (now_ns, rail);
        self.hear_acknowledgement(cx, now_ns, header.ack, header.window);
        self.note_new(header, psn);
        self.rx.advance_plain();
        self.note_in_order(cx, now_ns);
        true
    }

    /// A frame with this connection's token.
    pub(crate) fn arrive(
        &mut self,
        cx: &mut Shared<T, R>,
        now_ns: u64,
        rail: RailId,
        header: &Header,
        private: &[u8],
        frame: R,
    ) -> Reply<R> {
        let kind = header.form.kind();
        match self.phase {
            Phase::Open => {}
            Phase::Accepting => self.confirm(cx),
            // The peer has accepted and sends already; the Accept is late or lost, and will be repeated.
            Phase::Connecting => return Reply::Verdict(Verdict::Drop(frame)),
            Phase::Closing | Phase::Lingering => {}
            Phase::Over(_) => {
                if kind != Kind::Close {
                    return Reply::Refuse(frame);
                }
                self.handle_close(cx, now_ns, header);
                return Reply::Verdict(Verdict::Drop(frame));
            }
        }
        (self.last_heard_ns, self.heard_on) = (now_ns, rail);
        self.hear_acknowledgement(cx, now_ns, header.ack, header.window);
        if kind.is_sequenced() {
            return Reply::Verdict(self.arrive_sequenced(cx, now_ns, header, private, frame));
        }
        // What a control frame says stands on what it acknowledges.
        self.settle(cx);
        match kind {
            Kind::Ack => match Sack::parse(private, header.psn) {
                Ok(sack) => self.handle_sack(cx, now_ns, header.ack, &sack, header.word),
                Err(_) => self.stats.invalid += 1,
            },
            Kind::Probe => {
                self.turn_acks();
                self.ack.probe(header.word);
                self.ack.want(header.psn.extend(self.rx.next()), self.rx.next());
                self.make_ready(cx);
            }
            Kind::Close => self.handle_close(cx, now_ns, header),
            Kind::CloseAck => self.handle_close_ack(cx, header),
            Kind::Refuse => match Refusal::parse(private) {
                Ok(refusal) => self.handle_refuse(cx, header.word, &refusal),
                Err(_) => self.stats.invalid += 1,
            },
            Kind::RefuseAck => self.handle_refuse_ack(cx, now_ns, header.word),
            _ => self.stats.invalid += 1,
        }
        Reply::Verdict(Verdict::Drop(frame))
    }

    fn arrive_sequenced(
        &mut self,
        cx: &mut Shared<T, R>,
        now_ns: u64,
        header: &Header,
        private: &[u8],
        frame: R,
    ) -> Verdict<R> {
        let psn = header.psn.extend(self.rx.next());
        let arrival = self.rx.classify(psn, self.grant.edge());
        match arrival {
            Arrival::InOrder | Arrival::Early => {}
            Arrival::Duplicate => {
                self.stats.duplicates += 1;
                // The sender has missed an acknowledgement.
                self.turn_acks();
                self.ack.demand();
                self.make_ready(cx);
                return Verdict::Drop(frame);
            }
            Arrival::Beyond => {
                self.stats.beyond_window += 1;
                return Verdict::Drop(frame);
            }
        }
        let form = header.form;
        let wait = arrival == Arrival::Early && (must_wait(form.kind()) || form.flags().contains(Flags::FENCE));
        let reading = self.read(cx, header, private);
        let verdict = match reading {
            Reading::Damaged => {
                self.stats.invalid += 1;
                return Verdict::Drop(frame);
            }
            Reading::Consumed => Verdict::Drop(frame),
            Reading::Deliver(content, data_offset) => {
                let data_len = form.payload_len() - data_offset;
                let delivery = Delivery { conn: self.id, content, data_offset, data_len, frame };
                if wait {
                    self.stats.reordered += 1;
                    self.rx.hold(psn, delivery);
                    Verdict::Held
                } else {
                    Verdict::Deliver(delivery)
                }
            }
        };
        self.note_new(header, psn);
        if arrival == Arrival::InOrder {
            self.rx.advance();
            if self.rx.has_ready() {
                cx.deliverable.push_back(self.slot());
            }
            self.note_in_order(cx, now_ns);
        } else {
            if !wait {
                self.rx.done(psn);
            }
            self.note_early(cx, now_ns);
        }
        verdict
    }

    /// Counts a frame that had not arrived before.
    #[inline]
    fn note_new(&mut self, header: &Header, psn: u64) {
        self.stats.frames_received += 1;
        self.stats.bytes_received += header.form.payload_len() as u64;
        if header.form.flags().contains(Flags::ACK_REQUEST) {
            self.ack.want(psn + 1, self.rx.next());
        }
        self.ack_turn = 0;
    }

    /// A frame came in its turn, and the next one is expected now.
    #[inline]
    fn note_in_order(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let urgency = self.ack.in_order(self.rx.next(), self.grant.target());
        self.schedule_ack(cx, now_ns, urgency);
    }

    /// Makes sense of a sequenced frame.
    fn read(&mut self, cx: &mut Shared<T, R>, header: &Header, private: &[u8]) -> Reading {
        use extension::{AtomicRequest, AtomicResponse, GetRequest, GetResponse, Put};
        let form = header.form;
        let reading = match form.kind() {
            Kind::Am => {
                let (first, last) = (form.flags().contains(Flags::FIRST), form.flags().contains(Flags::LAST));
                Ok(Reading::Deliver(Content::Am { id: header.word, first, last }, 0))
            }
            Kind::Put => Put::parse(private).map(|put| Reading::Deliver(Content::Put(put), Put::LEN)),
            Kind::GetRequest => GetRequest::parse(private)
                .map(|request| Reading::Deliver(Content::GetRequest(request), GetRequest::LEN)),
            Kind::AtomicRequest => AtomicRequest::parse(private).map(|request| {
                let fetch = form.flags().contains(Flags::FETCH);
                Reading::Deliver(Content::Atomic { request, fetch }, AtomicRequest::LEN)
            }),
            Kind::GetResponse => GetResponse::parse(private).map(|response| {
                let len = (form.payload_len() - GetResponse::LEN) as u64;
                match self.take_response(cx, &response, len) {
                    Some(local_addr) => Reading::Deliver(Content::GetData { local_addr }, GetResponse::LEN),
                    None => Reading::Consumed,
                }
            }),
            Kind::AtomicResponse => AtomicResponse::parse(private).map(|response| {
                self.take_old_value(cx, &response);
                Reading::Consumed
            }),
            _ => return Reading::Damaged,
        };
        reading.unwrap_or(Reading::Damaged)
    }

    /// Takes the next frame that waited for its turn.
    pub(crate) fn take_ready(&mut self, cx: &mut Shared<T, R>) -> Option<Delivery<R>> {
        let delivery = self.rx.take_ready()?;
        let urgency = self.ack.in_order(self.rx.next(), self.grant.target());
        self.schedule_ack(cx, self.last_heard_ns, urgency);
        Some(delivery)
    }

    /// The next acknowledgement takes another rail than the last one.
    fn turn_acks(&mut self) {
        self.ack_turn = self.ack_turn.wrapping_add(1);
    }

    fn note_early(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        self.stats.reorder_depth_max = self.stats.reorder_depth_max.max(self.rx.depth() as u32);
        self.watch_idleness(cx, now_ns);
        if !self.timers.is_set(Timer::Loss) {
            // Should the sender die now, the frames that wait behind the gap would wait for ever.
            (self.progress_ns, self.silence) = (now_ns, 0);
            let at_ns = now_ns + self.rtt.rto_ns(&cx.config.timeouts, 0);
            self.arm(cx, Timer::Loss, at_ns);
        }
        let urgency = self.ack.early();
        self.schedule_ack(cx, now_ns, urgency);
    }

    #[inline]
    fn schedule_ack(&mut self, cx: &mut Shared<T, R>, now_ns: u64, urgency: Urgency) {
        let timeouts = &cx.config.timeouts;
        let wait_ns = match urgency {
            Urgency::Now => return self.make_ready(cx),
            Urgency::Soon => timeouts.ack_delay_ns,
            Urgency::Gap => timeouts.reorder_delay_ns,
        };
        if self.timers.at_ns(Timer::Ack) > now_ns + wait_ns {
            self.arm(cx, Timer::Ack, now_ns + wait_ns);
        }
    }

    /// Acknowledges now what may wait otherwise.
    pub(crate) fn acknowledge_now(&mut self, cx: &mut Shared<T, R>) {
        if self.timers.is_set(Timer::Ack) {
            self.timers.clear(Timer::Ack);
            self.ack_timeout(cx);
        }
    }

    /// The acknowledgement has waited long enough.
    pub(crate) fn ack_timeout(&mut self, cx: &mut Shared<T, R>) {
        if self.ack.owes() || self.rx.has_gap() || self.hold.is_some() {
            self.ack.demand();
            self.make_ready(cx);
        }
    }
}

/// Whether frames of this kind are delivered in order.
const fn must_wait(kind: Kind) -> bool {
    matches!(kind, Kind::Am | Kind::GetRequest | Kind::AtomicRequest)
}
