//! What passes between a channel and its driver.

use crate::{Address, HEADER_LEN, NodeId, RailId};

/// Names a fabric: channels of different fabrics cannot reach each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FabricId(pub u64);

/// A frame of the channel's own transmit pool. A copyable name, not an owner: whoever called
/// [`Carrier::alloc`](crate::Carrier::alloc) gives it back once, with `free` or `abandon`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TxFrame(pub(crate) u32);

/// A received frame whose payload has not been read yet. A copyable name, not an owner: whoever
/// reaped it gives it back once, with [`Carrier::release`](crate::Carrier::release).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RxFrame {
    /// Where the payload lies: a frame of the sender's pool or a word of the cell. Checked when it was reaped.
    pub(crate) source: u32,
    /// Position in the ring it came from (counts up for ever, wraps at 2^32).
    pub(crate) position: u32,
    /// The ring it came from.
    pub(crate) ring: u16,
    /// Bytes of payload that may be read.
    pub(crate) payload_len: u16,
}

impl RxFrame {
    /// Bytes of payload that may be read. This is what the ring says, and it is the bound for every
    /// read: the header's own payload length is the sender's word and may be a lie.
    #[inline]
    #[must_use]
    pub fn payload_len(&self) -> usize {
        usize::from(self.payload_len)
    }
}

/// A frame as it came out of a receive ring.
#[derive(Clone, Copy, Debug)]
pub struct Reaped {
    /// Private copy of the header: nobody can change it any more.
    pub header: [u8; HEADER_LEN],
    /// The rail that it came over.
    pub rail: RailId,
    /// Names the payload until it is released.
    pub frame: RxFrame,
}

/// One of the node's rails.
#[derive(Clone, Debug, PartialEq)]
pub struct RailInfo {
    /// Its number on this node.
    pub id: RailId,
    /// The cable it runs on, numbered over the fabric.
    pub cable: u16,
    /// The node at the other end.
    pub peer: NodeId,
    /// Line rate in bits per second; `None` where the carrier sets no limit.
    pub rate_bits_per_s: Option<u64>,
    /// One-way latency in nanoseconds.
    pub latency_ns: u64,
    /// Whether frames take time on it, so that `reap` needs the clock's latest time to find them as they arrive.
    pub is_timed: bool,
    /// A name for logs and counters, such as `cable0.rail1`.
    pub name: String,
    /// Whether frames can be sent over it now (as of the last `poll_event`).
    pub up: bool,
}

/// Something changed that the engine must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// The rail carries nothing any more; what was under way on it is lost.
    RailDown(RailId),
    /// The rail carries frames again.
    RailUp(RailId),
    /// The channel was closed or its process died, and everything it had sent has been reaped.
    PeerGone(Address),
    /// The set of rails to a node changed: ask `rails_to` again.
    RailsChanged(NodeId),
}

/// What [`Carrier::arm`](crate::Carrier::arm) found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArmResult {
    /// Nothing is there: the event descriptor becomes readable when that changes or at the deadline.
    Armed,
    /// A frame or an event is there already, or the deadline has passed: poll instead of sleeping.
    Busy,
}
