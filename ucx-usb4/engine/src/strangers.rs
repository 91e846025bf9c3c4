//! Frames that belong to no connection: requests for one, refusals, and leftovers of earlier lives.

use std::collections::VecDeque;

use usb4_wire::control::{Handshake, Reset, ResetReason};
use usb4_wire::{Address, CONTROL_MAX, Flags, Form, HEADER_LEN, HOP_LIMIT, Header, Kind, Psn, RailId, RailSet, Token};

use crate::{Body, Config, Engine, Peer, Rails, Transmit};

/// Refusals that may wait to be sent; further ones are left out. The refused side repeats itself anyway.
const QUEUE_MAX: usize = 16;
/// At most one refusal per so many nanoseconds, beyond a burst of [`QUEUE_MAX`].
const INTERVAL_NS: u64 = 100_000;

/// What goes back to strangers, at a bounded rate.
#[derive(Debug)]
pub(crate) struct Strangers {
    refusals: VecDeque<Refusal>,
    /// Earliest time at which the allowance is full again.
    allowance_full_ns: u64,
}

#[derive(Debug)]
struct Refusal {
    rail: RailId,
    dst: Address,
    token: Token,
    body: Reset,
}

impl Strangers {
    pub(crate) const fn new() -> Self {
        Self { refusals: VecDeque::new(), allowance_full_ns: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.refusals.is_empty()
    }

    fn refuse(&mut self, now_ns: u64, refusal: Refusal) {
        let used_ns = self.allowance_full_ns.saturating_sub(now_ns);
        if self.refusals.len() < QUEUE_MAX && used_ns < QUEUE_MAX as u64 * INTERVAL_NS {
            self.allowance_full_ns = self.allowance_full_ns.max(now_ns) + INTERVAL_NS;
            self.refusals.push_back(refusal);
        }
    }

    pub(crate) fn poll_transmit<T>(&mut self, config: &Config, up: RailSet, rails: &impl Rails) -> Option<Transmit<T>> {
        let Refusal { rail, dst, token, body } = self.refusals.pop_front()?;
        if !up.contains(rail) || rails.cost_ns(rail, HEADER_LEN + Reset::LEN).is_none() {
            return None;
        }
        let form = Form::new(Kind::Reset, Flags::empty(), Reset::LEN).expect("a reset fits a control frame");
        let header = Header {
            form,
            hop_limit: HOP_LIMIT,
            dst,
            src: config.local,
            window: 0,
            word: 0,
            token,
            psn: Psn(0),
            ack: Psn(0),
        };
        let mut payload = [0; CONTROL_MAX];
        payload[..Reset::LEN].copy_from_slice(&body.emit());
        let body = Body::Control { payload, len: Reset::LEN };
        Some(Transmit { conn: None, rail, dst, header: header.emit(), body })
    }
}

impl<T: Copy, R: Copy> Engine<T, R> {
    /// A frame without a connection, or one of the handshake.
    pub(crate) fn handle_stranger(&mut self, now_ns: u64, rail: RailId, header: &Header, private: &[u8]) {
        match header.form.kind() {
            Kind::Connect => {
                if let Ok(body) = Handshake::parse(private) {
                    self.handle_connect(now_ns, rail, header, &body);
                }
            }
            Kind::Accept => {
                if let Ok(body) = Handshake::parse(private) {
                    self.handle_accept(now_ns, rail, header, &body);
                }
            }
            Kind::Reset => {
                if let Ok(reset) = Reset::parse(private) {
                    self.handle_reset(now_ns, header.src, &reset);
                }
            }
            _ => self.refuse_unknown(now_ns, rail, header),
        }
    }

    /// Tells the sender that its token names nothing here.
    pub(crate) fn refuse_unknown(&mut self, now_ns: u64, rail: RailId, header: &Header) {
        self.refuse(now_ns, rail, header, Token::NONE, header.token, ResetReason::UnknownToken);
    }

    fn refuse(
        &mut self,
        now_ns: u64,
        rail: RailId,
        header: &Header,
        token: Token,
        refused: Token,
        reason: ResetReason,
    ) {
        let body = Reset { refused, incarnation: self.shared.config.incarnation, reason };
        self.strangers.refuse(now_ns, Refusal { rail, dst: header.src, token, body });
    }

    fn handle_connect(&mut self, now_ns: u64, rail: RailId, header: &Header, body: &Handshake) {
        let refuse = |engine: &mut Self, reason| engine.refuse(now_ns, rail, header, body.token, body.token, reason);
        if body.peer_incarnation != self.shared.config.incarnation {
            return refuse(self, ResetReason::WrongIncarnation);
        }
        if self.shared.closing {
            return refuse(self, ResetReason::GoingAway);
        }
        let peer = Peer { address: header.src, incarnation: body.incarnation };
        let known = self.peers.get(&peer).and_then(|&slot| self.slots[usize::from(slot)].conn.as_deref_mut());
        if let Some(conn) = known {
            let same = conn.peer_token == body.token;
            let newer = body.serial > conn.peer_serial;
            if conn.is_joinable() && (same || (newer && !conn.is_confirmed())) {
                return conn.handle_connect(&mut self.shared, now_ns, header, body);
            }
            if same || !newer {
                // A copy that was long under way.
                return;
            }
        }
        let Ok(id) = self.create(now_ns, peer) else {
            return refuse(self, ResetReason::NoRoom);
        };
        if let Some((conn, cx)) = self.parts(id) {
            // The driver will say which rails lead there; until then the one it came by does.
            conn.set_routes(cx, now_ns, RailSet::only(rail));
            conn.handle_connect(cx, now_ns, header, body);
        }
    }

    fn handle_accept(&mut self, now_ns: u64, rail: RailId, header: &Header, body: &Handshake) {
        let slot = usize::from(header.token.slot());
        match self.slots.get_mut(slot).and_then(|slot| slot.conn.as_deref_mut()) {
            Some(conn) if conn.local_token == header.token && conn.peer.address == header.src && !conn.is_over() => {
                conn.handle_accept(&mut self.shared, now_ns, header, body);
            }
            // The peer accepted what is given up here.
            _ => self.refuse(now_ns, rail, header, body.token, header.token, ResetReason::UnknownToken),
        }
    }

    fn handle_reset(&mut self, now_ns: u64, src: Address, reset: &Reset) {
        let conns = self.slots.iter_mut().filter_map(|slot| slot.conn.as_deref_mut());
        for conn in conns.filter(|conn| conn.peer.address == src && conn.is_refused_by(reset)) {
            conn.handle_reset(&mut self.shared, now_ns, reset);
        }
    }
}
