//! mmap: which regions, how much of them, for what.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::io::Errno;
use usb4_dma_sys as uapi;

use super::{Check, Environment, Outcome, accepted, refused};
use crate::channel::{Channel, Handle, map, protection};
use crate::sys::Mapping;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "mappings.before_setup", run: before_setup },
    Check { name: "mappings.whole", run: whole },
    Check { name: "mappings.nowhere", run: nowhere },
    Check { name: "mappings.private", run: private },
    Check { name: "mappings.read_only", run: read_only },
    Check { name: "mappings.not_executable", run: not_executable },
    Check { name: "mappings.not_inherited", run: not_inherited },
    Check { name: "mappings.not_grown", run: not_grown },
    Check { name: "mappings.several", run: several },
    Check { name: "mappings.outlive_the_handle", run: outlive },
];

const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;

fn before_setup(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let result = Mapping::new(&handle, 0, 4096, libc::PROT_READ, libc::MAP_SHARED);
    refused("mmap before SETUP", result, Errno::BADFD)?;
    Ok(Outcome::Passed)
}

fn whole(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let setup = accepted("SETUP", handle.setup(4, 4))?;
    for id in 0..uapi::USB4_DMA_REGIONS {
        let region = setup.regions[id as usize];
        let bytes = region.bytes as usize;
        let mut wrong = vec![(region.offset, bytes + 4096), (region.offset, bytes * 2)];
        if bytes > 4096 {
            // A part: the first page, all but the last, the last.
            wrong.extend([(region.offset, 4096), (region.offset, bytes - 4096), (region.offset + 4096, bytes - 4096)]);
        }
        for (offset, bytes) in wrong {
            let result = Mapping::new(&handle, offset, bytes, protection(id), libc::MAP_SHARED);
            refused(&format!("mmap of region {id} from {offset:#x}, {bytes} bytes"), result, Errno::INVAL)?;
        }
        accepted(&format!("mmap of region {id}"), map(&handle, &setup, id))?;
    }
    Ok(Outcome::Passed)
}

fn nowhere(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let setup = accepted("SETUP", handle.setup(4, 4))?;
    let is_region = |offset| setup.regions.iter().any(|region| region.offset == offset);
    let end = setup.regions.iter().map(|region| region.offset + region.bytes).max().unwrap_or_default();
    for offset in [end, end + 4096, 1 << 30, 1 << 40, 1 << 43, 1 << 62, (1 << 63) - 4096] {
        if is_region(offset) {
            continue;
        }
        let result = Mapping::new(&handle, offset, 4096, libc::PROT_READ, libc::MAP_SHARED);
        // The end of the largest offsets is refused before the module is asked.
        let result = if matches!(result, Err(Errno::OVERFLOW)) { Err(Errno::INVAL) } else { result };
        refused(&format!("mmap of offset {offset:#x}, where no region is"), result, Errno::INVAL)?;
    }
    Ok(Outcome::Passed)
}

fn private(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let setup = accepted("SETUP", handle.setup(4, 4))?;
    for id in 0..uapi::USB4_DMA_REGIONS {
        let region = setup.regions[id as usize];
        for protection in [libc::PROT_READ, RW] {
            let result = Mapping::new(&handle, region.offset, region.bytes as usize, protection, libc::MAP_PRIVATE);
            refused(&format!("a private mapping of region {id}"), result, Errno::PERM)?;
        }
    }
    Ok(Outcome::Passed)
}

fn read_only(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let setup = accepted("SETUP", handle.setup(4, 4))?;
    for id in [uapi::USB4_DMA_REGION_NODE, uapi::USB4_DMA_REGION_COUNTERS] {
        let region = setup.regions[id as usize];
        for protection in [RW, libc::PROT_WRITE] {
            let result = Mapping::new(&handle, region.offset, region.bytes as usize, protection, libc::MAP_SHARED);
            refused(&format!("mmap of region {id} for writing"), result, Errno::PERM)?;
        }
        let mapping = accepted("mmap", map(&handle, &setup, id))?;
        refused(&format!("mprotect of region {id} for writing"), mapping.protect(RW), Errno::ACCESS)?;
    }
    Ok(Outcome::Passed)
}

fn not_executable(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let setup = accepted("SETUP", handle.setup(4, 4))?;
    for id in 0..uapi::USB4_DMA_REGIONS {
        let (region, code) = (setup.regions[id as usize], protection(id) | libc::PROT_EXEC);
        let result = Mapping::new(&handle, region.offset, region.bytes as usize, code, libc::MAP_SHARED);
        refused(&format!("mmap of region {id} for execution"), result, Errno::PERM)?;
        let mapping = accepted("mmap", map(&handle, &setup, id))?;
        refused(&format!("mprotect of region {id} for execution"), mapping.protect(code), Errno::ACCESS)?;
    }
    Ok(Outcome::Passed)
}

/// The flags of a mapping, as /proc/self/smaps has them.
fn flags(mapping: &Mapping) -> Result<String> {
    let text = fs::read_to_string("/proc/self/smaps").context("/proc/self/smaps")?;
    let start = format!("{:x}-", mapping.address());
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&start));
    let line = lines.find_map(|line| line.strip_prefix("VmFlags:"));
    Ok(format!(" {} ", line.context("smaps tells no flags of the mapping")?.trim()))
}

fn not_inherited(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    for id in 0..uapi::USB4_DMA_REGIONS {
        let flags = flags(channel.region(id))?;
        for (flag, meaning) in [(" dc ", "not copied by fork"), (" de ", "not expanded by mremap")] {
            ensure!(flags.contains(flag), "region {id} is not marked as {meaning}: {flags}");
        }
    }
    Ok(Outcome::Passed)
}

fn not_grown(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    for (id, mapping) in channel.regions.into_iter().enumerate() {
        refused(&format!("mremap of region {id} to twice its length"), mapping.grow(), Errno::FAULT)?;
    }
    Ok(Outcome::Passed)
}

fn several(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(4, 4)?;
    let again = accepted("a second mmap", map(&channel.handle, &channel.setup, uapi::USB4_DMA_REGION_POOL))?;
    let pool = channel.region(uapi::USB4_DMA_REGION_POOL);
    let places = [0, 4096 * 4 - 4, pool.bytes() - 4];
    for (value, place) in (1..).zip(places) {
        pool.store(place, value);
        ensure!(again.load(place) == value, "two mappings of the pool show different memory at {place}");
    }
    let other = Channel::open(4, 4)?;
    for place in places {
        ensure!(other.region(uapi::USB4_DMA_REGION_POOL).load(place) == 0, "two channels share memory at {place}");
    }
    drop(again);
    ensure!(pool.load(0) == 1, "unmapping one mapping changed the other");
    Ok(Outcome::Passed)
}

fn outlive(_: &Environment) -> Result<Outcome> {
    let Channel { handle, setup, regions } = Channel::open(4, 4)?;
    drop(handle);
    let pool = &regions[uapi::USB4_DMA_REGION_POOL as usize];
    for place in (0..pool.bytes()).step_by(4096) {
        pool.store(place, 0x5eed);
    }
    // The channel lives as long as its mappings, so others do not get its memory.
    let other = Channel::open(4, 4)?;
    ensure!(other.setup.channel != setup.channel, "the channel's number was given away while it is mapped");
    for place in (0..pool.bytes()).step_by(4096) {
        ensure!(other.region(uapi::USB4_DMA_REGION_POOL).load(place) == 0, "its memory was given away at {place}");
    }
    Ok(Outcome::Passed)
}
