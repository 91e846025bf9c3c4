//! The carrier against a model of the kernel.

use std::os::fd::BorrowedFd;

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use usb4_dma_sys::{USB4_DMA_KICK_ARM, USB4_DMA_KICK_RX};

use super::mock::World;
use super::{KernelChannel, ReceiveMode};
use crate::{
    Address, ArmResult, Carrier, ChannelId, HEADER_LEN, LinkEvent, LinkSpec, NodeId, OpenOptions, PAYLOAD_MAX, RailId,
    RailSet, SubmitError, TxFrame,
};

/// So few that the tests reach the limit.
const TX_DEPTH: u32 = 8;
const RAIL: RailId = RailId::new(0).unwrap();
const OTHER_RAIL: RailId = RailId::new(1).unwrap();
/// An address nobody has.
const NOBODY: Address = Address { node: NodeId(2), channel: ChannelId(999) };

/// The header of a frame between two channels, told apart by `value`.
fn header(from: Address, to: Address, value: u64) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[8..12].copy_from_slice(&to.node.0.to_le_bytes());
    header[12..16].copy_from_slice(&from.node.0.to_le_bytes());
    header[16..18].copy_from_slice(&to.channel.0.to_le_bytes());
    header[18..20].copy_from_slice(&from.channel.0.to_le_bytes());
    header[24..32].copy_from_slice(&value.to_le_bytes());
    header
}

fn open(world: &World, node: u32, receive_mode: ReceiveMode) -> KernelChannel {
    let options =
        OpenOptions { transmit_frames: 32, receive_frames: 32, receive_mode, ..OpenOptions::new(LinkSpec::Kernel) };
    KernelChannel::new(world.open(node), &options).unwrap()
}

fn pair(world: &World) -> (KernelChannel, KernelChannel) {
    (open(world, 1, ReceiveMode::Ring), open(world, 2, ReceiveMode::Ring))
}

/// Writes and submits a frame whose header and payload say `value`.
fn send(channel: &mut KernelChannel, rail: RailId, to: Address, value: u64, len: usize) -> TxFrame {
    let frame = channel.alloc().unwrap();
    let bytes = vec![value as u8; len];
    // SAFETY: a frame's payload has room for PAYLOAD_MAX bytes, and it is not queued.
    unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), channel.payload_mut(frame), len) };
    let header = header(channel.address(), to, value);
    channel.submit(0, rail, to, &header, frame, len).unwrap();
    frame
}

/// Everything that has arrived: what the headers say.
fn drain(channel: &mut KernelChannel) -> Vec<u64> {
    let mut values = Vec::new();
    while let Some(reaped) = channel.reap(0) {
        let value = u64::from_le_bytes(reaped.header[24..32].try_into().unwrap());
        let payload = channel.payload(reaped.frame);
        for index in 0..reaped.frame.payload_len() {
            // SAFETY: a received frame has payload_len readable bytes until it is released.
            assert_eq!(unsafe { payload.wrapping_add(index).read() }, value as u8);
        }
        channel.release(reaped.frame);
        values.push(value);
    }
    values
}

#[test]
fn frames_and_control_frames_arrive_as_they_were_written() {
    let world = World::new(TX_DEPTH);
    let (mut left, mut right) = pair(&world);
    assert_eq!(left.rails_to(right.address().node), RailSet::from_bits(0b11));
    let to = right.address();
    // More than the pools hold, so every frame is used again.
    for round in 0..100 {
        let frame = send(&mut left, RAIL, to, round, PAYLOAD_MAX);
        let control = header(left.address(), to, 7);
        left.submit_control(0, OTHER_RAIL, to, &control, &[7; 64]).unwrap();
        left.doorbell();
        world.run();
        left.free(frame);
        let mut values = drain(&mut right);
        values.sort_unstable();
        let mut expected = vec![round, 7];
        expected.sort_unstable();
        assert_eq!(values, expected);
    }
}

