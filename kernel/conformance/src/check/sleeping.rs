//! poll(2), epoll(7) and the arming that goes before them.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFlags, epoll};
use usb4_dma_sys as uapi;

use super::{Check, Environment, Outcome, accepted};
use crate::channel::{Channel, Handle, LOOPBACK, PATIENCE};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "sleeping.before_setup", run: before_setup },
    Check { name: "sleeping.readable", run: readable },
    Check { name: "sleeping.writable", run: writable },
    Check { name: "sleeping.arm", run: arm },
    Check { name: "sleeping.woken", run: woken },
    Check { name: "sleeping.woken_in_epoll", run: woken_in_epoll },
    Check { name: "sleeping.in_epoll_before_setup", run: in_epoll_before_setup },
    Check { name: "sleeping.woken_by_completion", run: woken_by_completion },
    Check { name: "sleeping.causes_apart", run: causes_apart },
    Check { name: "sleeping.no_lost_wakeup", run: no_lost_wakeup },
];

const ARM: u32 = uapi::USB4_DMA_KICK_ARM;
const NOW: Duration = Duration::ZERO;

/// A channel that has seen the rails as they are.
fn open() -> Result<Channel> {
    let channel = Channel::open(8, 8)?;
    channel.fill_all();
    channel.handle.rails()?;
    Ok(channel)
}

fn send(from: &Channel, to: &Channel, cookie: u64) {
    from.submit(0, LOOPBACK, to.setup.node, to.setup.channel, &[5; 5], cookie);
}

fn before_setup(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let events = handle.poll(PollFlags::IN | PollFlags::OUT, NOW)?;
    ensure!(events.contains(PollFlags::ERR), "poll before SETUP says {events:?}, not POLLERR");
    Ok(Outcome::Passed)
}

fn readable(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    ensure!(channel.handle.poll(PollFlags::IN, NOW)?.is_empty(), "readable, though nothing is there");
    send(&channel, &channel, 1);
    channel.wait_done()?;
    ensure!(channel.handle.poll(PollFlags::IN, NOW)? == PollFlags::IN, "not readable, though a frame is there");
    let rx = channel.wait_ready()?;
    ensure!(channel.handle.poll(PollFlags::IN, NOW)?.is_empty(), "readable, though the frame was taken");
    channel.push_fill(rx.frame);
    Ok(Outcome::Passed)
}

fn writable(_: &Environment) -> Result<Outcome> {
    let (channel, other) = (open()?, open()?);
    ensure!(channel.handle.poll(PollFlags::OUT, NOW)?.is_empty(), "writable, though nothing has completed");
    send(&channel, &other, 1);
    let end = std::time::Instant::now() + PATIENCE;
    accepted("KICK", channel.handle.kick(uapi::USB4_DMA_KICK_TX))?;
    while channel.handle.poll(PollFlags::OUT, NOW)? != PollFlags::OUT {
        ensure!(std::time::Instant::now() < end, "not writable, though a frame has been sent");
        thread::yield_now();
    }
    ensure!(channel.pop_done().is_some(), "writable, but nothing has completed");
    ensure!(channel.handle.poll(PollFlags::OUT, NOW)?.is_empty(), "writable, though the completion was taken");
    Ok(Outcome::Passed)
}

fn arm(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    let result = |flags| accepted("KICK", channel.handle.kick(flags)).map(|kicked| kicked.result);
    let both = uapi::USB4_DMA_KICKED_ARMED | uapi::USB4_DMA_KICKED_BUSY;
    ensure!(result(0)? & both == 0, "armed without being asked to");
    ensure!(result(ARM)? & both == uapi::USB4_DMA_KICKED_ARMED, "not armed, though nothing is there");
    send(&channel, &channel, 1);
    channel.wait_done()?;
    ensure!(result(ARM)? & both == uapi::USB4_DMA_KICKED_BUSY, "armed, though a frame is there");
    let rx = channel.wait_ready()?;
    channel.push_fill(rx.frame);
    ensure!(result(ARM)? & both == uapi::USB4_DMA_KICKED_ARMED, "not armed, though the frame was taken");
    // A completion counts only if it is asked for.
    send(&channel, &channel, 2);
    let kicked = result(uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX)?;
    ensure!(kicked & both == 0, "armed without being asked to");
    channel.wait_ready()?;
    ensure!(result(ARM)? & both == uapi::USB4_DMA_KICKED_ARMED, "a completion keeps from being armed");
    let with_tx = result(ARM | uapi::USB4_DMA_KICK_ARM_TX)?;
    ensure!(with_tx & both == uapi::USB4_DMA_KICKED_BUSY, "a completion that was asked for does not keep from it");
    Ok(Outcome::Passed)
}

