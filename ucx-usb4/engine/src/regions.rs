//! Registered memory as remote peers see it.

use rand_chacha::ChaCha12Rng;
use rand_core::{RngCore, SeedableRng};
use usb4_wire::extension::OpErrorReason;

/// What remote peers may do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Gets.
    pub read: bool,
    /// Puts.
    pub write: bool,
    /// Atomic operations.
    pub atomic: bool,
}

impl Access {
    /// Everything.
    pub const ALL: Access = Access { read: true, write: true, atomic: true };

    const fn includes(self, wanted: Access) -> bool {
        (self.read || !wanted.read) && (self.write || !wanted.write) && (self.atomic || !wanted.atomic)
    }
}

/// The regions of a memory domain and their keys.
///
/// A key has 44 random bits above its slot number, drawn afresh for each registration, so a key of another process, of an
/// earlier run or of a region that is gone names nothing.
pub struct RegionTable {
    regions: Vec<Option<Region>>,
    free: Vec<u32>,
    rng: ChaCha12Rng,
}

struct Region {
    key: u64,
    start: u64,
    len: u64,
    access: Access,
}

/// Bits of a key that are its slot.
const SLOT_BITS: u32 = 20;

/// No slot is free: 1 048 576 regions exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} memory regions are registered, which is the limit; deregister some", 1u32 << SLOT_BITS)]
pub struct TooManyRegions;

impl RegionTable {
    /// An empty table that draws its keys from `seed`: 32 bytes of entropy.
    pub fn new(seed: [u8; 32]) -> Self {
        Self { regions: Vec::new(), free: Vec::new(), rng: ChaCha12Rng::from_seed(seed) }
    }

    /// Registers the `len` bytes from `start` and returns their key, which is never 0.
    ///
    /// # Errors
    /// [`TooManyRegions`] at the limit.
    pub fn insert(&mut self, start: u64, len: u64, access: Access) -> Result<u64, TooManyRegions> {
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None if self.regions.len() < 1 << SLOT_BITS => {
                self.regions.push(None);
                self.regions.len() as u32 - 1
            }
            None => return Err(TooManyRegions),
        };
        // The top bit keeps every key apart from 0.
        let key = (self.rng.next_u64() | 1 << 63) & !((1 << SLOT_BITS) - 1) | u64::from(slot);
        self.regions[slot as usize] = Some(Region { key, start, len, access });
        Ok(key)
    }

    /// Invalidates a key; from now on nothing is allowed with it. Returns whether it was valid.
    pub fn remove(&mut self, key: u64) -> bool {
        let slot = slot_of(key);
        let valid = self.find(key).is_some();
        if valid {
            self.regions[slot] = None;
            self.free.push(slot as u32);
        }
        valid
    }

    /// Whether `key` allows `wanted` on the `len` bytes from `addr`.
    ///
    /// # Errors
    /// What is wrong: the reason that goes back to the requester.
    pub fn check(&self, key: u64, addr: u64, len: u64, wanted: Access) -> Result<(), OpErrorReason> {
        let region = self.find(key).ok_or(OpErrorReason::BadKey)?;
        let offset = addr.checked_sub(region.start).ok_or(OpErrorReason::OutOfBounds)?;
        if offset > region.len || len > region.len - offset {
            return Err(OpErrorReason::OutOfBounds);
        }
        if region.access.includes(wanted) { Ok(()) } else { Err(OpErrorReason::Access) }
    }

    /// How many regions are registered.
    pub fn len(&self) -> usize {
        self.regions.len() - self.free.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn find(&self, key: u64) -> Option<&Region> {
        self.regions.get(slot_of(key))?.as_ref().filter(|region| region.key == key)
    }
}

const fn slot_of(key: u64) -> usize {
    (key & ((1 << SLOT_BITS) - 1)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const READ: Access = Access { read: true, write: false, atomic: false };

    #[test]
    fn a_key_opens_its_own_range_only() {
        let mut table = RegionTable::new([1; 32]);
        let key = table.insert(0x1000, 0x100, Access::ALL).expect("room");
        assert_eq!(table.check(key, 0x1000, 0x100, Access::ALL), Ok(()));
        assert_eq!(table.check(key, 0x1100, 0, READ), Ok(()));
        assert_eq!(table.check(key, 0x10ff, 2, READ), Err(OpErrorReason::OutOfBounds));
        assert_eq!(table.check(key, 0xfff, 1, READ), Err(OpErrorReason::OutOfBounds));
        assert_eq!(table.check(key, 0x1080, u64::MAX, READ), Err(OpErrorReason::OutOfBounds));
        assert_eq!(table.check(key ^ 1 << 40, 0x1000, 1, READ), Err(OpErrorReason::BadKey));
    }

    #[test]
    fn access_is_what_was_registered() {
        let mut table = RegionTable::new([1; 32]);
        let key = table.insert(0, 8, READ).expect("room");
        assert_eq!(table.check(key, 0, 8, READ), Ok(()));
        assert_eq!(table.check(key, 0, 8, Access { write: true, ..READ }), Err(OpErrorReason::Access));
    }

    #[test]
    fn a_removed_key_stays_invalid_when_its_slot_is_used_again() {
        let mut table = RegionTable::new([1; 32]);
        let old = table.insert(0, 8, READ).expect("room");
        assert!(table.remove(old) && !table.remove(old));
        let new = table.insert(0, 8, READ).expect("room");
        assert_eq!(slot_of(old), slot_of(new));
        assert_eq!(table.check(old, 0, 8, READ), Err(OpErrorReason::BadKey));
        assert_eq!(table.check(new, 0, 8, READ), Ok(()));
        assert_eq!(table.len(), 1);
    }
}
