//! The register map of the NHI's BAR 0.
//!
//! Source: Linux `drivers/thunderbolt/nhi_regs.h`. Offsets are bytes from the start of the BAR.

/// Size of BAR 0 in bytes.
pub const BAR_SIZE_BYTES: u64 = 0x80000;
/// Where the MSI-X table lies in BAR 0; it has a page of its own, and so has the pending-bit array behind it.
pub const MSIX_TABLE_OFFSET: u32 = 0x60000;
/// Where the MSI-X pending-bit array lies in BAR 0.
pub const MSIX_PENDING_OFFSET: u32 = 0x61000;
/// Number of MSI-X vectors, which is what a four-bit vector register can name.
pub const VECTORS: u16 = 16;
/// Most rings per direction that this model plays: three notify bits per ring fit the eight bytes before the clear register.
pub const MAX_RINGS: usize = 16;

/// `RING_FLAG_ENABLE` in a ring's options.
pub const OPTION_ENABLE: u32 = 1 << 31;
/// `RING_FLAG_RAW`: frames are not matched against the SOF and EOF masks.
pub const OPTION_RAW: u32 = 1 << 30;
/// `RING_FLAG_E2E_FLOW_CONTROL`: the sender waits while no receive descriptor is posted.
pub const OPTION_E2E: u32 = 1 << 28;
/// `REG_RESET_HRR`: host router reset.
pub const RESET_HOST_ROUTER: u32 = 1;

const TX_RINGS: u32 = 0x00000;
const RX_RINGS: u32 = 0x08000;
const RING_STRIDE: u32 = 16;
const TX_OPTIONS: u32 = 0x19800;
const RX_OPTIONS: u32 = 0x29800;
const OPTIONS_STRIDE: u32 = 32;
const NOTIFY: u32 = 0x37800;
const NOTIFY_CLEAR: u32 = 0x37808;
const INTERRUPT_ENABLE: u32 = 0x38200;
const INTERRUPT_MASK_CLEAR: u32 = 0x38208;
const VECTOR_ALLOCATION: u32 = 0x38c40;
const CAPABILITIES: u32 = 0x39640;
const RESET: u32 = 0x39898;

/// Direction of a ring, seen from its host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Host to cable.
    Transmit,
    /// Cable to host.
    Receive,
}

/// One 32-bit register of the BAR.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Register {
    /// Word 0..=3 of a ring: base low, base high, indexes, size.
    Ring(Direction, usize, u32),
    /// Word 0..=7 of a ring's options: 0 holds the flags, 1 of a receive ring the SOF and EOF masks.
    Options(Direction, usize, u32),
    /// Which rings raised an interrupt; half 0 or 1 of 64 bits.
    Notify(u32),
    /// Writing a one clears the notify bit.
    NotifyClear(u32),
    /// Which rings may raise an interrupt; half 0 or 1 of 64 bits.
    InterruptEnable(u32),
    /// Writing a one clears the enable bit.
    InterruptMaskClear(u32),
    /// Eight four-bit vector numbers, for bits `8 * index` and up.
    VectorAllocation(usize),
    /// Ring count and version, read-only.
    Capabilities,
    /// Host router reset; clears itself.
    Reset,
    /// Everything else keeps what is written and does nothing; the word's index in the BAR.
    Plain(usize),
}

impl Register {
    /// Decodes the dword at `offset` (bytes, a multiple of 4, below [`BAR_SIZE_BYTES`]) of an NHI with `rings` rings per direction.
    pub fn decode(offset: u32, rings: usize) -> Register {
        debug_assert!(offset.is_multiple_of(4) && u64::from(offset) < BAR_SIZE_BYTES);
        let block = |start: u32, stride: u32| {
            let relative = offset.checked_sub(start)?;
            let ring = (relative / stride) as usize;
            (ring < rings).then_some((ring, relative % stride / 4))
        };
        if let Some((ring, word)) = block(TX_RINGS, RING_STRIDE) {
            return Register::Ring(Direction::Transmit, ring, word);
        }
        if let Some((ring, word)) = block(RX_RINGS, RING_STRIDE) {
            return Register::Ring(Direction::Receive, ring, word);
        }
        if let Some((ring, word)) = block(TX_OPTIONS, OPTIONS_STRIDE) {
            return Register::Options(Direction::Transmit, ring, word);
        }
        if let Some((ring, word)) = block(RX_OPTIONS, OPTIONS_STRIDE) {
            return Register::Options(Direction::Receive, ring, word);
        }
        let half = |start: u32| (start..start + 8).contains(&offset).then(|| (offset - start) / 4);
        if let Some(half) = half(NOTIFY) {
            return Register::Notify(half);
        }
        if let Some(half) = half(NOTIFY_CLEAR) {
            return Register::NotifyClear(half);
        }
        if let Some(half) = half(INTERRUPT_ENABLE) {
            return Register::InterruptEnable(half);
        }
        if let Some(half) = half(INTERRUPT_MASK_CLEAR) {
            return Register::InterruptMaskClear(half);
        }
        match offset {
            CAPABILITIES => Register::Capabilities,
            RESET => Register::Reset,
            _ => match offset.checked_sub(VECTOR_ALLOCATION) {
                Some(relative) if relative < (2 * rings as u32).div_ceil(8) * 4 => {
                    Register::VectorAllocation((relative / 4) as usize)
                }
                _ => Register::Plain((offset / 4) as usize),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Direction::{Receive, Transmit};

    #[test]
    fn each_register_of_the_specification_is_decoded() {
        let cases = [
            (0x00000, Register::Ring(Transmit, 0, 0)),
            (0x00018, Register::Ring(Transmit, 1, 2)),
            (0x000bc, Register::Ring(Transmit, 11, 3)),
            (0x08000, Register::Ring(Receive, 0, 0)),
            (0x080b8, Register::Ring(Receive, 11, 2)),
            (0x19800, Register::Options(Transmit, 0, 0)),
            (0x19820, Register::Options(Transmit, 1, 0)),
            (0x29800, Register::Options(Receive, 0, 0)),
            (0x29824, Register::Options(Receive, 1, 1)),
            (0x37800, Register::Notify(0)),
            (0x37808, Register::NotifyClear(0)),
            (0x38200, Register::InterruptEnable(0)),
            (0x38204, Register::InterruptEnable(1)),
            (0x38208, Register::InterruptMaskClear(0)),
            (0x38c40, Register::VectorAllocation(0)),
            (0x38c48, Register::VectorAllocation(2)),
            (0x39640, Register::Capabilities),
            (0x39898, Register::Reset),
        ];
        for (offset, register) in cases {
            assert_eq!(Register::decode(offset, 12), register, "offset {offset:#x}");
        }
    }

    #[test]
    fn what_lies_behind_the_last_ring_does_nothing() {
        for offset in [0x000c0, 0x080c0, 0x19800 + 12 * 32, 0x29800 + 12 * 32, 0x38c4c, 0x7fffc] {
            assert_eq!(Register::decode(offset, 12), Register::Plain(offset as usize / 4), "offset {offset:#x}");
        }
    }
}
