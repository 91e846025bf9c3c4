//! Remote memory access as the verbs of a connection: asking, answering, filling frames.

use usb4_wire::control::Refusal;
use usb4_wire::extension::{AtomicResponse, GetRequest, GetResponse, OpErrorReason};
use usb4_wire::{Flags, Form, Header, Kind, Psn};

use crate::connection::{Connection, Phase};
use crate::emit::Outgoing;
use crate::hold::AckHold;
use crate::operations::{Answer, Operations, Queued};
use crate::shared::Shared;
use crate::timers::Timer;
use crate::{Atomic, Event, Failure, Fill, Message, Rails, Refused, Transfer};

/// Answers that may wait on one connection. A peer that keeps to its limit of requests stays far below; another one is cut off.
const ANSWERS_MAX: usize = 4096;
/// One frame in so many of the window stays free of operations, so that messages get through beside a long transfer.
const MESSAGE_SHARE: u16 = 8;

/// What an endpoint asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Request {
    Put(Transfer),
    Get(Transfer),
    Atomic(Atomic),
}

/// Whether a connection has a frame to fill.
pub(crate) enum Offer {
    /// This one.
    Fill(Fill),
    /// Not before a rail has room.
    Blocked,
    /// Not before something else happens, which will say so.
    Nothing,
}

impl<T: Copy, R: Copy> Connection<T, R> {
    fn operations(&mut self) -> &mut Operations {
        self.operations.get_or_insert_default()
    }

    /// Queues an operation.
    pub(crate) fn ask(&mut self, cx: &mut Shared<T, R>, request: Request) -> Result<(), Refused> {
        match self.phase {
            Phase::Connecting | Phase::Accepting | Phase::Open => {}
            Phase::Closing | Phase::Lingering => return Err(Refused::Failed(Failure::Closed)),
            Phase::Over(failure) => return Err(Refused::Failed(failure)),
        }
        let limit = cx.config.ops_max as usize;
        let operations = self.operations();
        if operations.queued() >= limit {
            return Err(Refused::Ops);
        }
        let op = operations.number();
        operations.ask(match request {
            Request::Put(transfer) => Queued::Put { op, transfer, sent: 0 },
            Request::Get(transfer) => Queued::Get { op, transfer },
            Request::Atomic(atomic) => Queued::Atomic { op, atomic },
        });
        self.watch_idleness(cx, self.last_heard_ns);
        self.offer_fill(cx);
        Ok(())
    }

    /// What is asked for or sent after this is delivered after what was before.
    pub(crate) fn fence(&mut self) {
        match self.operations.as_mut() {
            Some(operations) if operations.outstanding() > 0 => {
                operations.ask(Queued::Fence);
                self.pass_fences();
            }
            _ => self.fence = self.tx.next(),
        }
    }

    fn pass_fences(&mut self) -> bool {
        let passed = self.operations.as_mut().is_some_and(|operations| operations.pass_fences());
        if passed {
            self.fence = self.tx.next();
        }
        passed
    }

    /// Lists the connection for [`crate::Engine::poll_fill`] if it has anything to send there.
    pub(crate) fn offer_fill(&mut self, cx: &mut Shared<T, R>) {
        if self.operations.is_none() {
            return;
        }
        if self.pass_fences() && !self.operations().is_fenced() {
            self.tell_fence_passed(cx);
        }
        let (slot, operations) = (self.slot(), self.operations());
        if !operations.listed && (operations.queued() > 0 || operations.answers() > 0) {
            operations.listed = true;
            cx.fillable.push_back(slot);
        }
    }

