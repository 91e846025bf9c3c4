//! When acknowledgements stay away: probes, retransmission, failover, and the end of patience.

use usb4_wire::RailSet;

use crate::connection::{Connection, Phase};
use crate::shared::Shared;
use crate::timers::Timer;
use crate::transmit::Fate;
use crate::{Event, Failure};

impl<T: Copy, R: Copy> Connection<T, R> {
    /// Deals with every timer that is due.
    pub(crate) fn handle_timers(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        while let Some((timer, late_ns)) = self.timers.take_due(now_ns) {
            if matches!(timer, Timer::Handshake | Timer::Loss) {
                // Who was not called, being stopped or busy, could not hear an answer either: that time is not the peer's silence.
                self.progress_ns += late_ns;
            }
            match timer {
                Timer::Handshake => self.handshake_timeout(cx, now_ns),
                Timer::Loss => self.loss_timeout(cx, now_ns),
                Timer::Ack => self.ack_timeout(cx),
                Timer::Replug => self.fail(cx, Failure::RailsDown),
                Timer::Close => self.close_timeout(cx, now_ns),
                Timer::Refusal => self.refusal_timeout(cx, now_ns),
                Timer::Keepalive => self.keepalive_timeout(cx, now_ns),
                Timer::Idle => self.idle_timeout(cx, now_ns),
                Timer::Rails => self.rails_timeout(cx, now_ns),
            }
        }
    }

    /// Nothing was heard for a while of what is under way.
    ///
    /// At first this only asks: a probe behind the last frame of each rail, whose answer tells exactly what was lost; some more, since they may
    /// be lost as well. When they stay unanswered the peer may be descheduled, stopped or gone: then one frame at a time is sent again,
    /// ever more rarely.
    fn loss_timeout(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if !self.waits_for_peer() {
            return;
        }
        if self.tx.is_empty() {
            // A peer that grants nothing but answers is alive.
            self.progress_ns = self.progress_ns.max(self.last_heard_ns);
        }
        if now_ns.saturating_sub(self.progress_ns) >= cx.config.timeouts.peer_ns {
            return self.fail(cx, Failure::PeerTimeout);
        }
        let under_way = self.rails_under_way();
        self.silence = self.silence.saturating_add(1);
        let wait_ns = self.rtt.wait_on_ns(&cx.config.timeouts, self.silence);
        if self.has_timed_out(cx) {
            self.stats.timeouts += 1;
            let heard = now_ns.saturating_sub(self.last_heard_ns) < wait_ns;
            if heard {
                // Other rails brought answers meanwhile, so what these carried is gone.
                let silent = self.rails.silent(under_way);
                self.stats.found_lost += u64::from(self.tx.mark_lost(|sent| silent & 1 << sent.rail != 0));
            }
            let dropped = self.rails.unanswered(under_way, heard, now_ns);
            self.leave_rails(cx, dropped);
            if let Some(at_ns) = self.rails.readmission_ns() {
                self.arm(cx, Timer::Rails, at_ns);
            }
            self.tx.mark_first_lost();
        }
        // One rail more, on which nothing is missing: its answer tells a dead rail from a sleeping peer.
        let witness = self.rails.usable() & !under_way;
        self.work.rail_probes |= under_way | if under_way == 0 { 0 } else { witness & witness.wrapping_neg() };
        self.work.probe |= under_way == 0;
        self.make_ready(cx);
        self.arm(cx, Timer::Loss, now_ns + wait_ns);
    }

    /// Whether asking has not helped.
    pub(crate) fn has_timed_out(&self, cx: &Shared<T, R>) -> bool {
        self.silence > self.rtt.probes(&cx.config.timeouts)
    }

    /// The rails on which something is under way, as bits.
    fn rails_under_way(&self) -> u32 {
        let in_flight = self.tx.iter().filter(|sent| sent.fate == Fate::InFlight);
        in_flight.fold(0, |rails, sent| rails | 1 << sent.rail) & self.rails.usable()
    }

    /// Asks the peer for a sign of life and an acknowledgement of everything so far.
    pub(crate) fn request_ack(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if !matches!(self.phase, Phase::Accepting | Phase::Open) {
            return;
        }
        if !self.timers.is_set(Timer::Loss) {
            (self.progress_ns, self.silence) = (now_ns, 0);
        }
        self.probing = true;
        self.work.probe = true;
        self.make_ready(cx);
        if !self.timers.is_set(Timer::Loss) {
            self.restart_loss_timer(cx, now_ns);
        }
    }

