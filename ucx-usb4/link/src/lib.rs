//! Channels and rails: the simulated USB4 cable and the kernel's rings behind one trait, [`Carrier`].

mod carrier;
mod channel;
mod clock;
mod error;
mod shm;
pub mod sim;
mod spec;
mod stats;
mod types;

pub use carrier::{Carrier, Limits};
pub use channel::{Channel, OpenOptions};
pub use error::{OpenError, PlacementError, SubmitError};
pub use spec::LinkSpec;
pub use stats::{ConnectionState, ConnectionStats, Counters, RailCounters};
pub use types::{ArmResult, FabricId, LinkEvent, RailInfo, Reaped, RxFrame, TxFrame};
pub use usb4_wire::{Address, CONTROL_MAX, ChannelId, HEADER_LEN, NodeId, PAYLOAD_MAX, RailId, RailSet};

const _: () = assert!(CONTROL_MAX == shm::ring::INLINE_MAX, "control payloads travel inside a ring's cell");
