//! What a guest can do to the device, as bytes: the entry point of the fuzz target and of the corpus replay.

use crate::command::{Command, RingDirection, execute};
use crate::control::{Address, Packet, PacketType};
use crate::fabric::Fabric;
use crate::faults::FaultPlan;
use crate::memory::{GuestMemory, MockMemory};
use crate::topology::Topology;

const MEMORY_BASE: u64 = 0x1000;
const MEMORY_BYTES: usize = 0x8000;
const TX_RING: u64 = 0x1000;
const RX_RING: u64 = 0x1400;
const BUFFERS: u64 = 0x2000;
/// Larger rings only repeat what small ones do, and 65,535 entries take a second each.
const MAX_ENTRIES: u32 = 32;

/// Plays `input` as operations of hostile guests on a chain of three hosts. It returns: that is what it shows.
pub fn run(input: &[u8]) {
    let Ok(topology) = "chain:3".parse::<Topology>() else { return };
    let mut fabric: Fabric<MockMemory> = Fabric::new(&topology);
    for host in 0..topology.hosts {
        fabric.attach(host, 0);
        if let Ok(host) = fabric.host_mut(host) {
            host.memory = MockMemory::new(MEMORY_BASE, MEMORY_BYTES);
        }
    }
    let mut input = Input { bytes: input };
    let mut now_ns = 0;
    while let Some(operation) = input.byte() {
        let host = usize::from(input.byte().unwrap_or(0)) % topology.hosts;
        operate(&mut fabric, operation, host, &mut input, now_ns);
        while fabric.poll_interrupt().is_some() {}
        now_ns = fabric.next_deadline_ns().unwrap_or(now_ns).max(now_ns);
        fabric.advance(now_ns);
    }
}

fn operate(fabric: &mut Fabric<MockMemory>, operation: u8, host: usize, input: &mut Input<'_>, now_ns: u64) {
    match operation % 10 {
        0 => write_register(fabric, host, input, now_ns),
        1 => {
            let mut bytes = [0; 8];
            let len_bytes = usize::from(input.byte().unwrap_or(0)) % 9;
            fabric.read_bar(host, u64::from(input.word()), &mut bytes[..len_bytes]);
        }
        2 => {
            let (offset, bytes) = (u64::from(input.word()), input.take(8));
            fabric.write_bar(host, offset, bytes, now_ns);
            if let Ok(host) = fabric.host_mut(host) {
                host.pci.write(offset % 300, bytes);
            }
        }
        3 => {
            let (address, bytes) = (u64::from(input.half()), input.take(16));
            if let Ok(host) = fabric.host_mut(host) {
                // Outside the mapping nothing is written, which is the point.
                let _ = host.memory.write(address, bytes);
            }
        }
        4 => start_rings(fabric, host, now_ns),
        5 => send_control(fabric, host, input, now_ns),
        6 => send_frame(fabric, host, input, now_ns),
        7 => inject(fabric, host, input, now_ns),
        8 => fabric.reset(host, now_ns),
        _ => {
            fabric.detach(host, now_ns);
            fabric.attach(host, now_ns);
        }
    }
}

/// A register write that mostly hits something: rings, options, interrupts.
fn write_register(fabric: &mut Fabric<MockMemory>, host: usize, input: &mut Input<'_>, now_ns: u64) {
    const BLOCKS: [u64; 10] = [0, 0x8000, 0x19800, 0x29800, 0x37800, 0x38200, 0x38c40, 0x39640, 0x39898, 0x60000];
    let block = BLOCKS[usize::from(input.byte().unwrap_or(0)) % BLOCKS.len()];
    let offset = block + u64::from(input.byte().unwrap_or(0)) * 4;
    let mut value = input.word();
    if block <= 0x8000 && offset % 16 == 12 {
        value = (value & 0xffff_0000) | (value % (MAX_ENTRIES + 1));
    }
    fabric.write_bar(host, offset, &value.to_le_bytes(), now_ns);
}

