//! What observers are shown of a fabric.

use std::path::PathBuf;

use super::profile::FabricConfig;
use crate::{Address, ConnectionStats, Counters, FabricId, NodeId, RailCounters};

/// A fabric in a list.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FabricSummary {
    /// Its name: the profile's, or one made from the file's.
    pub name: String,
    /// Its folder.
    pub path: PathBuf,
    /// Living channels and holders; 0: crashed jobs left it, and `clean` removes it.
    pub users: usize,
    /// Shared memory that it takes, in bytes.
    pub size_bytes: u64,
}

/// Everything about a fabric.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FabricView {
    /// Its name.
    pub name: String,
    /// Its random id.
    pub id: FabricId,
    /// Nanoseconds since it was made.
    pub age_ns: u64,
    /// Its description.
    pub config: FabricConfig,
    /// The cables with their state and counters.
    pub cables: Vec<CableView>,
    /// What each node's channels counted on loopback, since the fabric was made.
    pub loopback: Vec<RailCounters>,
    /// The living channels.
    pub channels: Vec<ChannelView>,
    /// How many holders keep it alive.
    pub holders: usize,
}

/// A cable.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CableView {
    /// The nodes that it joins.
    pub between: [NodeId; 2],
    /// Its rails.
    pub rails: Vec<RailView>,
}

/// A rail.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RailView {
    /// Line rate in bits per second; `None`: no limit.
    pub rate_bits_per_s: Option<u64>,
    /// One-way latency in nanoseconds.
    pub latency_ns: u64,
    /// Whether it carries frames now.
    pub up: bool,
    /// What all channels counted since the fabric was made, by direction of travel: `[0]` away from the cable's first
    /// node, `[1]` towards it. What was sent was counted at one end, what was received at the other.
    pub directions: [RailCounters; 2],
}

/// A living channel.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChannelView {
    /// Its address.
    pub address: Address,
    /// Its incarnation.
    pub incarnation: u64,
    /// The process that owns it.
    pub pid: u32,
    /// Frames of its transmit pool.
    pub transmit_frames: usize,
    /// Whether it sleeps now.
    pub is_sleeping: bool,
    /// What it has counted.
    pub counters: Counters,
    /// Its connections with their statistics.
    pub connections: Vec<ConnectionStats>,
}