fn woken(_: &Environment) -> Result<Outcome> {
    let (sleeper, waker) = (open()?, open()?);
    for _ in 0..50 {
        thread::scope(|scope| {
            let asleep = scope.spawn(|| sleeper.handle.poll(PollFlags::IN, PATIENCE));
            send(&waker, &sleeper, 1);
            waker.wait_done()?;
            let events = asleep.join().map_err(|_| anyhow::anyhow!("the sleeper's thread panicked"))??;
            ensure!(events == PollFlags::IN, "poll ended with {events:?}, though a frame came");
            let rx = sleeper.wait_ready()?;
            sleeper.push_fill(rx.frame);
            Ok(())
        })?;
    }
    let counters = sleeper.counters();
    ensure!(counters.wakeups <= counters.arms, "{} wake-ups, armed {} times", counters.wakeups, counters.arms);
    Ok(Outcome::Passed)
}

/// Waits in an epoll set until something happens or `limit` is over.
fn epoll_wait(set: &impl std::os::fd::AsFd, limit: Duration) -> Result<usize> {
    let mut events = Vec::with_capacity(4);
    let limit = rustix::event::Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
    Ok(epoll::wait(set, rustix::buffer::spare_capacity(&mut events), Some(&limit))?)
}

fn woken_in_epoll(_: &Environment) -> Result<Outcome> {
    let (sleeper, waker) = (open()?, open()?);
    for edge in [epoll::EventFlags::empty(), epoll::EventFlags::ET] {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&set, &sleeper.handle, epoll::EventData::new_u64(1), epoll::EventFlags::IN | edge)?;
        epoll_wait(&set, NOW)?;
        for round in 0..50 {
            let kicked = accepted("KICK", sleeper.handle.kick(ARM))?;
            ensure!(kicked.result & uapi::USB4_DMA_KICKED_ARMED != 0, "round {round}: not armed: {kicked:?}");
            thread::scope(|scope| {
                let asleep = scope.spawn(|| epoll_wait(&set, PATIENCE));
                send(&waker, &sleeper, 1);
                waker.wait_done()?;
                let count = asleep.join().map_err(|_| anyhow::anyhow!("the sleeper's thread panicked"))??;
                ensure!(count == 1, "round {round}: epoll_wait ended with {count} events, though a frame came");
                let rx = sleeper.wait_ready()?;
                sleeper.push_fill(rx.frame);
                Ok(())
            })?;
        }
    }
    Ok(Outcome::Passed)
}

