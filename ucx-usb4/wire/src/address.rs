//! Who talks to whom: nodes, channels and connection tokens.

use core::fmt;

/// A host. 32 bits derived from the UUID of the host's USB4 router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u32);

/// One process's opening of a node's links, unique within the node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u16);

/// Where frames go to: a channel of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The host.
    pub node: NodeId,
    /// The channel within the host.
    pub channel: ChannelId,
}

impl Address {
    /// The address of `channel` on `node`.
    pub const fn new(node: u32, channel: u16) -> Self {
        Self { node: NodeId(node), channel: ChannelId(channel) }
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{:x}", self.0)
    }
}

impl fmt::Display for ChannelId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.node, self.channel)
    }
}

/// What a receiver calls one of its connections: the low 16 bits name its slot there, the other 48 are unguessable.
///
/// It is the only thing that keeps other processes out of a connection, since a frame stays mapped in its sender while it is sent.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// No connection: the token of frames that open one.
    pub const NONE: Token = Token(0);

    /// Joins a slot number with 48 random bits (the low 48 bits of `random`).
    pub const fn new(slot: u16, random: u64) -> Self {
        Self(random << 16 | slot as u64)
    }

    /// The slot of the connection at the receiver that issued this token.
    pub const fn slot(self) -> u16 {
        self.0 as u16
    }
}

impl fmt::Debug for Token {
    // A token is a secret: logs name the slot only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token(slot {})", self.slot())
    }
}
