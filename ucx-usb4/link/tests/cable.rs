//! A simulated cable, both ends in this process.

#![allow(missing_docs)]

mod common;

use std::time::{Duration, Instant};

use common::{Lab, RAIL, drain, header, payload, receive, send};
use usb4_link::{ArmResult, Carrier, LinkEvent, NodeId, OpenError, PAYLOAD_MAX, RailId, RailSet, SubmitError};

#[test]
fn every_payload_length_arrives_as_it_was_sent() {
    let lab = Lab::ideal();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let dst = right.address();
    for len in [0, 1, 8, 15, 16, 17, 63, 64, 65, 1000, PAYLOAD_MAX] {
        let bytes: Vec<u8> = (0..len).map(|index| (index * 7 + len) as u8).collect();
        let frame = send(&mut left, RAIL, dst, len as u8, &bytes).unwrap();
        let reaped = receive(&mut right);
        assert_eq!(reaped.header, header(len as u8));
        assert_eq!(reaped.rail, RAIL);
        assert_eq!(payload(&right, &reaped), bytes, "length {len}");
        let mut start = [0; 64];
        let copied = right.copy_control(reaped.frame, 64, &mut start);
        assert_eq!(start[..copied], bytes[..len.min(64)]);
        right.release(reaped.frame);
        left.free(frame);
    }
    let counted = right.counters().rails[0].1;
    assert_eq!((counted.rx_frames, counted.malformed), (11, 0));
    assert_eq!(left.counters().rails[0].1.tx_bytes, counted.rx_bytes);
}

#[test]
fn control_payloads_are_copied() {
    let lab = Lab::ideal();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    for len in [0, 3, 16, 17, 64] {
        let bytes: Vec<u8> = (0..len).collect();
        left.submit_control(0, RAIL, right.address(), &header(len), &bytes).unwrap();
        let reaped = receive(&mut right);
        assert_eq!((reaped.header, payload(&right, &reaped)), (header(len), bytes));
        right.release(reaped.frame);
    }
}

#[test]
fn loopback_reaches_the_own_node_and_the_channel_itself() {
    let lab = Lab::ideal();
    let (mut first, mut second) = (lab.open(0), lab.open(0));
    assert_eq!(first.rails_to(NodeId(0)), RailSet::LOOPBACK);
    assert_eq!(first.rails_to(NodeId(1)), RailSet::only(RAIL));
    for dst in [second.address(), first.address()] {
        assert_eq!(send(&mut first, RAIL, dst, 0, &[0; 100]), Err(SubmitError::RailDown), "a cable leads elsewhere");
        send(&mut first, RailId::LOOPBACK, dst, 5, &[6; 100]).unwrap();
        let receiver = if dst == second.address() { &mut second } else { &mut first };
        let reaped = receive(receiver);
        assert_eq!((reaped.rail, payload(receiver, &reaped)), (RailId::LOOPBACK, vec![6; 100]));
        receiver.release(reaped.frame);
    }
}

#[test]
fn three_nodes_have_their_own_rails_to_each_other() {
    let cable = |a: u32, b: u32, rails| format!("[[cables]]\nbetween = [{a}, {b}]\nrails = {rails}\n");
    let lab = Lab::new(&format!("nodes = 3\n{}{}{}", cable(0, 1, 1), cable(1, 2, 2), cable(2, 0, 1)));
    let mut channels: Vec<_> = (0..3).map(|node| lab.open(node)).collect();
    let addresses: Vec<_> = channels.iter().map(Carrier::address).collect();
    for from in 0..3 {
        for to in (0..3).filter(|to| *to != from) {
            let rails = channels[from].rails_to(addresses[to].node);
            assert!(!rails.is_empty());
            for rail in rails.iter() {
                send(&mut channels[from], rail, addresses[to], (from * 3 + to) as u8, &[1; 80]).unwrap();
                let reaped = receive(&mut channels[to]);
                assert_eq!(reaped.header, header((from * 3 + to) as u8));
                assert!(channels[to].rails_to(addresses[from].node).contains(reaped.rail));
                channels[to].release(reaped.frame);
            }
        }
    }
}

