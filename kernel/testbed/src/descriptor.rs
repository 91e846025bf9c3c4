//! The ring descriptor: 16 bytes in guest memory.
//!
//! Source: Linux `drivers/thunderbolt/nhi_regs.h`, `struct ring_desc` and `enum ring_desc_flags`. Little-endian: a 64-bit buffer
//! address; one word with length (bits 11:0, 0 means 4096), EOF (15:12), SOF (19:16) and flags (31:20); a time stamp.

/// Size of a descriptor in bytes.
pub const DESCRIPTOR_BYTES: u64 = 16;
/// Largest frame in bytes.
pub const MAX_FRAME_BYTES: usize = 4096;

const FLAG_CRC_ERROR: u32 = 0x1 << 20;
const FLAG_COMPLETED: u32 = 0x2 << 20;
const FLAG_BUFFER_OVERRUN: u32 = 0x4 << 20;
const FLAG_INTERRUPT: u32 = 0x8 << 20;

/// A descriptor as copied out of guest memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Descriptor {
    /// Bus address of the buffer.
    pub address: u64,
    word: u32,
}

/// One frame on its way, with what the descriptors carry beside the bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Frame {
    /// The bytes, at most [`MAX_FRAME_BYTES`].
    pub bytes: Vec<u8>,
    /// Start-of-frame code, 0..=15.
    pub sof: u8,
    /// End-of-frame code, 0..=15.
    pub eof: u8,
    /// The receiver's NHI found the frame's CRC wrong.
    pub crc_error: bool,
}

impl Descriptor {
    /// Interprets the 16 bytes of a descriptor.
    pub fn parse(bytes: &[u8; DESCRIPTOR_BYTES as usize]) -> Descriptor {
        let [a, b, c, d, e, f, g, h, i, j, k, l, ..] = *bytes;
        Descriptor { address: u64::from_le_bytes([a, b, c, d, e, f, g, h]), word: u32::from_le_bytes([i, j, k, l]) }
    }

    /// Length of the frame in bytes, 1..=4096.
    pub fn len_bytes(&self) -> usize {
        match (self.word & 0xfff) as usize {
            0 => MAX_FRAME_BYTES,
            len_bytes => len_bytes,
        }
    }

    /// End-of-frame code, 0..=15.
    pub fn eof(&self) -> u8 {
        (self.word >> 12 & 0xf) as u8
    }

    /// Start-of-frame code, 0..=15.
    pub fn sof(&self) -> u8 {
        (self.word >> 16 & 0xf) as u8
    }

    /// Whether completing this descriptor raises an interrupt.
    pub fn wants_interrupt(&self) -> bool {
        self.word & FLAG_INTERRUPT != 0
    }

    /// The word of a transmit descriptor once its frame has left.
    pub fn transmitted(&self) -> u32 {
        self.word | FLAG_COMPLETED
    }

    /// The word of a receive descriptor that took `frame`, of which `stored_bytes` fitted.
    pub fn received(&self, frame: &Frame, stored_bytes: usize) -> u32 {
        let mut word = self.word & FLAG_INTERRUPT | FLAG_COMPLETED;
        word |= (stored_bytes as u32 & 0xfff) | u32::from(frame.eof & 0xf) << 12 | u32::from(frame.sof & 0xf) << 16;
        if frame.crc_error {
            word |= FLAG_CRC_ERROR;
        }
        if stored_bytes < frame.bytes.len() {
            word |= FLAG_BUFFER_OVERRUN;
        }
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(word: u32) -> Descriptor {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&0x1122_3344_5566_7788u64.to_le_bytes());
        bytes[8..12].copy_from_slice(&word.to_le_bytes());
        Descriptor::parse(&bytes)
    }

    #[test]
    fn fields_are_where_the_driver_puts_them() {
        let parsed = descriptor(0x4 << 20 | 3 << 16 | 2 << 12 | 0x100);
        assert_eq!(parsed.address, 0x1122_3344_5566_7788);
        assert_eq!((parsed.len_bytes(), parsed.eof(), parsed.sof()), (0x100, 2, 3));
        assert_eq!(descriptor(0).len_bytes(), 4096);
        assert!(descriptor(0x8 << 20).wants_interrupt());
        assert!(!descriptor(0x4 << 20).wants_interrupt());
    }

    #[test]
    fn completion_says_what_arrived() {
        let frame = Frame { bytes: vec![0; 4096], sof: 1, eof: 3, crc_error: false };
        assert_eq!(descriptor(0xc << 20).received(&frame, 4096), 0xa << 20 | 1 << 16 | 3 << 12);
        assert_eq!(descriptor(0x4 << 20).received(&frame, 256), 0x6 << 20 | 1 << 16 | 3 << 12 | 256);
        let broken = Frame { crc_error: true, ..frame };
        assert_eq!(descriptor(0).received(&broken, 4096) >> 20, 0x3);
        assert_eq!(descriptor(0xc << 20 | 16).transmitted(), 0xe << 20 | 16);
    }
}
