//! What runs on top: messages and remote memory operations to a few others, as fast as they are admitted.

use usb4_wire::extension::{AtomicOp, AtomicWidth, OpErrorReason};
use usb4_wire::{Flags, PAYLOAD_MAX};

use super::oracle::{Action, GET_LEN};
use super::plan::{Dice, Plan};
use super::process::{Context, Process, view};
use super::{Violation, ensure};
use crate::{Atomic, ConnId, Message, Refused, Transfer};

/// An endpoint to one other process.
#[derive(Debug)]
struct Endpoint {
    target: usize,
    open: Option<Open>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    conn: ConnId,
    stream: u32,
    blocked: bool,
}

#[derive(Debug)]
pub(crate) struct App {
    endpoints: Vec<Endpoint>,
    pub(crate) messages_left: u32,
    pub(crate) operations_left: u32,
    next_at_ns: u64,
    /// When the pause after the last piece of work ends; `next_at_ns` may be later, if nothing was possible then.
    pause_end_ns: u64,
    dice: Dice,
}

impl std::fmt::Debug for Dice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dice")
    }
}

impl App {
    pub(crate) fn new(plan: &Plan, process: usize, seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let count = u64::from(plan.nodes * plan.processes_per_node);
        let first = dice.next();
        // Now and then a process talks to itself; in a pair only to the other.
        let target = |turn: u64| ((first.wrapping_add(turn)) % count) as usize;
        let pair = count == 2 && plan.work.peers == 1;
        let endpoints = (0..u64::from(plan.work.peers).min(count))
            .map(|turn| Endpoint { target: if pair { 1 - process } else { target(turn) }, open: None })
            .collect();
        Self {
            endpoints,
            messages_left: if process < plan.work.workers { plan.work.messages } else { 0 },
            operations_left: if process < plan.work.workers { plan.work.operations } else { 0 },
            next_at_ns: 0,
            pause_end_ns: 0,
            dice,
        }
    }

    pub(crate) fn unblock(&mut self, conn: ConnId) {
        let opens = self.endpoints.iter_mut().filter_map(|endpoint| endpoint.open.as_mut());
        opens.filter(|open| open.conn == conn).for_each(|open| open.blocked = false);
        self.next_at_ns = self.next_at_ns.min(self.pause_end_ns);
    }

    /// The connection has ended. Yields the stream that ran on it.
    pub(crate) fn forget(&mut self, conn: ConnId) -> Option<u32> {
        let ends = |endpoint: &&mut Endpoint| endpoint.open.is_some_and(|open| open.conn == conn);
        let endpoint = self.endpoints.iter_mut().find(ends)?;
        endpoint.open.take().map(|open| open.stream)
    }

    /// When it wants to run again without anything happening.
    pub(crate) fn next_ns(&self, now_ns: u64) -> Option<u64> {
        (self.has_work() && self.next_at_ns > now_ns).then_some(self.next_at_ns)
    }

    pub(crate) fn has_work(&self) -> bool {
        self.messages_left > 0 || self.operations_left > 0
    }

