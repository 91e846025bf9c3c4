//! The simulated cable: shared memory plays cables and rings between the processes of one machine.

mod channel;
mod placement;
mod profile;

pub use channel::SimChannel;
pub use placement::Placement;
pub use profile::{CableConfig, ConfigError, FabricConfig, NODE_RAILS_MAX, NODES_MAX, Profile, RailConfig, Unplug};
