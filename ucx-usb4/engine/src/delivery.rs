//! What arrives for the driver.

use usb4_wire::{Flags, Header, extension};

use crate::ConnId;

/// What is to be done with a frame that has arrived.
#[derive(Clone, Copy, Debug)]
pub enum Verdict<R> {
    /// It is the driver's: deliver it now, then everything that [`Engine::poll_deliver`](crate::Engine::poll_deliver) yields, then release it.
    Deliver(Delivery<R>),
    /// The engine keeps it until the frames before it have arrived.
    Held,
    /// Nothing in it is for the driver: release it.
    Drop(R),
}

/// A frame for the driver.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<R> {
    /// Whose it is.
    pub conn: ConnId,
    /// What it says.
    pub content: Content,
    /// Where the user's bytes start within the payload.
    pub data_offset: usize,
    /// How many there are.
    pub data_len: usize,
    /// The frame, to be released when its bytes have been used.
    pub frame: R,
}

impl<R> Delivery<R> {
    /// What [`Engine::handle_message`](crate::Engine::handle_message) has taken.
    pub fn of_message(conn: ConnId, header: &Header, frame: R) -> Self {
        let flags = header.form.flags();
        let content =
            Content::Am { id: header.word, first: flags.contains(Flags::FIRST), last: flags.contains(Flags::LAST) };
        Self { conn, content, data_offset: 0, data_len: header.form.payload_len(), frame }
    }
}

/// What a delivered frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    /// Part of an active message. In order, once.
    Am {
        /// The message's id.
        id: u16,
        /// Whether it starts the message.
        first: bool,
        /// Whether it ends the message.
        last: bool,
    },
    /// Bytes to place at an address here. Check the key and range; if they are wrong call [`Engine::reject`](crate::Engine::reject), before
    /// anything else is asked of the engine, and touch no memory.
    Put(extension::Put),
    /// Bytes that an own get asked for: place them at this local address.
    GetData {
        /// The operation's local address plus the segment's offset; the range lies within the operation's.
        local_addr: u64,
    },
    /// A peer wants bytes: check, then [`Engine::respond_get`](crate::Engine::respond_get) or [`Engine::reject`](crate::Engine::reject).
    GetRequest(extension::GetRequest),
    /// A peer wants an atomic operation: check, apply it, then [`Engine::respond_atomic`](crate::Engine::respond_atomic) if `fetch`; or
    /// [`Engine::reject`](crate::Engine::reject). It comes once.
    Atomic {
        /// What to do.
        request: extension::AtomicRequest,
        /// Whether the old value is wanted.
        fetch: bool,
    },
}
