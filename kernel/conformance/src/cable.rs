//! Frames between two nodes: one sends over all rails, the other sends each back over the rail that it came by.
//!
//! Every echo is compared with what was sent, and comes in order on its rail. Cables may be pulled meanwhile: then frames are lost, and
//! are counted, but none is changed, repeated or overtaken, and each comes back from the complete ring.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use rustix::event::PollFlags;
use usb4_dma_sys as uapi;

use crate::channel::{Channel, HEADER, PATIENCE};

/// How to send.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// A folder that both nodes see
    #[arg(long)]
    folder: PathBuf,
    /// This node's number: 0 sends, 1 sends back
    #[arg(long)]
    number: u32,
    /// Rails that must be up when it begins and when it ends
    #[arg(long, default_value_t = 1)]
    rails: usize,
    /// How long
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Fail if a frame is lost
    #[arg(long)]
    lossless: bool,
    /// Sleep in poll(2) when there is nothing to do
    #[arg(long)]
    sleep: bool,
}

/// Frames that may be on their way, per rail.
const WINDOW: u64 = 16;
const TX_FRAMES: u32 = 512;
const RX_FRAMES: u32 = 1024;
const BOTH: u32 = uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX;

/// Runs one side.
///
/// # Errors
/// When a frame is not what it was, or rails do not come back.
pub(crate) fn run(options: &Options) -> Result<()> {
    let channel = Channel::open(TX_FRAMES, RX_FRAMES)?;
    channel.fill_all();
    let peer = meet(options, &channel)?;
    let mut side = Side { channel, peer, free: (0..TX_FRAMES).collect(), sleep: options.sleep, down: 0, again: 0 };
    side.wait_for_rails(options.rails)?;
    let stop = options.folder.join("cable.stop");
    if options.number == 0 {
        let result = send(&mut side, options);
        fs::write(&stop, "")?;
        result
    } else {
        echo(&mut side, &stop, options.seconds)
    }
}

/// Node and channel of the other side.
struct Peer {
    node: u32,
    channel: u16,
}

