//! A simulated cable between processes, and processes that are killed.
//!
//! A child process is this test binary again, told by the environment which part to play.

#![allow(missing_docs)]

mod common;

use std::collections::HashMap;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use common::{Lab, RAIL, header, payload, receive, send};
use usb4_link::sim::{RailSelector, Registry};
use usb4_link::{
    Address, ArmResult, Carrier, Channel, HEADER_LEN, LinkEvent, LinkSpec, NodeId, OpenOptions, PAYLOAD_MAX, RailId,
};

const ROLE: &str = "USB4_LINK_TEST_ROLE";
const FOLDER: &str = "USB4_LINK_TEST_FOLDER";
const NODE: &str = "USB4_LINK_TEST_NODE";
const QUIT: u8 = 255;

/// What the children run; does nothing in the test itself.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let folder = PathBuf::from(std::env::var(FOLDER).unwrap());
    let node = std::env::var(NODE).unwrap().parse().unwrap();
    match role.as_str() {
        "echo" => echo(open(&folder, node), false),
        "sleepy-echo" => echo(open(&folder, node), true),
        "traffic" => traffic(&folder),
        other => panic!("no role {other}"),
    }
}

fn open(folder: &Path, node: u32) -> Channel {
    let links = LinkSpec::SimFile(folder.join("lab.toml"));
    let options = OpenOptions { node: Some(NodeId(node)), shm: Some(folder.to_owned()), ..OpenOptions::new(links) };
    options.open().unwrap()
}

fn spawn(lab: &Lab, role: &str, node: u32) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]).stdout(std::process::Stdio::null());
    command.env(ROLE, role).env(FOLDER, lab.folder.path()).env(NODE, node.to_string()).spawn().unwrap()
}

/// A header that says where the answer goes.
fn header_from(src: Address, value: u8) -> [u8; HEADER_LEN] {
    let mut header = header(value);
    header[1..5].copy_from_slice(&src.node.0.to_le_bytes());
    header[5..7].copy_from_slice(&src.channel.0.to_le_bytes());
    header
}

fn source(header: &[u8; HEADER_LEN]) -> Address {
    let node = u32::from_le_bytes(header[1..5].try_into().unwrap());
    Address::new(node, u16::from_le_bytes(header[5..7].try_into().unwrap()))
}

/// Sends every frame back until one says to quit.
fn echo(mut channel: Channel, sleepy: bool) {
    loop {
        let reaped = if sleepy { receive_asleep(&mut channel) } else { receive(&mut channel) };
        let (bytes, dst) = (payload(&channel, &reaped), source(&reaped.header));
        channel.release(reaped.frame);
        let frame = channel.alloc().unwrap();
        // SAFETY: a frame has room for PAYLOAD_MAX bytes.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), channel.payload_mut(frame), bytes.len()) };
        let now = channel.now_ns();
        channel.submit(now, reaped.rail, dst, &reaped.header, frame, bytes.len()).unwrap();
        if reaped.header[0] == QUIT {
            return;
        }
        // The peer sends one frame at a time, so the one before the last has been read.
        channel.free(frame);
    }
}

fn receive_asleep(channel: &mut Channel) -> usb4_link::Reaped {
    loop {
        let now = channel.now_ns();
        if let Some(reaped) = channel.reap(now) {
            return reaped;
        }
        channel.poll_event(now);
        if channel.arm(None) == ArmResult::Armed {
            sleep_on(channel);
            channel.disarm();
        }
    }
}

fn sleep_on(channel: &Channel) {
    use rustix::event::{PollFd, PollFlags, poll};
    // SAFETY: the channel lives and keeps its descriptor open.
    let fd = unsafe { BorrowedFd::borrow_raw(channel.event_fd()) };
    let _ = poll(&mut [PollFd::new(&fd, PollFlags::IN)], None);
}

fn registry(lab: &Path) -> Registry {
    Registry::in_folder(lab)
}

/// The channels of the lab's fabric.
fn channels(folder: &Path) -> Vec<Address> {
    let registry = registry(folder);
    let names = registry.list().into_iter().map(|fabric| fabric.name);
    let views = names.filter_map(|name| registry.inspect(&name).ok());
    views.flat_map(|view| view.channels).map(|channel| channel.address).collect()
}

