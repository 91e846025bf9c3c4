//! How a connection ends well.
//!
//! A side that has no endpoint left and nothing unacknowledged says Close. The peer agrees if the same holds there, and the connection is
//! over; else it only takes note, and will say Close itself when its turn comes. So the last to finish ends it. The side that agreed
//! lingers for a while, since its agreement may be lost; so a lost last word is never an error. A channel that is being closed as a
//! whole says so, and then the peer has no choice.

use usb4_wire::{Flags, Header, Kind, Psn};

use crate::connection::{Connection, Phase};
use crate::emit::Outgoing;
use crate::shared::Shared;
use crate::timers::Timer;

impl<T: Copy, R: Copy> Connection<T, R> {
    /// Starts to close if nothing on this side needs the connection any more.
    pub(crate) fn close_if_unused(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if self.phase != Phase::Open || self.refs > 0 || self.close_told || !self.is_settled() {
            return;
        }
        if self.is_self() {
            return self.finish(cx);
        }
        self.phase = Phase::Closing;
        self.close_number = self.close_number.wrapping_add(1);
        self.close_started_ns = now_ns;
        self.work.close = true;
        self.attempts = 0;
        self.timers.clear(Timer::Loss);
        self.make_ready(cx);
        self.arm_close(cx, now_ns);
    }

    /// The whole channel is being closed.
    pub(crate) fn go_away(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        (self.refs, self.going_away, self.close_told) = (0, true, false);
        match self.phase {
            Phase::Over(_) => cx.ended.push(self.slot()),
            Phase::Connecting => self.finish(cx),
            Phase::Lingering => self.arm_close(cx, now_ns),
            Phase::Closing => {
                self.phase = Phase::Open;
                self.close_if_unused(cx, now_ns);
            }
            // What was accepted but never confirmed is open enough to be closed.
            Phase::Accepting if self.is_settled() => self.finish(cx),
            Phase::Accepting | Phase::Open => self.close_if_unused(cx, now_ns),
        }
    }

    fn arm_close(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let timeouts = &cx.config.timeouts;
        let wait_ns = match self.phase {
            Phase::Lingering if self.going_away => timeouts.linger_ns.min(timeouts.close_answer_ns),
            Phase::Lingering => timeouts.linger_ns,
            _ if self.going_away => timeouts.rto_min_ns,
            _ => self.rtt.rto_ns(timeouts, self.attempts),
        };
        self.arm(cx, Timer::Close, now_ns + wait_ns);
    }

    /// The peer has not answered the Close, or the lingering is over.
    pub(crate) fn close_timeout(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let timeouts = &cx.config.timeouts;
        let patience_ns = if self.going_away { timeouts.close_answer_ns } else { timeouts.peer_ns };
        if self.phase == Phase::Lingering || now_ns - self.close_started_ns >= patience_ns {
            // Everything this side ever sent is acknowledged: the peer's silence harms nobody.
            return self.finish(cx);
        }
        self.attempts += 1;
        self.work.close = true;
        self.make_ready(cx);
        self.arm_close(cx, now_ns);
    }

    /// The peer has nothing left to send and no endpoint.
    pub(crate) fn handle_close(&mut self, cx: &mut Shared<T, R>, now_ns: u64, header: &Header) {
        let going_away = header.form.flags().contains(Flags::GOING_AWAY);
        let agreed = match self.phase {
            Phase::Closing | Phase::Lingering | Phase::Over(_) => true,
            _ => going_away || (self.refs == 0 && self.is_settled()),
        };
        self.work.close_ack = Some((header.word, agreed));
        self.make_ready(cx);
        match self.phase {
            Phase::Over(_) | Phase::Lingering => {}
            Phase::Closing => self.linger(cx, now_ns),
            _ if agreed && self.refs == 0 && self.is_settled() => self.linger(cx, now_ns),
            _ if going_away => self.end_by_peer(cx),
            // This side will have to say when it is done.
            _ => self.close_told = false,
        }
    }

    fn linger(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        self.phase = Phase::Lingering;
        self.work.close = false;
        self.arm_close(cx, now_ns);
    }

    /// The peer answers this side's Close.
    pub(crate) fn handle_close_ack(&mut self, cx: &mut Shared<T, R>, header: &Header) {
        if header.word != self.close_number {
            return;
        }
        let agreed = header.form.flags().contains(Flags::AGREED);
        match self.phase {
            Phase::Closing if agreed => self.finish(cx),
            Phase::Closing => {
                self.phase = Phase::Open;
                self.close_told = true;
                self.work.close = false;
                self.timers.clear(Timer::Close);
            }
            // It has this side's Close, so it needs no answer any more.
            Phase::Lingering if agreed => self.finish(cx),
            _ => {}
        }
    }

    pub(crate) fn close_frame(&mut self, cx: &mut Shared<T, R>) -> Outgoing {
        self.work.close = false;
        let flags = if self.going_away { Flags::GOING_AWAY } else { Flags::empty() };
        let (number, psn) = (self.close_number, Psn(self.tx.next() as u32));
        let header = self.header(cx, Self::bare(Kind::Close, flags), number, psn, false);
        Outgoing::new(header, &[])
    }

    pub(crate) fn close_ack_frame(&mut self, cx: &mut Shared<T, R>, number: u16, agreed: bool) -> Outgoing {
        let flags = if agreed { Flags::AGREED } else { Flags::empty() };
        let psn = Psn(self.tx.next() as u32);
        let header = self.header(cx, Self::bare(Kind::CloseAck, flags), number, psn, false);
        Outgoing::new(header, &[])
    }
}
