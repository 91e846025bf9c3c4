//! What a connection has counted.

/// Counters and gauges of a connection. Counters start at 0 when the connection opens and wrap never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sequenced frames sent for the first time.
    pub frames_sent: u64,
    /// Their payload in bytes.
    pub bytes_sent: u64,
    /// Sequenced frames delivered or placed.
    pub frames_received: u64,
    /// Their payload in bytes.
    pub bytes_received: u64,
    /// Frames sent again.
    pub retransmitted: u64,
    /// Frames found lost because a later frame of the same rail arrived.
    pub found_lost: u64,
    /// Retransmission timeouts.
    pub timeouts: u64,
    /// Probes sent.
    pub probes_sent: u64,
    /// Acknowledgements sent on their own.
    pub acks_sent: u64,
    /// Frames that had arrived before.
    pub duplicates: u64,
    /// Frames beyond the granted window.
    pub beyond_window: u64,
    /// Damaged or senseless frames.
    pub invalid: u64,
    /// Deepest that the reorder buffer has been, in frames.
    pub reorder_depth_max: u32,
    /// Times that a sender found the window used up.
    pub credit_stalls: u64,
    /// Times that a sender found no rail free.
    pub rail_stalls: u64,
    /// Times that a rail was taken out of use.
    pub rail_failovers: u64,
    /// Smoothed round-trip time in nanoseconds, 0 before the first sample.
    pub rtt_ns: u64,
    /// Its variation in nanoseconds.
    pub rtt_var_ns: u64,
    /// Frames under way now.
    pub in_flight: u32,
    /// Frames that the peer grants beyond those acknowledged.
    pub window: u32,
}