/// Tells the other side who this is, and learns who that is.
fn meet(options: &Options, channel: &Channel) -> Result<Peer> {
    let name = |number: u32| options.folder.join(format!("cable.{number}"));
    let partial = options.folder.join(format!("cable.{}.partial", options.number));
    fs::write(&partial, format!("{} {}", channel.setup.node, channel.setup.channel))?;
    fs::rename(&partial, name(options.number))?;
    let end = Instant::now() + PATIENCE * 3;
    loop {
        if let Ok(text) = fs::read_to_string(name(1 - options.number)) {
            let (node, channel) = text.split_once(' ').context("the other side's name")?;
            return Ok(Peer { node: node.parse()?, channel: channel.parse()? });
        }
        ensure!(Instant::now() < end, "the other side did not come");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One end.
struct Side {
    channel: Channel,
    peer: Peer,
    free: Vec<u32>,
    sleep: bool,
    down: u64,
    again: u64,
}

impl Side {
    /// Rails to the peer that are up, with their epochs.
    fn rails(&self) -> Result<Vec<(u8, u32)>> {
        let (rails, _) = self.channel.handle.rails()?;
        let up = rails.iter().filter(|rail| u32::from(rail.state) == uapi::USB4_DMA_RAIL_UP);
        Ok(up.filter(|rail| rail.peer_node == self.peer.node).map(|rail| (rail.rail, rail.epoch)).collect())
    }

    fn wait_for_rails(&self, count: usize) -> Result<()> {
        let end = Instant::now() + PATIENCE * 3;
        while self.rails()?.len() < count {
            if Instant::now() > end {
                let (rails, _) = self.channel.handle.rails()?;
                bail!("{count} rails to node {:#x} must be up; there are: {rails:?}", self.peer.node);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn send(&mut self, rail: u8, payload: &[u8]) -> bool {
        let Some(frame) = self.free.pop() else { return false };
        self.channel.submit(frame, rail, self.peer.node, self.peer.channel, payload, frame.into());
        true
    }

    /// Takes completions. Gives the rails of frames that were not sent.
    fn complete(&mut self) -> Result<Vec<u8>> {
        let mut unsent = Vec::new();
        while let Some(done) = self.channel.pop_done() {
            ensure!(done.cookie == done.frame.into() && !self.free.contains(&done.frame), "completed twice: {done:?}");
            self.free.push(done.frame);
            match done.status.into() {
                uapi::USB4_DMA_TX_SENT => {}
                uapi::USB4_DMA_TX_DOWN => {
                    self.down += 1;
                    unsent.push(done.rail);
                }
                uapi::USB4_DMA_TX_AGAIN => {
                    self.again += 1;
                    unsent.push(done.rail);
                }
                _ => bail!("a frame as it should be was refused: {done:?}"),
            }
        }
        Ok(unsent)
    }

    /// Kicks, and sleeps if that is asked for and nothing is there.
    fn kick(&self) -> Result<()> {
        self.channel.handle.kick(BOTH).context("KICK")?;
        if self.sleep {
            let flags = uapi::USB4_DMA_KICK_ARM | uapi::USB4_DMA_KICK_ARM_TX;
            let kicked = self.channel.handle.kick(flags).context("KICK")?;
            if kicked.result & uapi::USB4_DMA_KICKED_ARMED != 0 {
                self.channel.handle.poll(PollFlags::IN | PollFlags::OUT, Duration::from_millis(200))?;
            }
        }
        Ok(())
    }
}

/// What a frame with this number on this rail carries.
fn payload(rail: u8, number: u64) -> Vec<u8> {
    let len = 16 + (number.wrapping_mul(2_654_435_761) % (4096 - HEADER as u64 - 15)) as usize;
    let mut bytes = Vec::with_capacity(len);
    bytes.extend(number.to_le_bytes());
    bytes.extend(u64::from(rail).to_le_bytes());
    bytes.extend((16..len).map(|index| (index as u64 ^ number).to_le_bytes()[0]));
    bytes
}

/// One rail, as the sender sees it.
#[derive(Clone, Copy)]
struct Flow {
    epoch: u32,
    /// When something came back last, or was given up.
    heard: Instant,
    /// Number of the next frame.
    next: u64,
    /// All below came back, or are lost.
    seen: u64,
    echoed: u64,
    lost: u64,
}

fn send(side: &mut Side, options: &Options) -> Result<()> {
    let flow = Flow { epoch: 0, heard: Instant::now(), next: 0, seen: 0, echoed: 0, lost: 0 };
    let mut flows = [flow; uapi::USB4_DMA_RAILS_MAX as usize];
    let generation = |side: &Side| side.channel.region(uapi::USB4_DMA_REGION_NODE).load(0);
    let (mut known, mut up) = (generation(side), side.rails()?);
    let mut heard = Instant::now();
    let end = Instant::now() + Duration::from_secs(options.seconds);
    loop {
        let sending = Instant::now() < end;
        let waiting = up.iter().any(|&(rail, _)| flows[usize::from(rail)].seen < flows[usize::from(rail)].next);
        // What is under way may still come; after a while of silence it is lost.
        if !sending && (!waiting || heard.elapsed() > Duration::from_secs(2)) {
            break;
        }
        if known != generation(side) {
            (known, up) = (generation(side), side.rails()?);
        }
        for &(rail, epoch) in &up {
            let flow = &mut flows[usize::from(rail)];
            if flow.epoch != epoch || flow.heard.elapsed() > Duration::from_secs(1) {
                flow.lost += flow.next - flow.seen;
                (flow.epoch, flow.seen, flow.heard) = (epoch, flow.next, Instant::now());
            }
            while sending && flow.next - flow.seen < WINDOW && side.send(rail, &payload(rail, flow.next)) {
                flow.next += 1;
            }
        }
        side.kick()?;
        for rail in side.complete()? {
            let flow = &mut flows[usize::from(rail)];
            flow.lost += u64::from(flow.seen < flow.next);
            flow.seen = (flow.seen + 1).min(flow.next);
        }
        while let Some(rx) = side.channel.pop_ready() {
            if u32::from(rx.flags) & uapi::USB4_DMA_RX_GONE != 0 {
                bail!("the other side is gone");
            }
            let (_, bytes) = side.channel.read_frame(&rx);
            side.channel.push_fill(rx.frame);
            heard = Instant::now();
            flows[usize::from(rx.rail)].heard = heard;
            check(&mut flows[usize::from(rx.rail)], &rx, &bytes)?;
        }
    }
    report(side, &flows, options)
}

/// Compares an echo with what was sent.
fn check(flow: &mut Flow, rx: &uapi::usb4_dma_rx, bytes: &[u8]) -> Result<()> {
    let number = bytes.get(..8).map(|first| u64::from_le_bytes(first.try_into().unwrap_or_default()));
    let number = number.with_context(|| format!("an echo that is too short: {rx:?}"))?;
    ensure!(number < flow.next, "rail {}: frame {number} came back, {} were sent", rx.rail, flow.next);
    ensure!(bytes == payload(rx.rail, number), "rail {}: frame {number} came back changed", rx.rail);
    if number < flow.seen {
        // It was given up, and comes after all.
        flow.lost = flow.lost.saturating_sub(1);
    } else {
        flow.lost += number - flow.seen;
        flow.seen = number + 1;
    }
    flow.echoed += 1;
    Ok(())
}

fn report(side: &mut Side, flows: &[Flow], options: &Options) -> Result<()> {
    let (mut echoed, mut lost, mut used) = (0, 0, 0);
    for (rail, flow) in flows.iter().enumerate().filter(|(_, flow)| flow.next > 0) {
        println!("rail {rail}: {} sent, {} came back, {} lost", flow.next, flow.echoed, flow.lost);
        echoed += flow.echoed;
        lost += flow.lost;
        used += usize::from(flow.echoed > 0);
    }
    let counters = side.channel.counters();
    let (kicks, wakeups) = (counters.kicks, counters.wakeups);
    println!("{} completed as down, {} as again, {kicks} kicks, {wakeups} wake-ups", side.down, side.again);
    println!("RESULT cable {echoed} frames over {used} rails, {lost} lost");
    ensure!(used >= options.rails, "{used} rails carried frames, {} should have", options.rails);
    ensure!(!options.lossless || lost == 0, "{lost} frames were lost");
    side.wait_for_rails(options.rails).context("in the end")
}

fn echo(side: &mut Side, stop: &Path, seconds: u64) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(seconds) + PATIENCE * 2;
    let mut looked = Instant::now();
    loop {
        side.kick()?;
        side.complete()?;
        while let Some(rx) = side.channel.pop_ready() {
            let (_, bytes) = side.channel.read_frame(&rx);
            side.channel.push_fill(rx.frame);
            side.send(rx.rail, &bytes);
        }
        if looked.elapsed() > Duration::from_millis(200) {
            looked = Instant::now();
            if stop.exists() {
                println!("{} completed as down, {} as again", side.down, side.again);
                return Ok(());
            }
            ensure!(looked < end, "the sender did not say that it is done");
        }
    }
}
