//! What must be true, seen from outside.

use std::collections::BTreeSet;

use usb4_wire::extension::OpErrorReason;

use super::plan::{Dice, Work};
use super::{Violation, ensure};
use crate::OpFailure;

/// Where target memory starts in the address space of its process.
pub(crate) const BASE: u64 = 0x7f00_0000_0000;
/// The counter for atomics, then what gets read, then room for puts.
pub(crate) const GET_BASE: u64 = BASE + 64;
pub(crate) const GET_LEN: u64 = 1 << 17;
pub(crate) const PUT_BASE: u64 = GET_BASE + GET_LEN;
/// What is registered: more than any plan uses.
pub(crate) const REGION_LEN: u64 = 1 << 32;

/// One process's incarnation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) process: usize,
    pub(crate) incarnation: u64,
}

/// The messages of one endpoint.
#[derive(Debug)]
struct Stream {
    from: Who,
    to: Who,
    sent: u32,
    received: u32,
    lost: bool,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Put,
    Get,
    Add { fetch: bool },
}

/// A remote memory operation.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) action: Action,
    pub(crate) from: Who,
    pub(crate) to: Who,
    pub(crate) addr: u64,
    pub(crate) len: u64,
    /// What the target must say to it.
    pub(crate) refusal: Option<OpErrorReason>,
    done: Option<bool>,
}

#[derive(Debug, Default)]
pub(crate) struct Oracle {
    streams: Vec<Stream>,
    operations: Vec<Operation>,
    /// Old values that fetching atomics returned: the target's incarnation and the value.
    olds: BTreeSet<(u64, u64)>,
    next_put: u64,
    /// (stream, message): the put that a fence set before it.
    fenced: Vec<(u32, u32, u32)>,
    pub(crate) delivered: u64,
    pub(crate) completed: u64,
    pub(crate) failed: u64,
}

/// Bytes that nobody guesses: position `offset` of item `item`.
pub(crate) fn pattern(item: u64, offset: u64) -> u8 {
    let mixed = (item << 40 ^ (offset / 8)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> (8 * (offset % 8))) as u8 ^ (mixed >> 57) as u8
}

pub(crate) fn fill(item: u64, offset: u64, len: usize) -> impl Iterator<Item = u8> {
    (offset..offset + len as u64).map(move |at| pattern(item, at))
}

fn message_item(stream: u32, number: u32) -> u64 {
    1 << 63 | u64::from(stream) << 20 | u64::from(number)
}

impl Oracle {
    pub(crate) fn open_stream(&mut self, from: Who, to: Who) -> u32 {
        self.streams.push(Stream { from, to, sent: 0, received: 0, lost: false });
        self.streams.len() as u32 - 1
    }

    pub(crate) fn lose_stream(&mut self, stream: u32) {
        self.streams[stream as usize].lost = true;
        self.failed += 1;
    }

    /// The next message of a stream: its id and bytes.
    pub(crate) fn next_message(&self, stream: u32, work: &Work) -> (u16, Vec<u8>) {
        let number = self.streams[stream as usize].sent;
        let mut bytes = Vec::new();
        bytes.extend(stream.to_le_bytes());
        bytes.extend(number.to_le_bytes());
        let len = Self::message_len(stream, number, work);
        bytes.extend(fill(message_item(stream, number), 8, len - 8));
        (((stream ^ number) & 31) as u16, bytes)
    }

    fn message_len(stream: u32, number: u32, work: &Work) -> usize {
        let mut dice = Dice::new(message_item(stream, number));
        let max = if dice.hits(0.5) { work.message_len_max.min(64) } else { work.message_len_max };
        let min = work.message_len_min.max(8);
        dice.between(min as u64, max.max(min) as u64) as usize
    }

    pub(crate) fn sent(&mut self, stream: u32) {
        self.streams[stream as usize].sent += 1;
    }

    /// The next message of `stream` is behind a fence, and operation `put` before it.
    pub(crate) fn expect_fenced(&mut self, stream: u32, put: u32) {
        let number = self.streams[stream as usize].sent;
        self.fenced.push((stream, number, put));
    }

    /// A message has arrived at `at`. Yields the put that must be in place by now.
    pub(crate) fn deliver(&mut self, at: Who, id: u16, bytes: &[u8], work: &Work) -> Result<Option<u32>, Violation> {
        ensure!(bytes.len() >= 8, "a message of {} bytes arrived at {at:?}", bytes.len());
        let word = |range: std::ops::Range<usize>| u32::from_le_bytes(bytes[range].try_into().expect("four bytes"));
        let (number, name) = (word(4..8), word(0..4));
        let Some(stream) = self.streams.get_mut(name as usize) else {
            return Err(Violation(format!("a message of unknown stream {name} arrived at {at:?}")));
        };
        ensure!(stream.to == at, "stream {name} {stream:?} arrived at {at:?}");
        ensure!(
            number == stream.received && number < stream.sent,
            "stream {name} {stream:?}: message {number} arrived, {} was next",
            stream.received
        );
        stream.received += 1;
        ensure!(id == ((name ^ number) & 31) as u16, "stream {name} message {number} has id {id}");
        let expected = Self::message_len(name, number, work);
        ensure!(bytes.len() == expected, "stream {name} message {number}: {} bytes of {expected}", bytes.len());
        let wrong =
            bytes[8..].iter().copied().zip(fill(message_item(name, number), 8, expected - 8)).position(|(a, b)| a != b);
        ensure!(wrong.is_none(), "stream {name} message {number}: wrong byte at {wrong:?}");
        self.delivered += 1;
        Ok(self.fenced.iter().find(|fence| (fence.0, fence.1) == (name, number)).map(|fence| fence.2))
    }