    /// The next frame to fill.
    pub(crate) fn next_fill(&mut self, cx: &mut Shared<T, R>, rails: &impl Rails) -> Offer {
        if !matches!(self.phase, Phase::Accepting | Phase::Open | Phase::Closing) {
            return Offer::Nothing;
        }
        let (conn, next_psn) = (self.id, Psn(self.tx.next() as u32));
        let Some(operations) = self.operations.as_ref() else { return Offer::Nothing };
        let Some((segment, reply)) = operations.segment(cx.config.requests_max) else { return Offer::Nothing };
        // A full window opens with an acknowledgement, which lists the connection again.
        let reserve = (self.tx.granted() / u64::from(MESSAGE_SHARE)) as usize;
        if self.tx.room(cx.config.window_max) <= reserve {
            if self.tx.is_empty() {
                self.ask_for_window(cx);
            }
            return Offer::Nothing;
        }
        if self.rails.cheapest(segment.form.payload_len(), rails).is_none() {
            return if self.rails.is_stranded() { Offer::Nothing } else { Offer::Blocked };
        }
        let crate::operations::Segment { form, extension, local_addr, len, region } = segment;
        Offer::Fill(Fill { conn, local_addr, len, region, form, extension, next_psn, reply })
    }

    /// A zero window with nothing under way: only a probe can learn that it opened.
    fn ask_for_window(&mut self, cx: &mut Shared<T, R>) {
        let now_ns = self.last_heard_ns;
        self.request_ack(cx, now_ns);
    }

    /// Sends a frame that was filled. `None` if it is not the one that is due.
    pub(crate) fn commit_fill(
        &mut self,
        cx: &mut Shared<T, R>,
        now_ns: u64,
        fill: &Fill,
        frame: T,
        rails: &impl Rails,
    ) -> Option<(u8, Header)> {
        let due = Psn(self.tx.next() as u32) == fill.next_psn
            && self.operations.is_some()
            && matches!(self.phase, Phase::Accepting | Phase::Open | Phase::Closing);
        if !due {
            return None;
        }
        let committed = self.commit(cx, now_ns, Message { form: fill.form, word: 0 }, frame, rails)?;
        let mark = self.tx.next();
        self.operations().sent(fill.reply, fill.len, mark);
        if self.pass_fences() && !self.operations().is_fenced() {
            self.tell_fence_passed(cx);
        }
        Some(committed)
    }

    /// The region that an answer reads is gone.
    pub(crate) fn reject_fill(&mut self, cx: &mut Shared<T, R>, fill: &Fill, reason: OpErrorReason) {
        let due = Psn(self.tx.next() as u32) == fill.next_psn && fill.reply && !self.is_over();
        if due && let Some(op) = self.operations().drop_answer() {
            self.reject(cx, op, reason);
            self.offer_fill(cx);
        }
    }

    /// Answers a get with the bytes at `local_addr`.
    pub(crate) fn respond_get(&mut self, cx: &mut Shared<T, R>, request: &GetRequest, local_addr: u64) {
        let GetRequest { key, len, op, .. } = *request;
        self.answer(cx, Answer::Get { op, key, local_addr, len, sent: 0 });
    }

    /// Answers a fetching atomic.
    pub(crate) fn respond_atomic(&mut self, cx: &mut Shared<T, R>, op: u32, old: u64) {
        self.answer(cx, Answer::Atomic { op, old });
    }

    /// Refuses an operation of the peer.
    pub(crate) fn reject(&mut self, cx: &mut Shared<T, R>, op: u32, reason: OpErrorReason) {
        if self.is_over() {
            return;
        }
        let (ack, now_ns) = (self.advertised, self.last_heard_ns);
        let hold = self.hold.get_or_insert_with(|| Box::new(AckHold::new(ack, now_ns)));
        match hold.refuse(Refusal { op, reason }) {
            1 => self.send_refusal(cx),
            waiting if waiting > ANSWERS_MAX => self.fail(cx, Failure::Protocol),
            _ => {}
        }
    }

    fn send_refusal(&mut self, cx: &mut Shared<T, R>) {
        self.work.refusal = true;
        self.make_ready(cx);
    }

