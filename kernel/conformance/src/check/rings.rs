//! The shared rings when user space lies in them: whoever does hurts only itself, and can go on once it is right again.

use std::mem::offset_of;

use anyhow::{Result, ensure};
use usb4_dma_sys as uapi;

use super::{Check, Environment, Outcome, accepted};
use crate::channel::{Channel, LOOPBACK, shift_consumer, shift_producer};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "rings.submit_producer", run: submit_producer },
    Check { name: "rings.fill_producer", run: fill_producer },
    Check { name: "rings.complete_consumer", run: complete_consumer },
    Check { name: "rings.ready_consumer", run: ready_consumer },
    Check { name: "rings.kernel_words", run: kernel_words },
    Check { name: "rings.fill_entries", run: fill_entries },
    Check { name: "rings.fill_twice", run: fill_twice },
    Check { name: "rings.full", run: full },
    Check { name: "rings.wrap", run: wrap },
];

const BOTH: u32 = uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX;

fn open() -> Result<Channel> {
    let channel = Channel::open(8, 8)?;
    channel.fill_all();
    Ok(channel)
}

fn send_to_self(channel: &Channel, cookie: u64) {
    let (node, own) = (channel.setup.node, channel.setup.channel);
    channel.submit(0, LOOPBACK, node, own, &cookie.to_le_bytes(), cookie);
}

/// Sends a frame and gets it, so the channel works.
fn works(channel: &Channel) -> Result<()> {
    send_to_self(channel, 77);
    let done = channel.wait_done()?;
    ensure!(u32::from(done.status) == uapi::USB4_DMA_TX_SENT && done.cookie == 77, "afterwards: {done:?}");
    let rx = channel.wait_ready()?;
    ensure!(channel.read_frame(&rx).1 == 77_u64.to_le_bytes(), "afterwards: another frame arrived: {rx:?}");
    channel.push_fill(rx.frame);
    Ok(())
}

/// Distances that no counter may have. A producer must not be behind the kernel's consumer at all; a consumer may be behind the
/// kernel's producer by as much as the ring holds.
fn distances(entries: u32) -> [u32; 4] {
    [entries + 1, entries * 2, 1 << 31, u32::MAX - entries]
}

fn submit_producer(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    let ring = channel.region(uapi::USB4_DMA_REGION_SUBMIT);
    for (round, by) in (1..).zip(distances(channel.setup.tx_entries).into_iter().chain([u32::MAX])) {
        shift_producer(ring, by);
        let kicked = accepted("KICK", channel.handle.kick(BOTH))?;
        ensure!(kicked.tx_taken == 0, "the producer is off by {by}, and {} entries were taken", kicked.tx_taken);
        ensure!(channel.pop_done().is_none(), "the producer is off by {by}, and something completed");
        ensure!(channel.counters().ring_invalid >= round, "the producer is off by {by}, which is not counted");
        shift_producer(ring, by.wrapping_neg());
        works(&channel)?;
    }
    Ok(Outcome::Passed)
}

fn fill_producer(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    let ring = channel.region(uapi::USB4_DMA_REGION_FILL);
    for (round, by) in (1..).zip(distances(channel.setup.rx_entries)) {
        shift_producer(ring, by);
        send_to_self(&channel, 1);
        ensure!(u32::from(channel.wait_done()?.status) == uapi::USB4_DMA_TX_SENT, "a frame to a broken ring");
        ensure!(channel.pop_ready().is_none(), "the producer is off by {by}, and a frame was taken from the ring");
        ensure!(channel.rail_counters(LOOPBACK).rx_no_buffer == round, "the dropped frame is not counted");
        shift_producer(ring, by.wrapping_neg());
        works(&channel)?;
    }
    ensure!(channel.counters().ring_invalid > 0, "broken rings are not counted");
    Ok(Outcome::Passed)
}

fn complete_consumer(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    let ring = channel.region(uapi::USB4_DMA_REGION_COMPLETE);
    for by in distances(channel.setup.tx_entries) {
        // A consumer that is ahead of the producer, or further behind than the ring is long.
        shift_consumer(ring, by);
        send_to_self(&channel, 1);
        let kicked = accepted("KICK", channel.handle.kick(BOTH))?;
        ensure!(kicked.tx_taken == 0, "the consumer is off by {by}, and an entry was taken that cannot complete");
        shift_consumer(ring, by.wrapping_neg());
        let done = channel.wait_done()?;
        ensure!(done.cookie == 1 && u32::from(done.status) == uapi::USB4_DMA_TX_SENT, "{done:?}");
        let rx = channel.wait_ready()?;
        channel.push_fill(rx.frame);
        works(&channel)?;
    }
    Ok(Outcome::Passed)
}

fn ready_consumer(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    let ring = channel.region(uapi::USB4_DMA_REGION_READY);
    for by in distances(channel.setup.rx_entries) {
        shift_consumer(ring, by);
        send_to_self(&channel, 1);
        ensure!(u32::from(channel.wait_done()?.status) == uapi::USB4_DMA_TX_SENT, "a frame to a broken ring");
        shift_consumer(ring, by.wrapping_neg());
        ensure!(channel.pop_ready().is_none(), "the consumer is off by {by}, and the kernel put something there");
        works(&channel)?;
    }
    // No frame of the fill ring was lost on the way.
    for cookie in 0..u64::from(channel.setup.rx_frames) {
        send_to_self(&channel, cookie);
        channel.wait_done()?;
        channel.wait_ready()?;
    }
    Ok(Outcome::Passed)
}

