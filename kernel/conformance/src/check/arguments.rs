//! What all commands have in common: sizes, flags, reserved fields, pointers, numbers.

use std::mem::offset_of;
use std::os::fd::AsFd;

use anyhow::{Result, ensure};
use rustix::fs::OFlags;
use rustix::io::Errno;
use usb4_dma_sys as uapi;

use super::{Check, Environment, Outcome, accepted, refused};
use crate::channel::Handle;
use crate::sys::{self, Arena};

pub(super) const CHECKS: &[Check] = &[
    Check { name: "arguments.size", run: size },
    Check { name: "arguments.excess", run: excess },
    Check { name: "arguments.flags", run: flags },
    Check { name: "arguments.reserved", run: reserved },
    Check { name: "arguments.pointer", run: pointer },
    Check { name: "arguments.command", run: command },
    Check { name: "arguments.state", run: state },
    Check { name: "arguments.query", run: query },
];

/// A command with its structure as the first version had it, and what of that must be zero.
struct Command {
    name: &'static str,
    request: u32,
    size: usize,
    reserved: &'static [usize],
    /// An argument that is accepted: words and their places.
    valid: &'static [(usize, u32)],
    needs_setup: bool,
}

const COMMANDS: [Command; 4] = [
    Command {
        name: "QUERY",
        request: uapi::IOCTL_QUERY,
        size: size_of::<uapi::usb4_dma_query>(),
        reserved: &[offset_of!(uapi::usb4_dma_query, reserved)],
        valid: &[],
        needs_setup: false,
    },
    Command {
        name: "SETUP",
        request: uapi::IOCTL_SETUP,
        size: size_of::<uapi::usb4_dma_setup>(),
        reserved: &[offset_of!(uapi::usb4_dma_setup, reserved0)],
        valid: &[(offset_of!(uapi::usb4_dma_setup, tx_frames), 4), (offset_of!(uapi::usb4_dma_setup, rx_frames), 4)],
        needs_setup: false,
    },
    Command {
        name: "RAILS",
        request: uapi::IOCTL_RAILS,
        size: size_of::<uapi::usb4_dma_rails>(),
        reserved: &[offset_of!(uapi::usb4_dma_rails, reserved)],
        valid: &[(offset_of!(uapi::usb4_dma_rails, entry_size), size_of::<uapi::usb4_dma_rail>() as u32)],
        needs_setup: false,
    },
    Command {
        name: "KICK",
        request: uapi::IOCTL_KICK,
        size: size_of::<uapi::usb4_dma_kick>(),
        reserved: &[offset_of!(uapi::usb4_dma_kick, reserved)],
        valid: &[],
        needs_setup: true,
    },
];

impl Command {
    /// A handle in the state for the command.
    fn handle(&self) -> Result<Handle> {
        let handle = Handle::open()?;
        if self.needs_setup {
            accepted("SETUP", handle.setup(4, 4))?;
        }
        Ok(handle)
    }

    /// A structure of that size which would be accepted, but for what the caller changes.
    fn argument(&self, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size.max(self.size)];
        bytes[..4].copy_from_slice(&(size as u32).to_ne_bytes());
        for &(place, value) in self.valid {
            bytes[place..place + 4].copy_from_slice(&value.to_ne_bytes());
        }
        bytes.truncate(size.max(4));
        bytes
    }

    fn call(&self, handle: &Handle, bytes: &mut [u8]) -> Result<(), Errno> {
        let result = sys::ioctl_bytes(handle.as_fd(), &handle.arena, self.request, bytes);
        // Without room for the rails, how many there are is all that RAILS says.
        if self.request == uapi::IOCTL_RAILS && result == Err(Errno::MSGSIZE) { Ok(()) } else { result }
    }
}

fn size(_: &Environment) -> Result<Outcome> {
    for command in &COMMANDS {
        for size in [0, 1, 3, 4, 8, command.size / 2, command.size - 4, command.size - 1] {
            let (handle, mut bytes) = (command.handle()?, command.argument(size));
            // The structure's own memory is whole; only its size says less.
            bytes.resize(command.size, 0);
            refused(&format!("{} of {size} bytes", command.name), command.call(&handle, &mut bytes), Errno::INVAL)?;
        }
        let (handle, mut bytes) = (command.handle()?, command.argument(command.size));
        accepted(&format!("{} as it should be", command.name), command.call(&handle, &mut bytes))?;
    }
    Ok(Outcome::Passed)
}

fn excess(_: &Environment) -> Result<Outcome> {
    for command in &COMMANDS {
        for more in [1, 4, 8, 100, 3000] {
            let (handle, mut bytes) = (command.handle()?, command.argument(command.size + more));
            let what = format!("{} with {more} bytes more", command.name);
            accepted(&format!("{what}, zero"), command.call(&handle, &mut bytes))?;
            for place in [command.size, command.size + more - 1] {
                let (handle, mut bytes) = (command.handle()?, command.argument(command.size + more));
                bytes[place] = 1;
                refused(&format!("{what}, not zero at {place}"), command.call(&handle, &mut bytes), Errno::TOOBIG)?;
            }
        }
        // More than user space has at that address: either answer is true.
        for size in [1 << 20, u32::MAX as usize] {
            let (handle, mut bytes) = (command.handle()?, command.argument(command.size));
            bytes[..4].copy_from_slice(&(size as u32).to_ne_bytes());
            let result = command.call(&handle, &mut bytes);
            ensure!(
                matches!(result, Err(Errno::FAULT | Errno::TOOBIG)),
                "{} of {size} bytes: {result:?} instead of EFAULT or E2BIG",
                command.name
            );
        }
    }
    Ok(Outcome::Passed)
}