    pub(crate) fn new_operation(
        &mut self,
        action: Action,
        from: Who,
        to: Who,
        len: u64,
        refusal: Option<OpErrorReason>,
        dice: &mut Dice,
    ) -> u32 {
        let addr = match (action, refusal) {
            (_, Some(OpErrorReason::OutOfBounds)) => BASE + REGION_LEN - 1,
            (_, Some(OpErrorReason::Misaligned)) => BASE + 1,
            (Action::Add { .. }, _) => BASE,
            (Action::Get, _) => GET_BASE + dice.below(GET_LEN - len),
            (Action::Put, _) => {
                let addr = PUT_BASE + self.next_put;
                self.next_put += len;
                addr
            }
        };
        self.operations.push(Operation { action, from, to, addr, len, refusal, done: None });
        self.operations.len() as u32 - 1
    }

    pub(crate) fn operation(&self, operation: u32) -> &Operation {
        &self.operations[operation as usize]
    }

    /// An operation has ended; `memory` is the target's if that still lives, `got` what a get brought.
    pub(crate) fn complete(
        &mut self,
        number: u32,
        by: Who,
        result: Result<u64, OpFailure>,
        memory: Option<&[u8]>,
        got: Option<&[u8]>,
    ) -> Result<(), Violation> {
        let operation = &mut self.operations[number as usize];
        ensure!(operation.from == by, "operation {number} {operation:?} completed at {by:?}");
        ensure!(operation.done.is_none(), "operation {number} {operation:?} completed again with {result:?}");
        operation.done = Some(result.is_ok());
        let old = match (result, operation.refusal) {
            (Ok(old), None) => old,
            (Err(OpFailure::Remote(reason)), Some(expected)) if reason == expected => return Ok(()),
            (Err(OpFailure::Connection(_)), _) => return Ok(()),
            _ => return Err(Violation(format!("operation {number} {operation:?} ended with {result:?}"))),
        };
        self.completed += 1;
        match operation.action {
            Action::Put => {
                let Some(memory) = memory else { return Ok(()) };
                ensure!(put_is_in_place(operation, number, memory), "operation {number} {operation:?} is not in place");
            }
            Action::Get => {
                let from = operation.addr - GET_BASE;
                let right = fill(operation.to.incarnation, from, operation.len as usize);
                let wrong = got.and_then(|got| got.iter().copied().zip(right).position(|(byte, right)| byte != right));
                ensure!(wrong.is_none() && got.is_some(), "operation {number} {operation:?}: wrong byte at {wrong:?}");
            }
            Action::Add { fetch: true } => {
                let new = self.olds.insert((operation.to.incarnation, old));
                ensure!(new, "operation {number} {operation:?}: the old value {old} was returned before");
            }
            Action::Add { fetch: false } => {}
        }
        Ok(())
    }

    /// Whether a put is in the target's memory.
    pub(crate) fn is_in_place(&self, put: u32, memory: &[u8]) -> bool {
        put_is_in_place(&self.operations[put as usize], put, memory)
    }

    /// Checks the memory of a process that lived to the end, and all streams to it.
    pub(crate) fn check_end(&self, who: Who, memory: &[u8]) -> Result<(), Violation> {
        let mut expected = vec![Some(0u8); memory.len().saturating_sub((PUT_BASE - BASE) as usize)];
        let mut adds = (0u64, 0u64);
        for (number, operation) in self.operations.iter().enumerate().filter(|(_, operation)| operation.to == who) {
            let certain = operation.done == Some(true) || operation.refusal.is_some();
            match operation.action {
                Action::Put if operation.refusal.is_none() => {
                    let start = (operation.addr - PUT_BASE) as usize;
                    for (offset, byte) in fill(number as u64, 0, operation.len as usize).enumerate() {
                        if let Some(place) = expected.get_mut(start + offset) {
                            *place = certain.then_some(byte);
                        }
                    }
                }
                Action::Add { .. } if operation.refusal.is_none() => {
                    adds = (adds.0 + u64::from(certain), adds.1 + 1);
                }
                _ => {}
            }
        }
        let puts = memory.get((PUT_BASE - BASE) as usize..).unwrap_or(&[]);
        let wrong = puts.iter().zip(&expected).position(|(byte, expected)| expected.is_some_and(|e| e != *byte));
        ensure!(wrong.is_none(), "memory of {who:?} has a byte that nobody put at {wrong:?}");
        let counter = u64::from_le_bytes(memory[..8].try_into().expect("eight bytes"));
        ensure!((adds.0..=adds.1).contains(&counter), "counter of {who:?} is {counter}, {adds:?} were applied");
        for (name, stream) in self.streams.iter().enumerate().filter(|(_, stream)| stream.to == who && !stream.lost) {
            ensure!(stream.received == stream.sent, "stream {name} {stream:?} is incomplete");
        }
        Ok(())
    }

    /// Checks that every operation of a process that lived to the end has ended.
    pub(crate) fn check_done(&self, who: Who) -> Result<(), Violation> {
        let open = self.operations.iter().position(|operation| operation.from == who && operation.done.is_none());
        ensure!(open.is_none(), "operation {open:?} of {who:?} never ended");
        Ok(())
    }

    /// A process was killed: what it sent last may be lost.
    pub(crate) fn kill(&mut self, who: Who) {
        self.streams.iter_mut().filter(|stream| stream.from == who).for_each(|stream| stream.lost = true);
    }
}

fn put_is_in_place(operation: &Operation, number: u32, memory: &[u8]) -> bool {
    let start = (operation.addr - BASE) as usize;
    let bytes = memory.get(start..start + operation.len as usize);
    bytes.is_some_and(|bytes| bytes.iter().copied().eq(fill(u64::from(number), 0, operation.len as usize)))
}
