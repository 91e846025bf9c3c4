//! An owner that sleeps on the event descriptor while the attendant takes what woke it: the descriptor must stay readable, also where a
//! look at the rings clears it, as the kernel's does.

use std::os::fd::BorrowedFd;
use std::sync::{Arc, RwLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use usb4_engine::{RegionTable, Timeouts};
use usb4_link::kernel::mock::World;
use usb4_link::{LinkSpec, OpenOptions};

use super::*;
use crate::attend::Next;
use crate::tests::{try_send, turn};

const HOUR_NS: u64 = 3_600_000_000_000;

/// Two nodes' ports, connected. No deadline wakes anybody.
fn pair(world: &World) -> (Port, Port, ConnId) {
    let timeouts = Timeouts {
        ack_delay_ns: HOUR_NS,
        reorder_delay_ns: HOUR_NS,
        probe_min_ns: HOUR_NS,
        rto_min_ns: HOUR_NS,
        rto_max_ns: 2 * HOUR_NS,
        idle_ns: HOUR_NS,
        ..Timeouts::default()
    };
    let options = Options { timeouts, ..Options::new(LinkSpec::Kernel) };
    let open = |node| {
        let channel = world.channel(node, &OpenOptions::new(LinkSpec::Kernel));
        Port::on(channel, &options, Arc::new(RwLock::new(RegionTable::new([7; 32])))).unwrap()
    };
    let (mut a, mut b) = (open(1), open(2));
    let to_b = a.connect(&b.address()).unwrap();
    while a.engine.info(to_b).unwrap().state != usb4_engine::ConnState::Open {
        for port in [&mut a, &mut b] {
            turn(port, &mut Vec::new());
            world.run();
        }
    }
    (a, b, to_b)
}

fn is_readable(port: &Port, patience: Timespec) -> bool {
    // SAFETY: the port lives.
    let event = unsafe { BorrowedFd::borrow_raw(port.event_fd()) };
    poll(&mut [PollFd::new(&event, PollFlags::IN)], Some(&patience)) == Ok(1)
}

fn sleep(port: &mut Port) {
    while !port.arm(None) {
        turn(port, &mut Vec::new());
        while port.poll_event().is_some() {}
    }
}

/// What the attendant has taken is there for a sleeper that it leaves to itself, whether or not the owner called it meanwhile.
fn is_alerted(owner_calls: bool) {
    const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    /// A guard: it takes no time.
    const PATIENCE: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
    let world = World::new(64);
    let (mut a, mut b, to_b) = pair(&world);
    sleep(&mut b);
    assert_eq!(b.attend(false, || false), Next::Event);
    assert!(!is_readable(&b, NOW));
    assert!(try_send(&mut a, to_b, 1, b"hello"));
    world.run();
    assert_eq!(b.attend(false, || false), Next::Later, "it was woken just now");
    assert!(b.kept.is_empty() && is_readable(&b, NOW));
    assert_eq!(b.attend(true, || owner_calls), Next::Later);
    assert!(!b.kept.is_empty());
    assert!(is_readable(&b, PATIENCE), "asleep with a message there");
    let mut arrived = Vec::new();
    turn(&mut b, &mut arrived);
    assert_eq!(arrived, [(1, b"hello".to_vec())]);
}

#[test]
fn a_sleeper_is_alerted_by_the_attendant_that_took_what_woke_it() {
    is_alerted(false);
}

/// A call that makes no progress, such as a send, ends the attendant's work and not the sleep.
#[test]
fn so_is_one_that_called_meanwhile() {
    is_alerted(true);
}

/// What only time brings is found at once, and not after as many sleeps as a poll has idle calls.
#[test]
fn an_owner_that_was_woken_looks_at_the_clock() {
    let world = World::new(64);
    let (_a, mut b, _) = pair(&world);
    sleep(&mut b);
    b.begin();
    assert!(b.poll_arrival().is_none());
    assert!(b.service());
}
