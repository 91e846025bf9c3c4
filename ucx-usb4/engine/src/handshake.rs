//! How two channels come to know each other.
//!
//! ```text
//! Connecting --Accept--> Open
//! Connecting --Connect (both at once)--> Accepting --any frame with our token--> Open
//! (nothing) --Connect--> Accepting
//! ```
//!
//! Connect and Accept carry the same: incarnations, the sender's token, its first PSN, its grant. Either is repeated until the peer shows that
//! it has it. A Connect that was delayed until its connection was over opens a ghost; the ghost's Accept meets an unknown token, and the Reset
//! that answers it takes the ghost away.

use usb4_wire::control::{Handshake, Reset, ResetReason};
use usb4_wire::{Form, Header, Kind, Token};

use crate::connection::{Connection, Phase};
use crate::emit::Outgoing;
use crate::shared::Shared;
use crate::timers::Timer;
use crate::{Event, Failure};

/// First and longest wait before a handshake frame is repeated, in nanoseconds.
const REPEAT_NS: [u64; 2] = [1_000_000, 320_000_000];

impl<T: Copy, R: Copy> Connection<T, R> {
    /// Starts to connect.
    pub(crate) fn open(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let own = self.peer.address == cx.config.local && self.peer.incarnation == cx.config.incarnation;
        if own {
            self.peer_token = self.local_token;
            self.start_receiving(cx, self.tx.una());
            self.tx.raise_limit(self.grant.edge());
            self.become_open(cx);
        } else {
            self.start_handshake(cx, now_ns, Phase::Connecting);
        }
    }

    fn start_handshake(&mut self, cx: &mut Shared<T, R>, now_ns: u64, phase: Phase) {
        (self.phase, self.attempts) = (phase, 0);
        self.work.handshake = true;
        self.make_ready(cx);
        self.arm(cx, Timer::Handshake, now_ns + REPEAT_NS[0]);
    }

    fn start_receiving(&mut self, cx: &mut Shared<T, R>, first: u64) {
        self.rx = crate::reorder::Reorder::new(first);
        self.advertised = first;
        self.grant.restart(&mut cx.pool, first);
    }

    /// Takes over what the peer says of itself; it has asked for, or granted, this connection.
    fn adopt(&mut self, cx: &mut Shared<T, R>, header: &Header, body: &Handshake) {
        // Above 2^32, as the peer's own numbering.
        let first = (1 << 32) + u64::from(header.psn.0);
        if self.peer_token != body.token {
            self.start_receiving(cx, first);
            self.tx.raise_limit(self.tx.una() + u64::from(header.window));
        }
        self.peer_token = body.token;
        self.peer_serial = body.serial;
    }

    /// A Connect of this peer that belongs to this connection, new or known.
    pub(crate) fn handle_connect(&mut self, cx: &mut Shared<T, R>, now_ns: u64, header: &Header, body: &Handshake) {
        self.last_heard_ns = now_ns;
        match self.phase {
            Phase::Connecting => {
                self.adopt(cx, header, body);
                self.start_handshake(cx, now_ns, Phase::Accepting);
                self.announce(cx);
            }
            Phase::Accepting if self.peer_token != body.token => {
                // The peer gave the first attempt up before it got through; nothing of it was ever acknowledged.
                self.adopt(cx, header, body);
                self.tx.mark_lost(|_| true);
                self.start_handshake(cx, now_ns, Phase::Accepting);
            }
            // The peer missed the Accept.
            Phase::Accepting | Phase::Open => {
                self.work.handshake = true;
                self.make_ready(cx);
            }
            Phase::Closing | Phase::Lingering | Phase::Over(_) => {}
        }
    }

    /// An Accept with this side's token.
    pub(crate) fn handle_accept(&mut self, cx: &mut Shared<T, R>, now_ns: u64, header: &Header, body: &Handshake) {
        if body.incarnation != self.peer.incarnation || body.peer_incarnation != cx.config.incarnation {
            self.stats.invalid += 1;
            return;
        }
        match self.phase {
            Phase::Connecting => {
                self.adopt(cx, header, body);
                if self.attempts <= 1 {
                    self.rtt.sample(now_ns - self.opened_ns);
                }
                self.become_open(cx);
            }
            Phase::Accepting if self.peer_token == body.token => self.confirm(cx),
            Phase::Accepting if body.serial > self.peer_serial => {
                self.adopt(cx, header, body);
                self.tx.mark_lost(|_| true);
                self.become_open(cx);
            }
            _ => {}
        }
        // The peer repeats its Accept until it hears something.
        self.ack.demand();
        self.make_ready(cx);
    }

    /// The peer has used this side's token, so it has the Accept.
    pub(crate) fn confirm(&mut self, cx: &mut Shared<T, R>) {
        if self.phase == Phase::Accepting {
            self.become_open(cx);
        }
    }

