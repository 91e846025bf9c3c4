//! RAILS: the list, for callers of other sizes too.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use anyhow::{Result, ensure};
use rustix::io::Errno;
use usb4_dma_sys as uapi;

use super::{Check, Environment, Outcome, accepted, refused};
use crate::channel::{Channel, Handle};
use crate::sys;

pub(super) const CHECKS: &[Check] = &[
    Check { name: "rails.list", run: list },
    Check { name: "rails.count", run: count },
    Check { name: "rails.entry_size", run: entry_size },
    Check { name: "rails.pointer", run: pointer },
    Check { name: "rails.generation", run: generation },
];

const ENTRY: usize = size_of::<uapi::usb4_dma_rail>();

fn list(environment: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let (rails, _) = handle.rails()?;
    let up = rails.iter().filter(|rail| u32::from(rail.state) == uapi::USB4_DMA_RAIL_UP).count();
    ensure!(up as u32 == environment.rails, "{up} rails of the list are up, QUERY says {}", environment.rails);
    let numbers: BTreeSet<u8> = rails.iter().map(|rail| rail.rail).collect();
    ensure!(numbers.len() == rails.len(), "numbers of rails come twice");
    let node = handle.query()?.node;
    for rail in &rails {
        let what = format!("{rail:?}");
        ensure!(u32::from(rail.rail) < uapi::USB4_DMA_RAILS_MAX, "a number that no rail can have: {what}");
        ensure!([uapi::USB4_DMA_RAIL_DOWN, uapi::USB4_DMA_RAIL_UP].contains(&rail.state.into()), "its state: {what}");
        ensure!(rail.reserved0 == 0 && rail.reserved1 == [0; 3], "reserved fields are not zero: {what}");
        ensure!(rail.peer_node != 0 && rail.peer_node != node && rail.epoch > 0, "its peer: {what}");
        ensure!(rail.tx_depth > 0 && rail.rx_depth > 0, "its depths: {what}");
        for text in [&rail.nhi, &rail.name] {
            let end = text.iter().position(|&byte| byte == 0);
            ensure!(end.is_some_and(|end| end > 0 && text[end..].iter().all(|&byte| byte == 0)), "a name: {what}");
        }
    }
    Ok(Outcome::Passed)
}

/// RAILS into an array of `room` bytes before the structure. Gives the structure, and the array.
fn call(
    handle: &Handle,
    count: u32,
    entry_size: u32,
    room: usize,
) -> (Result<(), Errno>, uapi::usb4_dma_rails, Vec<u8>) {
    let size = size_of::<uapi::usb4_dma_rails>();
    let rails = uapi::usb4_dma_rails {
        size: size as u32,
        count,
        entry_size,
        entries: handle.arena.nowhere() - (room + size) as u64,
        ..Default::default()
    };
    handle.arena.put(&vec![0xff; room + size]);
    let address = handle.arena.put(sys::bytes_of(&rails));
    let result = sys::ioctl_at(handle.as_fd(), &handle.arena, uapi::IOCTL_RAILS, address);
    let bytes = handle.arena.take(room + size);
    (result, sys::from_bytes(&bytes[room..]), bytes[..room].to_vec())
}

fn count(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let there = handle.rails()?.0.len() as u32;
    let (result, answer, array) = call(&handle, uapi::USB4_DMA_RAILS_MAX, ENTRY as u32, 31 * ENTRY);
    accepted("RAILS with room for all", result)?;
    ensure!(answer.count == there && answer.entry_size as usize == ENTRY, "{answer:?}, but {there} rails");
    let used = there as usize * ENTRY;
    ensure!(array[used..].iter().all(|&byte| byte == 0xff), "RAILS wrote behind the entries that it says it wrote");
    if there == 0 {
        return Ok(Outcome::LeftOut("there is no rail to leave out"));
    }
    for count in [0, there - 1] {
        let (result, answer, array) = call(&handle, count, ENTRY as u32, 31 * ENTRY);
        refused(&format!("RAILS with room for {count} of {there}"), result, Errno::MSGSIZE)?;
        ensure!(answer.count == there, "the answer names {} rails of {there}", answer.count);
        let room = count as usize * ENTRY;
        ensure!(array[room..].iter().all(|&byte| byte == 0xff), "RAILS wrote behind the array");
    }
    // More room than there can be rails is harmless: nothing is written there.
    let (result, ..) = call(&handle, u32::MAX, ENTRY as u32, 31 * ENTRY);
    accepted("RAILS with room for 2^32 - 1", result)?;
    Ok(Outcome::Passed)
}

