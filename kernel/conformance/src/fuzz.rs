//! Random calls: threads that share handles make right and wrong calls, and scribble over everything that is mapped.
//!
//! What they must not find: an error that the header does not name, a module that works no more, a complaint in the kernel's log.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use usb4_dma_sys as uapi;
use usb4_dma_sys::usb4_dma_setup;

use crate::channel::{HEADER, LOOPBACK, module_works, protection};
use crate::sys::{self, Arena, Mapping};

/// How to fuzz.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// How long
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Where the random numbers start; by default somewhere else each time. It is printed. Threads race, so it repeats what each
    /// of them does and not the order between them
    #[arg(long)]
    seed: Option<u64>,
    /// Threads
    #[arg(long, default_value_t = 4)]
    threads: u64,
}

/// Handles that the threads share.
const SLOTS: usize = 6;
/// What the header lets an ioctl answer.
const ERRORS: [(Errno, &str); 13] = [
    (Errno::INTR, "EINTR"),
    (Errno::INVAL, "EINVAL"),
    (Errno::TOOBIG, "E2BIG"),
    (Errno::OPNOTSUPP, "EOPNOTSUPP"),
    (Errno::NOTTY, "ENOTTY"),
    (Errno::FAULT, "EFAULT"),
    (Errno::BADFD, "EBADFD"),
    (Errno::ACCESS, "EACCES"),
    (Errno::USERS, "EUSERS"),
    (Errno::NOSPC, "ENOSPC"),
    (Errno::DQUOT, "EDQUOT"),
    (Errno::NOMEM, "ENOMEM"),
    (Errno::MSGSIZE, "EMSGSIZE"),
];

/// Fuzzes.
///
/// # Errors
/// When the module answers what it must not, or works no more.
pub(crate) fn run(options: &Options) -> Result<()> {
    let seed = match options.seed {
        Some(seed) => seed,
        None => random_seed()?,
    };
    println!("fuzzing for {} s with --seed {seed}", options.seconds);
    let world = World::default();
    let end = Instant::now() + Duration::from_secs(options.seconds);
    let mut counts = BTreeMap::<String, u64>::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..options.threads)
            .map(|number| {
                let world = &world;
                scope.spawn(move || {
                    let result = Fuzzer::new(world, seed, number).and_then(|fuzzer| fuzzer.run(end));
                    if result.is_err() {
                        world.stop.store(true, Ordering::Relaxed);
                    }
                    result
                })
            })
            .collect();
        for thread in threads {
            for (what, count) in thread.join().map_err(|_| anyhow!("a thread panicked"))?? {
                *counts.entry(what).or_default() += count;
            }
        }
        anyhow::Ok(())
    })
    .with_context(|| format!("with --seed {seed}"))?;
    drop(world);
    for (what, count) in &counts {
        println!("{count:>10} {what}");
    }
    module_works().context("afterwards")?;
    println!("RESULT fuzz {} calls, seed {seed}", counts.values().sum::<u64>());
    Ok(())
}

fn random_seed() -> Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).context("getrandom")?;
    // Short enough to be typed.
    Ok(u64::from_ne_bytes(bytes) >> 32)
}

/// What the threads share.
#[derive(Default)]
struct World {
    slots: [Mutex<Option<Arc<Slot>>>; SLOTS],
    stop: AtomicBool,
}

/// A handle and what is known of it.
struct Slot {
    fd: OwnedFd,
    setup: Mutex<Option<usb4_dma_setup>>,
    mappings: Mutex<Vec<Arc<Mapped>>>,
}

/// A mapping and what it may be used for.
struct Mapped {
    memory: Mapping,
    protection: i32,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One thread.
struct Fuzzer<'a> {
    world: &'a World,
    random: ChaCha8Rng,
    arena: Arena,
    counts: BTreeMap<String, u64>,
}

