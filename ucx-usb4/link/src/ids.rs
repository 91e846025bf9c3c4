//! Addresses and rails, as the wire knows them.

/// Length of the frame header in bytes.
pub const HEADER_LEN: usize = 40;
/// Longest payload of one frame in bytes.
pub const PAYLOAD_MAX: usize = 4056;

/// A host of the fabric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// One process's opening of a node's links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u16);

/// Where frames go to and come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    /// The host.
    pub node: NodeId,
    /// The channel on that host.
    pub channel: ChannelId,
}

/// One of the node's rails: 0..=30, or [`RailId::LOOPBACK`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RailId(pub u8);

impl RailId {
    /// The way to other channels of the own node.
    pub const LOOPBACK: RailId = RailId(31);
}

/// A set of rails, one bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct RailSet(pub u32);
