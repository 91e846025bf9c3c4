//! What stands before the user's bytes in frames of remote memory access.

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::transmute;

pub use crate::body::BodyError;
use crate::body::{Raw, raw_body};

/// The extension of Put: where the bytes behind it belong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Put {
    /// Key of the target's region.
    pub key: u64,
    /// Where this segment starts, in the target's address space.
    pub remote_addr: u64,
    /// The requester's number of the operation.
    pub op: u32,
}

raw_body!(RawPut { key: U64, remote_addr: U64, op: U32, reserved: U16 });

impl Put {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawPut>();

    /// Reads the extension at the start of `bytes`.
    ///
    /// # Errors
    /// Too short, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<Put, BodyError> {
        let raw = RawPut::open_prefix(bytes)?;
        Ok(Put { key: raw.key.get(), remote_addr: raw.remote_addr.get(), op: raw.op.get() })
    }

    /// Writes the extension.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw = RawPut {
            key: self.key.into(),
            remote_addr: self.remote_addr.into(),
            op: self.op.into(),
            reserved: U16::ZERO,
            check: U16::ZERO,
        };
        transmute!(raw.sealed())
    }
}

/// The extension of GetRequest: which bytes are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetRequest {
    /// Key of the target's region.
    pub key: u64,
    /// Where the bytes start, in the target's address space.
    pub remote_addr: u64,
    /// How many bytes.
    pub len: u64,
    /// The requester's number of the operation.
    pub op: u32,
}

raw_body!(RawGetRequest { key: U64, remote_addr: U64, len: U64, op: U32, reserved: U16 });

impl GetRequest {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawGetRequest>();

    /// Reads the extension at the start of `bytes`.
    ///
    /// # Errors
    /// Too short, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<GetRequest, BodyError> {
        let raw = RawGetRequest::open_prefix(bytes)?;
        let (key, remote_addr, len) = (raw.key.get(), raw.remote_addr.get(), raw.len.get());
        Ok(GetRequest { key, remote_addr, len, op: raw.op.get() })
    }

    /// Writes the extension.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw = RawGetRequest {
            key: self.key.into(),
            remote_addr: self.remote_addr.into(),
            len: self.len.into(),
            op: self.op.into(),
            reserved: U16::ZERO,
            check: U16::ZERO,
        };
        transmute!(raw.sealed())
    }
}

/// The extension of GetResponse: which part of the wanted bytes follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetResponse {
    /// Bytes of the request before this segment.
    pub offset: u64,
    /// The requester's number of the operation.
    pub op: u32,
}

raw_body!(RawGetResponse { offset: U64, op: U32, reserved: U16 });

impl GetResponse {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawGetResponse>();

    /// Reads the extension at the start of `bytes`.
    ///
    /// # Errors
    /// Too short, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<GetResponse, BodyError> {
        let raw = RawGetResponse::open_prefix(bytes)?;
        Ok(GetResponse { offset: raw.offset.get(), op: raw.op.get() })
    }

    /// Writes the extension.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw =
            RawGetResponse { offset: self.offset.into(), op: self.op.into(), reserved: U16::ZERO, check: U16::ZERO };
        transmute!(raw.sealed())
    }
}

/// What an atomic operation does with the target's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AtomicOp {
    /// Adds the operand, wrapping.
    Add = 1,
    /// Bitwise and with the operand.
    And = 2,
    /// Bitwise or with the operand.
    Or = 3,
    /// Bitwise exclusive or with the operand.
    Xor = 4,
    /// Replaces it by the operand.
    Swap = 5,
    /// Replaces it by the operand if it equals the comparand.
    CompareSwap = 6,
}

impl AtomicOp {
    /// Every operation.
    pub const ALL: [AtomicOp; 6] =
        [AtomicOp::Add, AtomicOp::And, AtomicOp::Or, AtomicOp::Xor, AtomicOp::Swap, AtomicOp::CompareSwap];

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Add,
            2 => Self::And,
            3 => Self::Or,
            4 => Self::Xor,
            5 => Self::Swap,
            6 => Self::CompareSwap,
            _ => return None,
        })
    }
}

/// The size of an atomic operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AtomicWidth {
    /// Four bytes.
    Bits32 = 4,
    /// Eight bytes.
    Bits64 = 8,
}

