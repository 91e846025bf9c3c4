//! SETUP: what it takes, and what it gives.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use rustix::io::Errno;
use usb4_dma_sys as uapi;

use super::{Check, Environment, Outcome, accepted, refused};
use crate::channel::{Channel, Handle};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "setup.frames", run: frames },
    Check { name: "setup.answer", run: answer },
    Check { name: "setup.regions", run: regions },
    Check { name: "setup.identity", run: identity },
    Check { name: "setup.memory_is_zero", run: memory_is_zero },
];

fn frames(_: &Environment) -> Result<Outcome> {
    let max = Handle::open()?.query()?.frames_max;
    let wrong = [
        (0, 1),
        (1, 0),
        (0, 0),
        (max, 1),
        (1, max),
        (max + 1, 1),
        (u32::MAX, 1),
        (1, u32::MAX),
        (u32::MAX, u32::MAX),
        (1 << 31, 1 << 31),
        (0x10000, 0xffff_0001),
    ];
    let handle = Handle::open()?;
    for (tx, rx) in wrong {
        refused(&format!("SETUP of {tx} + {rx} frames"), handle.setup(tx, rx), Errno::INVAL)?;
    }
    // What was refused left the handle as it was.
    accepted("SETUP of 1 + 1 frames after the refusals", handle.setup(1, 1))?;
    Ok(Outcome::Passed)
}

fn answer(_: &Environment) -> Result<Outcome> {
    for (tx, rx) in [(1, 1), (2, 2), (3, 5), (64, 64), (100, 28), (1, 255)] {
        let handle = Handle::open()?;
        let setup = accepted("SETUP", handle.setup(tx, rx))?;
        let what = format!("SETUP of {tx} + {rx} frames: {setup:?}");
        ensure!(setup.tx_frames == tx && setup.rx_frames == rx && setup.flags == 0 && setup.reserved0 == 0, "{what}");
        ensure!(setup.node == handle.query()?.node && setup.channel != 0, "{what}");
        ensure!(setup.tx_entries.is_power_of_two() && setup.tx_entries >= tx, "{what}");
        ensure!(setup.rx_entries.is_power_of_two() && setup.rx_entries > rx, "{what}");
    }
    Ok(Outcome::Passed)
}

fn regions(_: &Environment) -> Result<Outcome> {
    let setup = accepted("SETUP", Handle::open()?.setup(3, 5))?;
    let ring = |entries: u32, size: usize| uapi::USB4_DMA_RING_ENTRIES as usize + entries as usize * size;
    let needed = [
        size_of::<uapi::usb4_dma_node>(),
        size_of::<uapi::usb4_dma_counters>(),
        ring(setup.tx_entries, size_of::<uapi::usb4_dma_tx>()),
        ring(setup.tx_entries, size_of::<uapi::usb4_dma_tx_done>()),
        ring(setup.rx_entries, 4),
        ring(setup.rx_entries, size_of::<uapi::usb4_dma_rx>()),
        8 * uapi::USB4_DMA_FRAME_SIZE as usize,
    ];
    let mut ends = Vec::new();
    for (id, (region, needed)) in setup.regions.iter().zip(needed).enumerate() {
        ensure!(region.bytes >= needed as u64, "region {id}: {} bytes, {needed} needed", region.bytes);
        ensure!(region.offset % 4096 == 0 && region.bytes % 4096 == 0, "region {id} is not made of pages: {region:?}");
        ends.push((region.offset, region.offset + region.bytes));
    }
    ends.sort_unstable();
    ensure!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0), "regions overlap: {ends:x?}");
    Ok(Outcome::Passed)
}

fn identity(_: &Environment) -> Result<Outcome> {
    let (mut channels, mut incarnations) = (BTreeSet::new(), BTreeSet::new());
    for round in 0..40 {
        let setup = accepted("SETUP", Handle::open()?.setup(1, 1))?;
        ensure!(incarnations.insert(setup.incarnation), "incarnation {:#x} came twice", setup.incarnation);
        ensure!(channels.insert(setup.channel), "channel {} came again after {round} others", setup.channel);
    }
    Ok(Outcome::Passed)
}

fn memory_is_zero(_: &Environment) -> Result<Outcome> {
    for _ in 0..3 {
        let channel = Channel::open(16, 16)?;
        for id in uapi::USB4_DMA_REGION_COUNTERS..uapi::USB4_DMA_REGIONS {
            let region = channel.region(id);
            let mut bytes = region.copy_out(0, region.bytes());
            if matches!(id, uapi::USB4_DMA_REGION_SUBMIT | uapi::USB4_DMA_REGION_FILL) {
                // The flags are the kernel's to write.
                let flags = std::mem::offset_of!(uapi::usb4_dma_ring, flags);
                bytes[flags..flags + 4].fill(0);
            }
            ensure!(bytes.iter().all(|&byte| byte == 0), "region {id} is not zero after SETUP");
        }
        // What the next channel must not see.
        let pool = channel.region(uapi::USB4_DMA_REGION_POOL);
        pool.copy_in(0, &vec![0xa5; pool.bytes()]);
    }
    Ok(Outcome::Passed)
}