/// An epoll set asks for a handle's wake-ups once, when the handle is added.
fn in_epoll_before_setup(_: &Environment) -> Result<Outcome> {
    let (handle, set) = (Handle::open()?, epoll::create(epoll::CreateFlags::CLOEXEC)?);
    epoll::add(&set, &handle, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
    ensure!(epoll_wait(&set, PATIENCE)? == 1, "no EPOLLERR before SETUP");
    let (sleeper, waker) = (Channel::make(handle, 8, 8)?, open()?);
    sleeper.fill_all();
    sleeper.handle.rails()?;
    ensure!(epoll_wait(&set, NOW)? == 0, "an event after SETUP, though nothing is there");
    for round in 0..3 {
        let kicked = accepted("KICK", sleeper.handle.kick(ARM))?;
        ensure!(kicked.result & uapi::USB4_DMA_KICKED_ARMED != 0, "round {round}: not armed: {kicked:?}");
        send(&waker, &sleeper, round);
        waker.wait_done()?;
        ensure!(epoll_wait(&set, PATIENCE)? == 1, "round {round}: no event, though a frame came");
        let rx = sleeper.wait_ready()?;
        sleeper.push_fill(rx.frame);
    }
    Ok(Outcome::Passed)
}

/// On a rail, since a frame to the own node has been sent when KICK returns.
fn woken_by_completion(environment: &Environment) -> Result<Outcome> {
    if environment.rails == 0 {
        return Ok(Outcome::LeftOut("there is no rail"));
    }
    let channel = open()?;
    let (rails, _) = channel.handle.rails()?;
    let rail = rails.iter().find(|rail| u32::from(rail.state) == uapi::USB4_DMA_RAIL_UP).context("no rail is up")?;
    let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    // The peer's answer, that there is no such channel, must not take the completion's wake-up away.
    epoll::add(&set, &channel.handle, epoll::EventData::new_u64(1), epoll::EventFlags::OUT)?;
    for round in 0..50 {
        channel.submit(0, rail.rail, rail.peer_node, 0xfffe, &[0; 4000], round);
        let done = loop {
            let flags = uapi::USB4_DMA_KICK_TX | ARM | uapi::USB4_DMA_KICK_ARM_TX;
            let kicked = accepted("KICK", channel.handle.kick(flags))?;
            if kicked.result & uapi::USB4_DMA_KICKED_ARMED != 0 {
                ensure!(epoll_wait(&set, PATIENCE)? == 1, "round {round}: no event, though a frame has been sent");
            }
            while let Some(rx) = channel.pop_ready() {
                ensure!(u32::from(rx.flags) == uapi::USB4_DMA_RX_GONE, "round {round}: somebody answered: {rx:?}");
            }
            if let Some(done) = channel.pop_done() {
                break done;
            }
        };
        ensure!(done.cookie == round, "round {round}: {done:?}");
    }
    Ok(Outcome::Passed)
}

/// Who sleeps for a completion sleeps on when a frame comes, or another thread kicks, and wakes for the completion.
fn causes_apart(_: &Environment) -> Result<Outcome> {
    let (channel, other) = (open()?, open()?);
    for round in 0..50 {
        let (arms, end) = (channel.counters().arms, std::time::Instant::now() + PATIENCE);
        thread::scope(|scope| {
            let asleep = scope.spawn(|| channel.handle.poll(PollFlags::OUT, PATIENCE));
            while channel.counters().arms == arms {
                ensure!(std::time::Instant::now() < end, "round {round}: poll does not arm");
                thread::yield_now();
            }
            send(&other, &channel, round);
            other.wait_done()?;
            send(&channel, &other, round);
            accepted("KICK", channel.handle.kick(uapi::USB4_DMA_KICK_TX))?;
            let events = asleep.join().map_err(|_| anyhow::anyhow!("the sleeper's thread panicked"))??;
            ensure!(events == PollFlags::OUT, "round {round}: poll ended with {events:?}, though a frame was sent");
            Ok(())
        })?;
        ensure!(channel.pop_done().is_some(), "round {round}: writable, but nothing has completed");
        for receiver in [&channel, &other] {
            let rx = receiver.wait_ready()?;
            receiver.push_fill(rx.frame);
        }
    }
    Ok(Outcome::Passed)
}

/// Frames that come right when the receiver goes to sleep: each wakes it, or keeps it from sleeping.
fn no_lost_wakeup(_: &Environment) -> Result<Outcome> {
    const FRAMES: u64 = 3000;
    let (sleeper, waker) = (open()?, open()?);
    thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<()> {
            for cookie in 0..FRAMES {
                let before = sleeper.rail_counters(LOOPBACK).rx_no_buffer;
                send(&waker, &sleeper, cookie);
                waker.wait_done()?;
                // The receiver may be slower; then the frame is sent again.
                let mut dropped = before;
                while sleeper.rail_counters(LOOPBACK).rx_no_buffer > dropped {
                    dropped = sleeper.rail_counters(LOOPBACK).rx_no_buffer;
                    thread::yield_now();
                    send(&waker, &sleeper, cookie);
                    waker.wait_done()?;
                }
            }
            Ok(())
        });
        let mut seen = 0;
        while seen < FRAMES {
            while let Some(rx) = sleeper.pop_ready() {
                sleeper.push_fill(rx.frame);
                seen += 1;
            }
            if seen == FRAMES {
                break;
            }
            let kicked = accepted("KICK", sleeper.handle.kick(ARM))?;
            if kicked.result & uapi::USB4_DMA_KICKED_ARMED != 0 {
                let events = sleeper.handle.poll(PollFlags::IN, PATIENCE)?;
                ensure!(events == PollFlags::IN, "frame {seen} of {FRAMES} woke nobody ({events:?})");
            }
        }
        sender.join().map_err(|_| anyhow::anyhow!("the sender's thread panicked"))?
    })?;
    Ok(Outcome::Passed)
}
