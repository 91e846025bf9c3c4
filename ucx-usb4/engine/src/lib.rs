//! The ucx-usb4 protocol engine.
#![forbid(unsafe_code)]

mod config;
mod delivery;
mod event;
mod message;
mod rails;
mod regions;
mod stats;

pub use config::{Config, Timeouts};
pub use delivery::{Content, Delivery, Verdict};
pub use event::{ConnectError, Event, Failure, OpFailure, Refused, Released};
pub use message::{Atomic, Body, ConnId, Fill, Message, Peer, Transfer, Transmit};
pub use rails::Rails;
pub use regions::{Access, RegionTable, TooManyRegions};
pub use stats::Stats;
