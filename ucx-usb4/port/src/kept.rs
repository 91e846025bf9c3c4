//! Messages that the attendant has taken from the rings for an owner that is away, until the owner asks for them.
//!
//! Their bytes are copied: the peer is told that they have arrived, and then uses its frames again.

use std::collections::VecDeque;

use usb4_engine::ConnId;

use crate::Part;

/// Most that is kept. What comes then stays in the rings, where the windows bound it, until the owner is back; so do the operations behind
/// it.
pub(crate) const BYTES_MAX: usize = 8 << 20;
/// What a message costs beside its bytes.
pub(crate) const OVERHEAD: usize = 64;

/// One frame's worth.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) conn: ConnId,
    pub(crate) id: u16,
    pub(crate) part: Part,
    pub(crate) bytes: Box<[u8]>,
}

/// All of them, in the order of their arrival.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    waiting: VecDeque<Kept>,
    bytes: usize,
    /// Handed to the owner, who looks at the bytes until it releases them: the last one first, if it takes one while it has another.
    handed: Vec<Box<[u8]>>,
}

impl Shelf {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= BYTES_MAX
    }

    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn keep(&mut self, kept: Kept) {
        self.bytes += kept.bytes.len() + OVERHEAD;
        self.waiting.push_back(kept);
    }

    /// The first one: what it is, and where its bytes are until [`take_back`](Self::take_back).
    pub(crate) fn hand_out(&mut self) -> Option<(ConnId, u16, Part, &[u8])> {
        let Kept { conn, id, part, bytes } = self.waiting.pop_front()?;
        self.bytes -= bytes.len() + OVERHEAD;
        self.handed.push(bytes);
        Some((conn, id, part, self.handed.last().expect("just pushed")))
    }

    /// The bytes that were handed out last.
    pub(crate) fn handed(&self) -> &[u8] {
        self.handed.last().map_or(&[], |bytes| bytes)
    }

    /// The owner needs them no more.
    pub(crate) fn take_back(&mut self) {
        self.handed.pop();
    }
}
