//! The ucx-usb4 protocol engine: connections, reliability, credits, remote memory access, striping and failover over rails that lose,
//! repeat and overtake.
//!
//! It does no I/O, reads no clock and holds no lock: frames, events and `now_ns` come in as arguments, frames and deadlines go out. The same
//! code runs in the transport and in a simulator that jumps through time.
//!
//! # Calling it
//!
//! One [`Engine`] speaks for one channel. Its driver repeats, in this order:
//!
//! 1. For each frame that arrived: [`Header::parse`](usb4_wire::Header::parse), copy the first `private_len` payload bytes, then
//!    [`Engine::handle_frame`]. On [`Verdict::Deliver`] use the payload; on `Deliver` and `Drop` release the frame. Then drain
//!    [`Engine::poll_deliver`]. [`Engine::handle_message`] is a shorter way for most frames. A delivery that is wrong is answered with [`Engine::reject`] at once.
//! 2. [`Engine::poll_event`] until `None`: what completed, who may send again, what failed.
//! 3. New work: [`Engine::admit`], fill a frame, [`Engine::commit`], put it on its rail. Long transfers: [`Engine::put`] and
//!    [`Engine::get`], then [`Engine::poll_fill`], fill, [`Engine::commit_fill`].
//! 4. [`Engine::poll_transmit`] until `None`; what the rail refuses goes to [`Engine::handle_unsent`].
//! 5. [`Engine::poll_release`] and [`Engine::poll_held_release`] until `None`.
//!
//! Before it sleeps it asks [`Engine::poll_timeout`]. Time must not run backwards.
//!
//! # What it promises
//!
//! - An active message arrives once and in the order of its connection, or the connection fails, once, with a reason.
//! - A put or get is complete when its bytes are in place; an atomic operation is applied once. A refused one touches no memory and is
//!   never reported complete.
//! - A frame handed in comes back exactly once. Every queue, window and wait has a bound in [`Config`].
//!
//! # Reading it
//!
//! `connection` is what two channels know of each other; its verbs are in `handshake`, `arrive`, `acked`, `recover`, `emit`, `remote` and
//! `close`. The parts it is made of know nothing of it: `transmit` and `reorder` (the windows), `ack`, `credits`, `rails`, `rtt`, `timers`,
//! `operations`, `hold`. `engine` holds the connections, `strangers` deals with frames of none.

#![forbid(unsafe_code)]

mod ack;
mod acked;
mod arrive;
mod close;
mod config;
mod connection;
mod credits;
mod delivery;
mod emit;
mod engine;
mod event;
mod handshake;
mod hold;
mod message;
mod operations;
mod rails;
mod recover;
mod regions;
mod remote;
mod reorder;
mod rtt;
mod shared;
#[cfg(feature = "sim")]
pub mod sim;
mod stats;
mod strangers;
mod timers;
mod transmit;

pub use config::{Config, Timeouts};
pub use delivery::{Content, Delivery, Verdict};
pub use engine::Engine;
pub use event::{ConnectError, Event, Failure, OpFailure, Refused, Released};
pub use message::{Atomic, Body, ConnId, Fill, Message, Peer, Transfer, Transmit};
pub use rails::Rails;
pub use regions::{Access, RegionTable, TooManyRegions};
pub use stats::{ConnInfo, ConnState, Stats};