    /// The refusal to send, which is repeated until it is confirmed.
    pub(crate) fn refusal_frame(&mut self, cx: &mut Shared<T, R>, now_ns: u64) -> Option<Outgoing> {
        self.work.refusal = false;
        let hold = self.hold.as_mut()?;
        let refusal = hold.first()?;
        let wait_ns = self.rtt.rto_ns(&cx.config.timeouts, hold.attempts);
        hold.attempts += 1;
        self.arm(cx, Timer::Refusal, now_ns + wait_ns);
        let form = Form::new(Kind::Refuse, Flags::empty(), Refusal::LEN).expect("a refusal fits a control frame");
        let (number, psn) = (self.refusal_number, Psn(self.tx.next() as u32));
        let header = self.header(cx, form, number, psn, false);
        Some(Outgoing::new(header, &refusal.emit()))
    }

    pub(crate) fn refusal_timeout(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        let Some(hold) = self.hold.as_ref() else { return };
        if now_ns.saturating_sub(hold.since_ns) >= cx.config.timeouts.peer_ns {
            return self.fail(cx, Failure::PeerTimeout);
        }
        self.send_refusal(cx);
    }

    /// The peer has this refusal.
    pub(crate) fn handle_refuse_ack(&mut self, cx: &mut Shared<T, R>, now_ns: u64, number: u16) {
        let Some(hold) = self.hold.as_mut() else { return };
        if number != self.refusal_number {
            return;
        }
        self.refusal_number = self.refusal_number.wrapping_add(1);
        if hold.confirmed(now_ns) {
            self.hold = None;
            self.work.refusal = false;
            self.timers.clear(Timer::Refusal);
            self.ack.demand();
            self.make_ready(cx);
            self.close_if_unused(cx, now_ns);
        } else {
            self.send_refusal(cx);
        }
    }

    /// The peer refuses an operation of this side.
    pub(crate) fn handle_refuse(&mut self, cx: &mut Shared<T, R>, number: u16, refusal: &Refusal) {
        self.work.refuse_ack = Some(number);
        self.make_ready(cx);
        if number == self.peer_refusals {
            self.peer_refusals = self.peer_refusals.wrapping_add(1);
            self.take_refusal(cx, refusal);
        }
    }

    fn answer(&mut self, cx: &mut Shared<T, R>, answer: Answer) {
        if self.is_over() {
            return;
        }
        if self.operations().answers() >= ANSWERS_MAX {
            return self.fail(cx, Failure::Protocol);
        }
        self.operations().answer(answer);
        self.watch_idleness(cx, self.last_heard_ns);
        self.offer_fill(cx);
    }

    /// Where a segment of an answer belongs, if somebody still wants it.
    pub(crate) fn take_response(&mut self, cx: &mut Shared<T, R>, response: &GetResponse, len: u64) -> Option<u64> {
        let conn = self.id;
        let local_addr = self.operations.as_mut()?.response(cx, conn, response, len);
        self.after_answer(cx);
        local_addr
    }

    pub(crate) fn take_old_value(&mut self, cx: &mut Shared<T, R>, response: &AtomicResponse) {
        let conn = self.id;
        if let Some(operations) = self.operations.as_mut() {
            operations.conclude(cx, conn, response.op, Ok(response.old));
        }
        self.after_answer(cx);
    }

    fn take_refusal(&mut self, cx: &mut Shared<T, R>, error: &Refusal) {
        let (conn, mark) = (self.id, self.tx.next());
        if error.op == 0 {
            cx.events.push_back(Event::Refused { conn, reason: error.reason });
        } else if let Some(operations) = self.operations.as_mut()
            && !operations.conclude(cx, conn, error.op, Err(error.reason))
        {
            operations.refused(error.op, mark, error.reason);
        }
        self.after_answer(cx);
    }

    /// Fewer requests wait for answers: more may go out, and a fence may be passed.
    fn after_answer(&mut self, cx: &mut Shared<T, R>) {
        self.offer_fill(cx);
        self.close_if_unused(cx, self.last_heard_ns);
    }

    /// Completes what the latest acknowledgement completes.
    pub(crate) fn complete_operations(&mut self, cx: &mut Shared<T, R>) {
        let (conn, una) = (self.id, self.tx.una());
        if let Some(operations) = self.operations.as_mut() {
            operations.acknowledged(cx, conn, una);
        }
    }
}