impl AtomicWidth {
    /// The size in bytes; the address must be a multiple of it.
    pub const fn bytes(self) -> u64 {
        self as u64
    }

    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            4 => Self::Bits32,
            8 => Self::Bits64,
            _ => return None,
        })
    }
}

/// The extension of AtomicRequest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicRequest {
    /// Key of the target's region.
    pub key: u64,
    /// The value's place, in the target's address space.
    pub remote_addr: u64,
    /// What to combine with it.
    pub operand: u64,
    /// What a compare-and-swap expects; else 0.
    pub compare: u64,
    /// The requester's number of the operation.
    pub op: u32,
    /// What to do.
    pub code: AtomicOp,
    /// On how many bytes.
    pub width: AtomicWidth,
}

raw_body!(RawAtomicRequest { key: U64, remote_addr: U64, operand: U64, compare: U64, op: U32, code: u8, width: u8 });

impl AtomicRequest {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawAtomicRequest>();

    /// Reads the extension at the start of `bytes`.
    ///
    /// # Errors
    /// Too short, damaged, or an operation or width that does not exist.
    pub fn parse(bytes: &[u8]) -> Result<AtomicRequest, BodyError> {
        let raw = RawAtomicRequest::open_prefix(bytes)?;
        Ok(AtomicRequest {
            key: raw.key.get(),
            remote_addr: raw.remote_addr.get(),
            operand: raw.operand.get(),
            compare: raw.compare.get(),
            op: raw.op.get(),
            code: AtomicOp::from_number(raw.code).ok_or(BodyError::Value(raw.code))?,
            width: AtomicWidth::from_number(raw.width).ok_or(BodyError::Value(raw.width))?,
        })
    }

    /// Writes the extension.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw = RawAtomicRequest {
            key: self.key.into(),
            remote_addr: self.remote_addr.into(),
            operand: self.operand.into(),
            compare: self.compare.into(),
            op: self.op.into(),
            code: self.code as u8,
            width: self.width as u8,
            check: U16::ZERO,
        };
        transmute!(raw.sealed())
    }
}

/// The extension of AtomicResponse: what was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AtomicResponse {
    /// The old value; 32-bit values are zero-extended.
    pub old: u64,
    /// The requester's number of the operation.
    pub op: u32,
}

raw_body!(RawAtomicResponse { old: U64, op: U32, reserved: U16 });

impl AtomicResponse {
    /// Length in bytes.
    pub const LEN: usize = size_of::<RawAtomicResponse>();

    /// Reads the extension at the start of `bytes`.
    ///
    /// # Errors
    /// Too short, or damaged.
    pub fn parse(bytes: &[u8]) -> Result<AtomicResponse, BodyError> {
        let raw = RawAtomicResponse::open_prefix(bytes)?;
        Ok(AtomicResponse { old: raw.old.get(), op: raw.op.get() })
    }

    /// Writes the extension.
    pub fn emit(&self) -> [u8; Self::LEN] {
        let raw = RawAtomicResponse { old: self.old.into(), op: self.op.into(), reserved: U16::ZERO, check: U16::ZERO };
        transmute!(raw.sealed())
    }
}

/// Why a target refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[repr(u8)]
pub enum OpErrorReason {
    /// No region has this key.
    #[error(
        "the remote key is unknown to the target: never registered there, deregistered, or of an earlier run; unpack a fresh key"
    )]
    BadKey = 1,
    /// The range leaves the region.
    #[error("the range leaves the region of its remote key; check address and length against the registration")]
    OutOfBounds = 2,
    /// An atomic operation on an address that is no multiple of its size.
    #[error("the address of an atomic operation is not a multiple of its size; align it")]
    Misaligned = 3,
    /// The region does not allow it.
    #[error("the remote region does not permit this access; register it with the access that is needed")]
    Access = 4,
    /// The target has too many operations in hand already.
    #[error("the target holds as many unanswered requests as it can; wait for some to complete")]
    Busy = 5,
}

impl OpErrorReason {
    pub(crate) const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::BadKey,
            2 => Self::OutOfBounds,
            3 => Self::Misaligned,
            4 => Self::Access,
            5 => Self::Busy,
            _ => return None,
        })
    }
}
