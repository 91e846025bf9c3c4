//! Payloads of control frames.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::transmute;

pub use crate::body::BodyError;
use crate::body::{Raw, raw_body};
use crate::check::check32;
use crate::extension::OpErrorReason;
use crate::{CONTROL_MAX, Psn, Token};

/// The payload of Connect and Accept: who the sender is and what it will call the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// This opening of the sender's channel.
    pub incarnation: u64,
    /// The opening of the receiver's channel that the sender means.
    pub peer_incarnation: u64,
    /// What the receiver must put into every frame of the connection.
    pub token: Token,
    /// Counts the sender's connections, so that a late Connect is not taken for a new one.
    pub serial: u32,
}

raw_body!(RawHandshake { incarnation: U64, peer_incarnation: U64, token: U64, serial: U32, reserved: U16 });

impl Handshake {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawHandshake>();

    /// Reads the payload.
    ///
    /// # Errors
    /// Wrong length, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<Handshake, BodyError> {
        let raw = RawHandshake::open_exact(bytes)?;
        Ok(Handshake {
            incarnation: raw.incarnation.get(),
            peer_incarnation: raw.peer_incarnation.get(),
            token: Token(raw.token.get()),
            serial: raw.serial.get(),
        })
    }

    /// Writes the payload.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw = RawHandshake {
            incarnation: self.incarnation.into(),
            peer_incarnation: self.peer_incarnation.into(),
            token: self.token.0.into(),
            serial: self.serial.into(),
            reserved: U16::ZERO,
            check: U16::ZERO,
        };
        transmute!(raw.sealed())
    }
}

/// Why a connection or a frame was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ResetReason {
    /// The frame's token names no connection of the receiver: it was restarted, or has closed.
    UnknownToken = 1,
    /// The Connect meant another opening of the channel.
    WrongIncarnation = 2,
    /// The receiver has no room for another connection.
    NoRoom = 3,
    /// The receiver's channel is being closed.
    GoingAway = 4,
}

impl ResetReason {
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::UnknownToken,
            2 => Self::WrongIncarnation,
            3 => Self::NoRoom,
            4 => Self::GoingAway,
            _ => return None,
        })
    }
}

/// The payload of Reset. Its receiver acts on it only when `refused` is what it would have sent: nobody else knows that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The refused frame's token; for a Connect the token it offered.
    pub refused: Token,
    /// The opening of the channel that refuses.
    pub incarnation: u64,
    /// Why.
    pub reason: ResetReason,
}

raw_body!(RawReset { refused: U64, incarnation: U64, reason: u8, reserved: [u8; 5] });

impl Reset {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawReset>();

    /// Reads the payload.
    ///
    /// # Errors
    /// Wrong length, damaged, or an unknown reason.
    pub fn parse(bytes: &[u8]) -> Result<Reset, BodyError> {
        let raw = RawReset::open_exact(bytes)?;
        let reason = ResetReason::from_number(raw.reason).ok_or(BodyError::Value(raw.reason))?;
        Ok(Reset { refused: Token(raw.refused.get()), incarnation: raw.incarnation.get(), reason })
    }

    /// Writes the payload.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw = RawReset {
            refused: self.refused.0.into(),
            incarnation: self.incarnation.into(),
            reason: self.reason as u8,
            reserved: [0; 5],
            check: U16::ZERO,
        };
        transmute!(raw.sealed())
    }
}

/// The payload of Refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The requester's number of the operation, 0 if it gave none.
    pub op: u32,
    /// Why it was refused.
    pub reason: OpErrorReason,
}

raw_body!(RawRefusal { op: U32, reason: u8, reserved: u8 });

impl Refusal {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawRefusal>();

    /// Reads the payload.
    ///
    /// # Errors
    /// Wrong length, damaged, or an unknown reason.
    pub fn parse(bytes: &[u8]) -> Result<Refusal, BodyError> {
        let raw = RawRefusal::open_exact(bytes)?;
        let reason = OpErrorReason::from_number(raw.reason).ok_or(BodyError::Value(raw.reason))?;
        Ok(Refusal { op: raw.op.get(), reason })
    }

    /// Writes the payload.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw = RawRefusal { op: self.op.into(), reason: self.reason as u8, reserved: 0, check: U16::ZERO };
        transmute!(raw.sealed())
    }
}

/// The payload of Ack: which frames at and beyond the cumulative acknowledgement have arrived. Bit `i` is frame `ack + i`.
///
/// Trailing zero words do not travel, so an acknowledgement without gaps has no payload. The check travels as the Ack's own PSN.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sack {
    words: [u64; CONTROL_MAX / 8],
}

impl Sack {
    /// Nothing beyond the cumulative acknowledgement.
    pub const NONE: Sack = Sack { words: [0; CONTROL_MAX / 8] };

    /// Notes that frame `ack + offset` has arrived; an offset beyond the bitmap is ignored.
    pub fn insert(&mut self, offset: usize) {
        if let Some(word) = self.words.get_mut(offset / 64) {
            *word |= 1 << (offset % 64);
        }
    }

    /// Whether frame `ack + offset` has arrived.
    pub fn contains(&self, offset: usize) -> bool {
        self.words.get(offset / 64).is_some_and(|word| word & 1 << (offset % 64) != 0)
    }

    /// Whether no bit is set.
    pub fn is_empty(&self) -> bool {
        self.words == [0; CONTROL_MAX / 8]
    }

    /// The offsets that are set, in ascending order.
    pub fn offsets(&self) -> impl Iterator<Item = usize> {
        self.words.into_iter().enumerate().flat_map(|(index, word)| {
            let mut rest = word;
            core::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }

    /// Reads the payload of an Ack whose PSN is `check`.
    ///
    /// # Errors
    /// Not a whole number of words, more than fit, or damaged.
    pub fn parse(bytes: &[u8], check: Psn) -> Result<Sack, BodyError> {
        let mut words = [0; CONTROL_MAX / 8];
        if bytes.len() > CONTROL_MAX || !bytes.len().is_multiple_of(8) {
            return Err(BodyError::Len { found: bytes.len(), expected: bytes.len().min(CONTROL_MAX) / 8 * 8 });
        }
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = chunk.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
        }
        let sack = Sack { words };
        if sack.check() == check { Ok(sack) } else { Err(BodyError::Check) }
    }

    /// Writes the payload into `out` and returns its length in bytes.
    pub fn emit(&self, out: &mut [u8; CONTROL_MAX]) -> usize {
        let used = self.words.iter().rposition(|&word| word != 0).map_or(0, |last| last + 1);
        for (chunk, word) in out.chunks_exact_mut(8).zip(&self.words[..used]) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        used * 8
    }

    /// What an Ack with this payload carries as its PSN.
    pub fn check(&self) -> Psn {
        Psn(check32(self.words))
    }
}