#[test]
fn a_frame_is_not_touched_while_it_is_queued_and_goes_out_again_afterwards() {
    let world = World::new(TX_DEPTH);
    let (mut left, mut right) = pair(&world);
    let to = right.address();
    let frame = send(&mut left, RAIL, to, 1, 100);
    left.doorbell();
    // The engine repeats it, over another rail, while the hardware has not read it.
    let again = header(left.address(), to, 1 | 1 << 32);
    left.submit(0, OTHER_RAIL, to, &again, frame, 100).unwrap();
    left.doorbell();
    world.run();
    assert_eq!(drain(&mut right), [1]);
    while left.poll_event(0).is_some() {}
    world.run();
    assert_eq!(drain(&mut right), [1 | 1 << 32]);
}

#[test]
fn a_frame_that_is_freed_while_queued_is_handed_out_only_when_it_has_left() {
    let world = World::new(TX_DEPTH);
    let (mut left, mut right) = pair(&world);
    let frame = send(&mut left, RAIL, right.address(), 1, 100);
    left.doorbell();
    left.free(frame);
    let others: Vec<TxFrame> = std::iter::from_fn(|| left.alloc()).collect();
    assert_eq!(others.len(), left.limits().transmit_frames - 1);
    assert!(!others.contains(&frame));
    world.run();
    assert_eq!(drain(&mut right), [1]);
    assert_eq!(left.alloc(), Some(frame));
}

#[test]
fn what_the_kernel_has_no_room_for_is_sent_again() {
    let world = World::new(TX_DEPTH);
    let (mut left, mut right) = pair(&world);
    world.state().refuse = 2;
    let to = right.address();
    let frames = [send(&mut left, RAIL, to, 1, 10), send(&mut left, RAIL, to, 2, 10), send(&mut left, RAIL, to, 3, 10)];
    left.doorbell();
    for _ in 0..4 {
        world.run();
        while left.poll_event(0).is_some() {}
    }
    let mut values = drain(&mut right);
    values.sort_unstable();
    assert_eq!(values, [1, 2, 3]);
    frames.into_iter().for_each(|frame| left.free(frame));
}

#[test]
fn a_rail_takes_no_more_than_its_depth() {
    let world = World::new(TX_DEPTH);
    let (mut left, right) = pair(&world);
    let to = right.address();
    for value in 0..u64::from(TX_DEPTH) {
        assert!(left.cost_ns(0, RAIL, 0).is_some());
        send(&mut left, RAIL, to, value, 0);
    }
    assert_eq!(left.cost_ns(0, RAIL, 0), None);
    let frame = left.alloc().unwrap();
    let header = header(left.address(), to, 0);
    assert_eq!(left.submit(0, RAIL, to, &header, frame, 0), Err(SubmitError::RingFull));
    assert!(left.submit(0, OTHER_RAIL, to, &header, frame, 0).is_ok());
    left.doorbell();
    world.run();
    while left.poll_event(0).is_some() {}
    assert!(left.cost_ns(0, RAIL, 0).is_some());
}

#[test]
fn a_rail_that_goes_and_comes_is_told_and_loses_what_was_queued() {
    let world = World::new(TX_DEPTH);
    let (mut left, mut right) = pair(&world);
    let to = right.address();
    let frame = send(&mut left, RAIL, to, 1, 10);
    left.doorbell();
    world.toggle(0);
    assert_eq!(left.poll_event(0), Some(LinkEvent::RailDown(RAIL)));
    assert_eq!(left.poll_event(0), None);
    assert_eq!(left.cost_ns(0, RAIL, 0), None);
    // The engine gives it to the other rail at once: the kernel has given it back.
    let again = header(left.address(), to, 2);
    left.submit(0, OTHER_RAIL, to, &again, frame, 0).unwrap();
    assert_eq!(left.submit_control(0, RAIL, to, &again, &[]), Err(SubmitError::RailDown));
    left.doorbell();
    world.run();
    assert_eq!(drain(&mut right), [2]);
    world.toggle(0);
    assert_eq!(left.poll_event(0), Some(LinkEvent::RailUp(RAIL)));
    assert!(left.cost_ns(0, RAIL, 0).is_some());
}