#[test]
fn a_full_ring_drops_and_counts_and_recovers() {
    let lab = Lab::ideal();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let dst = right.address();
    for value in 0..600_u32 {
        left.submit_control(0, RAIL, dst, &header(value as u8), &value.to_ne_bytes()).unwrap();
    }
    assert_eq!(left.counters().rails[0].1.no_buffer, 600 - 512);
    let arrived = drain(&mut right);
    assert_eq!(arrived.len(), 512);
    for reaped in arrived.iter().rev() {
        right.release(reaped.frame);
    }
    for value in 0..left.limits().receive_frames as u32 {
        left.submit_control(0, RAIL, dst, &header(0), &value.to_ne_bytes()).unwrap();
    }
    assert_eq!(drain(&mut right).len(), left.limits().receive_frames);
}

#[test]
fn frames_take_the_time_of_the_wire_and_their_latency() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrate_gbps = 1.0\nlatency_us = 500.0\n");
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let dst = right.address();
    let frame_ns = 4096 * 8;
    assert_eq!(left.cost_ns(0, RAIL, PAYLOAD_MAX), Some(500_000 + frame_ns));
    let start = left.now_ns();
    for count in 0..10 {
        let cost = left.cost_ns(start, RAIL, PAYLOAD_MAX).unwrap();
        assert_eq!(cost, 500_000 + (count + 1) * frame_ns, "the backlog of {count} frames counts");
        let frame = left.alloc().unwrap();
        left.submit(start, RAIL, dst, &header(count as u8), frame, PAYLOAD_MAX).unwrap();
    }
    // The receiver takes in the new ring with its first look.
    assert!(right.reap(0).is_none());
    for count in 0..10 {
        let due = start + 500_000 + (count + 1) * frame_ns;
        assert!(right.reap(due - 1).is_none());
        let reaped = right.reap(due).expect("due");
        assert_eq!(reaped.header, header(count as u8));
    }
}

#[test]
fn the_processes_of_a_node_share_a_rail() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrate_gbps = 1.0\n");
    let (mut first, second, mut right) = (lab.open(0), lab.open(0), lab.open(1));
    let now = first.now_ns();
    let frame = first.alloc().unwrap();
    for _ in 0..10 {
        first.submit(now, RAIL, right.address(), &header(0), frame, PAYLOAD_MAX).unwrap();
    }
    assert_eq!(second.cost_ns(now, RAIL, PAYLOAD_MAX), Some(11 * 4096 * 8), "behind the other's backlog");
    assert_eq!(right.cost_ns(now, RAIL, PAYLOAD_MAX), Some(4096 * 8), "the other direction is free");
    assert_eq!(drain(&mut right).len() as u64, right.counters().rails[0].1.rx_frames);
}

#[test]
fn what_is_under_way_is_lost_when_a_cable_is_pulled() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nlatency_us = 300000\n");
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let registry = usb4_link::sim::Registry::in_folder(lab.folder.path());
    let name = registry.list()[0].name.clone();
    let pull = |up| registry.set_rail(&name, "0".parse().unwrap(), up).unwrap();
    let now = left.now_ns();
    left.submit_control(now, RAIL, right.address(), &header(1), &[]).unwrap();
    assert!(right.reap(now).is_none());
    pull(false);
    assert!(right.reap(now + 400_000_000).is_none());
    assert_eq!(right.counters().rails[0].1.unplugged, 1);
    assert_eq!(left.submit_control(now, RAIL, right.address(), &header(2), &[]), Err(SubmitError::RailDown));
    pull(true);
    left.submit_control(now, RAIL, right.address(), &header(3), &[]).unwrap();
    assert_eq!(right.reap(now + 400_000_000).expect("plugged again").header, header(3));
}

