//! The `fabric` file: what all processes of a simulated fabric share.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::layout::{COUNTER_WORDS, FABRIC_MAGIC, FORMAT, fabric as at};
use super::profile::FabricConfig;
use super::registry::{FABRIC_FILE, Folder, system};
use crate::clock::Clock;
use crate::shm::mapping::{Access, Mapping, Word};
use crate::{FabricId, OpenError};

/// Longest description, in bytes.
const TEXT_MAX_BYTES: u64 = 1 << 20;

/// The shared state of a fabric, mapped.
#[derive(Clone, Debug)]
pub(crate) struct Fabric {
    mapping: Arc<Mapping>,
    pub(crate) config: Arc<FabricConfig>,
    pub(crate) id: FabricId,
    pub(crate) clock: Clock,
    pub(crate) seed: u64,
    rails: usize,
}

impl Fabric {
    /// Makes the file for a description, which `file` names.
    pub(crate) fn create(folder: &Folder, file: &str, text: &str) -> Result<Fabric, OpenError> {
        let config = FabricConfig::parse(file, text)?;
        let (rails, nodes) = (config.rails().count(), config.nodes as usize);
        let clock = Clock::start();
        let mut header = vec![0; at::text(rails, nodes)];
        let mut put = |offset: usize, value: u64| header[offset..offset + 8].copy_from_slice(&value.to_ne_bytes());
        put(at::MAGIC, FABRIC_MAGIC);
        put(at::FORMAT, u64::from(FORMAT));
        put(at::ID, random_u64());
        put(at::NS_PER_TICK, clock.ns_per_tick_q32);
        put(at::BASE_TICKS, clock.base_ticks);
        put(at::BASE_NS, clock.base_ns);
        put(at::SEED, config.seed.unwrap_or_else(random_u64));
        put(at::TEXT_BYTES, text.len() as u64);
        put(at::RAILS, rails as u64);
        put(at::NODES, nodes as u64);
        let (new, path) = (folder.file(".new.fabric"), folder.file(FABRIC_FILE));
        fs::write(&new, [&header, text.as_bytes()].concat()).map_err(system("write", &new))?;
        fs::rename(&new, &path).map_err(system("rename", &new))?;
        Fabric::open(folder)
    }

    /// Maps the file of a fabric that exists.
    pub(crate) fn open(folder: &Folder) -> Result<Fabric, OpenError> {
        Fabric::open_in(folder.path())
    }

    fn open_in(folder: &Path) -> Result<Fabric, OpenError> {
        let path = folder.join(FABRIC_FILE);
        let file = File::options().read(true).write(true).open(&path).map_err(system("open", &path))?;
        let mut header = [0; 128];
        file.read_exact_at(&mut header, 0).map_err(system("read", &path))?;
        let get = |offset: usize| u64::from_ne_bytes(std::array::from_fn(|byte| header[offset + byte]));
        let version = |found| OpenError::Version { path: folder.to_owned(), found, expected: FORMAT };
        if get(at::MAGIC) != FABRIC_MAGIC || get(at::FORMAT) != u64::from(FORMAT) {
            return Err(version(if get(at::MAGIC) == FABRIC_MAGIC { get(at::FORMAT) as u32 } else { 0 }));
        }
        let len_bytes = file.metadata().map_err(system("examine", &path))?.len();
        let (rails, nodes) = (get(at::RAILS) as usize, get(at::NODES) as usize);
        let text_at = at::text(rails.min(1 << 20), nodes.min(1 << 20)) as u64;
        if get(at::TEXT_BYTES) > TEXT_MAX_BYTES || text_at + get(at::TEXT_BYTES) > len_bytes {
            return Err(version(FORMAT));
        }
        let mut text = vec![0; get(at::TEXT_BYTES) as usize];
        file.read_exact_at(&mut text, text_at).map_err(system("read", &path))?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let config = FabricConfig::parse(&path.to_string_lossy(), &text)?;
        if (config.rails().count(), config.nodes as usize) != (rails, nodes) {
            return Err(version(FORMAT));
        }
        let mapping = Mapping::new(file.as_fd(), 0, text_at as usize, Access::ReadWrite)
            .map_err(|error| system("map", &path)(error.into()))?;
        let clock =
            Clock { ns_per_tick_q32: get(at::NS_PER_TICK), base_ticks: get(at::BASE_TICKS), base_ns: get(at::BASE_NS) };
        let (id, seed) = (FabricId(get(at::ID)), get(at::SEED));
        Ok(Fabric { mapping, config: config.into(), id, clock, seed, rails })
    }