#[test]
fn a_channel_that_does_not_exist_is_told() {
    let world = World::new(TX_DEPTH);
    let (mut left, _right) = pair(&world);
    send(&mut left, RAIL, NOBODY, 1, 10);
    left.doorbell();
    world.run();
    assert_eq!(drain(&mut left), []);
    assert_eq!(left.poll_event(0), Some(LinkEvent::PeerGone(NOBODY)));
}

#[test]
fn no_rail_is_offered_while_control_frames_are_used_up() {
    let world = World::new(TX_DEPTH);
    let (mut left, right) = pair(&world);
    let to = right.address();
    let control = header(left.address(), to, 1);
    while left.cost_ns(0, RAIL, 64).is_some() {
        left.submit_control(0, RAIL, to, &control, &[1; 64]).unwrap();
    }
    assert_eq!(left.cost_ns(0, OTHER_RAIL, 64), None);
    assert_eq!(left.submit_control(0, OTHER_RAIL, to, &control, &[]), Err(SubmitError::RingFull));
    left.doorbell();
    world.run();
    while left.poll_event(0).is_some() {}
    assert!(left.cost_ns(0, OTHER_RAIL, 64).is_some());
}

fn is_readable(channel: &KernelChannel) -> bool {
    // SAFETY: the channel keeps its event descriptor open.
    let fd = unsafe { BorrowedFd::borrow_raw(channel.event_fd()) };
    let now = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&now)).unwrap() > 0
}

#[test]
fn a_sleeper_is_woken_by_a_frame_a_rail_or_the_deadline_and_not_before() {
    let world = World::new(TX_DEPTH);
    let (mut left, mut right) = pair(&world);
    assert_eq!(right.arm(None), ArmResult::Armed);
    assert!(!is_readable(&right));
    send(&mut left, RAIL, right.address(), 1, 10);
    left.doorbell();
    world.run();
    assert!(is_readable(&right));
    // It lies there: whoever does not take it must not sleep.
    assert_eq!(right.arm(None), ArmResult::Busy);
    assert_eq!(drain(&mut right), [1]);
    assert_eq!(right.arm(None), ArmResult::Armed);
    world.toggle(1);
    assert!(is_readable(&right));
    assert_eq!(right.arm(None), ArmResult::Busy);
    assert_eq!(right.poll_event(0), Some(LinkEvent::RailDown(OTHER_RAIL)));
    let late = right.now_ns();
    assert_eq!(right.arm(Some(late)), ArmResult::Busy);
    assert_eq!(right.arm(Some(late + 1_000_000_000_000)), ArmResult::Armed);
    assert!(!is_readable(&right));
    assert_eq!(right.arm(Some(right.now_ns() + 1_000_000)), ArmResult::Armed);
    std::thread::sleep(std::time::Duration::from_millis(20));
    assert!(is_readable(&right));
    right.disarm();
    assert!(!is_readable(&right));
}

#[test]
fn a_sleeper_can_be_alerted_by_whoever_took_its_frames() {
    let world = World::new(TX_DEPTH);
    let (mut left, mut right) = pair(&world);
    right.alert();
    assert!(!right.is_armed() && !is_readable(&right), "nobody sleeps");
    assert_eq!(right.arm(None), ArmResult::Armed);
    send(&mut left, RAIL, right.address(), 1, 10);
    left.doorbell();
    world.run();
    assert_eq!(drain(&mut right), [1]);
    // Another look may have cleared what woke it; the alert stays.
    assert_eq!(right.arm(None), ArmResult::Armed);
    right.alert();
    while !is_readable(&right) {
        std::thread::yield_now();
    }
    right.disarm();
    assert!(!right.is_armed() && !is_readable(&right));
}

