//! Counters that a channel keeps and observers read.

use std::fmt;

use crate::{Address, RailId};

/// Traffic of one channel over one rail. Frames count when they were taken for sending, or handed out
/// by `reap`; bytes include the header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RailCounters {
    /// Frames sent, control frames and retransmissions included.
    pub tx_frames: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
    /// Frames received.
    pub rx_frames: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames that the fault plan lost.
    pub lost: u64,
    /// Frames dropped because the receiver had no posted buffer.
    pub no_buffer: u64,
    /// Frames that were under way when the rail was unplugged.
    pub unplugged: u64,
    /// Frames that the fault plan delivered twice.
    pub duplicated: u64,
    /// Received descriptors that were refused because a field was out of range.
    pub malformed: u64,
}

/// All counters of a channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Per rail; [`RailId::LOOPBACK`] is the last.
    pub rails: Vec<(RailId, RailCounters)>,
    /// Wake-ups that this channel sent to sleeping peers (a system call each).
    pub wakeups_sent: u64,
    /// Times that this channel went to sleep.
    pub sleeps: u64,
}

/// The state of a connection, for display.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum ConnectionState {
    /// The slot is unused.
    #[default]
    Free = 0,
    /// The handshake is under way.
    Connecting = 1,
    /// Data flows.
    Ready = 2,
    /// Data has been acknowledged and the connection is being closed.
    Closing = 3,
    /// The connection failed.
    Failed = 4,
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ConnectionState::Free => "free",
            ConnectionState::Connecting => "connecting",
            ConnectionState::Ready => "ready",
            ConnectionState::Closing => "closing",
            ConnectionState::Failed => "failed",
        })
    }
}

/// What the engine knows of one connection, shown to observers on a [`Board`](crate::Board).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectionStats {
    /// The other end.
    pub peer: Address,
    /// Where the connection stands.
    pub state: ConnectionState,
    /// Frames sent for the first time.
    pub tx_frames: u64,
    /// Payload bytes sent for the first time.
    pub tx_bytes: u64,
    /// Frames delivered.
    pub rx_frames: u64,
    /// Payload bytes delivered.
    pub rx_bytes: u64,
    /// Frames sent again, for whatever reason.
    pub retransmissions: u64,
    /// Of these, those that a timeout caused.
    pub timeouts: u64,
    /// Received frames that had been received before.
    pub duplicates: u64,
    /// Received frames that had to wait for an earlier one.
    pub reordered: u64,
    /// Most frames that ever waited for an earlier one.
    pub reorder_depth_max: u64,
    /// Times that sending had to wait for credits.
    pub credit_stalls: u64,
    /// Frames sent and not acknowledged.
    pub in_flight: u64,
    /// Smoothed round-trip time in nanoseconds.
    pub rtt_ns: u64,
}