/// The kernel never reads back what it wrote into shared memory.
fn kernel_words(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    let words = [
        (uapi::USB4_DMA_REGION_SUBMIT, offset_of!(uapi::usb4_dma_ring, consumer)),
        (uapi::USB4_DMA_REGION_FILL, offset_of!(uapi::usb4_dma_ring, consumer)),
        (uapi::USB4_DMA_REGION_COMPLETE, offset_of!(uapi::usb4_dma_ring, producer)),
        (uapi::USB4_DMA_REGION_READY, offset_of!(uapi::usb4_dma_ring, producer)),
    ];
    for (id, place) in words {
        let ring = channel.region(id);
        let right = ring.load(place);
        for wrong in [right ^ 1, right.wrapping_add(1 << 20), u32::MAX, 0] {
            ring.store(place, wrong);
            let before = channel.rail_counters(LOOPBACK).rx_frames;
            send_to_self(&channel, 5);
            accepted("KICK", channel.handle.kick(BOTH))?;
            let after = channel.rail_counters(LOOPBACK).rx_frames;
            ensure!(after == before + 1, "region {id}, byte {place} was overwritten, and the kernel believed it");
            // The kernel has written its own count over it, or does with its next entry; the reader starts from its own.
            let (done, rx) = (channel.wait_done()?, channel.wait_ready()?);
            ensure!(done.cookie == 5 && rx.src_channel == channel.setup.channel, "{done:?}, {rx:?}");
            channel.push_fill(rx.frame);
        }
    }
    works(&channel)?;
    Ok(Outcome::Passed)
}

fn fill_entries(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(8, 8)?;
    // Frames for transmit, beyond the pool, far beyond it.
    let wrong = [0, 7, 16, 17, 1 << 16, 1 << 31, u32::MAX];
    for frame in wrong {
        channel.push_fill(frame);
    }
    channel.push_fill(9);
    send_to_self(&channel, 2);
    channel.wait_done()?;
    let rx = channel.wait_ready()?;
    ensure!(rx.frame == 9, "a frame arrived in {}, which is not for receive", rx.frame);
    let counted = channel.counters().fill_invalid;
    ensure!(counted == wrong.len() as u64, "{} wrong entries, {counted} counted", wrong.len());
    Ok(Outcome::Passed)
}

/// A frame that stands twice in the fill ring is overwritten: the process's own affair.
fn fill_twice(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(8, 8)?;
    for _ in 0..2 {
        channel.push_fill(8);
    }
    for cookie in 0..2 {
        send_to_self(&channel, cookie);
        channel.wait_done()?;
    }
    let (first, second) = (channel.wait_ready()?, channel.wait_ready()?);
    ensure!(first.frame == 8 && second.frame == 8, "{first:?}, {second:?}");
    Ok(Outcome::Passed)
}

fn full(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(8, 8)?;
    let entries = channel.setup.tx_entries;
    for cookie in 0..u64::from(entries) {
        send_to_self(&channel, cookie);
    }
    let mut taken = 0;
    for _ in 0..entries {
        taken += accepted("KICK", channel.handle.kick(BOTH))?.tx_taken;
    }
    ensure!(taken == entries, "{taken} entries were taken of {entries}, though as many have room when they complete");
    // Nobody has read a completion, so there is room for no more.
    send_to_self(&channel, 1000);
    let kicked = accepted("KICK", channel.handle.kick(BOTH))?;
    ensure!(
        kicked.tx_taken == 0 && kicked.result & uapi::USB4_DMA_KICKED_TX_LEFT != 0,
        "the complete ring is full: {kicked:?}"
    );
    for cookie in 0..u64::from(entries) {
        let done = channel.pop_done();
        ensure!(done.is_some_and(|done| done.cookie == cookie), "completion {cookie}: {done:?}");
    }
    ensure!(channel.wait_done()?.cookie == 1000, "the entry that was left did not follow");
    Ok(Outcome::Passed)
}

/// Many times round the rings, with changing distances between both counters.
fn wrap(_: &Environment) -> Result<Outcome> {
    let channel = open()?;
    let (mut sent, mut seen) = (0_u64, 0_u64);
    for round in 0..2000_u64 {
        let burst = 1 + round % 8;
        for frame in 0..burst {
            let (node, own) = (channel.setup.node, channel.setup.channel);
            channel.submit(frame as u32, LOOPBACK, node, own, &sent.to_le_bytes(), sent);
            sent += 1;
        }
        for back in (0..burst).rev() {
            let done = channel.wait_done()?;
            ensure!(done.cookie == sent - 1 - back, "round {round}: {done:?}");
            let rx = channel.wait_ready()?;
            ensure!(channel.read_frame(&rx).1 == seen.to_le_bytes(), "round {round}: frame {seen} is another one");
            channel.push_fill(rx.frame);
            seen += 1;
        }
    }
    Ok(Outcome::Passed)
}