#[test]
fn each_way_to_receive_makes_the_system_calls_it_says() {
    let world = World::new(TX_DEPTH);
    let kicks = |channel: &mut KernelChannel, looks: usize| {
        world.state().kicks.clear();
        for _ in 0..looks {
            assert!(channel.reap(0).is_none());
        }
        let kicks = world.state().kicks.clone();
        assert!(kicks.iter().all(|&flags| flags == USB4_DMA_KICK_RX));
        kicks.len()
    };
    let (mut poll, mut ring) = (open(&world, 1, ReceiveMode::Poll), open(&world, 1, ReceiveMode::Ring));
    let mut auto = open(&world, 1, ReceiveMode::Auto);
    assert_eq!((kicks(&mut poll, 20_000), kicks(&mut ring, 20_000)), (20_000, 0));
    assert!((1..20_000).contains(&kicks(&mut auto, 20_000)));
    assert_eq!(kicks(&mut auto, 10), 0);
    // Something arrives by itself: the conversation goes on.
    send(&mut ring, RailId::LOOPBACK, auto.address(), 1, 10);
    ring.doorbell();
    world.run();
    assert_eq!(drain(&mut auto), [1]);
    assert_eq!(kicks(&mut auto, 10), 10);
    assert_eq!(auto.arm(None), ArmResult::Armed);
    assert_eq!(world.state().kicks.last(), Some(&USB4_DMA_KICK_ARM));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Send { rail: bool },
    Repeat { which: usize },
    Control { rail: bool },
    Free { which: usize },
    Run,
    Toggle { rail: bool },
    Refuse,
    Look,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => any::<bool>().prop_map(|rail| Step::Send { rail }),
        3 => any::<usize>().prop_map(|which| Step::Repeat { which }),
        2 => any::<bool>().prop_map(|rail| Step::Control { rail }),
        4 => any::<usize>().prop_map(|which| Step::Free { which }),
        3 => Just(Step::Run),
        1 => any::<bool>().prop_map(|rail| Step::Toggle { rail }),
        1 => Just(Step::Refuse),
        3 => Just(Step::Look),
    ]
}

proptest! {
    /// Whatever happens to rails and frames, no frame is queued twice (the model asserts it), none is lost, and none is handed out
    /// while the kernel has it.
    #[test]
    fn every_frame_comes_back(steps in prop::collection::vec(step(), 0..150)) {
        let world = World::new(TX_DEPTH);
        let (mut left, mut right) = pair(&world);
        let to = right.address();
        let rail = |rail| if rail { RAIL } else { OTHER_RAIL };
        let mut held = Vec::new();
        for (number, step) in steps.into_iter().enumerate() {
            let header = header(left.address(), to, number as u64);
            match step {
                Step::Send { rail: which } => {
                    if let Some(frame) = left.alloc() {
                        prop_assert!(!held.contains(&frame));
                        let _ = left.submit(0, rail(which), to, &header, frame, 0);
                        held.push(frame);
                    }
                }
                Step::Repeat { which } if !held.is_empty() => {
                    let _ = left.submit(0, rail(which % 2 == 0), to, &header, held[which % held.len()], 0);
                }
                Step::Control { rail: which } => {
                    let _ = left.submit_control(0, rail(which), to, &header, &[]);
                }
                Step::Free { which } if !held.is_empty() => left.free(held.swap_remove(which % held.len())),
                Step::Run => world.run(),
                Step::Toggle { rail } => world.toggle(u8::from(!rail)),
                Step::Refuse => world.state().refuse = 1,
                Step::Look => {
                    left.doorbell();
                    while left.poll_event(0).is_some() {}
                    while let Some(reaped) = right.reap(0) {
                        right.release(reaped.frame);
                    }
                }
                _ => {}
            }
        }
        held.into_iter().for_each(|frame| left.free(frame));
        for _ in 0..8 {
            left.doorbell();
            world.run();
            while left.poll_event(0).is_some() {}
        }
        let all = std::iter::from_fn(|| left.alloc()).count();
        prop_assert_eq!(all, left.limits().transmit_frames);
        prop_assert!(left.has_all_control_frames());
    }
}
