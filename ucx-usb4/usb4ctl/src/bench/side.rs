//! One side: a port, its connection to the other side, and what passes between the two.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use usb4_engine::{ConnId, Refused, RegionTable};
use usb4_link::{CONTROL_MAX, LinkSpec, PAYLOAD_MAX};
use usb4_port::address::PortAddress;
use usb4_port::{Arrival, Event, MAX_MESSAGE_FRAMES, Part, Port};

use super::BenchError;

/// Rounds without news after which others may have the processor, and it is seen whether the other side is still there.
const IDLE_ROUNDS: u32 = 512;
/// Longest piece of a message: what one active message carries.
pub(super) const PIECE_MAX: usize = MAX_MESSAGE_FRAMES * PAYLOAD_MAX;

/// What the sides say to each other beside data. The number travels as the active message's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Say {
    /// Here I am: node, channel, incarnation.
    Hello = 1,
    /// What comes next: a [`Plan`](super::stream::Plan).
    Plan = 2,
    /// I am ready for it.
    Ready = 3,
    /// I have sent my data.
    End = 5,
    /// I have received so many bytes.
    Received = 6,
    /// That was all.
    Bye = 7,
    /// What I have counted: a [`Protocol`](super::figures::Protocol).
    Totals = 8,
}

/// The id of data.
const DATA: u8 = 4;
/// Numbers that travel with each [`Say`].
pub(super) const WORDS: usize = 4;

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// One frame of data.
    Data {
        /// Bytes.
        len_bytes: usize,
    },
    /// Something else.
    Said(Say, [u64; WORDS]),
}

/// A port that talks to one other.
pub(super) struct Side<'a> {
    pub(super) port: Port,
    conn: Option<ConnId>,
    /// The user has seen enough; none: what is left takes no time.
    stop: Option<&'a AtomicBool>,
    idle_rounds: u32,
    /// What could not leave yet.
    outbox: VecDeque<(Say, [u64; WORDS])>,
    /// What data is made of.
    block: Vec<u8>,
    /// The next piece's number, in each direction.
    next_sent: u64,
    next_received: u64,
}

impl<'a> Side<'a> {
    /// Opens a port on the links.
    pub(super) fn open(links: LinkSpec, stop: &'a AtomicBool) -> Result<Self, BenchError> {
        // Nobody reaches memory here by name, so the secret of its names does not matter.
        let regions = Arc::new(RwLock::new(RegionTable::new([0; 32])));
        Ok(Side {
            port: Port::open(&super::options(links), regions)?,
            conn: None,
            stop: Some(stop),
            idle_rounds: 0,
            outbox: VecDeque::new(),
            block: (0..PIECE_MAX).map(|byte| byte as u8).collect(),
            next_sent: 0,
            next_received: 0,
        })
    }

    /// Talks to this one from now on.
    pub(super) fn connect(&mut self, peer: &PortAddress) -> Result<(), BenchError> {
        self.conn = Some(self.port.connect(peer)?);
        Ok(())
    }

    /// Ctrl-C has been heard: what is left takes no time.
    pub(super) fn ignore_stop(&mut self) {
        self.stop = None;
    }

    /// Says something; it leaves before the next data does.
    pub(super) fn say(&mut self, what: Say, words: [u64; WORDS]) -> Result<(), BenchError> {
        self.outbox.push_back((what, words));
        self.flush_outbox()
    }

    fn flush_outbox(&mut self) -> Result<(), BenchError> {
        while let Some(&(what, words)) = self.outbox.front() {
            let bytes = words.map(u64::to_le_bytes).concat();
            if !self.send(what as u8, &bytes)? {
                break;
            }
            self.outbox.pop_front();
        }
        Ok(())
    }

    /// Waits until all that was said has left.
    pub(super) fn finish(&mut self) -> Result<(), BenchError> {
        while !self.outbox.is_empty() {
            self.poll()?;
        }
        Ok(())
    }

    /// Sends a piece of data, at most [`PIECE_MAX`] bytes and at least eight; false: not now.
    pub(super) fn send_piece(&mut self, len_bytes: usize) -> Result<bool, BenchError> {
        if !self.outbox.is_empty() {
            return Ok(false);
        }
        let mut block = std::mem::take(&mut self.block);
        block[..8].copy_from_slice(&self.next_sent.to_le_bytes());
        let sent = self.send(DATA, &block[..len_bytes]);
        self.block = block;
        self.next_sent += u64::from(matches!(sent, Ok(true)));
        sent
    }

