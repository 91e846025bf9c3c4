//! Acknowledgements that arrive, and what they set free.

use usb4_wire::Psn;
use usb4_wire::control::Sack;

use crate::connection::{Connection, Phase};
use crate::shared::Shared;
use crate::timers::Timer;
use crate::transmit::Fate;
use crate::{Event, Released};

/// The number and the grant of a header, and when it came.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Heard {
    /// Every frame before this one has arrived.
    ack: u64,
    /// The first frame that the peer does not accept yet.
    limit: u64,
    at_ns: u64,
}

impl<T: Copy, R: Copy> Connection<T, R> {
    /// Takes note of the number and the grant that every header carries. What they set free can wait for [`Self::settle`]: whoever waits for
    /// the frame behind the header has it sooner, and one reckoning serves all headers of a round.
    #[inline]
    pub(crate) fn hear_acknowledgement(&mut self, cx: &mut Shared<T, R>, now_ns: u64, ack: Psn, window: u16) {
        let ack = ack.extend(self.tx.una());
        if ack > self.tx.next() {
            // Nobody can acknowledge what was never sent: a header of an earlier life, or nonsense.
            self.stats.invalid += 1;
            return;
        }
        let limit = ack + u64::from(window);
        if ack > self.heard.ack || limit > self.heard.limit {
            let Heard { ack: last_ack, limit: last_limit, .. } = self.heard;
            self.heard = Heard { ack: ack.max(last_ack), limit: limit.max(last_limit), at_ns: now_ns };
            if !std::mem::replace(&mut self.is_unsettled, true) {
                cx.unsettled.push(self.slot());
            }
        }
    }

    /// Acts on what was heard.
    pub(crate) fn settle(&mut self, cx: &mut Shared<T, R>) {
        if !std::mem::take(&mut self.is_unsettled) || self.is_over() {
            return;
        }
        let Heard { ack, limit, at_ns } = self.heard;
        let more_room = self.tx.raise_limit(limit);
        if ack > self.tx.una() {
            self.acknowledge(cx, at_ns, ack);
        } else if more_room {
            self.tell_room(cx);
        }
    }

    fn acknowledge(&mut self, cx: &mut Shared<T, R>, now_ns: u64, ack: u64) {
        let mut sampled_ns = None;
        while self.tx.una() < ack {
            let Some(sent) = self.tx.pop() else { break };
            cx.released.push_back((sent.frame, Released::Acked));
            if sent.fate != Fate::Arrived {
                self.rails.arrived(sent.rail, sent.rail_seq);
                // Which of several transmissions was acknowledged, nobody knows (Karn).
                sampled_ns = (sent.attempts == 1).then_some(sent.sent_at_ns);
            }
        }
        if let Some(sent_at_ns) = sampled_ns {
            self.rtt.sample(now_ns.saturating_sub(sent_at_ns));
        }
        (self.progress_ns, self.silence) = (now_ns, 0);
        self.complete_operations(cx);
        self.tell_room(cx);
        self.restart_loss_timer(cx, now_ns);
        if self.tx.is_empty() {
            if self.tx.is_grown() {
                self.watch_idleness(cx, now_ns);
            }
            self.close_if_unused(cx, now_ns);
        }
    }

    /// The frames at and beyond `ack` that have arrived, and the answer to probe `echo`.
    pub(crate) fn handle_sack(&mut self, cx: &mut Shared<T, R>, now_ns: u64, ack: Psn, sack: &Sack, echo: u16) {
        let base = ack.extend(self.tx.una());
        let mut sampled_ns = None;
        for offset in sack.offsets() {
            if let Some(sent) = self.tx.arrived(base + offset as u64) {
                self.rails.arrived(sent.rail, sent.rail_seq);
                sampled_ns = (sent.attempts == 1).then_some(sent.sent_at_ns);
            }
        }
        if let Some(sent_at_ns) = sampled_ns {
            self.rtt.sample(now_ns.saturating_sub(sent_at_ns));
        }
        if echo != 0 {
            self.rails.echoed(echo);
            self.probing = false;
            if !self.waits_for_peer() {
                self.timers.clear(Timer::Loss);
            }
        }
        if echo != 0 || !sack.is_empty() {
            let rails = &self.rails;
            let found = self.tx.mark_lost(|sent| rails.is_passed(sent.rail, sent.rail_seq));
            self.stats.found_lost += u64::from(found);
            if found > 0 {
                self.make_ready(cx);
            }
        }
    }

    /// Whether the peer must show a sign of life: it owes an acknowledgement, a grant, an answer, or the frames
    /// of a gap.
    pub(crate) fn waits_for_peer(&self) -> bool {
        let answers = self.operations.as_ref().is_some_and(|operations| operations.awaits_answers());
        !self.tx.is_empty() || self.probing || self.waiting.frames > 0 || self.rx.has_gap() || answers
    }

    fn tell_room(&mut self, cx: &mut Shared<T, R>) {
        let room = self.tx.room(cx.config.window_max);
        let flushed = self.waiting.flush.is_some_and(|mark| self.tx.una() >= mark);
        let fits = self.waiting.frames > 0 && room >= self.waiting.frames;
        if flushed {
            self.waiting.flush = None;
        }
        if fits {
            self.waiting.frames = 0;
        }
        if flushed || fits {
            cx.events.push_back(Event::Unblocked(self.id));
        }
        if self.tx.lost() > 0 {
            self.make_ready(cx);
        }
        self.offer_fill(cx);
    }

    /// Starts the wait for the next sign of life anew, or ends it where nothing is under way.
    pub(crate) fn restart_loss_timer(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if self.waits_for_peer() && !self.rails.is_stranded() && self.phase != Phase::Connecting {
            let at_ns = now_ns + self.rtt.probe_after_ns(&cx.config.timeouts);
            self.arm(cx, Timer::Loss, at_ns);
        } else {
            self.timers.clear(Timer::Loss);
        }
    }
}
