//! Frames to the own node: data, addresses, refusals, what is counted.

use anyhow::{Result, ensure};
use usb4_dma_sys as uapi;
use usb4_dma_sys::usb4_dma_tx;

use super::{Check, Environment, Outcome, accepted};
use crate::channel::{Channel, HEADER, LOOPBACK};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "loopback.data", run: data },
    Check { name: "loopback.between_channels", run: between_channels },
    Check { name: "loopback.invalid", run: invalid },
    Check { name: "loopback.unknown_rail", run: unknown_rail },
    Check { name: "loopback.no_buffer", run: no_buffer },
    Check { name: "loopback.gone", run: gone },
    Check { name: "loopback.counters", run: counters },
];

/// Bytes that tell which frame they are of.
fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|index| (index.wrapping_mul(31) ^ seed.wrapping_mul(131)) as u8).collect()
}

fn data(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(8, 8)?;
    let (node, own) = (channel.setup.node, channel.setup.channel);
    channel.fill_all();
    for (round, len) in [0, 1, 7, 8, 63, 64, 1000, 4095 - HEADER, 4096 - HEADER].into_iter().enumerate() {
        let payload = pattern(round, len);
        channel.submit(round as u32 % 8, LOOPBACK, node, own, &payload, 1000 + round as u64);
        let done = channel.wait_done()?;
        let sent = uapi::USB4_DMA_TX_SENT;
        ensure!(u32::from(done.status) == sent && done.reserved == 0, "frame of {len} bytes: {done:?}");
        ensure!(done.cookie == 1000 + round as u64 && done.frame == round as u32 % 8, "frame of {len} bytes: {done:?}");
        ensure!(done.rail == LOOPBACK, "frame of {len} bytes: {done:?}");
        let rx = channel.wait_ready()?;
        let what = format!("frame of {len} bytes: {rx:?}");
        ensure!(rx.rail == LOOPBACK && rx.flags == 0 && rx.reserved == 0, "{what}");
        ensure!(rx.src_node == node && rx.src_channel == own && usize::from(rx.len) == HEADER + len, "{what}");
        let (header, arrived) = channel.read_frame(&rx);
        ensure!(header == channel.header(node, own, len) && arrived == payload, "{what}: its bytes differ");
        channel.push_fill(rx.frame);
    }
    Ok(Outcome::Passed)
}

fn between_channels(_: &Environment) -> Result<Outcome> {
    let (one, two) = (Channel::open(16, 16)?, Channel::open(16, 16)?);
    for channel in [&one, &two] {
        channel.fill_all();
    }
    for round in 0..500_usize {
        let (from, to) = if round % 2 == 0 { (&one, &two) } else { (&two, &one) };
        let payload = pattern(round, round * 7 % (4096 - HEADER));
        from.submit(round as u32 % 16, LOOPBACK, to.setup.node, to.setup.channel, &payload, round as u64);
        let done = from.wait_done()?;
        ensure!(u32::from(done.status) == uapi::USB4_DMA_TX_SENT && done.cookie == round as u64, "{done:?}");
        let rx = to.wait_ready()?;
        ensure!(rx.src_channel == from.setup.channel, "round {round}: {rx:?}");
        ensure!(to.read_frame(&rx).1 == payload, "round {round}: bytes differ");
        ensure!(from.pop_ready().is_none(), "round {round}: the sender got a frame, too");
        to.push_fill(rx.frame);
    }
    Ok(Outcome::Passed)
}

fn invalid(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    let (node, own) = (channel.setup.node, channel.setup.channel);
    channel.fill_all();
    let good = usb4_dma_tx { frame: 0, len: HEADER as u16 + 8, rail: LOOPBACK, flags: 0, cookie: 7 };
    let header = channel.header(node, own, 8);
    let source = |src_node: u32, src_channel: u16| uapi::usb4_dma_header { src_node, src_channel, ..header };
    let payload = |len: u16| uapi::usb4_dma_header { payload_len: len.to_le(), ..header };
    let cases = [
        ("a receive frame", header, usb4_dma_tx { frame: 4, ..good }),
        ("a frame beyond the pool", header, usb4_dma_tx { frame: 8, ..good }),
        ("frame 2^32 - 1", header, usb4_dma_tx { frame: u32::MAX, ..good }),
        ("length 0", header, usb4_dma_tx { len: 0, ..good }),
        ("a length below the header's", payload(0), usb4_dma_tx { len: HEADER as u16 - 1, ..good }),
        ("a length above the frame's", payload(4097 - HEADER as u16), usb4_dma_tx { len: 4097, ..good }),
        ("length 2^16 - 1", payload(u16::MAX - HEADER as u16), usb4_dma_tx { len: u16::MAX, ..good }),
        ("a payload shorter than the length", payload(7), good),
        ("a payload longer than the length", payload(9), good),
        ("a payload of 2^16 - 1", payload(u16::MAX), good),
        ("rail 32", header, usb4_dma_tx { rail: 32, ..good }),
        ("rail 255", header, usb4_dma_tx { rail: 255, ..good }),
        ("flag 0", header, usb4_dma_tx { flags: 1, ..good }),
        ("flag 7", header, usb4_dma_tx { flags: 0x80, ..good }),
        ("another node's name", source(node ^ 1, own), good),
        ("another channel's name", source(node, own ^ 1), good),
        ("channel 0 as its source", source(node, 0), good),
        ("another node behind loopback", uapi::usb4_dma_header { dst_node: node ^ 1, ..header }, good),
    ];
    let count = cases.len() as u64;
    for (what, header, tx) in cases {
        channel.write_frame(0, &header, &[1; 8]);
        channel.push_tx(&tx);
        let done = channel.wait_done()?;
        ensure!(
            u32::from(done.status) == uapi::USB4_DMA_TX_INVALID && done.cookie == 7 && done.frame == tx.frame,
            "{what}: {done:?} instead of USB4_DMA_TX_INVALID"
        );
    }
    ensure!(channel.pop_ready().is_none(), "one of the refused frames arrived");
    ensure!(channel.counters().tx_invalid == count, "{} of {count} counted", channel.counters().tx_invalid);
    // The same without the fault.
    channel.write_frame(0, &header, &[1; 8]);
    channel.push_tx(&good);
    ensure!(u32::from(channel.wait_done()?.status) == uapi::USB4_DMA_TX_SENT, "the frame is refused without a fault");
    channel.wait_ready()?;
    Ok(Outcome::Passed)
}