    /// Open endpoints.
    pub(crate) fn connections(&self) -> impl Iterator<Item = ConnId> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.open).map(|open| open.conn)
    }

    /// Does as much as is admitted.
    pub(crate) fn work(process: &mut Process, cx: &mut Context) -> Result<(), Violation> {
        let mut idle_turns = 0;
        while process.app.has_work() && process.app.next_at_ns <= cx.now_ns && idle_turns < 4 {
            let index = process.app.dice.below(process.app.endpoints.len() as u64) as usize;
            let open = Self::open(process, cx, index)?;
            if open.blocked || !Self::one_piece(process, cx, index, open)? {
                idle_turns += 1;
                continue;
            }
            process.app.next_at_ns = cx.now_ns + cx.plan.work.pause_ns;
            process.app.pause_end_ns = process.app.next_at_ns;
        }
        if idle_turns > 0 && process.app.has_work() && process.app.next_at_ns <= cx.now_ns {
            // Somebody will unblock it; but nobody tells of free transmit frames.
            process.app.next_at_ns = cx.now_ns + 20_000;
        }
        Ok(())
    }

    fn open(process: &mut Process, cx: &mut Context, index: usize) -> Result<Open, Violation> {
        let endpoint = &process.app.endpoints[index];
        if let Some(open) = endpoint.open {
            return Ok(open);
        }
        let target = endpoint.target;
        let peer = cx.directory[target];
        let routes = process.routes_to(cx.network, peer);
        let conn = process.engine.connect(cx.now_ns, peer, routes);
        let Ok(conn) = conn else { return Err(Violation(format!("{:?} cannot connect: {conn:?}", process.who))) };
        process.engine.attach(conn);
        let to = super::oracle::Who { process: target, incarnation: peer.incarnation };
        let stream = cx.oracle.open_stream(process.who, to);
        let open = Open { conn, stream, blocked: false };
        process.app.endpoints[index].open = Some(open);
        Ok(open)
    }

    /// Sends a message or asks for an operation. Whether it could.
    fn one_piece(process: &mut Process, cx: &mut Context, index: usize, open: Open) -> Result<bool, Violation> {
        let app = &mut process.app;
        let operation = app.operations_left > 0 && (app.messages_left == 0 || app.dice.hits(0.3));
        if operation { Self::operate(process, cx, index, open) } else { Self::send(process, cx, index, open) }
    }

    fn send(process: &mut Process, cx: &mut Context, index: usize, open: Open) -> Result<bool, Violation> {
        if process.app.messages_left == 0 {
            return Ok(false);
        }
        let (id, bytes) = cx.oracle.next_message(open.stream, &cx.plan.work);
        let frames = bytes.len().div_ceil(PAYLOAD_MAX);
        if !process.tx.has(frames) {
            return Ok(false);
        }
        match process.engine.admit(open.conn, frames, &view(cx, process.node())) {
            Ok(()) => {}
            Err(Refused::Failed(_)) => return Ok(false),
            Err(Refused::Ops) => return Err(Violation("a message was refused for operations".into())),
            Err(_) => {
                if let Some(open) = process.app.endpoints[index].open.as_mut() {
                    open.blocked = true;
                }
                return Ok(false);
            }
        }
        for (number, chunk) in bytes.chunks(PAYLOAD_MAX).enumerate() {
            let mut flags = Flags::empty();
            flags.set(Flags::FIRST, number == 0);
            flags.set(Flags::LAST, number + 1 == frames);
            flags.set(Flags::ACK_REQUEST, process.app.dice.hits(0.05));
            let message = Message::am(id, flags, chunk.len()).expect("a chunk fits a frame");
            let frame = process.tx.take(chunk.to_vec());
            let rails = view(cx, process.node());
            if let Some(transmit) = process.engine.commit(cx.now_ns, open.conn, message, frame, &rails) {
                process.transmit(cx, &transmit)?;
            }
        }
        cx.oracle.sent(open.stream);
        process.app.messages_left -= 1;
        match process.app.dice.below(50) {
            0 => process.engine.request_ack(cx.now_ns, open.conn),
            1 => process.engine.want_flush(open.conn),
            2 => process.engine.acknowledge_all(),
            _ => {}
        }
        Ok(true)
    }

    fn operate(process: &mut Process, cx: &mut Context, index: usize, open: Open) -> Result<bool, Violation> {
        let dice = &mut process.app.dice;
        let refusal = if dice.hits(0.1) {
            Some([OpErrorReason::BadKey, OpErrorReason::OutOfBounds][dice.below(2) as usize])
        } else {
            None
        };
        let len = dice.between(0, cx.plan.work.operation_len_max as u64).min(GET_LEN / 2);
        // A range of one byte or none may lie at the end of the region.
        let len = if refusal == Some(OpErrorReason::OutOfBounds) { len.max(2) } else { len };
        let action = match dice.below(4) {
            0 => Action::Get,
            1 => Action::Add { fetch: dice.hits(0.5) },
            _ => Action::Put,
        };
        let peer = cx.directory[process.app.endpoints[index].target];
        let Some(info) = process.engine.info(open.conn) else { return Ok(false) };
        if info.peer != peer || matches!(info.state, crate::ConnState::Failed(_)) {
            // The other end is gone; the failure is on its way.
            return Ok(false);
        }
        let target = super::oracle::Who { process: process.app.endpoints[index].target, incarnation: peer.incarnation };
        let operation = cx.oracle.new_operation(action, process.who, target, len, refusal, &mut process.app.dice);
        let (key, stale_key) = cx.keys[target.process];
        let key = if refusal == Some(OpErrorReason::BadKey) { stale_key } else { key };
        let remote_addr = cx.oracle.operation(operation).addr;
        let transfer =
            Transfer { cookie: u64::from(operation), local_addr: u64::from(operation) << 32, remote_addr, len, key };
        let asked = match action {
            Action::Put => process.engine.put(open.conn, transfer),
            Action::Get => {
                process.got.insert(operation, vec![0; len as usize]);
                process.engine.get(open.conn, transfer)
            }
            Action::Add { fetch } => process.engine.atomic(
                open.conn,
                Atomic {
                    cookie: u64::from(operation),
                    remote_addr,
                    key,
                    code: AtomicOp::Add,
                    width: AtomicWidth::Bits64,
                    operand: 1,
                    compare: 0,
                    fetch,
                },
            ),
        };
        ensure!(asked.is_ok(), "{:?}: operation {operation} was refused: {asked:?}", process.who);
        process.app.operations_left -= 1;
        if action == Action::Put && refusal.is_none() && process.app.dice.hits(0.3) {
            process.engine.fence(open.conn);
            cx.oracle.expect_fenced(open.stream, operation);
        }
        Ok(true)
    }
}