/// Sets up ring 0 and ring 1 of both directions as a driver does, and the path entries that join ring 1 to port 1's cable.
fn start_rings(fabric: &mut Fabric<MockMemory>, host: usize, now_ns: u64) {
    let mut write = |offset: u64, value: u64| fabric.write_bar(host, offset, &(value as u32).to_le_bytes(), now_ns);
    for ring in 0..2 {
        for (block, options, base) in [(0, 0x19800, TX_RING), (0x8000, 0x29800, RX_RING)] {
            write(block + 16 * ring, base + 0x200 * ring);
            write(block + 16 * ring + 4, 0);
            write(block + 16 * ring + 12, u64::from(MAX_ENTRIES));
            write(options + 32 * ring, 0);
            write(options + 32 * ring + 4, 0xffff_ffff);
            write(options + 32 * ring, 1 << 31 | u64::from(ring == 0) << 30);
        }
        write(0x8000 + 16 * ring + 8, u64::from(MAX_ENTRIES) - 1);
    }
    write(0x38200, 0xffff_ffff);
    let Ok(target) = fabric.host_mut(host) else { return };
    for index in 0..u64::from(MAX_ENTRIES) * 4 {
        let _ = target.memory.write(TX_RING + 16 * index, &(BUFFERS + 64 * index).to_le_bytes());
    }
}

/// A configuration or inter-domain packet with a good CRC and hostile fields.
fn send_control(fabric: &mut Fabric<MockMemory>, host: usize, input: &mut Input<'_>, now_ns: u64) {
    let kind = PacketType::from_eof(input.byte().unwrap_or(0) % 8).unwrap_or(PacketType::Read);
    let route = u64::from(input.byte().unwrap_or(0) % 8);
    let address = Address {
        offset_words: usize::from(input.half()),
        len_words: usize::from(input.byte().unwrap_or(0)),
        adapter: usize::from(input.byte().unwrap_or(0)),
        space: u32::from(input.byte().unwrap_or(0)),
    };
    let data = [input.word(), input.word()];
    let packet = Packet::request(kind, route, address, &data);
    send(fabric, host, 0, &packet.to_bytes(), u32::from(kind.eof()) << 12 | 0x8 << 20, now_ns);
}

fn send_frame(fabric: &mut Fabric<MockMemory>, host: usize, input: &mut Input<'_>, now_ns: u64) {
    let ring = u64::from(input.byte().unwrap_or(0) % 2);
    let flags = input.word() & !0xfff;
    let bytes = input.take(32);
    send(fabric, host, ring, bytes, flags, now_ns);
}

fn send(fabric: &mut Fabric<MockMemory>, host: usize, ring: u64, bytes: &[u8], flags: u32, now_ns: u64) {
    let mut index = [0; 4];
    fabric.read_bar(host, 16 * ring + 8, &mut index);
    let consumer = u32::from_le_bytes(index) & 0xffff;
    let descriptor = TX_RING + 0x200 * ring + 16 * u64::from(consumer);
    if let Ok(host) = fabric.host_mut(host) {
        let _ = host.memory.write(BUFFERS, bytes);
        let _ = host.memory.write(descriptor, &BUFFERS.to_le_bytes());
        let _ = host.memory.publish_u32(descriptor + 8, flags | bytes.len() as u32 & 0xfff);
    }
    let producer = ((consumer + 1) % MAX_ENTRIES) << 16;
    fabric.write_bar(host, 16 * ring + 8, &producer.to_le_bytes(), now_ns);
}

fn inject(fabric: &mut Fabric<MockMemory>, host: usize, input: &mut Input<'_>, now_ns: u64) {
    let cable = usize::from(input.byte().unwrap_or(0) % 3);
    let command = match input.byte().unwrap_or(0) % 6 {
        0 => Command::Unplug { cable },
        1 => Command::Replug { cable },
        2 => Command::HostDown { host },
        3 => Command::HostUp { host },
        4 => Command::Stall { host, direction: RingDirection::Rx, ring: cable },
        _ => Command::Fault {
            cable,
            from: None,
            plan: FaultPlan {
                corrupt_next: 3,
                delay_us: u64::from(input.word()) << 32,
                control: true,
                ..FaultPlan::default()
            },
        },
    };
    // A command about a cable that does not exist is refused, which is fine here.
    let _ = execute(fabric, &command, now_ns);
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl<'a> Input<'a> {
    fn take(&mut self, len_bytes: usize) -> &'a [u8] {
        let (taken, rest) = self.bytes.split_at(len_bytes.min(self.bytes.len()));
        self.bytes = rest;
        taken
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1).first().copied()
    }

    fn half(&mut self) -> u16 {
        self.take(2).iter().fold(0, |sum, &byte| sum << 8 | u16::from(byte))
    }

    fn word(&mut self) -> u32 {
        self.take(4).iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
    }
}