fn wait_for_peer(lab: &Lab, not: &[Address]) -> Address {
    loop {
        if let Some(peer) = channels(lab.folder.path()).into_iter().find(|address| !not.contains(address)) {
            return peer;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn round_trip(channel: &mut Channel, peer: Address, rail: RailId, value: u8, bytes: &[u8], sleepy: bool) {
    let frame = channel.alloc().unwrap();
    // SAFETY: a frame has room for PAYLOAD_MAX bytes.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), channel.payload_mut(frame), bytes.len()) };
    let (now, header) = (channel.now_ns(), header_from(channel.address(), value));
    channel.submit(now, rail, peer, &header, frame, bytes.len()).unwrap();
    let reaped = if sleepy { receive_asleep(channel) } else { receive(channel) };
    assert_eq!(reaped.header, header);
    assert_eq!(payload(channel, &reaped), bytes);
    channel.release(reaped.frame);
    channel.free(frame);
}

#[test]
fn payloads_of_all_sizes_cross_and_come_back() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = 2\n");
    let mut channel = lab.open(0);
    let mut child = spawn(&lab, "echo", 1);
    let peer = wait_for_peer(&lab, &[channel.address()]);
    let mut random = Random(1);
    for round in 0..5000_u32 {
        let len = if random.below(2) == 0 { random.below(70) } else { random.below(PAYLOAD_MAX as u64 + 1) };
        let bytes: Vec<u8> = (0..len).map(|index| (index as u32 * 31 + round) as u8).collect();
        let rail = RailId::new((round % 2) as u8).unwrap();
        round_trip(&mut channel, peer, rail, (round % 200) as u8, &bytes, false);
    }
    round_trip(&mut channel, peer, RAIL, QUIT, &[], false);
    assert!(child.wait().unwrap().success());
    let mut events = Vec::new();
    while events.is_empty() {
        let now = channel.now_ns();
        assert!(channel.reap(now).is_none());
        events.extend(channel.poll_event(now));
    }
    assert_eq!(events, [LinkEvent::PeerGone(peer)]);
    drop(channel);
    assert_eq!(lab.leftovers(), [""; 0]);
}

#[test]
fn sleepers_wake_each_other_every_time() {
    let lab = Lab::ideal();
    let mut channel = lab.open(0);
    let mut child = spawn(&lab, "sleepy-echo", 1);
    let peer = wait_for_peer(&lab, &[channel.address()]);
    for round in 0..3000_u32 {
        round_trip(&mut channel, peer, RAIL, (round % 200) as u8, &round.to_ne_bytes(), true);
    }
    let name = registry(lab.folder.path()).list()[0].name.clone();
    let view = registry(lab.folder.path()).inspect(&name).unwrap();
    let by_address: HashMap<_, _> = view.channels.into_iter().map(|view| (view.address, view.counters)).collect();
    let (ours, theirs) = (&by_address[&channel.address()], &by_address[&peer]);
    // Whoever slept was woken by the other's frame; the few that the look-around timer woke do not count.
    assert!(ours.sleeps > 0 && theirs.sleeps > 0);
    assert!(ours.sleeps <= theirs.wakeups_sent + 1 + ours.sleeps / 20, "{ours:?} {theirs:?}");
    assert!(theirs.sleeps <= ours.wakeups_sent + 1 + theirs.sleeps / 20, "{ours:?} {theirs:?}");
    round_trip(&mut channel, peer, RAIL, QUIT, &[], true);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_killed_peer_is_reported_and_does_not_stop_the_others() {
    let lab = Lab::ideal();
    let mut channel = lab.open(0);
    let mut victim = spawn(&lab, "echo", 1);
    let peer = wait_for_peer(&lab, &[channel.address()]);
    round_trip(&mut channel, peer, RAIL, 1, &[7; 3000], false);
    victim.kill().unwrap();
    victim.wait().unwrap();
    while channel.poll_event(channel.now_ns()) != Some(LinkEvent::PeerGone(peer)) {
        std::thread::yield_now();
    }
    let mut successor = spawn(&lab, "echo", 1);
    let next = wait_for_peer(&lab, &[channel.address(), peer]);
    round_trip(&mut channel, next, RAIL, 2, &[8; 3000], false);
    round_trip(&mut channel, next, RAIL, QUIT, &[], false);
    assert!(successor.wait().unwrap().success());
}

#[test]
fn a_sleeper_learns_that_its_cable_was_pulled() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\n[[cables]]\nbetween = [0, 1]\n");
    let mut channel = lab.open(0);
    let name = registry(lab.folder.path()).list()[0].name.clone();
    let pull = |up| registry(lab.folder.path()).set_rail(&name, RailSelector { cable: 1, rail: None }, up).unwrap();
    for up in [false, true] {
        assert_eq!(channel.arm(None), ArmResult::Armed);
        assert_eq!(pull(up), 1);
        sleep_on(&channel);
        channel.disarm();
        let rail = RailId::new(1).unwrap();
        let expected = if up { LinkEvent::RailUp(rail) } else { LinkEvent::RailDown(rail) };
        assert_eq!(channel.poll_event(channel.now_ns()), Some(expected));
        assert_eq!(channel.cost_ns(channel.now_ns(), rail, 8).is_some(), up);
    }
    assert_eq!(pull(true), 0, "it is in already");
}

/// Opens, sends to everybody, receives from everybody, sleeps a little, closes; for ever.
fn traffic(folder: &Path) {
    let mut random = Random(u64::from(std::process::id()));
    loop {
        let mut channel = open(folder, random.below(2) as u32);
        let peers = channels(folder);
        for _ in 0..random.below(400) {
            let now = channel.now_ns();
            let peer = peers[random.below(peers.len() as u64) as usize];
            for rail in channel.rails_to(peer.node).iter() {
                let value = random.below(200) as u8;
                let len = random.below(65) as usize;
                if let Ok(frame) = send(&mut channel, rail, peer, value, &[value; 64][..len]) {
                    channel.free(frame);
                }
            }
            while let Some(reaped) = channel.reap(now) {
                // Long payloads may be overwritten by now, as nobody acknowledges here; short ones may not.
                assert!(payload(&channel, &reaped).iter().all(|byte| *byte == reaped.header[0]));
                channel.release(reaped.frame);
            }
            channel.poll_event(now);
            if random.below(50) == 0 && channel.arm(Some(now + 100_000)) == ArmResult::Armed {
                sleep_on(&channel);
            }
            channel.disarm();
        }
    }
}

#[test]
fn whoever_is_killed_at_any_moment_the_next_run_works_and_leaves_nothing() {
    let lab = Lab::new("nodes = 2\n[[cables]]\nbetween = [0, 1]\nrails = 2\n");
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (seed, rounds) = (number("USB4_LINK_SEED"), number("USB4_LINK_ROUNDS").unwrap_or(40));
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()) ^ Instant::now().elapsed().as_nanos() as u64);
    println!("USB4_LINK_SEED={seed}");
    let mut random = Random(seed);
    for round in 0..rounds {
        let mut children: Vec<_> = (0..3).map(|_| spawn(&lab, "traffic", 0)).collect();
        std::thread::sleep(Duration::from_micros(random.below(1 + 60_000 * (1 + round % 4))));
        for child in &mut children {
            assert!(child.try_wait().unwrap().is_none(), "a child ended by itself in round {round}");
            child.kill().unwrap();
            if random.below(2) == 0 {
                std::thread::sleep(Duration::from_micros(random.below(2_000)));
            }
        }
        children.iter_mut().for_each(|child| drop(child.wait()));
        // The next run, beside what the dead left.
        let (mut left, mut right) = (lab.open(0), lab.open(1));
        for value in 0..20 {
            let frame = send(&mut left, RAIL, right.address(), value, &[value; 500]).unwrap();
            let reaped = receive(&mut right);
            assert_eq!((reaped.header, payload(&right, &reaped)), (header(value), vec![value; 500]));
            right.release(reaped.frame);
            left.free(frame);
        }
        drop((left, right));
        assert_eq!(lab.leftovers(), [""; 0], "round {round}");
    }
}

/// Small and seeded; the quality does not matter here.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound.max(1)
    }
}
