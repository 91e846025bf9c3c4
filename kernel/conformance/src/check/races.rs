//! Things that happen at once: one handle in several threads, channels that end while others send to them, processes that are killed.

use std::io::{ErrorKind, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use usb4_dma_sys as uapi;

use super::{Check, Environment, Outcome, accepted};
use crate::channel::{Channel, Handle, LOOPBACK, map, module_works};
use crate::sys;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "races.setup", run: setup },
    Check { name: "races.kick", run: kick },
    Check { name: "races.unmap", run: unmap },
    Check { name: "races.vanishing_receiver", run: vanishing_receiver },
    Check { name: "races.last_close", run: last_close },
    Check { name: "races.passed_on", run: passed_on },
    Check { name: "races.close_in_flight", run: close_in_flight },
    Check { name: "races.killed", run: killed },
];

const BOTH: u32 = uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX;

fn setup(_: &Environment) -> Result<Outcome> {
    const THREADS: usize = 8;
    for round in 0..50 {
        let handle = Handle::open()?;
        let (barrier, winners) = (Barrier::new(THREADS), AtomicUsize::new(0));
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| {
                    scope.spawn(|| -> Result<()> {
                        let arena = sys::Arena::new()?;
                        let mut setup = uapi::usb4_dma_setup { tx_frames: 2, rx_frames: 2, ..Default::default() };
                        barrier.wait();
                        let fd = handle.fd.as_fd();
                        match sys::call(fd, &arena, uapi::IOCTL_SETUP, &mut setup) {
                            Ok(()) => winners.fetch_add(1, Ordering::Relaxed),
                            Err(Errno::BADFD) => 0,
                            Err(error) => return Err(anyhow!("SETUP: {error:?} instead of EBADFD")),
                        };
                        Ok(())
                    })
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| anyhow!("a thread panicked"))?)
        })?;
        let winners = winners.into_inner();
        ensure!(winners == 1, "round {round}: {winners} of {THREADS} SETUPs at once were accepted");
    }
    Ok(Outcome::Passed)
}

/// Several threads kick one channel; each entry is taken once, each completes once.
fn kick(_: &Environment) -> Result<Outcome> {
    const FRAMES: u64 = 4000;
    let channel = Channel::open(64, 64)?;
    channel.fill_all();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let kickers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| -> Result<u64> {
                    let (arena, mut taken) = (sys::Arena::new()?, 0);
                    while !done.load(Ordering::Relaxed) {
                        let mut kick = uapi::usb4_dma_kick { flags: BOTH, ..Default::default() };
                        let fd = std::os::fd::AsFd::as_fd(&channel.handle.fd);
                        sys::call(fd, &arena, uapi::IOCTL_KICK, &mut kick).context("KICK")?;
                        taken += u64::from(kick.tx_taken);
                    }
                    Ok(taken)
                })
            })
            .collect();
        let result = one_by_one(&channel, FRAMES);
        done.store(true, Ordering::Relaxed);
        for kicker in kickers {
            kicker.join().map_err(|_| anyhow!("a thread panicked"))??;
        }
        result
    })?;
    let rail = channel.rail_counters(LOOPBACK);
    ensure!(rail.tx_frames == FRAMES && rail.rx_frames == FRAMES, "{FRAMES} frames were sent once each: {rail:?}");
    Ok(Outcome::Passed)
}

/// Sends and receives frames of one channel, and looks that each comes once and in order.
fn one_by_one(channel: &Channel, frames: u64) -> Result<()> {
    let (mut completed, mut arrived) = (0, 0);
    let mut sent = 0;
    while arrived < frames {
        while sent < frames && sent - completed.min(arrived) < 64 {
            let (node, own) = (channel.setup.node, channel.setup.channel);
            channel.submit((sent % 64) as u32, LOOPBACK, node, own, &sent.to_le_bytes(), sent);
            sent += 1;
        }
        while let Some(done) = channel.pop_done() {
            ensure!(done.cookie == completed, "completion {completed}: {done:?}");
            completed += 1;
        }
        let rx = channel.wait_ready()?;
        ensure!(channel.read_frame(&rx).1 == arrived.to_le_bytes(), "frame {arrived} is another one: {rx:?}");
        channel.push_fill(rx.frame);
        arrived += 1;
    }
    while completed < frames {
        let done = channel.wait_done()?;
        ensure!(done.cookie == completed, "completion {completed}: {done:?}");
        completed += 1;
    }
    ensure!(channel.pop_done().is_none() && channel.pop_ready().is_none(), "more came than was sent");
    Ok(())
}

fn unmap(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(8, 8)?;
    channel.fill_all();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let mapper = scope.spawn(|| -> Result<()> {
            while !done.load(Ordering::Relaxed) {
                for id in 0..uapi::USB4_DMA_REGIONS {
                    let mapping = accepted("mmap", map(&channel.handle, &channel.setup, id))?;
                    mapping.load(0);
                    if id % 2 == 0 {
                        mapping.unmap_in_parts(4096);
                    }
                }
            }
            Ok(())
        });
        let result = one_by_one_in_rounds(&channel);
        done.store(true, Ordering::Relaxed);
        mapper.join().map_err(|_| anyhow!("a thread panicked"))??;
        result
    })?;
    Ok(Outcome::Passed)
}

