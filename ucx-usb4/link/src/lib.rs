//! Channels and rails: the simulated USB4 cable and the kernel's rings behind one trait, [`Carrier`].

mod carrier;
mod channel;
mod error;
mod ids;
pub mod sim;
mod spec;
mod stats;
mod types;

pub use carrier::{Carrier, Limits};
pub use channel::{Channel, OpenOptions};
pub use error::{OpenError, PlacementError, SubmitError};
pub use ids::{Address, ChannelId, HEADER_LEN, NodeId, PAYLOAD_MAX, RailId, RailSet};
pub use spec::LinkSpec;
pub use stats::{ConnectionState, ConnectionStats, Counters, RailCounters};
pub use types::{ArmResult, FabricId, LinkEvent, RailInfo, Reaped, RxFrame, TxFrame};

/// Longest payload of [`Carrier::submit_control`] in bytes: it travels inside the descriptor.
pub const CONTROL_MAX: usize = 64;
