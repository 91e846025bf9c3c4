//! How control payloads and extensions are read and sealed.

use zerocopy::little_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::check::check16_bytes;

/// Why a control payload or an extension is refused. The frame counts as lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not the length of such a body.
    #[error("body of {found} bytes where {expected} are needed; the frame is dropped")]
    Len {
        /// Bytes there are.
        found: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// Damaged on the way.
    #[error("body fails its check: damaged on the cable; the frame is dropped")]
    Check,
    /// A value that means nothing in this protocol version.
    #[error("body has the unknown value {0} in an enumerated field; the frame is dropped")]
    Value(u8),
}

/// A structure that carries its own check.
pub(crate) trait Raw: FromBytes + IntoBytes + Immutable + KnownLayout + Copy {
    fn check_mut(&mut self) -> &mut U16;

    /// Fills the check in.
    fn sealed(mut self) -> Self {
        *self.check_mut() = U16::ZERO;
        let check = check16_bytes(self.as_bytes());
        *self.check_mut() = check.into();
        self
    }

    /// Reads the structure at the start of `bytes`; what follows is the user's.
    fn open_prefix(bytes: &[u8]) -> Result<Self, BodyError> {
        let short = BodyError::Len { found: bytes.len(), expected: size_of::<Self>() };
        let (mut raw, _) = Self::read_from_prefix(bytes).map_err(|_| short)?;
        let found = *raw.check_mut();
        if *raw.sealed().check_mut() == found { Ok(raw) } else { Err(BodyError::Check) }
    }

    /// Reads the structure that `bytes` is.
    fn open_exact(bytes: &[u8]) -> Result<Self, BodyError> {
        if bytes.len() != size_of::<Self>() {
            return Err(BodyError::Len { found: bytes.len(), expected: size_of::<Self>() });
        }
        Self::open_prefix(bytes)
    }
}

/// Declares a wire structure: little-endian fields, then a `check`.
macro_rules! raw_body {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[derive(Clone, Copy, zerocopy::FromBytes, zerocopy::IntoBytes, zerocopy::Immutable, zerocopy::KnownLayout)]
        #[repr(C)]
        struct $name { $($field: $type,)* check: zerocopy::little_endian::U16 }

        impl $crate::body::Raw for $name {
            fn check_mut(&mut self) -> &mut zerocopy::little_endian::U16 {
                &mut self.check
            }
        }

        const _: () = assert!(size_of::<$name>() <= $crate::CONTROL_MAX);
    };
}
pub(crate) use raw_body;
