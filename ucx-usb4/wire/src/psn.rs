//! Packet sequence numbers: 32 bits that wrap.

use core::fmt;

/// The number of a frame within one direction of a connection, modulo 2^32.
///
/// Comparison is serial (RFC 1982): it means something for numbers less than 2^31 apart, and windows are below 2^10.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Psn(pub u32);

impl Psn {
    /// The number `count` frames later.
    #[must_use]
    pub const fn add(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    /// How many frames `self` is after `earlier`; negative when it is before.
    pub const fn since(self, earlier: Psn) -> i32 {
        self.0.wrapping_sub(earlier.0).cast_signed()
    }

    /// Whether `self` comes before `later`.
    pub const fn is_before(self, later: Psn) -> bool {
        self.since(later) < 0
    }

    /// The 64-bit number nearest to `near` whose low 32 bits are this one.
    ///
    /// Below 2^31 it is counted modulo 2^64, so callers that start at 2^32 or above never see a wrap.
    pub const fn extend(self, near: u64) -> u64 {
        near.wrapping_add_signed(self.since(Psn(near as u32)) as i64)
    }
}

impl fmt::Debug for Psn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Psn({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distance_and_addition_are_inverse(base: u32, step in 0u32..(1 << 31)) {
            let (from, to) = (Psn(base), Psn(base).add(step));
            prop_assert_eq!(to.since(from), step as i32);
            prop_assert_eq!(from.is_before(to), step != 0);
            prop_assert!(!to.is_before(from));
        }

        #[test]
        fn extension_finds_the_number_it_was_cut_from(base in (1u64 << 32)..(1 << 62), offset in -(1i64 << 31)..(1i64 << 31)) {
            let full = base.wrapping_add_signed(offset);
            prop_assert_eq!(Psn(full as u32).extend(base), full);
        }
    }
}