    fn keepalive_timeout(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let Some(keepalive_ns) = cx.config.timeouts.keepalive_ns else { return };
        if self.phase != Phase::Open {
            return;
        }
        if now_ns.saturating_sub(self.last_heard_ns) >= keepalive_ns {
            if !self.probing {
                self.request_ack(cx, now_ns);
            }
            self.arm(cx, Timer::Keepalive, now_ns + keepalive_ns);
        } else {
            self.arm(cx, Timer::Keepalive, self.last_heard_ns + keepalive_ns);
        }
    }

    /// Has the buffers looked at when the connection has been idle for a while.
    pub(crate) fn watch_idleness(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if !self.timers.is_set(Timer::Idle) {
            let at_ns = now_ns + cx.config.timeouts.idle_ns;
            self.arm(cx, Timer::Idle, at_ns);
        }
    }

    fn idle_timeout(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let frames = self.stats.frames_sent + self.stats.frames_received;
        let used = std::mem::replace(&mut self.idle_mark, frames) != frames;
        if used || !self.tx.is_empty() || self.rx.depth() > 0 {
            return self.watch_idleness(cx, now_ns);
        }
        self.tx.shrink();
        self.rx.shrink();
        self.grant.relax();
        if self.operations.as_ref().is_some_and(|operations| operations.is_idle()) {
            self.operations = None;
        }
    }

    fn rails_timeout(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        self.rails.readmit(now_ns);
        if let Some(at_ns) = self.rails.readmission_ns() {
            self.arm(cx, Timer::Rails, at_ns);
        }
        self.make_ready(cx);
        self.offer_fill(cx);
    }

    /// Some rail was unplugged or came back, or the ways to the peer have changed.
    pub(crate) fn update_rails(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if self.is_over() {
            return;
        }
        let was_stranded = self.rails.is_stranded();
        let dropped = self.rails.set_present(self.routes.and(cx.up));
        self.leave_rails(cx, dropped);
        if self.rails.is_stranded() {
            // What is under way waits with the connection; silence is no sign of anything now.
            self.timers.clear(Timer::Loss);
            if !self.timers.is_set(Timer::Replug) {
                self.arm(cx, Timer::Replug, now_ns + cx.config.timeouts.replug_ns);
            }
        } else if was_stranded {
            self.timers.clear(Timer::Replug);
            (self.progress_ns, self.silence) = (now_ns, 0);
            if self.phase == Phase::Connecting || self.phase == Phase::Accepting {
                self.work.handshake = true;
                self.arm(cx, Timer::Handshake, now_ns);
            }
            self.restart_loss_timer(cx, now_ns);
            self.make_ready(cx);
            self.offer_fill(cx);
        }
    }

    /// Moves what is under way on these rails, by index, to the others.
    fn leave_rails(&mut self, cx: &mut Shared<T, R>, rails: u32) {
        if rails == 0 {
            return;
        }
        self.stats.rail_failovers += u64::from(rails.count_ones());
        if self.tx.mark_lost(|sent| rails & 1 << sent.rail != 0) > 0 {
            self.make_ready(cx);
        }
    }

    /// The driver could not put frame `psn` on its rail.
    pub(crate) fn handle_unsent(&mut self, cx: &mut Shared<T, R>, psn: usb4_wire::Psn) {
        let psn = psn.extend(self.tx.una());
        let Some(unsent) = self.tx.get(psn).map(|sent| (sent.rail, sent.rail_seq)) else { return };
        if self.tx.mark_lost(|sent| (sent.rail, sent.rail_seq) == unsent) > 0 {
            self.make_ready(cx);
        }
    }

    /// The peer's channel has ceased to exist.
    pub(crate) fn handle_peer_gone(&mut self, cx: &mut Shared<T, R>) {
        match self.phase {
            Phase::Closing | Phase::Lingering => self.finish(cx),
            Phase::Over(_) => {}
            _ if self.going_away => self.finish(cx),
            _ => self.fail(cx, Failure::PeerGone),
        }
    }

    /// The set of rails that lead to the peer.
    pub(crate) fn set_routes(&mut self, cx: &mut Shared<T, R>, now_ns: u64, routes: RailSet) {
        self.routes = routes;
        self.update_rails(cx, now_ns);
    }

    /// Tells whoever waits for a fence that it is passed.
    pub(crate) fn tell_fence_passed(&mut self, cx: &mut Shared<T, R>) {
        if std::mem::take(&mut self.waiting.fence) {
            cx.events.push_back(Event::Unblocked(self.id));
        }
    }
}
