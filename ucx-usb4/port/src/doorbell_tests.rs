//! System calls of long transfers over the kernel's rings: two ports on a model of the kernel.

use std::sync::{Arc, RwLock};

use usb4_engine::{Access, RegionTable, Timeouts, Transfer};
use usb4_link::kernel::mock::World;
use usb4_link::{LinkSpec, OpenOptions};

use super::*;

/// What a message of 1 MiB may cost each side.
const DOORBELLS_MAX: u32 = 16;
const MESSAGE_BYTES: usize = 1 << 20;
/// Frames that the hardware of a usual ring takes from one channel.
const TX_DEPTH: u32 = 495;
const WARM_MESSAGES: usize = 4;
/// Many times what a message takes.
const TURNS_MAX: u32 = 1_000_000;
const HOUR_NS: u64 = 3_600_000_000_000;

/// Two nodes' ports. Nothing happens for the time that has passed, so that a slow machine counts the same as a fast one.
fn pair(world: &World, regions: &Regions) -> (Port, Port, ConnId) {
    let timeouts = Timeouts {
        ack_delay_ns: HOUR_NS,
        probe_min_ns: HOUR_NS,
        rto_min_ns: HOUR_NS,
        rto_max_ns: 2 * HOUR_NS,
        ..Timeouts::default()
    };
    let options = Options { timeouts, ..Options::new(LinkSpec::Kernel) };
    let open = |node| {
        let channel = world.channel(node, &OpenOptions::new(LinkSpec::Kernel));
        Port::on(channel, &options, Arc::clone(regions)).unwrap()
    };
    let (mut a, b) = (open(1), open(2));
    let to_b = a.connect(&b.address()).unwrap();
    (a, b, to_b)
}

/// Fetches messages, as rendezvous does, the hardware sending so many frames at a time. Gives the doorbells of each node for the last
/// one: windows open with the first ones.
fn doorbells(frames_at_once: usize) -> [u32; 2] {
    let world = World::new(TX_DEPTH);
    let regions: Regions = Arc::new(RwLock::new(RegionTable::new([7; 32])));
    let (mut a, mut b, to_b) = pair(&world, &regions);
    let mut turn = |a: &mut Port| {
        for port in [a, &mut b] {
            port.begin();
            assert!(port.poll_arrival().is_none(), "nobody sends a message");
            port.service();
        }
        world.run_some(frames_at_once);
    };
    while a.engine.info(to_b).unwrap().state != usb4_engine::ConnState::Open {
        turn(&mut a);
    }
    let mut there: Vec<u64> = (0..MESSAGE_BYTES as u64 / 8).collect();
    let mut here = vec![0_u64; MESSAGE_BYTES / 8];
    let remote_addr = there.as_mut_ptr().expose_provenance() as u64;
    let key = regions.write().unwrap().insert(remote_addr, MESSAGE_BYTES as u64, Access::ALL).unwrap();
    let local_addr = here.as_mut_ptr().expose_provenance() as u64;
    let transfer = Transfer { cookie: 1, local_addr, remote_addr, len: MESSAGE_BYTES as u64, key };
    let count = || [1, 2].map(|node| world.doorbells(node));
    let mut before = [0; 2];
    for _ in 0..WARM_MESSAGES {
        before = count();
        a.admit_operations(to_b, 1).unwrap();
        // SAFETY: `here` lives until the event, and nobody looks at it before.
        unsafe { a.start_get(to_b, transfer) }.unwrap();
        let is_over = |event| matches!(event, Event::Completed { result: Ok(_), .. });
        let mut turns = 0;
        while !std::iter::from_fn(|| a.poll_event()).any(is_over) {
            turn(&mut a);
            turns += 1;
            assert!(turns < TURNS_MAX, "the message does not arrive");
        }
    }
    assert!(here == there, "other bytes arrived");
    let after = count();
    [after[0] - before[0], after[1] - before[1]]
}

#[test]
fn a_long_message_rings_few_doorbells_however_slowly_its_frames_come() {
    for frames_at_once in [1, 5, 1000] {
        let counted = doorbells(frames_at_once);
        assert!(
            counted.iter().all(|&count| (1..=DOORBELLS_MAX).contains(&count)),
            "{counted:?} doorbells, {frames_at_once} frames at a time"
        );
    }
}