    /// The next channel number to try.
    pub(crate) fn next_channel(&self) -> u16 {
        Word::new(&self.mapping, at::NEXT_CHANNEL).add(1) as u16
    }

    /// The word that counts changes of rail states.
    pub(crate) fn changes(&self) -> Word {
        Word::new(&self.mapping, at::CHANGES)
    }

    /// The state word of a rail (numbered over the fabric), or a word that is always zero.
    pub(crate) fn rail_state(&self, rail: Option<usize>) -> Word {
        Word::new(&self.mapping, rail.map_or(at::ZERO, at::rail_state))
    }

    /// The word that says until when the rail is busy in a direction, in nanoseconds.
    pub(crate) fn rail_busy(&self, rail: usize, direction: usize) -> Word {
        Word::new(&self.mapping, at::rail_busy(rail, direction))
    }

    /// Whether no command has unplugged a rail.
    pub(crate) fn is_rail_up(&self, rail: usize) -> bool {
        self.rail_state(Some(rail)).load(Acquire) & at::STATE_DOWN == 0
    }

    /// Unplugs or replugs a rail; true if that changed anything.
    pub(crate) fn set_rail(&self, rail: usize, up: bool) -> bool {
        let state = self.rail_state(Some(rail));
        let old = state.load(Acquire);
        let new = if up { old & !at::STATE_DOWN } else { old | at::STATE_DOWN };
        state.store(new, Release);
        self.changes().add(1);
        old != new
    }

    /// What closed channels counted on a rail in a direction.
    pub(crate) fn rail_totals(&self, rail: usize, direction: usize) -> [u64; COUNTER_WORDS] {
        self.totals(at::rail_totals(rail, direction))
    }

    /// What closed channels of a node counted on loopback.
    pub(crate) fn node_totals(&self, node: usize) -> [u64; COUNTER_WORDS] {
        self.totals(at::node_totals(self.rails, node))
    }

    /// Adds a closing channel's counters: `sent` of a rail in a direction.
    pub(crate) fn add_rail_totals(&self, rail: usize, direction: usize, counters: &[u64; COUNTER_WORDS]) {
        self.add_totals(at::rail_totals(rail, direction), counters);
    }

    /// Adds a closing channel's counters of loopback.
    pub(crate) fn add_node_totals(&self, node: usize, counters: &[u64; COUNTER_WORDS]) {
        self.add_totals(at::node_totals(self.rails, node), counters);
    }

    fn totals(&self, offset: usize) -> [u64; COUNTER_WORDS] {
        std::array::from_fn(|index| Word::new(&self.mapping, offset + index * 8).load(Relaxed))
    }

    fn add_totals(&self, offset: usize, counters: &[u64; COUNTER_WORDS]) {
        for (index, count) in counters.iter().enumerate().filter(|(_, count)| **count != 0) {
            Word::new(&self.mapping, offset + index * 8).add(*count);
        }
    }
}

/// 64 random bits of the system.
pub(crate) fn random_u64() -> u64 {
    let mut bytes = [0; 8];
    match rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()) {
        Ok(8) => u64::from_ne_bytes(bytes),
        // Only a kernel older than 3.17 or a filter on system calls comes here: time and pid still differ.
        _ => {
            let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
            (now.tv_nsec as u64) << 32 ^ now.tv_sec as u64 ^ u64::from(std::process::id()) << 16
        }
    }
}
