//! Channels and rails: the simulated USB4 cable and the kernel's rings behind one trait, [`Carrier`].
//!
//! A *channel* is one process's opening of its node's cables. It sends frames of up to [`PAYLOAD_MAX`] bytes behind a
//! 40-byte header over a *rail* of its choice to another channel, takes what arrives, and can sleep until something
//! does. A frame that was submitted arrives once, twice or not at all; reliability is the engine's business, and what a
//! frame means nobody's here.
//!
//! ```
//! use usb4_link::{Carrier, LinkSpec, NodeId, OpenOptions};
//!
//! # let folder = tempfile::tempdir_in("/dev/shm")?;
//! # let shm = Some(folder.path().to_owned());
//! let links: LinkSpec = "sim:ideal".parse()?;
//! let mut left = OpenOptions { node: Some(NodeId(0)), shm: shm.clone(), ..OpenOptions::new(links.clone()) }.open()?;
//! let mut right = OpenOptions { node: Some(NodeId(1)), shm, ..OpenOptions::new(links) }.open()?;
//!
//! let dst = right.address();
//! let rail = left.rails_to(dst.node).iter().next().ok_or("no cable leads there")?;
//! left.submit_control(left.now_ns(), rail, dst, &[7; 40], b"hello")?;
//!
//! let reaped = loop {
//!     if let Some(reaped) = right.reap(right.now_ns()) {
//!         break reaped;
//!     }
//! };
//! let mut payload = [0; 64];
//! let len = right.copy_control(reaped.frame, 64, &mut payload);
//! right.release(reaped.frame);
//! assert_eq!((reaped.header, &payload[..len]), ([7; 40], &b"hello"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The simulated cable
//!
//! `sim:PROFILE` or `sim:/path/fabric.toml` (see [`sim`]). Shared memory plays cables and rings: a sender writes a
//! frame's payload once into its own pool, and the receiver reads it there. Headers and payloads of up to 64 bytes travel
//! in the ring itself; a message of up to 16 bytes over an untimed rail is one cache line. Each rail is paced by one
//! shared word, so there is no thread and no daemon; whoever is killed leaves only files whose locks are free, which the
//! next one to come or go removes.
//!
//! # Architecture invariants
//!
//! - Only this crate touches memory that another process writes, and only its files `shm/{mapping,cells,frames}.rs` do so
//!   with unsafe code. What is read there is read once, as whole words, and checked before it is used.
//! - Nobody here parses a frame, retransmits one or keeps one in order.
//! - Sending and reaping make no system call except to wake a sleeper, allocate nothing after the first frame to a peer,
//!   and use no locked instruction where no rail is paced.
//!
//! # Tests
//!
//! `cargo test -p usb4-link` holds the rings to a queue (proptest), tries every interleaving of the rings and of the
//! wake-up (loom), kills processes at random moments (`USB4_LINK_SEED=n` repeats a run, `USB4_LINK_ROUNDS=n` lengthens
//! it), and replays the fuzz corpus of a hostile peer. `cargo +nightly fuzz run hostile_peer` in this folder looks for more;
//! `cargo bench -p usb4-link` compares the short path and a stream with what the processor allows.

mod board;
mod carrier;
mod channel;
mod clock;
mod error;
pub mod kernel;
mod severed;
mod shm;
pub mod sim;
mod spec;
mod stats;
mod timer;
mod types;

pub use board::Board;
pub use carrier::{Carrier, Limits};
pub use channel::{Channel, OpenOptions};
pub use error::{OpenError, PlacementError, SubmitError};
pub use spec::LinkSpec;
pub use stats::{ConnectionState, ConnectionStats, Counters, RailCounters};
pub use types::{ArmResult, FabricId, LinkEvent, RailInfo, Reaped, RxFrame, TxFrame};
pub use usb4_wire::{Address, CONTROL_MAX, ChannelId, HEADER_LEN, NodeId, PAYLOAD_MAX, RailId, RailSet};

const _: () = assert!(CONTROL_MAX == shm::ring::INLINE_MAX, "control payloads travel inside a ring's cell");
