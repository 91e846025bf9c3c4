//! The simulated cable: shared memory plays cables and rings between the processes of one machine.
//!
//! A fabric is a folder, `/dev/shm/ucx-usb4-<uid>/<name>/`. It exists as long as a channel or a [`Holder`] does, and all
//! that use the same profile, or a file of the same content, are on the same fabric. [`Registry`] looks at fabrics from
//! outside and pulls their cables.
//!
//! A file describes nodes and cables:
//!
//! ```toml
//! nodes = 3                       # hosts, numbered from 0
//! seed = 7                        # optional: the same faults in each run
//!
//! [[cables]]
//! between = [0, 1]
//! rails = 2                       # 1 if absent
//! rate_gbps = [13.0, 6.5]         # one number for all rails or one per rail; absent: no limit
//! latency_us = 5.5                # one way
//! loss = 0.001                    # probability per frame
//! duplicate = 0.0001              # probability per frame
//! reorder_us = 2.0                # further random delay, up to this; the rail keeps its order
//! unplug = [{ at_ms = 500.0, for_ms = 200.0 }]   # counted from the fabric's creation; no for_ms: for ever
//! ```
//!
//! # What a rail does to a frame
//!
//! | on hardware | here |
//! |---|---|
//! | the transmit ring is full | `RingFull`, when 256 full frames wait for a paced rail |
//! | the receiver has posted no buffer | dropped and counted (`no_buffer`), when 512 frames of a channel over a rail wait |
//! | the cable is pulled | `RailDown`; frames under way are lost (`lost` where the plan knew, else `unplugged` at the receiver) |
//! | bit errors | `loss` by plan; the frame check of the hardware makes a damaged frame a lost one |

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
mod topology;
mod transmit;
mod view;
mod wake;

pub use channel::SimChannel;
pub use observe::{Holder, ObserveError, RailSelector};
pub use placement::Placement;
pub use profile::{CableConfig, ConfigError, FabricConfig, NODE_RAILS_MAX, NODES_MAX, Profile, RailConfig, Unplug};
pub use registry::Registry;
pub use view::{CableView, ChannelView, FabricSummary, FabricView, RailView};

/// Places in tables by rail: the node's rails and loopback.
const RAILS: usize = 32;
/// The place of loopback, as in `RailId::LOOPBACK`.
const LOOPBACK: usize = 31;