fn entry_size(environment: &Environment) -> Result<Outcome> {
    if environment.rails == 0 {
        return Ok(Outcome::LeftOut("there is no rail"));
    }
    let handle = Handle::open()?;
    let (known, _) = handle.rails()?;
    let known: Vec<u8> = known.iter().flat_map(|rail| sys::bytes_of(rail).to_vec()).collect();
    let rails = known.len() / ENTRY;
    // No caller is older than the first version, and none has entries of more than a page.
    for size in [0, 8, ENTRY - 1] {
        refused(
            &format!("RAILS with entries of {size} bytes"),
            call(&handle, 31, size as u32, 31 * ENTRY).0,
            Errno::INVAL,
        )?;
    }
    for size in [4097, 1 << 20, u32::MAX] {
        refused(&format!("RAILS with entries of {size} bytes"), call(&handle, 31, size, 31 * ENTRY).0, Errno::TOOBIG)?;
    }
    for size in [ENTRY, ENTRY + 1, ENTRY + 8, 2 * ENTRY, 1500] {
        let (result, answer, array) = call(&handle, 31, size as u32, 31 * size);
        accepted(&format!("RAILS with entries of {size} bytes"), result)?;
        ensure!(answer.entry_size as usize == ENTRY, "the kernel's entries are of {} bytes", answer.entry_size);
        for (index, entry) in array.chunks(size).take(rails).enumerate() {
            // Depths change as channels come and go, so only what stands before them is compared.
            let stable = std::mem::offset_of!(uapi::usb4_dma_rail, tx_depth);
            ensure!(
                entry[..stable] == known[index * ENTRY..][..stable],
                "entries of {size} bytes: entry {index} differs"
            );
            ensure!(entry[ENTRY..].iter().all(|&byte| byte == 0), "entries of {size} bytes: the rest is not zero");
        }
        ensure!(array[rails * size..].iter().all(|&byte| byte == 0xff), "RAILS wrote behind its entries");
    }
    Ok(Outcome::Passed)
}

fn pointer(environment: &Environment) -> Result<Outcome> {
    if environment.rails == 0 {
        return Ok(Outcome::LeftOut("there is no rail"));
    }
    let handle = Handle::open()?;
    for entries in [0, handle.arena.nowhere(), 0xffff_8880_0000_0000, u64::MAX - 63, 1 << 63] {
        let mut rails = uapi::usb4_dma_rails { count: 31, entry_size: ENTRY as u32, entries, ..Default::default() };
        refused(&format!("RAILS into {entries:#x}"), handle.call(uapi::IOCTL_RAILS, &mut rails), Errno::FAULT)?;
    }
    Ok(Outcome::Passed)
}

fn generation(_: &Environment) -> Result<Outcome> {
    let channel = Channel::open(1, 1)?;
    let (_, listed) = channel.handle.rails()?;
    let queried = channel.handle.query()?.generation;
    let mapped = channel.region(uapi::USB4_DMA_REGION_NODE).load(0);
    let kicked = accepted("KICK", channel.handle.kick(0))?.generation;
    ensure!(
        listed == queried && queried == mapped && mapped == kicked,
        "generation: RAILS {listed}, QUERY {queried}, mapped {mapped}, KICK {kicked}"
    );
    let (rails, _) = channel.handle.rails()?;
    let node = channel.region(uapi::USB4_DMA_REGION_NODE).copy_out(0, size_of::<uapi::usb4_dma_node>());
    for number in 0..uapi::USB4_DMA_RAILS_MAX as usize {
        let place = std::mem::offset_of!(uapi::usb4_dma_node, rails) + number * size_of::<uapi::usb4_dma_node_rail>();
        let state: u32 = sys::from_bytes(&node[place..]);
        let listed = rails.iter().find(|rail| usize::from(rail.rail) == number).map_or(0, |rail| rail.state.into());
        ensure!(state == listed, "rail {number}: {listed} in RAILS, {state} in the node's page");
    }
    Ok(Outcome::Passed)
}
