//! Remote memory operations: puts, gets and atomics of any length, cut into frames one at a time.
//!
//! Own operations are sent strictly in the order in which they were asked for, so a fence among them holds. Answers to the peer's requests form
//! a second queue, and the two take turns. Frames are filled by the driver: the engine only says what belongs into the next one
//! ([`crate::Engine::poll_fill`]), so nothing is copied here and the segments of one transfer spread over the rails like any frames.

use std::collections::VecDeque;

use usb4_wire::extension::{AtomicRequest, AtomicResponse, GetRequest, GetResponse, OpErrorReason, Put};
use usb4_wire::{CONTROL_MAX, Flags, Form, Kind, PAYLOAD_MAX};

use crate::shared::Shared;
use crate::{Atomic, ConnId, Event, Failure, OpFailure, Transfer};

/// An own operation that is not completely sent.
#[derive(Debug)]
pub(crate) enum Queued {
    Put {
        op: u32,
        transfer: Transfer,
        sent: u64,
    },
    Get {
        op: u32,
        transfer: Transfer,
    },
    Atomic {
        op: u32,
        atomic: Atomic,
    },
    /// What follows waits until what was asked for before has been answered, and is delivered after what was sent before.
    Fence,
}

/// An operation that completes when the frames before `mark` are acknowledged.
#[derive(Debug)]
struct Unacknowledged {
    op: u32,
    cookie: u64,
    mark: u64,
    refusal: Option<OpErrorReason>,
}

/// An operation that completes when its answer has arrived.
#[derive(Debug)]
struct Expected {
    op: u32,
    cookie: u64,
    local_addr: u64,
    len: u64,
    received: u64,
}

/// An answer to the peer.
#[derive(Debug)]
pub(crate) enum Answer {
    Get { op: u32, key: u64, local_addr: u64, len: u64, sent: u64 },
    Atomic { op: u32, old: u64 },
}

/// What the next frame of a queue shall carry.
pub(crate) struct Segment {
    pub(crate) form: Form,
    pub(crate) extension: [u8; CONTROL_MAX],
    pub(crate) local_addr: u64,
    pub(crate) len: usize,
    pub(crate) region: Option<u64>,
}

impl Segment {
    fn new(kind: Kind, flags: Flags, extension: &[u8], local_addr: u64, len: usize) -> Self {
        let form = Form::new(kind, flags, extension.len() + len).expect("a segment is cut to fit a frame");
        let mut bytes = [0; CONTROL_MAX];
        bytes[..extension.len()].copy_from_slice(extension);
        Self { form, extension: bytes, local_addr, len, region: None }
    }
}

/// The operations of a connection.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    /// Whether the connection is in [`Shared::fillable`].
    pub(crate) listed: bool,
    last_op: u32,
    queue: VecDeque<Queued>,
    fences: u32,
    unacknowledged: VecDeque<Unacknowledged>,
    expected: VecDeque<Expected>,
    answers: VecDeque<Answer>,
    /// An own operation went last, so an answer is next.
    answers_turn: bool,
}

impl Operations {
    /// A number for a new operation; 0 stands for none.
    pub(crate) fn number(&mut self) -> u32 {
        self.last_op = self.last_op.checked_add(1).unwrap_or(1);
        self.last_op
    }

    pub(crate) fn ask(&mut self, queued: Queued) {
        self.fences += u32::from(matches!(queued, Queued::Fence));
        self.queue.push_back(queued);
    }

    pub(crate) fn answer(&mut self, answer: Answer) {
        self.answers.push_back(answer);
    }

    pub(crate) fn queued(&self) -> usize {
        self.queue.len()
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers.len()
    }

    /// Whether a fence waits for operations before it.
    pub(crate) fn is_fenced(&self) -> bool {
        self.fences > 0
    }

    /// Whether the peer owes an answer.
    pub(crate) fn awaits_answers(&self) -> bool {
        !self.expected.is_empty()
    }

    /// Own operations that are not complete.
    pub(crate) fn outstanding(&self) -> usize {
        self.queue.len() - self.fences as usize + self.unacknowledged.len() + self.expected.len()
    }

