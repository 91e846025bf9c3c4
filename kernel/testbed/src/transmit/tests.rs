//! Two drivers, as small as drivers can be, on the two ends of what is tested.

use super::*;
use crate::control::Address;
use crate::faults::FaultPlan;
use crate::memory::MockMemory;
use crate::topology::Topology;

const ENTRIES: u64 = 16;
const E2E: u64 = 1 << 28;
const RAW: u64 = 1 << 30;

/// Where a ring's descriptors and buffers lie: disjoint for each ring of a direction.
fn ring_base(direction: Direction, ring: u64) -> u64 {
    0x10000 + 0x2000 * ring + if direction == Direction::Receive { 0x1000 } else { 0 }
}

fn buffer(direction: Direction, ring: u64, index: u64) -> u64 {
    0x100000 + ((ring * 2 + u64::from(direction == Direction::Receive)) * ENTRIES + index) * 0x1000
}

struct Drivers {
    fabric: Fabric<MockMemory>,
    now_ns: u64,
}

impl Drivers {
    /// Guests on every host of `topology`, their control rings running.
    fn start(topology: &str) -> Drivers {
        let topology: Topology = topology.parse().expect("known");
        let mut drivers = Drivers { fabric: Fabric::new(&topology), now_ns: 0 };
        for host in 0..topology.hosts {
            drivers.fabric.attach(host, 0);
            drivers.fabric.host_mut(host).expect("exists").memory = MockMemory::new(0x10000, 0x400000);
        }
        for host in 0..topology.hosts {
            drivers.start_ring(host, Direction::Transmit, 0, RAW);
            drivers.start_ring(host, Direction::Receive, 0, RAW);
            drivers.post(host, 0, ENTRIES - 1);
        }
        drivers
    }

    fn write(&mut self, host: usize, offset: u64, value: u64) {
        self.fabric.write_bar(host, offset, &(value as u32).to_le_bytes(), self.now_ns);
    }

    fn read(&self, host: usize, offset: u64) -> u64 {
        let mut bytes = [0; 4];
        self.fabric.read_bar(host, offset, &mut bytes);
        u64::from(u32::from_le_bytes(bytes))
    }

    fn start_ring(&mut self, host: usize, direction: Direction, ring: u64, flags: u64) {
        let (block, options) = match direction {
            Direction::Transmit => (16 * ring, 0x19800 + 32 * ring),
            Direction::Receive => (0x8000 + 16 * ring, 0x29800 + 32 * ring),
        };
        self.write(host, block, ring_base(direction, ring));
        self.write(host, block + 4, 0);
        self.write(host, block + 12, ENTRIES);
        self.write(host, options + 4, 0xffff_ffff);
        self.write(host, options, 1 << 31 | flags);
    }

    /// Posts receive buffers so that `count` are there in all.
    fn post(&mut self, host: usize, ring: u64, count: u64) {
        let memory = &mut self.fabric.host_mut(host).expect("exists").memory;
        for index in 0..ENTRIES {
            let descriptor = ring_base(Direction::Receive, ring) + 16 * index;
            memory.write(descriptor, &buffer(Direction::Receive, ring, index).to_le_bytes()).expect("mapped");
        }
        self.write(host, 0x8000 + 16 * ring + 8, count);
    }

    /// Queues one frame and rings the doorbell.
    fn send(&mut self, host: usize, ring: u64, bytes: &[u8], sof: u32, eof: u32) {
        let index = self.read(host, 16 * ring + 8) >> 16;
        let (descriptor, data) =
            (ring_base(Direction::Transmit, ring) + 16 * index, buffer(Direction::Transmit, ring, index));
        let memory = &mut self.fabric.host_mut(host).expect("exists").memory;
        memory.write(data, bytes).expect("mapped");
        memory.write(descriptor, &data.to_le_bytes()).expect("mapped");
        memory.publish_u32(descriptor + 8, bytes.len() as u32 & 0xfff | eof << 12 | sof << 16).expect("mapped");
        self.write(host, 16 * ring + 8, ((index + 1) % ENTRIES) << 16);
    }

    /// Frames that a receive ring took so far, as (first byte, descriptor word).
    fn received(&mut self, host: usize, ring: u64) -> Vec<(u8, u32)> {
        let count = self.read(host, 0x8000 + 16 * ring + 8) >> 16;
        let memory = &self.fabric.host_mut(host).expect("exists").memory;
        (0..count)
            .map(|index| {
                let (mut first, mut word) = ([0], [0; 4]);
                memory.read(buffer(Direction::Receive, ring, index), &mut first).expect("mapped");
                memory.read(ring_base(Direction::Receive, ring) + 16 * index + 8, &mut word).expect("mapped");
                (first[0], u32::from_le_bytes(word))
            })
            .collect()
    }

