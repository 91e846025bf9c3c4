//! A simulated USB4 host for virtual machines.
//!
//! One process plays, for every host of a topology, a native host interface (NHI) with MSI-X, a USB4 router with one or two
//! ports, and the cables between the hosts. QEMU attaches each NHI to a guest over vfio-user, so the guest's real `thunderbolt`
//! driver, and any service driver above it, runs unchanged on hardware that nobody had to buy.
//!
//! # Code map
//!
//! | module | what it plays |
//! |---|---|
//! | [`pci`] | PCI configuration space: class, BAR, MSI-X capability |
//! | [`registers`], [`nhi`], [`descriptor`] | the NHI's BAR: rings, interrupts, host reset |
//! | [`config`], [`adapter`], [`router`] | the router's and its adapters' configuration spaces, path tables |
//! | [`control`] | control packets: big-endian words and CRC32C |
//! | [`topology`], [`cable`], [`faults`] | who is joined to whom, frames under way, what goes wrong with them |
//! | [`fabric`], [`transmit`] | all of the above in motion; the one entry point for the outside |
//! | [`memory`] | what guest memory may be asked for; a mock for tests and fuzzing |
//! | [`dma`] | guest memory for real: the only module that touches memory shared with a guest |
//! | [`device`], [`server`], [`command`] | vfio-user, the threads, the control socket |
//!
//! # Architecture invariants
//!
//! - Everything down to [`memory`] in that table is a state machine without I/O, clock or thread: register accesses and `now`
//!   come in, guest memory accesses and interrupts go out.
//! - Nothing a guest writes, into a register, a descriptor or a control packet, makes the process panic or touches memory that the
//!   guest did not map. [`fuzzing::run`] is what shows it.
//! - There is no unsafe code here: `vm-memory` owns the mappings and copies through volatile accesses, `vfio_user` owns the protocol.
#![forbid(unsafe_code)]

pub mod adapter;
pub mod cable;
pub mod command;
pub mod config;
pub mod control;
pub mod descriptor;
pub mod device;
pub mod dma;
pub mod fabric;
pub mod faults;
pub mod fuzzing;
pub mod memory;
pub mod nhi;
pub mod pci;
pub mod registers;
pub mod router;
pub mod server;
pub mod topology;
pub mod transmit;
