//! The kernel's side of the rings, played in memory: nodes joined by one cable with two rails.
//!
//! It does what the header of the module promises and nothing at once that the kernel does later: sent frames stay queued until
//! the test lets the hardware run. Tests of other crates see it with the feature `mock`.

use std::collections::{HashMap, VecDeque};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::{Arc, Mutex, MutexGuard};

use usb4_dma_sys::*;

use super::KernelChannel;
use super::device::Device;
use super::mapped::MappedRing;
use super::ring::{Consumer, Producer};
use crate::shm::frames::{FRAME_BYTES, Frames};
use crate::shm::mapping::{Access, Mapping, Word};
use crate::{Channel, OpenOptions};

const PAGE: usize = 4096;

/// Two nodes, 1 and 2, joined by the rails 0 and 1.
#[derive(Clone, Debug, Default)]
pub struct World(Arc<Mutex<State>>);

#[derive(Debug, Default)]
pub(super) struct State {
    channels: HashMap<(u32, u16), Member>,
    opened: u16,
    generation: u32,
    /// By rail: how often it came up; even: it is down.
    lives: [u32; 2],
    /// What the channels were refused, for one frame each.
    pub(super) refuse: u32,
    /// KICKs with these flags, since the start.
    pub(super) kicks: Vec<u32>,
    /// By node: KICKs that took something from a submit ring.
    doorbells: HashMap<u32, u32>,
    tx_depth: u32,
}

#[derive(Debug)]
struct Member {
    submit: Consumer<MappedRing<usb4_dma_tx>>,
    complete: Producer<MappedRing<usb4_dma_tx_done>>,
    fill: Consumer<MappedRing<u32>>,
    ready: Producer<MappedRing<usb4_dma_rx>>,
    frames: Frames,
    generation: Word,
    /// Taken and not sent.
    queued: VecDeque<usb4_dma_tx>,
    wakes: PipeWriter,
    is_armed: bool,
    was_woken: bool,
}

/// A handle on a node of the world.
#[derive(Debug)]
pub(super) struct Handle {
    world: World,
    node: u32,
    file: OwnedFd,
    /// Readable: the channel was woken.
    wake: PipeReader,
    wakes: PipeWriter,
    me: Mutex<Option<(u32, u16)>>,
}

impl World {
    /// Whose rails queue up to `tx_depth` frames of a channel.
    #[must_use]
    pub fn new(tx_depth: u32) -> World {
        let world = World::default();
        *world.state() = State { lives: [1, 1], generation: 1, tx_depth, ..State::default() };
        world
    }

    /// A channel of node 1 or 2.
    #[must_use]
    pub fn channel(&self, node: u32, options: &OpenOptions) -> Channel {
        Channel::Kernel(KernelChannel::new(self.open(node), options).unwrap())
    }