fn one_by_one_in_rounds(channel: &Channel) -> Result<()> {
    for cookie in 0..1000_u64 {
        let (node, own) = (channel.setup.node, channel.setup.channel);
        channel.submit(0, LOOPBACK, node, own, &cookie.to_le_bytes(), cookie);
        channel.wait_done()?;
        let rx = channel.wait_ready()?;
        ensure!(channel.read_frame(&rx).1 == cookie.to_le_bytes(), "frame {cookie} is another one");
        channel.push_fill(rx.frame);
    }
    Ok(())
}

fn vanishing_receiver(_: &Environment) -> Result<Outcome> {
    let target = AtomicUsize::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let sender = scope.spawn(|| -> Result<u64> {
            let channel = Channel::open(8, 8)?;
            channel.fill_all();
            let mut sent = 0;
            while !done.load(Ordering::Relaxed) {
                let target = target.load(Ordering::Relaxed) as u16;
                if target == 0 {
                    thread::yield_now();
                    continue;
                }
                channel.submit(0, LOOPBACK, channel.setup.node, target, &[1; 4000], sent);
                let tx = channel.wait_done()?;
                ensure!(u32::from(tx.status) == uapi::USB4_DMA_TX_SENT, "to a channel that comes and goes: {tx:?}");
                while let Some(rx) = channel.pop_ready() {
                    ensure!(u32::from(rx.flags) == uapi::USB4_DMA_RX_GONE, "a frame came back: {rx:?}");
                }
                sent += 1;
            }
            Ok(sent)
        });
        let result = (0..200).try_for_each(|_| {
            let receiver = Channel::open(8, 8)?;
            receiver.fill_all();
            target.store(receiver.setup.channel.into(), Ordering::Relaxed);
            receiver.wait_ready().map(drop)
        });
        done.store(true, Ordering::Relaxed);
        sender.join().map_err(|_| anyhow!("a thread panicked"))??;
        result
    })?;
    module_works()?;
    Ok(Outcome::Passed)
}

fn last_close(_: &Environment) -> Result<Outcome> {
    let other = Channel::open(2, 2)?;
    let Channel { handle, setup, regions } = Channel::open(2, 2)?;
    let copy = handle.fd.try_clone().context("dup")?;
    drop(handle);
    let channel = Channel { handle: Handle { fd: copy, arena: sys::Arena::new()? }, setup, regions };
    channel.fill_all();
    other.submit(0, LOOPBACK, setup.node, setup.channel, &[3; 3], 1);
    other.wait_done()?;
    channel.wait_ready().context("the channel ended before its last handle was closed")?;
    Ok(Outcome::Passed)
}

/// A handle that is on its way to another process, in a message that nobody has read, keeps its channel.
fn passed_on(_: &Environment) -> Result<Outcome> {
    let other = Channel::open(2, 2)?;
    other.fill_all();
    let Channel { handle, setup, regions } = Channel::open(2, 2)?;
    let (from, to) = match UnixStream::pair() {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(Outcome::LeftOut("there are no sockets")),
        pair => pair?,
    };
    let handles = [handle.fd.as_fd()];
    let mut room = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut message = SendAncillaryBuffer::new(&mut room);
    ensure!(message.push(SendAncillaryMessage::ScmRights(&handles)), "there is no room for a handle");
    sendmsg(&from, &[IoSlice::new(b"x")], &mut message, SendFlags::empty()).context("sendmsg")?;
    drop((handle, regions));
    other.submit(0, LOOPBACK, setup.node, setup.channel, &[3; 3], 1);
    other.wait_done()?;
    ensure!(other.pop_ready().is_none(), "the channel ended while its handle was on its way");
    // The message goes unread.
    drop((from, to));
    other.submit(0, LOOPBACK, setup.node, setup.channel, &[3; 3], 2);
    other.wait_done()?;
    let rx = other.wait_ready().context("the channel lives on after its handle was thrown away")?;
    ensure!(u32::from(rx.flags) == uapi::USB4_DMA_RX_GONE, "a frame came back: {rx:?}");
    Ok(Outcome::Passed)
}

/// Channels that end while their frames are on rails: the hardware may still read the pool.
fn close_in_flight(environment: &Environment) -> Result<Outcome> {
    if environment.rails == 0 {
        return Ok(Outcome::LeftOut("there is no rail"));
    }
    for _ in 0..50 {
        let channel = Channel::open(64, 8)?;
        let (rails, _) = channel.handle.rails()?;
        for (index, rail) in rails.iter().cycle().take(64).enumerate() {
            channel.submit(index as u32, rail.rail, rail.peer_node, 0xfffe, &[0x5a; 4000], index as u64);
        }
        accepted("KICK", channel.handle.kick(uapi::USB4_DMA_KICK_TX))?;
    }
    module_works()?;
    Ok(Outcome::Passed)
}

/// Processes that are killed wherever they are.
fn killed(_: &Environment) -> Result<Outcome> {
    let own = std::env::current_exe().context("this program's own path")?;
    for round in 0..12_u64 {
        let mut child = Command::new(&own)
            .args(["fuzz", "--seconds", "60", "--seed", &round.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("another process")?;
        thread::sleep(Duration::from_millis(50 + round * 37 % 200));
        let running = child.try_wait()?.is_none();
        child.kill()?;
        child.wait()?;
        ensure!(running, "round {round}: the process ended by itself before it was killed");
        module_works()?;
    }
    Ok(Outcome::Passed)
}