    /// Control packets that a host received so far.
    fn packets(&mut self, host: usize) -> Vec<Packet> {
        let received = self.received(host, 0);
        let memory = &self.fabric.host_mut(host).expect("exists").memory;
        received
            .iter()
            .zip(0..)
            .map(|(&(_, word), index)| {
                let mut bytes = vec![0; (word & 0xfff) as usize];
                memory.read(buffer(Direction::Receive, 0, index), &mut bytes).expect("mapped");
                Packet::parse((word >> 12 & 0xf) as u8, &bytes).expect("a good packet")
            })
            .collect()
    }

    fn request(&mut self, host: usize, packet: &Packet) {
        let eof = u32::from(packet.kind.eof());
        self.send(host, 0, &packet.to_bytes(), eof, eof);
    }

    fn configure(&mut self, host: usize, space: u32, adapter: usize, offset_words: usize, data: &[u32]) {
        let address = Address { offset_words, len_words: data.len(), adapter, space };
        self.request(host, &Packet::request(PacketType::Write, 0, address, data));
    }

    /// Joins TX ring 1 of `from` to RX ring 1 of `to` over a pair's cable, with HopID 8, as `tb_xdomain_enable_paths` does.
    fn open_path(&mut self, from: usize, to: usize, flags: u64) {
        self.start_ring(from, Direction::Transmit, 1, 0);
        self.start_ring(to, Direction::Receive, 1, flags);
        self.configure(from, 0, 3, 2, &[8 | 1 << 11 | 1 << 31, 0]);
        self.configure(to, 0, 1, 16, &[1 | 3 << 11 | 1 << 31, 0]);
    }
}

#[test]
fn a_read_of_the_own_router_is_answered_on_ring_0() {
    let mut drivers = Drivers::start("pair");
    let address = Address { offset_words: 7, len_words: 2, adapter: 0, space: 2 };
    let request = Packet::request(PacketType::Read, 0, address, &[]);
    drivers.request(1, &request);
    let packets = drivers.packets(1);
    assert_eq!(packets, [request.reply(3, &[0x5152, 0xa200_0000])]);
    let word = drivers.received(1, 0)[0].1;
    assert_eq!((word & 0xfff, word >> 12 & 0xff), (24, 1), "the size includes the CRC, SOF is 0, EOF is the type");
}

#[test]
fn a_foreign_route_gets_an_error_that_makes_the_core_look_for_a_host() {
    let mut drivers = Drivers::start("pair");
    let address = Address { offset_words: 0, len_words: 1, adapter: 0, space: 2 };
    let request = Packet::request(PacketType::Read, 1, address, &[]);
    drivers.request(0, &request);
    drivers.fabric.set_plugged(0, false, 0).expect("exists");
    drivers.request(0, &request);
    let errors = [
        request.error(0, ConfigError::NoSuchPort),
        Packet::plug_event(1, true),
        request.error(0, ConfigError::PortNotConnected),
    ];
    assert_eq!(drivers.packets(0), errors);
}

#[test]
fn inter_domain_packets_reach_the_peer_and_only_it() {
    let mut drivers = Drivers::start("triangle");
    let address = Address { offset_words: 1, len_words: 2, adapter: 3, space: 0 };
    // Host 0's port 1, lane adapter 3, leads to port 0 of host 1, lane adapter 1.
    let request = Packet::request(PacketType::XDomainRequest, 3, address, &[9]);
    drivers.request(0, &request);
    assert_eq!(drivers.packets(1), [request.across(1)]);
    assert!(drivers.packets(0).is_empty() && drivers.packets(2).is_empty());
}

#[test]
fn plug_events_follow_the_cable_and_power() {
    let mut drivers = Drivers::start("pair");
    drivers.fabric.set_plugged(0, false, 0).expect("exists");
    drivers.fabric.set_plugged(0, true, 0).expect("exists");
    drivers.fabric.detach(1, 0);
    let events = [true, false, true].map(|unplug| Packet::plug_event(1, unplug));
    assert_eq!(drivers.packets(0), events);
    assert_eq!(drivers.packets(1), [], "its rings are gone");
}

#[test]
fn the_end_of_a_port_reset_is_a_plug_here_and_a_replug_there() {
    let mut drivers = Drivers::start("pair");
    drivers.configure(0, 1, 1, 0x43, &[1]);
    drivers.configure(0, 1, 1, 0x43, &[0]);
    assert_eq!(drivers.packets(1), [Packet::plug_event(1, true), Packet::plug_event(1, false)]);
    assert_eq!(drivers.packets(0).last(), Some(&Packet::plug_event(1, false)));
}