fn unknown_rail(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    let (rails, _) = channel.handle.rails()?;
    for rail in (0..LOOPBACK).filter(|number| rails.iter().all(|rail| rail.rail != *number)) {
        channel.submit(0, rail, channel.setup.node ^ 1, 1, &[], 3);
        let done = channel.wait_done()?;
        ensure!(
            [uapi::USB4_DMA_TX_DOWN, uapi::USB4_DMA_TX_INVALID].contains(&done.status.into()),
            "rail {rail}, which does not exist: {done:?}"
        );
    }
    // A rail that is there does not lead to this node.
    for rail in rails {
        channel.submit(0, rail.rail, channel.setup.node, channel.setup.channel, &[], 4);
        let done = channel.wait_done()?;
        let refusals = [uapi::USB4_DMA_TX_INVALID, uapi::USB4_DMA_TX_DOWN];
        ensure!(refusals.contains(&done.status.into()), "the own node over rail {}: {done:?}", rail.rail);
    }
    Ok(Outcome::Passed)
}

fn no_buffer(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    let (node, own) = (channel.setup.node, channel.setup.channel);
    for cookie in 0..3 {
        channel.submit(0, LOOPBACK, node, own, &[9; 9], cookie);
        ensure!(u32::from(channel.wait_done()?.status) == uapi::USB4_DMA_TX_SENT, "a frame without receiver");
    }
    ensure!(channel.pop_ready().is_none(), "a frame arrived although the fill ring is empty");
    let counted = channel.rail_counters(LOOPBACK).rx_no_buffer;
    ensure!(counted == 3, "3 frames were dropped, {counted} are counted");
    channel.push_fill(4);
    channel.submit(0, LOOPBACK, node, own, &[9; 9], 3);
    channel.wait_done()?;
    ensure!(channel.wait_ready()?.frame == 4, "another frame than the one in the fill ring");
    Ok(Outcome::Passed)
}

fn gone(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    if channel.handle.query()?.features & u64::from(uapi::USB4_DMA_FEATURE_GONE) == 0 {
        return Ok(Outcome::LeftOut("this kernel does not tell of channels that are gone"));
    }
    channel.fill_all();
    let other = Channel::open(1, 1)?;
    let (node, absent) = (other.setup.node, other.setup.channel);
    drop(other);
    channel.submit(0, LOOPBACK, node, absent, &[1], 1);
    ensure!(u32::from(channel.wait_done()?.status) == uapi::USB4_DMA_TX_SENT, "a frame to a channel that is gone");
    let rx = channel.wait_ready()?;
    ensure!(u32::from(rx.flags) == uapi::USB4_DMA_RX_GONE, "{rx:?} instead of USB4_DMA_RX_GONE");
    ensure!(rx.src_node == node && rx.src_channel == absent && rx.rail == LOOPBACK, "{rx:?}");
    ensure!(channel.rail_counters(LOOPBACK).rx_gone == 1, "it is not counted");
    Ok(Outcome::Passed)
}

fn counters(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    channel.fill_all();
    let (node, own) = (channel.setup.node, channel.setup.channel);
    for cookie in 0..4 {
        channel.submit(cookie, LOOPBACK, node, own, &[0; 60], u64::from(cookie));
    }
    let kicked = accepted("KICK", channel.handle.kick(uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX))?;
    ensure!(kicked.tx_taken == 4 && kicked.result & uapi::USB4_DMA_KICKED_TX_LEFT == 0, "{kicked:?}");
    for _ in 0..4 {
        channel.wait_ready()?;
        channel.wait_done()?;
    }
    accepted("KICK", channel.handle.kick(0))?;
    let (all, rail) = (channel.counters(), channel.rail_counters(LOOPBACK));
    ensure!(all.kicks >= 2 && all.doorbells == 1, "{} kicks, {} doorbells", all.kicks, all.doorbells);
    ensure!(rail.tx_frames == 4 && rail.rx_frames == 4, "{rail:?}");
    ensure!(rail.tx_bytes == 4 * (HEADER as u64 + 60) && rail.rx_bytes == rail.tx_bytes, "{rail:?}");
    ensure!(all.tx_invalid + all.fill_invalid + all.ring_invalid + all.reserved == 0, "{all:?}");
    Ok(Outcome::Passed)
}
