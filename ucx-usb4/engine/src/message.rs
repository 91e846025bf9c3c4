//! What goes out: messages into the engine, frames out of it.

use std::fmt;

use usb4_wire::extension::{AtomicOp, AtomicWidth};
use usb4_wire::{Address, CONTROL_MAX, Flags, Form, HEADER_LEN, HeaderError, Kind, Psn, RailId};

/// Names a connection of one engine. It stays unambiguous after the connection has ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId {
    slot: u16,
    generation: u16,
}

impl ConnId {
    pub(crate) const fn new(slot: u16, generation: u16) -> Self {
        Self { slot, generation }
    }

    pub(crate) const fn generation(self) -> u16 {
        self.generation
    }

    /// A small number that no other living connection of the engine has: fit to index a table of the driver.
    pub const fn slot(self) -> u16 {
        self.slot
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conn({}#{})", self.slot, self.generation)
    }
}

/// The channel to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer {
    /// Where it is.
    pub address: Address,
    /// Which opening of it is meant; another one refuses.
    pub incarnation: u64,
}

/// One sequenced frame that the driver has filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    pub(crate) form: Form,
    pub(crate) word: u16,
}

impl Message {
    /// A frame of active message `id`, with `payload_len` bytes behind the header. `flags`: FIRST on the first frame of a message, LAST on the
    /// last, both on a message of one frame; ACK_REQUEST where the sender will wait for the acknowledgement.
    ///
    /// # Errors
    /// A flag that active messages do not have, or a payload longer than [`usb4_wire::PAYLOAD_MAX`].
    pub const fn am(id: u16, flags: Flags, payload_len: usize) -> Result<Message, HeaderError> {
        match Form::new(Kind::Am, flags, payload_len) {
            Ok(form) => Ok(Message { form, word: id }),
            Err(error) => Err(error),
        }
    }

    /// A put of one frame: the payload is a [`usb4_wire::extension::Put`] with operation number 0 and the bytes behind it, `payload_len` in all.
    /// It completes with the connection's [`acked_mark`](crate::Engine::acked_mark); a refusal is [`Event::Refused`](crate::Event::Refused).
    ///
    /// # Errors
    /// A payload that is too long, or too short for the extension.
    pub const fn put(payload_len: usize) -> Result<Message, HeaderError> {
        match Form::new(Kind::Put, Flags::empty(), payload_len) {
            Ok(form) => Ok(Message { form, word: 0 }),
            Err(error) => Err(error),
        }
    }

    /// An atomic operation without answer: the payload is a [`usb4_wire::extension::AtomicRequest`] with operation number 0. It completes
    /// as [`Message::put`] does.
    pub const fn atomic() -> Message {
        match Form::new(Kind::AtomicRequest, Flags::empty(), Kind::AtomicRequest.extension_len()) {
            Ok(form) => Message { form, word: 0 },
            Err(_) => panic!("an extension alone is a valid payload"),
        }
    }
}

/// A put or get of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The driver's name for it, returned in [`Event::Completed`](crate::Event::Completed).
    pub cookie: u64,
    /// Where the bytes are, or shall be, in this process. Opaque to the engine, which only adds offsets to it.
    pub local_addr: u64,
    /// Where they shall be, or are, in the target.
    pub remote_addr: u64,
    /// How many.
    pub len: u64,
    /// Key of the target's region.
    pub key: u64,
}

/// An atomic operation whose old value or completion is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Atomic {
    /// The driver's name for it, returned in [`Event::Completed`](crate::Event::Completed).
    pub cookie: u64,
    /// The value's place in the target.
    pub remote_addr: u64,
    /// Key of the target's region.
    pub key: u64,
    /// What to do.
    pub code: AtomicOp,
    /// On how many bytes.
    pub width: AtomicWidth,
    /// What to combine.
    pub operand: u64,
    /// What a compare-and-swap expects.
    pub compare: u64,
    /// Whether the old value is wanted back.
    pub fetch: bool,
}

/// A frame to put on a rail now.
#[derive(Clone, Copy, Debug)]
pub struct Transmit<T> {
    /// Whose it is; `None` for a refusal that belongs to no connection.
    pub conn: Option<ConnId>,
    /// The rail.
    pub rail: RailId,
    /// Where it goes to; also in the header.
    pub dst: Address,
    /// The 40 header bytes.
    pub header: [u8; HEADER_LEN],
    /// What stands behind the header.
    pub body: Body<T>,
}

/// What stands behind a header.
#[derive(Clone, Copy, Debug)]
pub enum Body<T> {
    /// A frame that the driver has filled. The engine keeps it until it is acknowledged and may send it again: its bytes must stay.
    Frame {
        /// The driver's handle.
        frame: T,
        /// Bytes of payload.
        payload_len: usize,
    },
    /// A few bytes of the engine's own.
    Control {
        /// The bytes.
        payload: [u8; CONTROL_MAX],
        /// How many of them count.
        len: usize,
    },
}

/// A frame that the driver is asked to fill for a queued operation: take a transmit frame, write the extension, copy the local bytes behind it, and
/// hand it to [`Engine::commit_fill`](crate::Engine::commit_fill). Dropping it instead is harmless: it will be offered again.
#[derive(Clone, Copy, Debug)]
pub struct Fill {
    /// Whose it is.
    pub conn: ConnId,
    /// Where the local bytes are; in the terms of the operation.
    pub local_addr: u64,
    /// How many local bytes to copy behind the extension.
    pub len: usize,
    /// For an answer to a get, the region that is read: the driver checks that it still exists, and calls
    /// [`Engine::reject_fill`](crate::Engine::reject_fill) when it does not.
    pub region: Option<u64>,
    pub(crate) form: Form,
    pub(crate) extension: [u8; CONTROL_MAX],
    pub(crate) next_psn: Psn,
    pub(crate) reply: bool,
}

impl Fill {
    /// What to write at the start of the payload.
    pub fn extension(&self) -> &[u8] {
        &self.extension[..self.form.kind().extension_len()]
    }

    /// What the frame is for.
    pub const fn kind(&self) -> Kind {
        self.form.kind()
    }
}
