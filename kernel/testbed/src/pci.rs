//! PCI configuration space of the simulated NHI.
//!
//! The vendor is not Intel: the driver takes Intel NHIs through firmware paths that USB4 hosts do not have. Its high byte avoids
//! 0x03-0x06, which a driver walking capabilities would read as a capability id.

use crate::registers::{BAR_SIZE_BYTES, MSIX_PENDING_OFFSET, MSIX_TABLE_OFFSET, VECTORS};

/// PCI vendor id of the simulated NHI, also its router's vendor.
pub const VENDOR_ID: u16 = 0x1ab1;
/// PCI device id of the simulated NHI.
pub const DEVICE_ID: u16 = 0x0001;
/// Size of the configuration space in bytes.
pub const CONFIG_BYTES: usize = 256;

/// Class 0x0c0340: serial bus, USB4 host interface.
const CLASS_AND_REVISION: u32 = 0x0c03_4001;
const STATUS_CAPABILITIES: u16 = 0x10;
const MSIX_CAPABILITY: usize = 0x40;
const MSIX_ID: u8 = 0x11;

/// Configuration space as bytes with a write mask each.
#[derive(Debug, Clone)]
pub struct PciConfig {
    bytes: [u8; CONFIG_BYTES],
    writable: [u8; CONFIG_BYTES],
}

impl PciConfig {
    /// The space after reset.
    pub fn new() -> PciConfig {
        let mut config = PciConfig { bytes: [0; CONFIG_BYTES], writable: [0; CONFIG_BYTES] };
        config.define(0x00, &VENDOR_ID.to_le_bytes(), 0);
        config.define(0x02, &DEVICE_ID.to_le_bytes(), 0);
        // Memory space, bus master and INTx disable.
        config.writable[0x04] = 0x06;
        config.writable[0x05] = 0x04;
        config.define(0x06, &STATUS_CAPABILITIES.to_le_bytes(), 0);
        config.define(0x08, &CLASS_AND_REVISION.to_le_bytes(), 0);
        // BAR 0, 32 bit memory: the bits below its size read zero, which is how software learns the size.
        let bar_mask = !(BAR_SIZE_BYTES as u32 - 1);
        config.writable[0x10..0x14].copy_from_slice(&bar_mask.to_le_bytes());
        config.define(0x34, &[MSIX_CAPABILITY as u8], 0);
        config.writable[0x3c] = 0xff;
        config.define(MSIX_CAPABILITY, &[MSIX_ID, 0], 0);
        config.define(MSIX_CAPABILITY + 2, &(VECTORS - 1).to_le_bytes(), 0);
        config.writable[MSIX_CAPABILITY + 3] = 0xc0;
        config.define(MSIX_CAPABILITY + 4, &MSIX_TABLE_OFFSET.to_le_bytes(), 0);
        config.define(MSIX_CAPABILITY + 8, &MSIX_PENDING_OFFSET.to_le_bytes(), 0);
        config
    }

    /// Reads bytes; those outside the space read all ones.
    pub fn read(&self, offset: u64, into: &mut [u8]) {
        into.fill(0xff);
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        for (byte, &value) in into.iter_mut().zip(self.bytes.iter().skip(start)) {
            *byte = value;
        }
    }

    /// Writes bytes; read-only bits and what lies outside the space are left alone.
    pub fn write(&mut self, offset: u64, from: &[u8]) {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let cells = self.bytes.iter_mut().zip(&self.writable).skip(start);
        for ((byte, mask), value) in cells.zip(from) {
            *byte = *byte & !mask | value & mask;
        }
    }

    fn define(&mut self, offset: usize, value: &[u8], writable: u8) {
        self.bytes[offset..offset + value.len()].copy_from_slice(value);
        self.writable[offset..offset + value.len()].fill(writable);
    }
}

impl Default for PciConfig {
    fn default() -> PciConfig {
        PciConfig::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(config: &PciConfig, offset: u64) -> [u8; N] {
        let mut bytes = [0; N];
        config.read(offset, &mut bytes);
        bytes
    }

    #[test]
    fn it_is_a_usb4_host_interface_and_not_intel() {
        let config = PciConfig::new();
        assert_eq!(u32::from_le_bytes(read(&config, 0x08)) >> 8, 0x000c_0340);
        let vendor = u16::from_le_bytes(read(&config, 0));
        assert_ne!(vendor, 0x8086);
        assert!(!(3..=6).contains(&(vendor >> 8)));
    }

    #[test]
    fn bar_sizing_gives_the_size() {
        let mut config = PciConfig::new();
        config.write(0x10, &[0xff; 4]);
        let probed = u32::from_le_bytes(read(&config, 0x10));
        assert_eq!(!probed + 1, BAR_SIZE_BYTES as u32);
    }

    #[test]
    fn msix_has_sixteen_vectors_and_its_table_in_a_page_of_its_own() {
        let mut config = PciConfig::new();
        assert_eq!(read::<1>(&config, 0x34), [0x40]);
        assert_eq!(read::<2>(&config, 0x40), [0x11, 0]);
        config.write(0x42, &[0xff, 0xff]);
        assert_eq!(u16::from_le_bytes(read(&config, 0x42)), 0xc00f);
        let (table, pending) = (u32::from_le_bytes(read(&config, 0x44)), u32::from_le_bytes(read(&config, 0x48)));
        assert_eq!((table % 4096, pending % 4096), (0, 0));
        assert_ne!(table, pending);
    }

    #[test]
    fn accesses_outside_the_space_are_harmless() {
        let mut config = PciConfig::new();
        config.write(254, &[1, 2, 3, 4]);
        config.write(u64::MAX, &[1, 2]);
        assert_eq!(read::<4>(&config, 254), [0, 0, 0xff, 0xff]);
    }
}