fn flags(_: &Environment) -> Result<Outcome> {
    let known = uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX | uapi::USB4_DMA_KICK_ARM | uapi::USB4_DMA_KICK_ARM_TX;
    for command in &COMMANDS {
        let known = if command.request == uapi::IOCTL_KICK { known } else { 0 };
        for bit in (0..32).filter(|bit| known & (1 << bit) == 0) {
            let (handle, mut bytes) = (command.handle()?, command.argument(command.size));
            bytes[4..8].copy_from_slice(&(1_u32 << bit).to_ne_bytes());
            let what = format!("{} with flag {bit}", command.name);
            refused(&what, command.call(&handle, &mut bytes), Errno::OPNOTSUPP)?;
        }
    }
    Ok(Outcome::Passed)
}

fn reserved(_: &Environment) -> Result<Outcome> {
    for command in &COMMANDS {
        for &place in command.reserved {
            let (handle, mut bytes) = (command.handle()?, command.argument(command.size));
            bytes[place] = 1;
            let what = format!("{} with byte {place}, which is reserved, set", command.name);
            refused(&what, command.call(&handle, &mut bytes), Errno::OPNOTSUPP)?;
        }
    }
    Ok(Outcome::Passed)
}

fn pointer(_: &Environment) -> Result<Outcome> {
    for command in &COMMANDS {
        let handle = command.handle()?;
        let end = handle.arena.nowhere();
        // Nothing there; in the kernel; not an address at all; the structure's first half only.
        for address in [0, end, 0xffff_8880_0000_1000, u64::MAX - 7, 1 << 62, end - command.size as u64 / 2] {
            handle.arena.put(&command.argument(command.size)[..command.size / 2]);
            let result = sys::ioctl_at(handle.as_fd(), &handle.arena, command.request, address);
            refused(&format!("{} with its argument at {address:#x}", command.name), result, Errno::FAULT)?;
        }
    }
    Ok(Outcome::Passed)
}

fn command(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    accepted("SETUP", handle.setup(4, 4))?;
    let kind = uapi::USB4_DMA_IOCTL_TYPE << 8;
    let size = (size_of::<uapi::usb4_dma_query>() as u32) << 16;
    // Numbers that are not there; another driver's; a known number with direction and size, which ours do not have.
    for request in [kind | 4, kind | 0x7f, kind | 0xff, 0xdb00, 0, u32::MAX, (3 << 30) | size | kind, (1 << 30) | kind]
    {
        let mut bytes = COMMANDS[0].argument(COMMANDS[0].size);
        let result = sys::ioctl_bytes(handle.as_fd(), &handle.arena, request, &mut bytes);
        refused(&format!("ioctl {request:#x}"), result, Errno::NOTTY)?;
    }
    Ok(Outcome::Passed)
}

fn state(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    refused("KICK before SETUP", handle.kick(0), Errno::BADFD)?;
    accepted("SETUP", handle.setup(4, 4))?;
    refused("a second SETUP", handle.setup(4, 4), Errno::BADFD)?;
    accepted("KICK after SETUP", handle.kick(0))?;
    for flags in [OFlags::RDONLY, OFlags::WRONLY] {
        let handle = Handle::open_as(flags)?;
        refused(&format!("SETUP of a handle opened with {flags:?}"), handle.setup(4, 4), Errno::ACCESS)?;
        handle.query()?;
        handle.rails()?;
    }
    Ok(Outcome::Passed)
}

fn query(_: &Environment) -> Result<Outcome> {
    let handle = Handle::open()?;
    let mut bytes = vec![0xff; Arena::ROOM.min(size_of::<uapi::usb4_dma_query>())];
    bytes[..8].copy_from_slice(&COMMANDS[0].argument(8)[..8]);
    bytes[..4].copy_from_slice(&(size_of::<uapi::usb4_dma_query>() as u32).to_ne_bytes());
    bytes[offset_of!(uapi::usb4_dma_query, reserved)..].fill(0);
    accepted("QUERY", COMMANDS[0].call(&handle, &mut bytes))?;
    let query: uapi::usb4_dma_query = sys::from_bytes(&bytes);
    ensure!(query.size as usize == bytes.len() && query.flags == 0, "QUERY changes size or flags: {query:?}");
    ensure!(query.abi_version == uapi::USB4_DMA_ABI_VERSION, "version {}", query.abi_version);
    ensure!((2..=uapi::USB4_DMA_FRAMES_MAX).contains(&query.frames_max), "{} frames at most", query.frames_max);
    ensure!((1..=0xffff).contains(&query.channels_max), "{} channels at most", query.channels_max);
    ensure!((1..=query.channels_max).contains(&query.channels_per_user), "{} of a user", query.channels_per_user);
    ensure!(query.rails_up <= uapi::USB4_DMA_RAILS_MAX, "{} rails", query.rails_up);
    ensure!(query.reserved == 0, "a reserved field is not zero");
    // The node gets its number with its first neighbour or channel, and keeps it.
    let other = Handle::open()?;
    let node = accepted("SETUP", other.setup(4, 4))?.node;
    ensure!(node != 0 && handle.query()?.node == node, "SETUP says node {node:#x}, QUERY {:#x}", handle.query()?.node);
    ensure!([0, node].contains(&query.node), "the node's number changed from {:#x} to {node:#x}", query.node);
    Ok(Outcome::Passed)
}