impl<'a> Fuzzer<'a> {
    fn new(world: &'a World, seed: u64, number: u64) -> Result<Fuzzer<'a>> {
        let random = ChaCha8Rng::seed_from_u64(seed.wrapping_add(number << 40));
        Ok(Fuzzer { world, random, arena: Arena::new()?, counts: BTreeMap::new() })
    }

    fn run(mut self, end: Instant) -> Result<BTreeMap<String, u64>> {
        while Instant::now() < end && !self.world.stop.load(Ordering::Relaxed) {
            for _ in 0..64 {
                self.step()?;
            }
        }
        Ok(self.counts)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.random.next_u64() % limit
    }

    /// Numbers near to what code has trouble with.
    fn odd_number(&mut self) -> u64 {
        let base = 1_u64.checked_shl(self.below(65) as u32).unwrap_or(0);
        match self.below(4) {
            0 => base,
            1 => base.wrapping_sub(1),
            2 => base.wrapping_add(self.below(16)),
            _ => self.random.next_u64() >> self.below(64),
        }
    }

    fn slot(&mut self) -> Option<Arc<Slot>> {
        let index = self.below(SLOTS as u64) as usize;
        lock(&self.world.slots[index]).clone()
    }

    fn step(&mut self) -> Result<()> {
        match self.below(100) {
            0..3 => self.open(),
            3 => self.close(),
            4..10 => self.set_up(),
            10..14 => self.map(),
            14..17 => self.map_oddly(),
            17..20 => self.unmap(),
            20..35 => self.scribble(),
            35..55 => self.traffic(),
            55..75 => self.call(),
            75..95 => self.call_oddly(),
            95..98 => self.poll(),
            _ => self.other_files_calls(),
        }
    }

    fn count(&mut self, what: &str) {
        *self.counts.entry(what.to_owned()).or_default() += 1;
    }

    fn open(&mut self) -> Result<()> {
        let flags = match self.below(8) {
            0 => OFlags::RDONLY,
            1 => OFlags::WRONLY,
            2 => OFlags::RDWR | OFlags::NONBLOCK,
            _ => OFlags::RDWR,
        };
        let fd = sys::open(flags).context("open")?;
        let slot = Slot { fd, setup: Mutex::default(), mappings: Mutex::default() };
        let index = self.below(SLOTS as u64) as usize;
        *lock(&self.world.slots[index]) = Some(Arc::new(slot));
        self.count("open");
        Ok(())
    }

    fn close(&mut self) -> Result<()> {
        let index = self.below(SLOTS as u64) as usize;
        // Others may hold it still; then the last of them closes it, wherever it is.
        drop(lock(&self.world.slots[index]).take());
        self.count("close");
        Ok(())
    }

    fn set_up(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let (tx_frames, rx_frames) = (1 + self.below(32) as u32, 1 + self.below(32) as u32);
        let mut setup = usb4_dma_setup { tx_frames, rx_frames, ..Default::default() };
        let result = sys::call(slot.fd.as_fd(), &self.arena, uapi::IOCTL_SETUP, &mut setup);
        if result.is_ok() {
            *lock(&slot.setup) = Some(setup);
        }
        self.judge("SETUP", result)
    }

    fn map(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let Some(setup) = *lock(&slot.setup) else { return Ok(()) };
        let id = self.below(uapi::USB4_DMA_REGIONS.into()) as u32;
        let region = setup.regions[id as usize];
        let protection = protection(id);
        let memory = Mapping::new(&slot.fd, region.offset, region.bytes as usize, protection, libc::MAP_SHARED);
        let memory = memory.with_context(|| format!("mmap of region {id} as SETUP told it"))?;
        let mut mappings = lock(&slot.mappings);
        if mappings.len() < 32 {
            mappings.push(Arc::new(Mapped { memory, protection }));
        }
        drop(mappings);
        self.count("mmap");
        Ok(())
    }

    fn map_oddly(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let setup = lock(&slot.setup).unwrap_or_default();
        let region = setup.regions[self.below(uapi::USB4_DMA_REGIONS.into()) as usize];
        let offset = if self.below(2) == 0 { region.offset } else { self.odd_number() & !0xfff };
        let bytes = if self.below(2) == 0 { region.bytes } else { self.odd_number() % (1 << 32) };
        let protection = self.below(8) as i32;
        let flags =
            [libc::MAP_SHARED, libc::MAP_PRIVATE, libc::MAP_SHARED | libc::MAP_POPULATE, libc::MAP_SHARED_VALIDATE];
        let flags = flags[self.below(4) as usize];
        match Mapping::new(&slot.fd, offset, bytes as usize, protection, flags) {
            Ok(memory) if self.below(2) == 0 => memory.unmap_in_parts(4096),
            Ok(memory) => drop(memory),
            Err(_) => {}
        }
        self.count("mmap, wrong");
        Ok(())
    }

    fn unmap(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let mut mappings = lock(&slot.mappings);
        if !mappings.is_empty() {
            let index = self.below(mappings.len() as u64) as usize;
            let mapped = mappings.swap_remove(index);
            drop(mappings);
            match Arc::try_unwrap(mapped) {
                Ok(mapped) if self.below(2) == 0 => mapped.memory.unmap_in_parts(4096),
                other => drop(other),
            }
            self.count("munmap");
        }
        Ok(())
    }

    /// Writes to what is mapped: the counters of rings, their entries, headers of frames, anything.
    fn scribble(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let mappings = lock(&slot.mappings).clone();
        if mappings.is_empty() {
            return Ok(());
        }
        let mapped = &mappings[self.below(mappings.len() as u64) as usize];
        if mapped.protection & libc::PROT_WRITE == 0 {
            return Ok(());
        }
        let bytes = mapped.memory.bytes() as u64;
        for _ in 0..1 + self.below(16) {
            let place = match self.below(4) {
                0 => [0, 64, 128][self.below(3) as usize],
                1 => u64::from(uapi::USB4_DMA_RING_ENTRIES) + self.below(64) * 4,
                _ => self.below(bytes / 4) * 4,
            };
            let place = (place % bytes) as usize;
            let old = mapped.memory.load(place);
            let value = match self.below(4) {
                0 => self.odd_number() as u32,
                1 => old.wrapping_add(1),
                2 => old.wrapping_add(self.below(64) as u32).wrapping_sub(32),
                _ => old ^ 1 << self.below(32),
            };
            mapped.memory.store(place, value);
        }
        self.count("scribble");
        Ok(())
    }

    /// What a good process does, so that the bad ones meet a module that is at work: a frame to some channel, a free one for receive.
    fn traffic(&mut self) -> Result<()> {
        let (Some(from), Some(to)) = (self.slot(), self.slot()) else { return Ok(()) };
        // One lock at a time: both may be the same slot.
        let Some(setup) = *lock(&from.setup) else { return Ok(()) };
        let Some(target) = *lock(&to.setup) else { return Ok(()) };
        let frame = self.below(setup.tx_frames.into()) as u32;
        let len = HEADER as u64 + self.below(4097 - HEADER as u64);
        let rail = if self.below(3) == 0 { self.below(8) as u8 } else { LOOPBACK };
        let header = uapi::usb4_dma_header {
            payload_len: (len as u16 - HEADER as u16).to_le(),
            dst_node: target.node.to_le(),
            src_node: setup.node.to_le(),
            dst_channel: target.channel.to_le(),
            src_channel: setup.channel.to_le(),
            ..Default::default()
        };
        let tx = uapi::usb4_dma_tx { frame, len: len as u16, rail, flags: 0, cookie: self.random.next_u64() };
        let rx_frame = setup.tx_frames + self.below(setup.rx_frames.into()) as u32;
        for mapped in lock(&from.mappings).iter().filter(|mapped| mapped.protection & libc::PROT_WRITE != 0) {
            // Which region this is shows by its length; rings of the same length get each other's entries now and then.
            let memory = &mapped.memory;
            let is = |id: u32| memory.bytes() as u64 == setup.regions[id as usize].bytes;
            if is(uapi::USB4_DMA_REGION_POOL) {
                memory.write(frame as usize * uapi::USB4_DMA_FRAME_SIZE as usize, &header);
            } else if is(uapi::USB4_DMA_REGION_SUBMIT) && self.random.next_u32().is_multiple_of(2) {
                put(memory, setup.tx_entries, &tx);
            } else if is(uapi::USB4_DMA_REGION_FILL) {
                put(memory, setup.rx_entries, &rx_frame);
            }
        }
        let flags = uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX;
        let mut kick = uapi::usb4_dma_kick { flags, ..Default::default() };
        let result = sys::call(from.fd.as_fd(), &self.arena, uapi::IOCTL_KICK, &mut kick);
        self.judge("KICK", result)
    }

    /// A command as it should be.
    fn call(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let fd = slot.fd.as_fd();
        match self.below(4) {
            0 => {
                let result = sys::call(fd, &self.arena, uapi::IOCTL_QUERY, &mut uapi::usb4_dma_query::default());
                self.judge("QUERY", result)
            }
            1 => {
                let entry_size = size_of::<uapi::usb4_dma_rail>() as u32;
                let entries = self.arena.start();
                let mut rails = uapi::usb4_dma_rails { count: 31, entry_size, entries, ..Default::default() };
                let result = sys::call(fd, &self.arena, uapi::IOCTL_RAILS, &mut rails);
                self.judge("RAILS", result)
            }
            _ => {
                let (flags, rx_budget) = (self.below(16) as u32, self.below(64) as u32);
                let mut kick = uapi::usb4_dma_kick { flags, rx_budget, ..Default::default() };
                let result = sys::call(fd, &self.arena, uapi::IOCTL_KICK, &mut kick);
                self.judge("KICK", result)
            }
        }
    }

    /// A command with something wrong: its size, a word, its length, its place, its number.
    fn call_oddly(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let commands = [
            (uapi::IOCTL_QUERY, size_of::<uapi::usb4_dma_query>()),
            (uapi::IOCTL_SETUP, size_of::<usb4_dma_setup>()),
            (uapi::IOCTL_RAILS, size_of::<uapi::usb4_dma_rails>()),
            (uapi::IOCTL_KICK, size_of::<uapi::usb4_dma_kick>()),
        ];
        let (mut request, size) = commands[self.below(4) as usize];
        let mut bytes = vec![0; size + self.below(3) as usize * 8];
        bytes[..4].copy_from_slice(&(size as u32).to_ne_bytes());
        for _ in 0..1 + self.below(3) {
            let place = self.below(bytes.len() as u64 / 4) as usize * 4;
            let value = self.odd_number() as u32;
            bytes[place..place + 4].copy_from_slice(&value.to_ne_bytes());
        }
        if request == uapi::IOCTL_RAILS {
            // Where the kernel writes must be harmless: in the arena, in the kernel, or nowhere.
            let places =
                [0, self.arena.start(), self.arena.nowhere() - 64, self.arena.nowhere(), 1 << 63, u64::MAX - 7];
            let place = places[self.below(places.len() as u64) as usize];
            let at = std::mem::offset_of!(uapi::usb4_dma_rails, entries);
            bytes[at..at + 8].copy_from_slice(&place.to_ne_bytes());
        }
        if self.below(8) == 0 {
            request = self.odd_number() as u32;
            // Those of all files, such as FIOASYNC or FIONREAD, are not the module's.
            if request >> 8 != uapi::USB4_DMA_IOCTL_TYPE {
                request = uapi::USB4_DMA_IOCTL_TYPE << 8 | request & 0xff;
            }
            if request == uapi::IOCTL_RAILS {
                return Ok(());
            }
        }
        let result = if self.below(16) == 0 {
            let addresses = [0, 8, self.arena.nowhere(), self.arena.nowhere() - 4, 1 << 47, 1 << 63, u64::MAX];
            let address = addresses[self.below(addresses.len() as u64) as usize];
            sys::ioctl_at(slot.fd.as_fd(), &self.arena, request, address)
        } else {
            sys::ioctl_bytes(slot.fd.as_fd(), &self.arena, request, &mut bytes)
        };
        if request == uapi::IOCTL_SETUP && result.is_ok() {
            *lock(&slot.setup) = Some(sys::from_bytes(&bytes));
        }
        self.judge("a wrong call", result)
    }

    fn poll(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let mut fds = [PollFd::new(&slot.fd, PollFlags::IN | PollFlags::OUT)];
        let limit = Timespec { tv_sec: 0, tv_nsec: self.below(2_000_000) as i64 };
        poll(&mut fds, Some(&limit)).context("poll")?;
        self.count("poll");
        Ok(())
    }

    /// What files can do, and this one cannot: read, write, seek. And fdinfo, which shows counters.
    fn other_files_calls(&mut self) -> Result<()> {
        let Some(slot) = self.slot() else { return Ok(()) };
        let mut buffer = [0; 64];
        let outcome = match self.below(4) {
            0 => rustix::io::read(&slot.fd, &mut buffer).map(drop),
            1 => rustix::io::write(&slot.fd, &buffer).map(drop),
            2 => rustix::fs::ftruncate(&slot.fd, 0),
            _ => {
                let number = std::os::fd::AsRawFd::as_raw_fd(&slot.fd);
                fs::read_to_string(format!("/proc/self/fdinfo/{number}")).context("fdinfo")?;
                Err(Errno::INVAL)
            }
        };
        ensure!(outcome.is_err(), "the device can be read, written or cut");
        self.count("read, write, fdinfo");
        Ok(())
    }

    fn judge(&mut self, what: &str, result: Result<(), Errno>) -> Result<()> {
        let Err(error) = result else {
            self.count(what);
            return Ok(());
        };
        let Some((_, name)) = ERRORS.iter().find(|(known, _)| *known == error) else {
            bail!("{what}: {error}, which the header does not name");
        };
        self.count(&format!("{what}: {name}"));
        Ok(())
    }
}

/// Puts an entry into what is perhaps a ring, wherever its counters are.
fn put<T: sys::Pod>(ring: &Mapping, entries: u32, entry: &T) {
    let producer = ring.load(0);
    let place = uapi::USB4_DMA_RING_ENTRIES as usize + (producer & (entries - 1)) as usize * size_of::<T>();
    if place + size_of::<T>() <= ring.bytes() {
        ring.write(place, entry);
        ring.store(0, producer.wrapping_add(1));
    }
}
