//! Rails of a node and sets of them.

use core::fmt;

/// One DMA ring pair on one cable of this node, by its number on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RailId(u8);

impl RailId {
    /// The way from a node to itself, below the engine: never delayed, never lost, never unplugged.
    pub const LOOPBACK: RailId = RailId(31);
    /// How many rail numbers there are, the loopback included.
    pub const COUNT: usize = 32;

    /// Rail `number` of the node, or `None` where there can be no such rail (0 to 30 are cables' rails, 31 is the loopback).
    pub const fn new(number: u8) -> Option<Self> {
        if (number as usize) < Self::COUNT { Some(Self(number)) } else { None }
    }

    /// The number, below [`RailId::COUNT`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for RailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::LOOPBACK { f.write_str("loopback") } else { write!(f, "rail {}", self.0) }
    }
}

/// A set of rails.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RailSet(u32);

impl RailSet {
    /// No rail.
    pub const EMPTY: RailSet = RailSet(0);
    /// Every rail, the loopback included.
    pub const ALL: RailSet = RailSet(u32::MAX);
    /// The loopback alone.
    pub const LOOPBACK: RailSet = RailSet::only(RailId::LOOPBACK);

    /// The set whose bit `n` is rail `n`.
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// Bit `n` is rail `n`.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// One rail.
    pub const fn only(rail: RailId) -> Self {
        Self(1 << rail.0)
    }

    /// Whether there is no rail in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many rails it has.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether `rail` is in it.
    pub const fn contains(self, rail: RailId) -> bool {
        self.0 & (1 << rail.0) != 0
    }

    /// Adds a rail.
    pub const fn insert(&mut self, rail: RailId) {
        self.0 |= 1 << rail.0;
    }

    /// Takes a rail out.
    pub const fn remove(&mut self, rail: RailId) {
        self.0 &= !(1 << rail.0);
    }

    /// The rails of both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The rails of either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The rails in ascending order.
    pub fn iter(self) -> impl Iterator<Item = RailId> {
        let mut bits = self.0;
        core::iter::from_fn(move || {
            let number = bits.trailing_zeros() as u8;
            bits &= bits.wrapping_sub(1);
            RailId::new(number)
        })
    }
}

impl FromIterator<RailId> for RailSet {
    fn from_iter<I: IntoIterator<Item = RailId>>(rails: I) -> Self {
        let mut set = Self::EMPTY;
        for rail in rails {
            set.insert(rail);
        }
        set
    }
}

impl fmt::Debug for RailSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(RailId::index)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    #[test]
    fn a_set_yields_exactly_its_rails_in_order() {
        let set = RailSet::from_bits(0x8000_0005);
        let numbers: Vec<usize> = set.iter().map(RailId::index).collect();
        assert_eq!(numbers, [0, 2, 31]);
        assert_eq!(set.iter().collect::<RailSet>(), set);
        assert_eq!(set.len(), 3);
        assert!(set.contains(RailId::LOOPBACK));
        assert_eq!(RailSet::EMPTY.iter().count(), 0);
        assert_eq!(RailId::new(32), None);
    }
}
