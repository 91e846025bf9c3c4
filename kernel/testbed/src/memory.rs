//! What the device may ask of guest memory.

use std::collections::BTreeMap;

use thiserror::Error;

/// An access that touches an address the guest's mappings do not cover.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error(
    "DMA of {len_bytes} bytes at bus address {address:#x} is not mapped: the guest's driver handed the NHI a wrong address, or unmapped \
     it too early"
)]
pub struct DmaFault {
    /// First bus address of the access.
    pub address: u64,
    /// Length of the access in bytes.
    pub len_bytes: usize,
}

/// Guest memory by bus address. The guest may change any byte at any time, so callers copy out first and validate the copy.
pub trait GuestMemory {
    /// Copies `into.len()` bytes out of the guest.
    ///
    /// # Errors
    /// [`DmaFault`] when any byte of the range is not mapped; `into` is then unspecified.
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), DmaFault>;

    /// Copies `from` into the guest.
    ///
    /// # Errors
    /// [`DmaFault`] when any byte of the range is not mapped; nothing is then written.
    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), DmaFault>;

    /// Stores one little-endian word so that everything written before is visible first.
    ///
    /// # Errors
    /// [`DmaFault`] when the word is not mapped or not aligned.
    fn publish_u32(&mut self, address: u64, value: u32) -> Result<(), DmaFault>;
}

/// Guest memory without a guest, for tests and fuzzing: some ranges of bytes, and a fault everywhere else.
#[derive(Debug, Default, Clone)]
pub struct MockMemory {
    ranges: BTreeMap<u64, Vec<u8>>,
}

impl MockMemory {
    /// Memory with one mapped range of zeros.
    pub fn new(address: u64, len_bytes: usize) -> MockMemory {
        MockMemory { ranges: BTreeMap::from([(address, vec![0; len_bytes])]) }
    }

    fn locate(&self, address: u64, len_bytes: usize) -> Result<(u64, usize), DmaFault> {
        let fault = DmaFault { address, len_bytes };
        let (&start, bytes) = self.ranges.range(..=address).next_back().ok_or(fault)?;
        let offset = usize::try_from(address - start).map_err(|_| fault)?;
        let end = offset.checked_add(len_bytes).ok_or(fault)?;
        if end > bytes.len() { Err(fault) } else { Ok((start, offset)) }
    }
}

impl GuestMemory for MockMemory {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        let (start, offset) = self.locate(address, into.len())?;
        into.copy_from_slice(&self.ranges[&start][offset..offset + into.len()]);
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), DmaFault> {
        let (start, offset) = self.locate(address, from.len())?;
        if let Some(bytes) = self.ranges.get_mut(&start) {
            bytes[offset..offset + from.len()].copy_from_slice(from);
        }
        Ok(())
    }

    fn publish_u32(&mut self, address: u64, value: u32) -> Result<(), DmaFault> {
        if !address.is_multiple_of(4) {
            return Err(DmaFault { address, len_bytes: 4 });
        }
        self.write(address, &value.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_ranges_inside_the_mapping_are_served() {
        let mut memory = MockMemory::new(0x1000, 0x1000);
        assert!(memory.write(0x1ffc, &[1, 2, 3, 4]).is_ok());
        let mut back = [0; 4];
        assert!(memory.read(0x1ffc, &mut back).is_ok());
        assert_eq!(back, [1, 2, 3, 4]);
        for (address, len_bytes) in [(0xfff, 2), (0x1ffd, 4), (0x2000, 1), (u64::MAX, 1), (u64::MAX - 1, 16)] {
            assert_eq!(memory.read(address, &mut vec![0; len_bytes]), Err(DmaFault { address, len_bytes }));
        }
        assert!(memory.publish_u32(0x1001, 1).is_err());
    }
}