    fn become_open(&mut self, cx: &mut Shared<T, R>) {
        self.phase = Phase::Open;
        self.attempts = 0;
        cx.confirmed.push(self.peer);
        self.timers.clear(Timer::Handshake);
        self.work.handshake = false;
        self.announce(cx);
        if self.tx.lost() > 0 {
            self.make_ready(cx);
        }
        let keepalive_ns = cx.config.timeouts.keepalive_ns;
        if let Some(keepalive_ns) = keepalive_ns {
            self.arm(cx, Timer::Keepalive, self.last_heard_ns + keepalive_ns);
        }
        self.offer_fill(cx);
        self.close_if_unused(cx, self.last_heard_ns);
    }

    fn announce(&mut self, cx: &mut Shared<T, R>) {
        if !std::mem::replace(&mut self.announced, true) {
            cx.events.push_back(Event::Connected(self.id));
        }
        if std::mem::take(&mut self.waiting.ready) {
            cx.events.push_back(Event::Unblocked(self.id));
        }
        self.offer_fill(cx);
    }

    /// No answer in time: repeat, or give up.
    pub(crate) fn handshake_timeout(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let patience_ns = cx.config.timeouts.peer_ns;
        if now_ns.saturating_sub(self.opened_ns.max(self.progress_ns)) >= patience_ns {
            if self.phase == Phase::Accepting && self.refs == 0 && self.is_settled() {
                // A ghost, or a peer that died: nobody here asked for it.
                self.finish(cx);
            } else {
                self.fail(cx, Failure::PeerTimeout);
            }
            return;
        }
        self.work.handshake = true;
        self.make_ready(cx);
        let wait_ns = (REPEAT_NS[0] << self.attempts.min(10)).min(REPEAT_NS[1]);
        self.arm(cx, Timer::Handshake, now_ns + wait_ns);
    }

    /// The Connect or Accept to send.
    pub(crate) fn handshake_frame(&mut self, cx: &mut Shared<T, R>) -> Outgoing {
        self.work.handshake = false;
        self.attempts += 1;
        let kind = if self.phase == Phase::Connecting { Kind::Connect } else { Kind::Accept };
        let body = Handshake {
            incarnation: cx.config.incarnation,
            peer_incarnation: self.peer.incarnation,
            token: self.local_token,
            serial: self.serial,
        };
        let form =
            Form::new(kind, usb4_wire::Flags::empty(), Handshake::LEN).expect("a handshake fits a control frame");
        // The first PSN, and the grant that counts from the peer's first one: both as they were before anything flowed.
        let window = cx.config.window_min;
        let header = Header { window, ..self.bare_header(cx, form, self.first_psn) };
        Outgoing::new(header, &body.emit())
    }

    /// Whether the peer is known to have agreed to this connection.
    pub(crate) fn is_confirmed(&self) -> bool {
        !matches!(self.phase, Phase::Connecting | Phase::Accepting)
    }

    /// Whether a refusal means this connection: it names the token that this side sends to, or offered.
    pub(crate) fn is_refused_by(&self, reset: &Reset) -> bool {
        let sent_to = if self.phase == Phase::Connecting { self.local_token } else { self.peer_token };
        reset.refused == sent_to && reset.refused != Token::NONE
    }

    /// The peer's side does not accept what was sent: a Reset that names what only the peer can know.
    pub(crate) fn handle_reset(&mut self, cx: &mut Shared<T, R>, now_ns: u64, reset: &Reset) {
        match (self.phase, reset.reason) {
            (Phase::Over(_) | Phase::Lingering, _) => {}
            // It has forgotten the connection, which is what closing is for.
            (Phase::Closing, _) => self.finish(cx),
            (Phase::Connecting, ResetReason::WrongIncarnation) => self.fail(cx, Failure::PeerRestarted),
            (Phase::Connecting, ResetReason::GoingAway) => self.fail(cx, Failure::PeerClosed),
            // It may have room later; the repeated Connect asks again until patience ends.
            (Phase::Connecting, _) => {}
            (Phase::Accepting, _) if self.refs == 0 && self.is_settled() => self.finish(cx),
            (Phase::Accepting, ResetReason::UnknownToken) => {
                // What was accepted was a ghost; whoever waits here wants the living peer.
                self.tx.mark_lost(|_| true);
                self.timers.clear(Timer::Loss);
                self.start_handshake(cx, now_ns, Phase::Connecting);
            }
            _ if reset.incarnation != self.peer.incarnation => self.fail(cx, Failure::PeerRestarted),
            (_, ResetReason::GoingAway) => self.end_by_peer(cx),
            (_, ResetReason::UnknownToken) => self.fail(cx, Failure::Reset),
            (_, reason) => self.fail(cx, Failure::Refused(reason)),
        }
    }
}
