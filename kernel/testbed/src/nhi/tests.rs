//! Each register access of the specification, against mock memory.

use super::*;
use crate::memory::MockMemory;

const RING_BASE: u64 = 0x10000;
const BUFFERS: u64 = 0x20000;
const TX_OPTIONS: u32 = 0x19800;
const RX_OPTIONS: u32 = 0x29800;
const RX: u32 = 0x8000;

/// Programs ring 1 of `direction` as the driver does: base, size, options.
fn start(nhi: &mut Nhi, direction: Direction, entries: u32, flags: u32) {
    let (base, options) = match direction {
        Direction::Transmit => (16, TX_OPTIONS + 32),
        Direction::Receive => (RX + 16, RX_OPTIONS + 32),
    };
    nhi.write32(base, RING_BASE as u32);
    nhi.write32(base + 4, 0);
    nhi.write32(base + 12, entries);
    nhi.write32(options + 4, 0xffff_ffff);
    nhi.write32(options, OPTION_ENABLE | flags);
}

fn memory() -> MockMemory {
    MockMemory::new(RING_BASE, 0x40000)
}

fn post(memory: &mut MockMemory, index: u64, buffer: u64, word: u32) {
    memory.write(RING_BASE + 16 * index, &buffer.to_le_bytes()).expect("mapped");
    memory.publish_u32(RING_BASE + 16 * index + 8, word).expect("mapped");
}

fn word(memory: &MockMemory, index: u64) -> u32 {
    let mut bytes = [0; 4];
    memory.read(RING_BASE + 16 * index + 8, &mut bytes).expect("mapped");
    u32::from_le_bytes(bytes)
}

fn frame(len_bytes: usize) -> Frame {
    Frame { bytes: vec![0x5a; len_bytes], sof: 1, eof: 2, crc_error: false }
}

#[test]
fn each_driver_owns_its_half_of_the_index_word() {
    let mut nhi = Nhi::new(12);
    start(&mut nhi, Direction::Transmit, 8, 0);
    nhi.write32(16 + 8, 5 << 16 | 3);
    assert_eq!(nhi.read32(16 + 8), 5 << 16, "the transmit consumer is the device's");
    let mut nhi = Nhi::new(12);
    start(&mut nhi, Direction::Receive, 8, 0);
    nhi.write32(RX + 16 + 8, 5 << 16 | 3);
    assert_eq!(nhi.read32(RX + 16 + 8), 3, "the receive producer is the device's");
}

#[test]
fn indexes_reset_on_enable_and_disable() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Receive, 8, 0);
    nhi.write32(RX + 16 + 8, 3);
    post(&mut memory, 0, BUFFERS, 0);
    nhi.receive(&mut memory, 1, &frame(64)).expect("a descriptor is posted");
    assert_eq!(nhi.read32(RX + 16 + 8), 1 << 16 | 3);
    nhi.write32(RX_OPTIONS + 32, 0);
    assert_eq!(nhi.read32(RX + 16 + 8), 0, "disable");
    nhi.write32(RX + 16 + 8, 3);
    nhi.write32(RX_OPTIONS + 32, OPTION_ENABLE);
    assert_eq!(nhi.read32(RX + 16 + 8), 0, "enable");
}

#[test]
fn a_transmit_descriptor_is_read_completed_and_signalled() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Transmit, 4, 0);
    post(&mut memory, 0, BUFFERS, 0x8 << 20 | 7 << 16 | 6 << 12 | 100);
    memory.write(BUFFERS, &[9; 100]).expect("mapped");
    assert!(nhi.next_outgoing(&memory, 1).is_none(), "the doorbell was not rung");
    nhi.write32(16 + 8, 1 << 16);
    let outgoing = nhi.next_outgoing(&memory, 1).expect("one frame");
    assert_eq!(outgoing.frame, Ok(Frame { bytes: vec![9; 100], sof: 7, eof: 6, crc_error: false }));
    nhi.complete_outgoing(&mut memory, 1, &outgoing);
    assert_eq!(word(&memory, 0) >> 20, 0xa, "INT stays, DONE is set");
    assert_eq!(nhi.read32(16 + 8), 1 << 16 | 1);
    assert!(nhi.next_outgoing(&memory, 1).is_none());
    nhi.write32(0x38200, 1 << 1);
    assert_eq!(nhi.poll_interrupt(), Some(0));
}

#[test]
fn rings_wrap() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Transmit, 2, 0);
    for turn in 0..5u32 {
        let index = turn % 2;
        post(&mut memory, u64::from(index), BUFFERS, 1);
        nhi.write32(16 + 8, ((turn + 1) % 2) << 16);
        let outgoing = nhi.next_outgoing(&memory, 1).expect("one frame");
        nhi.complete_outgoing(&mut memory, 1, &outgoing);
        assert_eq!(nhi.read32(16 + 8) & 0xffff, (turn + 1) % 2);
    }
}

#[test]
fn an_index_outside_the_ring_stops_it() {
    let mut nhi = Nhi::new(12);
    let memory = memory();
    start(&mut nhi, Direction::Transmit, 4, 0);
    nhi.write32(16 + 8, 4 << 16);
    assert!(nhi.next_outgoing(&memory, 1).is_none());
    start(&mut nhi, Direction::Receive, 0, 0);
    nhi.write32(RX + 16 + 8, 1);
    assert_eq!(nhi.unpromised(1), 0);
}

