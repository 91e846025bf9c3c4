//! What a connection sends of its own accord: handshakes, probes, acknowledgements, retransmissions, the last words.

use usb4_wire::{CONTROL_MAX, Flags, Form, HEADER_LEN, HOP_LIMIT, Header, Kind, Psn};

use crate::connection::{Connection, Phase};
use crate::shared::Shared;
use crate::timers::Timer;
use crate::{Body, Event, Rails, Transmit};

/// How long to wait before looking again whether a rail has room, in nanoseconds. A ring drains a frame in a few microseconds.
const RAIL_RETRY_NS: u64 = 20_000;

/// A control frame without its rail.
pub(crate) struct Outgoing {
    header: Header,
    payload: [u8; CONTROL_MAX],
    len: usize,
}

impl Outgoing {
    pub(crate) fn new(header: Header, body: &[u8]) -> Self {
        debug_assert_eq!(header.form.payload_len(), body.len());
        let mut payload = [0; CONTROL_MAX];
        payload[..body.len()].copy_from_slice(body);
        Self { header, payload, len: body.len() }
    }

    pub(crate) fn emit(&self) -> ([u8; HEADER_LEN], [u8; CONTROL_MAX], usize) {
        (self.header.emit(), self.payload, self.len)
    }
}

/// What a connection had to say.
pub(crate) enum Produced<T> {
    /// This.
    Frame(Transmit<T>),
    /// Something, but no rail takes it now.
    Blocked,
    /// Nothing more.
    Nothing,
}

impl<T: Copy, R: Copy> Connection<T, R> {
    /// The next frame that is due.
    pub(crate) fn produce(&mut self, cx: &mut Shared<T, R>, now_ns: u64, rails: &impl Rails) -> Produced<T> {
        if self.rails.is_stranded() {
            // A rail that comes back calls again.
            return Produced::Nothing;
        }
        let produced = self.produce_something(cx, now_ns, rails);
        if matches!(produced, Produced::Blocked) {
            self.retry_rails(cx, now_ns);
        }
        produced
    }

    /// Has the rails looked at again soon.
    pub(crate) fn retry_rails(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if self.timers.at_ns(Timer::Rails) > now_ns + RAIL_RETRY_NS {
            self.arm(cx, Timer::Rails, now_ns + RAIL_RETRY_NS);
        }
    }

    fn produce_something(&mut self, cx: &mut Shared<T, R>, now_ns: u64, rails: &impl Rails) -> Produced<T> {
        if let Some((number, over)) = self.work.close_ack {
            return self.control(cx, rails, u32::MAX, |conn, cx| {
                conn.work.close_ack = None;
                conn.close_ack_frame(cx, number, over)
            });
        }
        if self.is_over() {
            return Produced::Nothing;
        }
        if self.work.handshake {
            // A repeated handshake tries the rails in turn: one of them may be a black hole.
            let among = self.nth_usable(self.attempts);
            return self.control(cx, rails, among, |conn, cx| conn.handshake_frame(cx));
        }
        if self.phase == Phase::Connecting {
            return Produced::Nothing;
        }
        self.work.rail_probes &= self.rails.usable();
        if self.work.rail_probes != 0 {
            let rail_probes = self.work.rail_probes;
            let lowest = rail_probes & rail_probes.wrapping_neg();
            self.work.rail_probes &= !lowest;
            return self.probe(cx, rails, lowest);
        }
        if self.work.probe {
            return self.probe(cx, rails, u32::MAX);
        }
        if self.work.refusal {
            return self.refuse(cx, now_ns, rails);
        }
        if let Some(number) = self.work.refuse_ack {
            return self.control(cx, rails, u32::MAX, |conn, cx| {
                conn.work.refuse_ack = None;
                let psn = Psn(conn.tx.next() as u32);
                Outgoing::new(conn.header(cx, Self::bare(Kind::RefuseAck, Flags::empty()), number, psn, false), &[])
            });
        }
        if self.ack.is_due() {
            let among = self.rails_for_ack(rails);
            return self.control(cx, rails, among, |conn, cx| conn.ack_frame(cx));
        }
        if self.tx.lost() > 0 {
            return self.retransmit(cx, now_ns, rails);
        }
        if self.work.close {
            return self.control(cx, rails, u32::MAX, |conn, cx| conn.close_frame(cx));
        }
        if self.work.rail_wait {
            if self.rails.cheapest(usb4_wire::PAYLOAD_MAX, rails).is_none() {
                return Produced::Blocked;
            }
            self.work.rail_wait = false;
            cx.events.push_back(Event::Unblocked(self.id));
        }
        Produced::Nothing
    }

    /// Sends the control frame that `make` writes on the cheapest rail of `among`.
    fn control(
        &mut self,
        cx: &mut Shared<T, R>,
        rails: &impl Rails,
        among: u32,
        make: impl FnOnce(&mut Self, &mut Shared<T, R>) -> Outgoing,
    ) -> Produced<T> {
        let Some(rail) = self.rails.cheapest_of(among, CONTROL_MAX, rails) else {
            return Produced::Blocked;
        };
        let outgoing = make(self, cx);
        // A probe has taken its place in the rail's order by itself.
        if outgoing.header.form.kind() != Kind::Probe {
            self.rails.next_seq(rail);
        }
        let (header, payload, len) = outgoing.emit();
        Produced::Frame(Transmit {
            conn: Some(self.id),
            rail: self.rails.id(rail),
            dst: self.peer.address,
            header,
            body: Body::Control { payload, len },
        })
    }

