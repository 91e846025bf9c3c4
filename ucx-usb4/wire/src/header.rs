//! The frame header.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, transmute};

use crate::check::check16;
use crate::{Address, CONTROL_MAX, ChannelId, Flags, HEADER_LEN, Kind, NodeId, PAYLOAD_MAX, Psn, Token, VERSION};

/// Why bytes are no header of ours. The frame is dropped and counted; the sender's retransmission repairs the loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Damaged on the way, or not written by this protocol.
    #[error(
        "frame header fails its check (says {found:#06x}, computed {computed:#06x}): damaged on the cable or foreign; it is dropped"
    )]
    Check {
        /// What the header says.
        found: u16,
        /// What its bytes amount to.
        computed: u16,
    },
    /// Another protocol version.
    #[error(
        "frame has protocol version {0}, this side speaks {VERSION}: install the same ucx-usb4 release on both hosts"
    )]
    Version(u8),
    /// No such kind in this version.
    #[error("frame kind {0} does not exist in protocol version {VERSION}")]
    Kind(u8),
    /// Flags that mean nothing for the kind.
    #[error("flags {flags:#04x} are not allowed in a frame of kind {kind:?}")]
    Flags {
        /// The kind.
        kind: Kind,
        /// All flags found.
        flags: u8,
    },
    /// A payload that is too long for any frame or for the kind, or too short for the kind's extension.
    #[error("payload of {len} bytes does not fit a frame of kind {kind:?}")]
    PayloadLen {
        /// The kind.
        kind: Kind,
        /// Length in bytes.
        len: u16,
    },
}

/// Kind, flags and payload length that go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    kind: Kind,
    flags: Flags,
    payload_len: u16,
}

impl Form {
    /// Checks that such a frame may exist. `payload_len` is in bytes and includes the kind's extension.
    ///
    /// # Errors
    /// [`HeaderError::Flags`] or [`HeaderError::PayloadLen`].
    pub const fn new(kind: Kind, flags: Flags, payload_len: usize) -> Result<Form, HeaderError> {
        if flags.bits() & !kind.flags().bits() != 0 {
            return Err(HeaderError::Flags { kind, flags: flags.bits() });
        }
        let max = if kind.is_control() { CONTROL_MAX } else { PAYLOAD_MAX };
        if payload_len > max || payload_len < kind.extension_len() {
            let len = if payload_len > u16::MAX as usize { u16::MAX } else { payload_len as u16 };
            return Err(HeaderError::PayloadLen { kind, len });
        }
        Ok(Form { kind, flags, payload_len: payload_len as u16 })
    }

    /// What the frame is for.
    pub const fn kind(self) -> Kind {
        self.kind
    }

    /// Bits that refine the kind.
    pub const fn flags(self) -> Flags {
        self.flags
    }

    /// Payload in bytes, the kind's extension included.
    pub const fn payload_len(self) -> usize {
        self.payload_len as usize
    }

    /// The same form with more flags; those that the kind may not carry are left out.
    #[must_use]
    #[inline]
    pub const fn with_flags(self, flags: Flags) -> Form {
        Form { flags: self.flags.union(flags.intersection(self.kind.flags())), ..self }
    }
}

/// A valid frame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Kind, flags and payload length.
    pub form: Form,
    /// How many relaying nodes the frame may still pass.
    pub hop_limit: u8,
    /// Where the frame goes to.
    pub dst: Address,
    /// Where it comes from.
    pub src: Address,
    /// Frames beyond `ack` that the sender of this header accepts.
    pub window: u16,
    /// By kind: active message id, probe number, close number.
    pub word: u16,
    /// The receiver's name for the connection.
    pub token: Token,
    /// Number of this frame; by kind for control frames.
    pub psn: Psn,
    /// Every frame before this number has arrived.
    pub ack: Psn,
}

/// The header as it travels.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Raw {
    version: u8,
    kind: u8,
    flags: u8,
    hop_limit: u8,
    payload_len: U16,
    check: U16,
    dst_node: U32,
    src_node: U32,
    dst_channel: U16,
    src_channel: U16,
    window: U16,
    word: U16,
    token: U64,
    psn: U32,
    ack: U32,
}

const _: () = assert!(size_of::<Raw>() == HEADER_LEN);

impl Header {
    /// Reads a header.
    ///
    /// # Errors
    /// What is wrong with it first: check, version, kind, flags, length. The check comes first, so that all other errors mean a sender that
    /// really wrote this.
    #[inline]
    pub fn parse(bytes: &[u8; HEADER_LEN]) -> Result<Header, HeaderError> {
        let raw: Raw = transmute!(*bytes);
        let (found, computed) = (raw.check.get(), raw.computed_check());
        if found != computed {
            return Err(HeaderError::Check { found, computed });
        }
        if raw.version != VERSION {
            return Err(HeaderError::Version(raw.version));
        }
        let kind = Kind::from_number(raw.kind).ok_or(HeaderError::Kind(raw.kind))?;
        let flags = Flags::from_bits(raw.flags).ok_or(HeaderError::Flags { kind, flags: raw.flags })?;
        Ok(Header {
            form: Form::new(kind, flags, raw.payload_len.get() as usize)?,
            hop_limit: raw.hop_limit,
            dst: Address { node: NodeId(raw.dst_node.get()), channel: ChannelId(raw.dst_channel.get()) },
            src: Address { node: NodeId(raw.src_node.get()), channel: ChannelId(raw.src_channel.get()) },
            window: raw.window.get(),
            word: raw.word.get(),
            token: Token(raw.token.get()),
            psn: Psn(raw.psn.get()),
            ack: Psn(raw.ack.get()),
        })
    }

    /// Writes the header.
    #[inline]
    pub fn emit(&self) -> [u8; HEADER_LEN] {
        let mut raw = Raw {
            version: VERSION,
            kind: self.form.kind as u8,
            flags: self.form.flags.bits(),
            hop_limit: self.hop_limit,
            payload_len: self.form.payload_len.into(),
            check: U16::ZERO,
            dst_node: self.dst.node.0.into(),
            src_node: self.src.node.0.into(),
            dst_channel: self.dst.channel.0.into(),
            src_channel: self.src.channel.0.into(),
            window: self.window.into(),
            word: self.word.into(),
            token: self.token.0.into(),
            psn: self.psn.0.into(),
            ack: self.ack.0.into(),
        };
        raw.check = raw.computed_check().into();
        transmute!(raw)
    }

    /// Bytes at the start of the payload that the engine wants as a private copy: a control frame's whole payload, a sequenced
    /// frame's extension. At most [`CONTROL_MAX`].
    #[inline]
    pub const fn private_len(&self) -> usize {
        if self.form.kind.is_control() { self.form.payload_len() } else { self.form.kind.extension_len() }
    }
}

impl Raw {
    #[inline]
    fn computed_check(&self) -> u16 {
        /// Hop limit and check, as they lie in the first word.
        const UNCHECKED: u64 = 0xffff_0000_ff00_0000;
        let words: [U64; HEADER_LEN / 8] = transmute!(*self);
        let mut words = words.map(U64::get);
        words[0] &= !UNCHECKED;
        check16(words)
    }
}