#[test]
fn a_full_transmit_ring_refuses() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrate_gbps = 1.0\n");
    let (mut left, right) = (lab.open(0), lab.open(1));
    let frame = left.alloc().unwrap();
    let now = left.now_ns();
    let taken =
        (0..1000).take_while(|_| left.submit(now, RAIL, right.address(), &header(0), frame, PAYLOAD_MAX).is_ok());
    assert_eq!(taken.count(), 257);
    assert_eq!(left.submit(now, RAIL, right.address(), &header(0), frame, PAYLOAD_MAX), Err(SubmitError::RingFull));
    assert_eq!(left.cost_ns(now, RAIL, 8), None);
    assert!(left.cost_ns(now + 40_000, RAIL, 8).is_some());
}

#[test]
fn losses_and_duplicates_come_as_planned_and_repeat_with_the_seed() {
    let run = |seed: u32| {
        let toml = format!("nodes = 2\nseed = {seed}\n[[cables]]\nbetween = [0, 1]\nloss = 0.1\nduplicate = 0.05\n");
        let lab = Lab::new(&toml);
        let (mut left, mut right) = (lab.open(0), lab.open(1));
        let mut arrived = Vec::new();
        for value in 0..2000_u32 {
            left.submit_control(0, RAIL, right.address(), &header(0), &value.to_ne_bytes()).unwrap();
            for reaped in drain_once(&mut right) {
                arrived.push(u32::from_ne_bytes(payload(&right, &reaped).try_into().unwrap()));
                right.release(reaped.frame);
            }
        }
        let counted = left.counters().rails[0].1;
        assert_eq!(arrived.len() as u64, 2000 - counted.lost + counted.duplicated);
        assert!((120..280).contains(&counted.lost), "{counted:?}");
        assert!((50..150).contains(&counted.duplicated), "{counted:?}");
        assert!(arrived.is_sorted(), "a rail keeps its order");
        arrived
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

fn drain_once(channel: &mut usb4_link::Channel) -> Vec<usb4_link::Reaped> {
    // Twice: the first look may only take in a new ring.
    let mut all = Vec::new();
    for _ in 0..2 {
        while let Some(reaped) = channel.reap(u64::MAX) {
            all.push(reaped);
        }
    }
    all
}

#[test]
fn a_planned_unplug_loses_what_is_under_way_and_tells_both_ends() {
    let toml = "nodes = 2\n[[cables]]\nbetween = [0, 1]\nlatency_us = 100.0\n\
                unplug = [{ at_ms = 3600000.0, for_ms = 1000.0 }]\n";
    let lab = Lab::new(toml);
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let out = 3_600_000_000_000;
    let back = out + 1_000_000_000;
    let send_at =
        |left: &mut usb4_link::Channel, now| left.submit_control(now, RAIL, right.address(), &header(0), &[0; 8]);
    assert!(left.poll_event(out - 1).is_none());
    send_at(&mut left, out - 200_000).unwrap();
    send_at(&mut left, out - 50_000).unwrap();
    assert_eq!(send_at(&mut left, out), Err(SubmitError::RailDown));
    assert_eq!(left.cost_ns(out, RAIL, 8), None);
    assert_eq!(left.counters().rails[0].1.lost, 1, "the one that would have arrived after the cable was out");
    for channel in [&mut left, &mut right] {
        assert_eq!(channel.poll_event(out), Some(LinkEvent::RailDown(RAIL)));
        assert_eq!(channel.poll_event(out), None);
        assert!(!channel.rails()[0].up);
        assert_eq!(channel.poll_event(back), Some(LinkEvent::RailUp(RAIL)));
        assert!(channel.rails()[0].up);
    }
    left.submit_control(back, RAIL, right.address(), &header(9), &[0; 8]).unwrap();
    assert!(right.reap(0).is_none());
    assert_eq!(right.reap(out - 1).expect("the one that arrived in time").header, header(0));
    assert_eq!(right.reap(back + 100_000).expect("after the replug").header, header(9));
}

#[test]
fn a_closed_peer_is_reported_once_and_after_its_last_frame() {
    let lab = Lab::ideal();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let (src, dst) = (left.address(), right.address());
    send(&mut left, RAIL, dst, 1, &[1; 200]).unwrap();
    send(&mut right, RAIL, src, 2, &[2; 200]).unwrap();
    let first = receive(&mut right);
    send(&mut left, RAIL, dst, 3, &[3; 200]).unwrap();
    drop(left);
    let late = right.now_ns() + 1_000_000_000;
    assert_eq!(right.poll_event(late), None, "a frame is still there");
    let last = receive(&mut right);
    assert_eq!(right.poll_event(late), Some(LinkEvent::PeerGone(src)));
    assert_eq!(right.poll_event(late + 1_000_000_000), None);
    assert_eq!(payload(&right, &first), [1; 200], "what was taken stays readable");
    assert_eq!(payload(&right, &last), [3; 200]);
    right.release(first.frame);
    right.release(last.frame);
    assert_eq!(send(&mut right, RAIL, src, 0, &[]), Err(SubmitError::PeerGone));
}

#[test]
fn rings_of_the_gone_are_used_again_and_start_empty() {
    let lab = Lab::ideal();
    let mut left = lab.open(0);
    let registry = usb4_link::sim::Registry::in_folder(lab.folder.path());
    let mut sizes = Vec::new();
    for round in 0..6 {
        let mut right = lab.open(1);
        let dst = right.address();
        // Shorter each time and never the same: what is left of a former life would be taken for a frame.
        for value in 0..20 - round {
            let value = value + 40 * round;
            send(&mut left, RAIL, dst, value, &[value; 70]).map(|frame| left.free(frame)).unwrap();
            let reaped = receive(&mut right);
            assert_eq!((reaped.header, payload(&right, &reaped)), (header(value), vec![value; 70]));
            right.release(reaped.frame);
            send(&mut right, RAIL, left.address(), value, &[value; 9]).map(|frame| right.free(frame)).unwrap();
            let reaped = receive(&mut left);
            assert_eq!(payload(&left, &reaped), [value; 9]);
            left.release(reaped.frame);
        }
        assert!(drain(&mut right).is_empty() && drain(&mut left).is_empty());
        drop(right);
        let late = left.now_ns() + 1_000_000_000 * (u64::from(round) + 1);
        assert_eq!(left.poll_event(late), Some(LinkEvent::PeerGone(dst)));
        sizes.push(registry.list()[0].size_bytes);
    }
    assert!(sizes.iter().all(|size| *size == sizes[0]), "{sizes:?}");
}

#[test]
fn a_place_in_the_inbox_is_used_again_with_its_count_at_zero() {
    let cable = |node| format!("[[cables]]\nbetween = [1, {node}]\n");
    let lab = Lab::new(&format!("nodes = 8\n{}{}", cable(7), cable(0)));
    let (mut right, mut first) = (lab.open(1), lab.open(7));
    let dst = right.address();
    for _ in 0..300 {
        first.submit_control(0, RAIL, dst, &header(1), &[]).unwrap();
        let reaped = receive(&mut right);
        right.release(reaped.frame);
    }
    let gone = first.address();
    drop(first);
    assert_eq!(right.poll_event(right.now_ns() + 1_000_000_000), Some(LinkEvent::PeerGone(gone)));
    // The sender whose search for a place starts where the first one's did: 31 per node, 7 per channel.
    let mut second = lab.open(0);
    while second.address().channel.0 != gone.channel.0 + 31 {
        second = lab.open(0);
    }
    for _ in 0..600 {
        second.submit_control(0, RAIL, dst, &header(2), &[]).unwrap();
    }
    assert_eq!(second.counters().rails[0].1.no_buffer, 600 - 512, "the receiver has given nothing back yet");
    assert_eq!(drain(&mut right).len(), 512);
}

#[test]
fn an_abandoned_frame_rests_until_the_peer_has_passed_it() {
    let lab = Lab::ideal();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let dst = right.address();
    let mut last = None;
    for _ in 0..64 {
        last = Some(send(&mut left, RAIL, dst, 0, &[1; 200]).unwrap());
    }
    assert!(left.alloc().is_none());
    left.abandon(last.unwrap(), dst);
    assert!(left.alloc().is_none(), "the peer has not read it");
    for reaped in drain(&mut right) {
        right.release(reaped.frame);
    }
    drain(&mut right);
    assert_eq!(left.alloc(), last, "the peer has passed it");
    left.abandon(last.unwrap(), dst);
    assert_eq!(left.alloc(), last);
    left.submit(left.now_ns(), RAIL, dst, &header(0), last.unwrap(), 200).unwrap();
    drop(right);
    left.poll_event(left.now_ns() + 1_000_000_000);
    left.abandon(last.unwrap(), dst);
    assert_eq!(left.alloc(), last, "nobody is left to read it");
}

#[test]
fn a_sleeper_is_woken_by_a_frame_and_by_its_deadline() {
    let lab = Lab::ideal();
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let dst = right.address();
    assert!(!is_readable(&right, Duration::ZERO));
    assert_eq!(right.arm(None), ArmResult::Armed);
    assert!(!is_readable(&right, Duration::ZERO));
    send(&mut left, RAIL, dst, 1, &[1; 8]).unwrap();
    assert!(is_readable(&right, Duration::from_secs(10)));
    assert_eq!(left.counters().wakeups_sent, 1);
    right.disarm();
    assert!(!is_readable(&right, Duration::ZERO));
    assert_eq!(right.arm(None), ArmResult::Busy, "the frame is still there");
    let reaped = receive(&mut right);
    right.release(reaped.frame);
    send(&mut left, RAIL, dst, 1, &[1; 8]).unwrap();
    assert_eq!(left.counters().wakeups_sent, 1, "nobody sleeps");
    let reaped = receive(&mut right);
    right.release(reaped.frame);
    // It also gets up now and then to see whether its peer lives; nothing but the deadline makes it busy.
    let deadline = right.now_ns() + 300_000_000;
    while right.arm(Some(deadline)) == ArmResult::Armed {
        assert!(is_readable(&right, Duration::from_secs(10)));
        right.disarm();
    }
    assert!(right.now_ns() >= deadline);
    assert_eq!(right.arm(Some(deadline)), ArmResult::Busy, "the deadline has passed");
    assert!(right.counters().sleeps >= 2);
    assert_eq!(right.arm(Some(right.now_ns() + 200_000_000)), ArmResult::Armed);
    assert!(is_readable(&right, Duration::from_secs(10)));
    assert_eq!(right.arm(None), ArmResult::Armed, "arming again starts anew");
    assert!(!is_readable(&right, Duration::ZERO));
}

#[test]
fn a_sleeper_can_be_alerted_by_whoever_took_its_frames() {
    let lab = Lab::ideal();
    let mut channel = lab.open(0);
    channel.alert();
    assert!(!channel.is_armed() && !is_readable(&channel, Duration::ZERO), "nobody sleeps");
    assert_eq!(channel.arm(None), ArmResult::Armed);
    channel.alert();
    assert!(channel.is_armed() && is_readable(&channel, Duration::from_secs(10)));
    channel.disarm();
    assert!(!channel.is_armed() && !is_readable(&channel, Duration::ZERO));
}

#[test]
fn a_sleeper_gets_up_for_a_delayed_frame() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nlatency_us = 300000\n");
    let (mut left, mut right) = (lab.open(0), lab.open(1));
    let due = left.now_ns() + 300_000_000;
    send(&mut left, RAIL, right.address(), 1, &[1; 8]).unwrap();
    assert_eq!(right.arm(None), ArmResult::Armed);
    assert!(is_readable(&right, Duration::from_secs(10)));
    right.disarm();
    let reaped = receive(&mut right);
    assert!(right.now_ns() >= due);
    right.release(reaped.frame);
}

fn is_readable(channel: &usb4_link::Channel, at_most: Duration) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    // SAFETY: the channel lives and keeps its descriptor open.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(channel.event_fd()) };
    let timeout = rustix::time::Timespec { tv_sec: at_most.as_secs() as i64, tv_nsec: at_most.subsec_nanos().into() };
    let start = Instant::now();
    loop {
        match poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&timeout)) {
            Ok(ready) => return ready > 0,
            Err(rustix::io::Errno::INTR) => assert!(start.elapsed() < Duration::from_secs(60)),
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn addresses_are_not_used_again_and_unknown_ones_are_gone() {
    let lab = Lab::ideal();
    let (mut left, right) = (lab.open(0), lab.open(1));
    let old = right.address();
    drop(right);
    let right = lab.open(1);
    assert_ne!(right.address(), old);
    assert_eq!(right.fabric(), left.fabric());
    for address in [old, usb4_link::Address::new(1, 999)] {
        assert_eq!(left.submit_control(0, RAIL, address, &header(0), &[]), Err(SubmitError::PeerGone));
    }
}

#[test]
fn the_last_one_out_leaves_nothing() {
    let lab = Lab::ideal();
    let (mut left, right) = (lab.open(0), lab.open(1));
    send(&mut left, RAIL, right.address(), 0, &[0; 200]).unwrap();
    let fabric = left.fabric();
    drop(left);
    assert!(!lab.leftovers().is_empty());
    drop(right);
    assert_eq!(lab.leftovers(), [""; 0]);
    assert_ne!(lab.open(0).fabric(), fabric, "a new fabric");
}

#[test]
fn too_little_memory_says_how_much_and_how_to_get_it() {
    let lab = Lab::ideal();
    let options = usb4_link::OpenOptions { transmit_frames: 1 << 24, ..lab.options(0) };
    let error = options.open().unwrap_err();
    let OpenError::NoSpace { needed_mib, available_mib, .. } = &error else { panic!("{error}") };
    assert!(*needed_mib > 65_536 && needed_mib > available_mib);
    let message = error.to_string();
    assert!(message.contains("mount -o remount,size=") && message.contains("--shm-size"), "{message}");
    assert_eq!(lab.leftovers(), [""; 0]);
}

/// On a file system that is really too small, as in a container. Only root can mount one.
#[test]
fn a_small_dev_shm_is_named() {
    let lab = Lab::ideal();
    let small = lab.folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mut mount = std::process::Command::new("mount");
    let mounted = mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(&small).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return;
    }
    let options = usb4_link::OpenOptions { shm: Some(small.clone()), ..lab.options(0) };
    let error = options.open().unwrap_err().to_string();
    let left: Vec<_> = std::fs::read_dir(&small).unwrap().collect();
    assert!(std::process::Command::new("umount").arg(&small).status().unwrap().success());
    assert!(error.contains(&format!("remount,size=2G {}", small.display())), "{error}");
    assert!(error.contains("1 MiB free") && error.contains("needs 2 MiB"), "{error}");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn no_device_names_both_ways_out() {
    let error = usb4_link::OpenOptions::new(usb4_link::LinkSpec::Auto).open().unwrap_err().to_string();
    assert!(error.contains("usb4_dma") && error.contains("UCX_USB4_LINKS=sim:PROFILE"), "{error}");
}

#[test]
fn a_node_that_does_not_exist_is_refused_and_leaves_nothing() {
    let lab = Lab::ideal();
    let error = lab.options(2).open().unwrap_err().to_string();
    assert!(error.contains("0 to 1"), "{error}");
    assert_eq!(lab.leftovers(), [""; 0]);
}