    /// Doorbells of a node so far: system calls that handed frames over.
    #[must_use]
    pub fn doorbells(&self, node: u32) -> u32 {
        self.state().doorbells.get(&node).copied().unwrap_or(0)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn open(&self, node: u32) -> Box<Handle> {
        let file = rustix::fs::memfd_create("usb4dma", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let (wake, wakes) = std::io::pipe().unwrap();
        Box::new(Handle { world: self.clone(), node, file, wake, wakes, me: Mutex::new(None) })
    }

    /// The hardware sends everything that is queued.
    pub fn run(&self) {
        self.run_some(usize::MAX);
    }

    /// The hardware sends up to `frames` of each channel's.
    pub fn run_some(&self, frames: usize) {
        let mut state = self.state();
        let all: Vec<(u32, u16)> = state.channels.keys().copied().collect();
        for key in all {
            for _ in 0..frames {
                let Some(entry) = state.channels.get_mut(&key).and_then(|member| member.queued.pop_front()) else {
                    break;
                };
                state.deliver(key, &entry);
                state.complete(key, &entry, USB4_DMA_TX_SENT);
            }
        }
    }

    /// Unplugs a rail, or plugs it in.
    pub fn toggle(&self, rail: u8) {
        let mut state = self.state();
        state.lives[usize::from(rail)] += 1;
        state.generation += 1;
        let generation = state.generation;
        let all: Vec<(u32, u16)> = state.channels.keys().copied().collect();
        for key in all {
            let member = state.channels.get_mut(&key).unwrap();
            member.generation.store(generation.into(), Release);
            let (lost, kept) = member.queued.drain(..).partition::<VecDeque<_>, _>(|entry| entry.rail == rail);
            member.queued = kept;
            for entry in lost {
                state.complete(key, &entry, USB4_DMA_TX_DOWN);
            }
            state.channels.get_mut(&key).unwrap().wake();
        }
    }
}

impl State {
    fn take(&mut self, key: (u32, u16)) {
        let mut is_any_taken = false;
        while let Some(entry) = self.channels.get_mut(&key).and_then(|member| member.submit.peek()) {
            let member = self.channels.get_mut(&key).unwrap();
            member.submit.release();
            is_any_taken = true;
            let queued = member.queued.iter().filter(|other| other.rail == entry.rail).count();
            assert!(member.queued.iter().all(|other| other.frame != entry.frame), "frame {} is queued", entry.frame);
            let is_up = u32::from(entry.rail) == USB4_DMA_RAIL_LOOPBACK || self.lives[usize::from(entry.rail)] % 2 == 1;
            if !is_up {
                self.complete(key, &entry, USB4_DMA_TX_DOWN);
            } else if queued >= self.tx_depth as usize || self.refuse > 0 {
                self.refuse = self.refuse.saturating_sub(1);
                self.complete(key, &entry, USB4_DMA_TX_AGAIN);
            } else {
                member.queued.push_back(entry);
            }
        }
        *self.doorbells.entry(key.0).or_default() += u32::from(is_any_taken);
    }

    fn complete(&mut self, key: (u32, u16), entry: &usb4_dma_tx, status: u32) {
        let member = self.channels.get_mut(&key).unwrap();
        let (cookie, frame, rail, status) = (entry.cookie, entry.frame, entry.rail, status as u8);
        assert!(member.complete.reserve(usb4_dma_tx_done { cookie, frame, rail, status, reserved: 0 }));
        member.complete.submit();
    }

    fn deliver(&mut self, from: (u32, u16), entry: &usb4_dma_tx) {
        let mut words = vec![0; usize::from(entry.len).div_ceil(8)];
        self.channels[&from].frames.copy_words(entry.frame, 0, &mut words);
        // Routing words: destination node in bytes 8..12, channel in 16..18.
        let to = (words[1] as u32, words[2] as u16);
        let (src_node, src_channel) = from;
        let rx = usb4_dma_rx { len: entry.len, rail: entry.rail, src_node, src_channel, ..Default::default() };
        let Some(target) = self.channels.get_mut(&to) else {
            let gone = usb4_dma_rx { flags: USB4_DMA_RX_GONE as u8, src_node: to.0, src_channel: to.1, ..rx };
            return self.channels.get_mut(&from).unwrap().receive(gone);
        };
        let Some(frame) = target.fill.peek() else { return };
        target.fill.release();
        target.frames.write_words(frame, &words);
        target.receive(usb4_dma_rx { frame, ..rx });
    }
}

impl Member {
    fn receive(&mut self, rx: usb4_dma_rx) {
        assert!(self.ready.reserve(rx));
        self.ready.submit();
        self.wake();
    }

    fn wake(&mut self) {
        if std::mem::take(&mut self.is_armed) {
            self.was_woken = true;
            self.wakes.write_all(&[1]).unwrap();
        }
    }
}

impl Device for Handle {
    fn query(&self) -> io::Result<usb4_dma_query> {
        Ok(usb4_dma_query {
            abi_version: USB4_DMA_ABI_VERSION,
            node: self.node,
            frames_max: USB4_DMA_FRAMES_MAX,
            ..Default::default()
        })
    }

    fn setup(&self, mut setup: usb4_dma_setup) -> io::Result<usb4_dma_setup> {
        let mut state = self.world.state();
        state.opened += 1;
        let key = (self.node, state.opened);
        (setup.node, setup.channel, setup.incarnation) = (key.0, key.1, u64::from(key.1) << 32);
        setup.tx_entries = setup.tx_frames.next_power_of_two();
        setup.rx_entries = (setup.rx_frames + 1).next_power_of_two();
        let ring = |entries: u32, bytes: usize| USB4_DMA_RING_ENTRIES as usize + entries as usize * bytes;
        let lengths = [
            size_of::<usb4_dma_node>(),
            size_of::<usb4_dma_counters>(),
            ring(setup.tx_entries, 16),
            ring(setup.tx_entries, 16),
            ring(setup.rx_entries, 4),
            ring(setup.rx_entries, 16),
            (setup.tx_frames + setup.rx_frames) as usize * FRAME_BYTES,
        ];
        let mut end = 0;
        for (region, length) in setup.regions.iter_mut().zip(lengths) {
            *region = usb4_dma_region { offset: end, bytes: length.next_multiple_of(PAGE) as u64 };
            end += region.bytes;
        }
        rustix::fs::ftruncate(&self.file, end)?;
        let map = |region: u32| self.map(&setup.regions[region as usize], Access::ReadWrite).unwrap();
        let submit = map(USB4_DMA_REGION_SUBMIT);
        // The flags of the submit ring, at 128.
        Word::new(&submit, 128).store(USB4_DMA_RING_NEED_KICK.into(), Relaxed);
        let node = map(USB4_DMA_REGION_NODE);
        let generation = Word::new(&node, 0);
        generation.store(state.generation.into(), Release);
        let member = Member {
            submit: Consumer::new(MappedRing::new(&submit, setup.tx_entries)),
            complete: Producer::new(MappedRing::new(&map(USB4_DMA_REGION_COMPLETE), setup.tx_entries)),
            fill: Consumer::new(MappedRing::new(&map(USB4_DMA_REGION_FILL), setup.rx_entries)),
            ready: Producer::new(MappedRing::new(&map(USB4_DMA_REGION_READY), setup.rx_entries)),
            frames: Frames::new(&map(USB4_DMA_REGION_POOL), 0, setup.tx_frames + setup.rx_frames),
            generation,
            queued: VecDeque::new(),
            wakes: self.wakes.try_clone()?,
            is_armed: false,
            was_woken: false,
        };
        state.channels.insert(key, member);
        *self.me.lock().unwrap() = Some(key);
        Ok(setup)
    }

    fn rails(&self) -> io::Result<(u32, Vec<usb4_dma_rail>)> {
        let state = self.world.state();
        let rail = |rail: u8| {
            let lives = state.lives[usize::from(rail)];
            let up = if lives % 2 == 1 { USB4_DMA_RAIL_UP } else { USB4_DMA_RAIL_DOWN };
            let (peer_node, epoch) = (3 - self.node, lives);
            let rate_bits_per_s = 40_000_000_000;
            let mut listed = usb4_dma_rail { rail, peer_node, epoch, rate_bits_per_s, ..Default::default() };
            (listed.state, listed.tx_depth, listed.rx_depth) = (up as u8, state.tx_depth, 511);
            listed
        };
        Ok((state.generation, vec![rail(0), rail(1)]))
    }

    fn kick(&self, flags: u32) -> io::Result<usb4_dma_kick> {
        let key = self.me.lock().unwrap().ok_or(io::ErrorKind::InvalidInput)?;
        let mut state = self.world.state();
        state.kicks.push(flags);
        if flags & USB4_DMA_KICK_TX != 0 {
            state.take(key);
        }
        let member = state.channels.get_mut(&key).unwrap();
        if std::mem::take(&mut member.was_woken) {
            (&self.wake).read_exact(&mut [0])?;
        }
        let is_asked = flags & USB4_DMA_KICK_ARM != 0;
        // Nothing but a wake-up disarms.
        member.is_armed |= is_asked;
        let result = if is_asked { USB4_DMA_KICKED_ARMED } else { 0 };
        Ok(usb4_dma_kick { result, ..Default::default() })
    }

    fn map(&self, region: &usb4_dma_region, access: Access) -> io::Result<Arc<Mapping>> {
        Ok(Mapping::new(self.file.as_fd(), region.offset, region.bytes as usize, access)?)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(key) = self.me.lock().unwrap().take() {
            self.world.state().channels.remove(&key);
        }
    }
}