#[test]
fn a_received_frame_fills_buffer_descriptor_and_index() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Receive, 4, 0);
    post(&mut memory, 0, BUFFERS, 0xc << 20);
    assert_eq!(nhi.receive(&mut memory, 1, &frame(4096)), Err(Refusal::NoDescriptor));
    nhi.write32(RX + 16 + 8, 1);
    assert_eq!(nhi.receive(&mut memory, 1, &frame(4096)), Ok(()));
    assert_eq!(word(&memory, 0), 0xa << 20 | 1 << 16 | 2 << 12, "4096 bytes are length 0");
    let mut last = [0];
    memory.read(BUFFERS + 4095, &mut last).expect("mapped");
    assert_eq!(last, [0x5a]);
    assert_eq!(nhi.receive(&mut memory, 1, &frame(1)), Err(Refusal::NoDescriptor));
}

#[test]
fn frames_larger_than_the_rings_frame_size_are_cut_and_flagged() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Receive, 256 << 16 | 4, OPTION_RAW);
    post(&mut memory, 0, BUFFERS, 0);
    nhi.write32(RX + 16 + 8, 1);
    nhi.receive(&mut memory, 1, &frame(300)).expect("a descriptor is posted");
    assert_eq!(word(&memory, 0) & 0xfff, 256);
    assert_eq!(word(&memory, 0) >> 20, 0x6);
    let mut beyond = [1];
    memory.read(BUFFERS + 256, &mut beyond).expect("mapped");
    assert_eq!(beyond, [0]);
}

#[test]
fn masks_apply_in_frame_mode_only() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Receive, 4, 0);
    nhi.write32(RX + 16 + 8, 2);
    for (masks, expected) in
        [(1 << 17 | 1 << 2, Ok(())), (1 << 17 | 1 << 3, Err(Refusal::Masked)), (1 << 18 | 1 << 2, Err(Refusal::Masked))]
    {
        post(&mut memory, 0, BUFFERS, 0);
        nhi.write32(RX_OPTIONS + 36, masks);
        assert_eq!(nhi.receive(&mut memory, 1, &frame(8)), expected, "masks {masks:#x}");
    }
    nhi.write32(RX_OPTIONS + 36, 0);
    nhi.write32(RX_OPTIONS + 32, OPTION_ENABLE | OPTION_RAW);
    post(&mut memory, 1, BUFFERS, 0);
    assert_eq!(nhi.receive(&mut memory, 1, &frame(8)), Ok(()));
}

#[test]
fn a_masked_ring_stays_pending_and_fires_on_unmask() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Receive, 4, 0);
    post(&mut memory, 0, BUFFERS, 0);
    nhi.write32(RX + 16 + 8, 1);
    nhi.write32(0x38c40 + 4, 5 << 20);
    nhi.receive(&mut memory, 1, &frame(8)).expect("a descriptor is posted");
    assert_eq!(nhi.poll_interrupt(), None);
    assert_eq!(nhi.read32(0x37800), 0);
    nhi.write32(0x38200, 1 << 13);
    assert_eq!(nhi.poll_interrupt(), Some(5), "receive ring 1 is bit 12 + 1, vector nibble 5 of the second word");
    assert_eq!(nhi.poll_interrupt(), None);
    assert_eq!(nhi.read32(0x37800), 1 << 13);
    nhi.write32(0x37808, 1 << 13);
    assert_eq!(nhi.read32(0x37800), 0);
    nhi.write32(0x38208, 1 << 13);
    assert_eq!(nhi.read32(0x38200), 0);
}

#[test]
fn promises_keep_a_flow_controlled_ring_from_being_overrun() {
    let mut nhi = Nhi::new(12);
    start(&mut nhi, Direction::Receive, 8, OPTION_E2E);
    nhi.write32(RX + 16 + 8, 2);
    assert!(nhi.is_flow_controlled(1));
    assert_eq!(nhi.unpromised(1), 2);
    nhi.promise(1);
    nhi.promise(1);
    assert_eq!(nhi.unpromised(1), 0);
    nhi.redeem(1);
    assert_eq!(nhi.unpromised(1), 1);
}

#[test]
fn capabilities_tell_the_rings_and_reset_clears_itself() {
    let mut nhi = Nhi::new(3);
    assert_eq!(nhi.read32(0x39640) & 0x3ff, 3);
    assert!(nhi.read32(0x39640) >> 16 & 0xff < 0x40);
    nhi.write32(0x39640, 0);
    assert_eq!(nhi.read32(0x39640), 3);
    assert_eq!(nhi.write32(0x39898, 1), WriteEffect::HostReset);
    assert_eq!(nhi.read32(0x39898), 0);
}

#[test]
fn a_stalled_ring_neither_sends_nor_takes() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Receive, 4, 0);
    post(&mut memory, 0, BUFFERS, 0);
    nhi.write32(RX + 16 + 8, 1);
    nhi.set_stalled(Direction::Receive, 1, true);
    assert_eq!(nhi.receive(&mut memory, 1, &frame(8)), Err(Refusal::NoDescriptor));
    nhi.set_stalled(Direction::Receive, 1, false);
    assert_eq!(nhi.receive(&mut memory, 1, &frame(8)), Ok(()));
}

#[test]
fn unmapped_addresses_are_faults_not_accesses() {
    let mut nhi = Nhi::new(12);
    let mut memory = memory();
    start(&mut nhi, Direction::Receive, 4, 0);
    post(&mut memory, 0, 0xdead_0000_0000, 0);
    nhi.write32(RX + 16 + 8, 1);
    assert!(matches!(nhi.receive(&mut memory, 1, &frame(8)), Err(Refusal::Dma(_))));
    nhi.write32(RX + 16 + 4, 0xffff_ffff);
    nhi.write32(RX + 16, 0xffff_fff0);
    assert!(matches!(nhi.receive(&mut memory, 1, &frame(8)), Err(Refusal::Dma(_))));
}