    fn send(&mut self, id: u8, bytes: &[u8]) -> Result<bool, BenchError> {
        let Some(conn) = self.conn else { return Ok(false) };
        let frames = Port::frames_for(bytes.len());
        let mut frame = match self.port.reserve(conn, frames) {
            Ok(frame) => frame,
            Err(Refused::Failed(reason)) => return Err(BenchError::Lost(reason)),
            Err(_) => return Ok(false),
        };
        for (number, chunk) in bytes.chunks(PAYLOAD_MAX).enumerate() {
            if number > 0 {
                frame = self.port.next_frame();
            }
            self.port.fill(frame).put_bytes(chunk);
            let part = Part { first: number == 0, last: number + 1 == frames };
            self.port.send_am(conn, frame, id, part, chunk.len());
        }
        Ok(true)
    }

    /// One round: what has come, if anything.
    #[inline]
    pub(super) fn poll(&mut self) -> Result<Option<Heard>, BenchError> {
        self.port.begin();
        let Some(arrival) = self.port.poll_arrival() else {
            return self.idle().map(|()| None);
        };
        self.idle_rounds = 0;
        let heard = self.understand(&arrival);
        let Arrival::Message { frame, .. } = arrival;
        self.port.release(frame);
        // As UCX's interface does: what is left to do waits for a round in which nothing has arrived.
        if !self.port.can_rest() {
            self.service()?;
        }
        heard.map(Some)
    }

    fn idle(&mut self) -> Result<(), BenchError> {
        self.service()?;
        if self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return Err(BenchError::Interrupted);
        }
        self.idle_rounds += 1;
        if self.idle_rounds.is_multiple_of(IDLE_ROUNDS) {
            // No event tells of a side that has ended in good order while nothing was under way.
            if let Some(reason) = self.conn.and_then(|conn| self.port.failure(conn)) {
                return Err(BenchError::Lost(reason));
            }
            std::thread::yield_now();
        }
        std::hint::spin_loop();
        Ok(())
    }

    fn service(&mut self) -> Result<(), BenchError> {
        if self.port.service() {
            while let Some(event) = self.port.poll_event() {
                match event {
                    Event::Failed { conn, reason } if self.conn.is_none_or(|own| own == conn) => {
                        return Err(BenchError::Lost(reason));
                    }
                    _ => {}
                }
            }
            self.flush_outbox()?;
        }
        Ok(())
    }

    fn understand(&mut self, arrival: &Arrival) -> Result<Heard, BenchError> {
        let Arrival::Message { id, part, length, .. } = *arrival;
        if id == u16::from(DATA) && !part.first {
            return Ok(Heard::Data { len_bytes: length });
        }
        let mut bytes = [0; CONTROL_MAX];
        let words = self.port.peek(arrival, &mut bytes) / 8;
        let word = |n: usize| u64::from_le_bytes(bytes[8 * n..8 * n + 8].try_into().expect("eight bytes"));
        if id == u16::from(DATA) && words > 0 {
            return match word(0) {
                found if found == self.next_received => {
                    self.next_received += 1;
                    Ok(Heard::Data { len_bytes: length })
                }
                found => Err(BenchError::Disorder { expected: self.next_received, found }),
            };
        }
        match Say::from_number(id) {
            Some(Say::Bye) => Err(BenchError::Left),
            Some(what) if words >= WORDS => Ok(Heard::Said(what, std::array::from_fn(word))),
            _ => Err(BenchError::Misunderstood("an unknown message")),
        }
    }

    /// Waits for this to be said.
    pub(super) fn expect(&mut self, expected: Say) -> Result<[u64; WORDS], BenchError> {
        loop {
            match self.poll()? {
                None => {}
                Some(Heard::Said(what, words)) if what == expected => return Ok(words),
                Some(_) => return Err(BenchError::Misunderstood("another message than the one due")),
            }
        }
    }
}

impl Say {
    fn from_number(number: u16) -> Option<Say> {
        use Say::{Bye, End, Hello, Plan, Ready, Received, Totals};
        [Hello, Plan, Ready, End, Received, Bye, Totals].into_iter().find(|say| *say as u16 == number)
    }
}