    /// Whether nothing is queued or under way, for this side or the peer.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.unacknowledged.is_empty() && self.expected.is_empty() && self.answers.is_empty()
    }

    /// Removes fences that nothing holds any more. Returns whether one was passed.
    pub(crate) fn pass_fences(&mut self) -> bool {
        let before = self.fences;
        while self.expected.is_empty() && matches!(self.queue.front(), Some(Queued::Fence)) {
            self.queue.pop_front();
            self.fences -= 1;
        }
        self.fences < before
    }

    /// What the next frame shall carry, and whether it is an answer. `requests_max`: how many own requests may wait for answers.
    pub(crate) fn segment(&self, requests_max: u32) -> Option<(Segment, bool)> {
        let own = || self.own_segment(requests_max).map(|segment| (segment, false));
        let answer = || self.answer_segment().map(|segment| (segment, true));
        if self.answers_turn { answer().or_else(own) } else { own().or_else(answer) }
    }

    fn own_segment(&self, requests_max: u32) -> Option<Segment> {
        let may_ask = self.expected.len() < requests_max as usize;
        match self.queue.front()? {
            Queued::Put { op, transfer, sent } => {
                let extension =
                    Put { key: transfer.key, remote_addr: transfer.remote_addr.wrapping_add(*sent), op: *op };
                let len = (transfer.len - sent).min((PAYLOAD_MAX - Put::LEN) as u64) as usize;
                let local_addr = transfer.local_addr.wrapping_add(*sent);
                Some(Segment::new(Kind::Put, Flags::empty(), &extension.emit(), local_addr, len))
            }
            Queued::Get { op, transfer } if may_ask => {
                let Transfer { key, remote_addr, len, .. } = *transfer;
                let extension = GetRequest { key, remote_addr, len, op: *op };
                Some(Segment::new(Kind::GetRequest, Flags::empty(), &extension.emit(), 0, 0))
            }
            Queued::Atomic { op, atomic } if may_ask || !atomic.fetch => {
                let Atomic { key, remote_addr, operand, compare, code, width, fetch, .. } = *atomic;
                let extension = AtomicRequest { key, remote_addr, operand, compare, op: *op, code, width };
                let flags = if fetch { Flags::FETCH } else { Flags::empty() };
                Some(Segment::new(Kind::AtomicRequest, flags, &extension.emit(), 0, 0))
            }
            Queued::Get { .. } | Queued::Atomic { .. } | Queued::Fence => None,
        }
    }

    fn answer_segment(&self) -> Option<Segment> {
        Some(match self.answers.front()? {
            Answer::Get { op, key, local_addr, len, sent } => {
                let extension = GetResponse { offset: *sent, op: *op };
                let now = (len - sent).min((PAYLOAD_MAX - GetResponse::LEN) as u64) as usize;
                let local_addr = local_addr.wrapping_add(*sent);
                let segment = Segment::new(Kind::GetResponse, Flags::empty(), &extension.emit(), local_addr, now);
                Segment { region: Some(*key), ..segment }
            }
            Answer::Atomic { op, old } => {
                let extension = AtomicResponse { old: *old, op: *op };
                Segment::new(Kind::AtomicResponse, Flags::empty(), &extension.emit(), 0, 0)
            }
        })
    }

    /// The frame that [`Operations::segment`] described has gone out with `len` bytes of data; the next one will be frame `mark`.
    pub(crate) fn sent(&mut self, answer: bool, len: usize, mark: u64) {
        self.answers_turn = !answer;
        if answer { self.answer_sent(len) } else { self.own_sent(len, mark) }
    }

    fn own_sent(&mut self, len: usize, mark: u64) {
        if let Some(Queued::Put { transfer, sent, .. }) = self.queue.front_mut() {
            *sent += len as u64;
            if *sent < transfer.len {
                return;
            }
        }
        match self.queue.pop_front() {
            Some(Queued::Put { op, transfer, .. }) => self.await_ack(op, transfer.cookie, mark),
            Some(Queued::Get { op, transfer }) => {
                let Transfer { cookie, local_addr, len, .. } = transfer;
                self.expected.push_back(Expected { op, cookie, local_addr, len, received: 0 });
            }
            Some(Queued::Atomic { op, atomic }) if atomic.fetch => {
                self.expected.push_back(Expected { op, cookie: atomic.cookie, local_addr: 0, len: 0, received: 0 });
            }
            Some(Queued::Atomic { op, atomic }) => self.await_ack(op, atomic.cookie, mark),
            Some(Queued::Fence) | None => {}
        }
    }

    fn await_ack(&mut self, op: u32, cookie: u64, mark: u64) {
        self.unacknowledged.push_back(Unacknowledged { op, cookie, mark, refusal: None });
    }

    fn answer_sent(&mut self, len_bytes: usize) {
        if let Some(Answer::Get { len, sent, .. }) = self.answers.front_mut() {
            *sent += len_bytes as u64;
            if *sent < *len {
                // Several gets at once share the way.
                self.answers.rotate_left(1);
                return;
            }
        }
        self.answers.pop_front();
    }

    /// Drops the answer that is next, whose region is gone, and returns the operation that it belonged to.
    pub(crate) fn drop_answer(&mut self) -> Option<u32> {
        match self.answers.front()? {
            Answer::Get { op, .. } => {
                let op = *op;
                self.answers.pop_front();
                Some(op)
            }
            Answer::Atomic { .. } => None,
        }
    }

    /// Completes what the acknowledgement of all frames before `una` completes.
    pub(crate) fn acknowledged<T, R>(&mut self, cx: &mut Shared<T, R>, conn: ConnId, una: u64) {
        while self.unacknowledged.front().is_some_and(|first| first.mark <= una) {
            let Some(done) = self.unacknowledged.pop_front() else { break };
            let result = done.refusal.map_or(Ok(0), |reason| Err(OpFailure::Remote(reason)));
            cx.events.push_back(Event::Completed { conn, cookie: done.cookie, result });
        }
    }

    /// Where `len` bytes at `response.offset` of an answer belong; completes the get with its last bytes. `None` when nobody wants them any more.
    pub(crate) fn response<T, R>(
        &mut self,
        cx: &mut Shared<T, R>,
        conn: ConnId,
        response: &GetResponse,
        len: u64,
    ) -> Option<u64> {
        let index = self.expected.iter().position(|expected| expected.op == response.op)?;
        let expected = &mut self.expected[index];
        let end = response.offset.checked_add(len)?;
        if end > expected.len {
            return None;
        }
        expected.received += len;
        let local_addr = expected.local_addr.wrapping_add(response.offset);
        if expected.received >= expected.len {
            let cookie = expected.cookie;
            self.expected.remove(index);
            cx.events.push_back(Event::Completed { conn, cookie, result: Ok(0) });
        }
        Some(local_addr)
    }

    /// The old value of a fetching atomic, or a refusal, has arrived.
    pub(crate) fn conclude<T, R>(
        &mut self,
        cx: &mut Shared<T, R>,
        conn: ConnId,
        op: u32,
        result: Result<u64, OpErrorReason>,
    ) -> bool {
        let Some(index) = self.expected.iter().position(|expected| expected.op == op) else { return false };
        if let Some(expected) = self.expected.remove(index) {
            let result = result.map_err(OpFailure::Remote);
            cx.events.push_back(Event::Completed { conn, cookie: expected.cookie, result });
        }
        true
    }

    /// The target refuses operation `op`, of which the frames before `mark` were sent. A put that is not completely sent stops here.
    pub(crate) fn refused(&mut self, op: u32, mark: u64, reason: OpErrorReason) {
        if let Some(known) = self.unacknowledged.iter_mut().find(|known| known.op == op) {
            known.refusal.get_or_insert(reason);
        } else if let Some(Queued::Put { op: front, transfer, .. }) = self.queue.front()
            && *front == op
        {
            let cookie = transfer.cookie;
            self.queue.pop_front();
            self.unacknowledged.push_back(Unacknowledged { op, cookie, mark, refusal: Some(reason) });
        }
    }

    /// The connection is lost.
    pub(crate) fn fail_all<T, R>(&mut self, cx: &mut Shared<T, R>, conn: ConnId, failure: Failure) {
        let queued = self.queue.drain(..).filter_map(|queued| match queued {
            Queued::Put { transfer, .. } | Queued::Get { transfer, .. } => Some(transfer.cookie),
            Queued::Atomic { atomic, .. } => Some(atomic.cookie),
            Queued::Fence => None,
        });
        let unacknowledged = self.unacknowledged.drain(..).map(|operation| operation.cookie);
        let expected = self.expected.drain(..).map(|operation| operation.cookie);
        let cookies = unacknowledged.chain(expected).chain(queued);
        let result = Err(OpFailure::Connection(failure));
        cx.events.extend(cookies.map(|cookie| Event::Completed { conn, cookie, result }));
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Self>()
            + self.queue.capacity() * size_of::<Queued>()
            + self.unacknowledged.capacity() * size_of::<Unacknowledged>()
            + self.expected.capacity() * size_of::<Expected>()
            + self.answers.capacity() * size_of::<Answer>()
    }
}