    /// The rails to choose from for an acknowledgement. One that swallows everything looks idle and cheap, so cost alone is no guide.
    fn rails_for_ack(&self, rails: &impl Rails) -> u32 {
        if self.ack_turn > 1 {
            return self.nth_usable(self.ack_turn);
        }
        let heard = self.rails.bit_of(self.heard_on);
        if self.rails.cheapest_of(heard, CONTROL_MAX, rails).is_some() { heard } else { u32::MAX }
    }

    /// The bit of the rail whose turn it is at attempt `turn`.
    fn nth_usable(&self, turn: u32) -> u32 {
        let usable = self.rails.usable();
        let count = usable.count_ones().max(1);
        crate::rails::bits(usable).nth((turn % count) as usize).map_or(0, |index| 1 << index)
    }

    fn probe(&mut self, cx: &mut Shared<T, R>, rails: &impl Rails, among: u32) -> Produced<T> {
        let Some(rail) = self.rails.cheapest_of(among, 0, rails) else {
            self.work.probe |= among == u32::MAX;
            self.work.rail_probes |= if among == u32::MAX { 0 } else { among };
            return Produced::Blocked;
        };
        self.work.probe &= among != u32::MAX;
        // 0 means "no probe" on the wire.
        self.probe_number = self.probe_number.checked_add(1).unwrap_or(1);
        let number = self.probe_number;
        self.rails.probed(rail, number);
        self.stats.probes_sent += 1;
        self.control(cx, rails, 1 << rail, |conn, cx| {
            let psn = Psn(conn.tx.next() as u32);
            let header = conn.header(cx, Self::bare(Kind::Probe, Flags::empty()), number, psn, false);
            Outgoing::new(header, &[])
        })
    }

    fn refuse(&mut self, cx: &mut Shared<T, R>, now_ns: u64, rails: &impl Rails) -> Produced<T> {
        let among = self.nth_usable(self.hold.as_ref().map_or(0, |hold| hold.attempts));
        let Some(rail) = self.rails.cheapest_of(among, CONTROL_MAX, rails) else { return Produced::Blocked };
        match self.refusal_frame(cx, now_ns) {
            Some(outgoing) => self.control(cx, rails, 1 << rail, |_, _| outgoing),
            None => Produced::Nothing,
        }
    }

    fn ack_frame(&mut self, cx: &mut Shared<T, R>) -> Outgoing {
        let ack = self.hold.as_ref().map_or(self.rx.next(), |hold| hold.ack());
        let sack = self.rx.sack(ack);
        let mut payload = [0; CONTROL_MAX];
        let len = sack.emit(&mut payload);
        let form = Form::new(Kind::Ack, Flags::empty(), len).expect("a bitmap fits a control frame");
        let echo = self.ack.echo();
        self.stats.acks_sent += 1;
        let header = self.header(cx, form, echo, sack.check(), true);
        Outgoing { header, payload, len }
    }

    fn retransmit(&mut self, cx: &mut Shared<T, R>, now_ns: u64, rails: &impl Rails) -> Produced<T> {
        let Some((psn, sent)) = self.tx.first_lost() else { return Produced::Nothing };
        let (form, word, frame, last_rail) = (sent.form, sent.word, sent.frame, sent.rail);
        let again = sent.attempts > 0;
        let others = self.rails.usable() & !(1 << last_rail);
        // After a timeout another rail is worth a try; it is the path that may be at fault.
        let preferred = if others != 0 && self.has_timed_out(cx) { others } else { u32::MAX };
        let Some(rail) = self
            .rails
            .cheapest_of(preferred, form.payload_len(), rails)
            .or_else(|| self.rails.cheapest(form.payload_len(), rails))
        else {
            return Produced::Blocked;
        };
        let rail_seq = self.rails.next_seq(rail);
        self.tx.resent(psn, rail, rail_seq, now_ns);
        self.stats.retransmitted += u64::from(again);
        self.await_acknowledgement(cx, now_ns);
        let header = self.header(cx, form, word, Psn(psn as u32), false);
        Produced::Frame(Transmit {
            conn: Some(self.id),
            rail: self.rails.id(rail),
            dst: self.peer.address,
            header: header.emit(),
            body: Body::Frame { frame, payload_len: form.payload_len() },
        })
    }

    /// A header that acknowledges nothing: for a peer that this side knows nothing of yet.
    pub(crate) fn bare_header(&self, cx: &Shared<T, R>, form: Form, psn: Psn) -> Header {
        Header {
            form,
            hop_limit: HOP_LIMIT,
            dst: self.peer.address,
            src: cx.config.local,
            window: 0,
            word: 0,
            token: self.peer_token,
            psn,
            ack: Psn(0),
        }
    }
}