#[test]
fn a_switched_off_host_reads_all_ones_and_its_peer_sees_an_unplug() {
    let mut drivers = Drivers::start("pair");
    drivers.fabric.set_power(1, false, 0).expect("exists");
    assert_eq!(drivers.read(1, 0x39640), 0xffff_ffff);
    drivers.write(1, 0x29800, 1 << 31);
    drivers.fabric.set_power(1, true, 0).expect("exists");
    assert_eq!(drivers.read(1, 0x29800), 0, "writes meanwhile were lost");
    assert_eq!(drivers.packets(0), [Packet::plug_event(1, true), Packet::plug_event(1, false)]);
}

#[test]
fn lanes_are_bonded_when_both_agree_and_either_asks() {
    let mut drivers = Drivers::start("pair");
    let lanes = |drivers: &Drivers| drivers.fabric.status().cables[0].lanes;
    drivers.configure(0, 1, 1, 0x11, &[0x3c | 1 << 15]);
    assert_eq!(lanes(&drivers), 1, "the peer did not agree");
    drivers.configure(1, 1, 1, 0x11, &[0x3c]);
    assert_eq!(lanes(&drivers), 2);
    drivers.fabric.set_plugged(0, false, 0).expect("exists");
    drivers.fabric.set_plugged(0, true, 0).expect("exists");
    assert_eq!(lanes(&drivers), 1, "bonding ends with the link");
}

#[test]
fn a_frame_follows_the_path_tables_to_the_ring() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, 0);
    drivers.post(1, 1, 4);
    drivers.send(0, 1, &[7; 100], 1, 2);
    assert_eq!(drivers.received(1, 1), [(7, 100 | 2 << 12 | 1 << 16 | 2 << 20)]);
    // Without an enabled entry on either side the frame is dropped, and the sender's ring goes on.
    drivers.configure(1, 0, 1, 16, &[0, 0]);
    drivers.send(0, 1, &[8; 100], 1, 2);
    drivers.configure(0, 0, 3, 2, &[0, 0]);
    drivers.send(0, 1, &[9; 100], 1, 2);
    assert_eq!(drivers.received(1, 1).len(), 1);
    assert_eq!(drivers.read(0, 16 + 8), 3 << 16 | 3);
    let counters = drivers.fabric.status().hosts.into_iter().map(|host| host.counters.unrouted).collect::<Vec<_>>();
    assert_eq!(counters, [1, 1]);
}

#[test]
fn without_flow_control_frames_beyond_the_buffers_are_lost() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, 0);
    drivers.post(1, 1, 2);
    for byte in 0..5 {
        drivers.send(0, 1, &[byte; 8], 1, 2);
    }
    assert_eq!(drivers.received(1, 1).len(), 2);
    assert_eq!(drivers.fabric.status().hosts[1].counters.overrun, 3);
    assert_eq!(drivers.read(0, 16 + 8), 5 << 16 | 5, "the sender does not wait");
}

#[test]
fn with_flow_control_the_sender_waits_for_buffers() {
    for delay_us in [0, 10] {
        let mut drivers = Drivers::start("pair");
        drivers.open_path(0, 1, E2E);
        drivers.fabric.set_faults(0, None, &FaultPlan { delay_us, ..FaultPlan::default() }).expect("exists");
        drivers.post(1, 1, 2);
        for byte in 0..5 {
            drivers.send(0, 1, &[byte; 8], 1, 2);
        }
        assert_eq!(drivers.read(0, 16 + 8), 5 << 16 | 2, "delay {delay_us} us: three wait");
        drivers.now_ns = 20_000;
        drivers.fabric.advance(drivers.now_ns);
        drivers.post(1, 1, 5);
        drivers.now_ns = 40_000;
        drivers.fabric.advance(drivers.now_ns);
        let bytes: Vec<u8> = drivers.received(1, 1).into_iter().map(|(byte, _)| byte).collect();
        assert_eq!(bytes, [0, 1, 2, 3, 4]);
        assert_eq!(drivers.fabric.status().hosts[1].counters.overrun, 0);
    }
}

#[test]
fn frames_lost_on_the_way_give_their_buffer_back() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, E2E);
    drivers.post(1, 1, 1);
    drivers.fabric.set_faults(0, Some(0), &FaultPlan { drop_next: 3, ..FaultPlan::default() }).expect("exists");
    for byte in 0..4 {
        drivers.send(0, 1, &[byte; 8], 1, 2);
    }
    assert_eq!(drivers.received(1, 1), [(3, 8 | 2 << 12 | 1 << 16 | 2 << 20)]);
}

#[test]
fn faults_hit_frames_as_planned() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, 0);
    drivers.post(1, 1, 8);
    let plan = FaultPlan { drop_next: 1, corrupt_next: 1, ..FaultPlan::default() };
    drivers.fabric.set_faults(0, Some(0), &plan).expect("exists");
    for byte in 1..=3 {
        drivers.send(0, 1, &[byte; 8], 1, 2);
    }
    let words: Vec<u32> = drivers.received(1, 1).into_iter().map(|(_, word)| word >> 20).collect();
    assert_eq!(words, [0x3, 0x2], "the first is lost, the second flagged");
}

