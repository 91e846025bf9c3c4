//! The simulated cable: shared memory plays cables and rings between the processes of one machine.

mod channel;
mod config;
mod counting;
mod events;
mod fabric;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod hostile;
mod layout;
mod observe;
mod own;
mod peer;
mod placement;
mod profile;
mod rails;
mod random;
mod receive;
mod registry;
mod source;
mod stats;
mod topology;
mod transmit;
mod wake;

pub use channel::SimChannel;
pub use observe::{CableView, ChannelView, FabricSummary, FabricView, Holder, ObserveError, RailSelector, RailView};
pub use placement::Placement;
pub use profile::{CableConfig, ConfigError, FabricConfig, NODE_RAILS_MAX, NODES_MAX, Profile, RailConfig, Unplug};
pub use registry::Registry;

/// Places in tables by rail: the node's rails and loopback.
const RAILS: usize = 32;
/// The place of loopback, as in `RailId::LOOPBACK`.
const LOOPBACK: usize = 31;