#[test]
fn a_delayed_frame_arrives_at_its_deadline() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, 0);
    drivers.post(1, 1, 8);
    drivers.fabric.set_faults(0, None, &FaultPlan { delay_us: 3, ..FaultPlan::default() }).expect("exists");
    drivers.now_ns = 1000;
    drivers.send(0, 1, &[1; 8], 1, 2);
    assert_eq!(drivers.fabric.next_deadline_ns(), Some(4000));
    drivers.fabric.advance(3999);
    assert!(drivers.received(1, 1).is_empty());
    drivers.fabric.advance(4000);
    assert_eq!(drivers.received(1, 1).len(), 1);
    assert_eq!(drivers.fabric.next_deadline_ns(), None);
}

#[test]
fn an_unplug_loses_what_is_under_way() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, 0);
    drivers.post(1, 1, 8);
    drivers.fabric.set_faults(0, None, &FaultPlan { delay_us: 3, ..FaultPlan::default() }).expect("exists");
    drivers.send(0, 1, &[1; 8], 1, 2);
    drivers.fabric.set_plugged(0, false, 0).expect("exists");
    drivers.fabric.set_plugged(0, true, 0).expect("exists");
    drivers.fabric.advance(1_000_000);
    assert!(drivers.received(1, 1).is_empty());
}

#[test]
fn a_stalled_ring_resumes_where_it_stopped() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, 0);
    drivers.post(1, 1, 8);
    drivers.fabric.set_stalled(0, Direction::Transmit, 1, true, 0).expect("exists");
    drivers.send(0, 1, &[1; 8], 1, 2);
    assert!(drivers.received(1, 1).is_empty());
    drivers.fabric.set_stalled(0, Direction::Transmit, 1, false, 0).expect("exists");
    assert_eq!(drivers.received(1, 1).len(), 1);
}

#[test]
fn a_middle_host_can_pass_frames_on_and_a_loop_of_paths_ends() {
    let mut drivers = Drivers::start("chain:3");
    // Host 0 sends on ring 1 through its port 1 (lane adapter 3), host 1 passes HopID 8 from lane 1 to lane 3, host 2 receives.
    drivers.start_ring(0, Direction::Transmit, 1, 0);
    drivers.start_ring(2, Direction::Receive, 1, 0);
    drivers.configure(0, 0, 5, 2, &[8 | 3 << 11 | 1 << 31, 0]);
    drivers.configure(1, 0, 1, 16, &[9 | 3 << 11 | 1 << 31, 0]);
    drivers.configure(2, 0, 1, 18, &[1 | 5 << 11 | 1 << 31, 0]);
    drivers.post(2, 1, 4);
    drivers.send(0, 1, &[5; 8], 1, 2);
    assert_eq!(drivers.received(2, 1).len(), 1);
    // Host 2 sends HopID 9 back to host 1, which sends it to host 2 again.
    drivers.configure(2, 0, 1, 18, &[9 | 1 << 11 | 1 << 31, 0]);
    drivers.configure(1, 0, 3, 18, &[9 | 3 << 11 | 1 << 31, 0]);
    drivers.send(0, 1, &[6; 8], 1, 2);
    assert_eq!(drivers.received(2, 1).len(), 1);
}

#[test]
fn interrupts_go_to_the_vectors_that_the_driver_chose() {
    let mut drivers = Drivers::start("pair");
    drivers.open_path(0, 1, 0);
    drivers.post(1, 1, 4);
    while drivers.fabric.poll_interrupt().is_some() {}
    // Receive ring 1 of 12 is bit 13: word 1, nibble 5.
    drivers.write(1, 0x38c44, 3 << 20);
    drivers.write(1, 0x38200, 1 << 13);
    drivers.send(0, 1, &[1; 8], 1, 2);
    assert_eq!(drivers.fabric.poll_interrupt(), Some((1, 3)));
    assert_eq!(drivers.fabric.poll_interrupt(), None);
}

#[test]
fn control_packets_wait_for_buffers_but_not_without_bound() {
    let mut drivers = Drivers::start("pair");
    let address = Address { offset_words: 0, len_words: 1, adapter: 0, space: 2 };
    let request = Packet::request(PacketType::XDomainRequest, 1, address, &[]);
    for _ in 0..ENTRIES as usize + INBOX_PACKETS + 5 {
        drivers.request(0, &request);
    }
    assert_eq!(drivers.packets(1).len(), ENTRIES as usize - 1);
    // One plug event came before the driver listened; six packets found the inbox full.
    assert_eq!(drivers.fabric.status().hosts[1].counters.control_lost, 1 + 6);
}
