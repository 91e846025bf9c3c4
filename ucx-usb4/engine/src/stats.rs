//! What a connection is and has counted, for observers.

use crate::connection::{Connection, Phase};
use crate::{ConnId, Failure, Peer};

/// A connection as [`Engine::info`](crate::Engine::info) shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnInfo {
    /// Its name.
    pub conn: ConnId,
    /// The other side.
    pub peer: Peer,
    /// How far it is.
    pub state: ConnState,
    /// Rails that it uses now.
    pub rails: usize,
    /// What it has counted.
    pub stats: Stats,
    /// Memory that it occupies, in bytes.
    pub memory_bytes: usize,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnState {
    /// The peer has not answered yet.
    Connecting,
    /// Frames flow.
    Open,
    /// Both sides are taking leave.
    Closing,
    /// It is over, for this reason.
    Failed(Failure),
}

impl ConnInfo {
    pub(crate) fn of<T: Copy, R: Copy>(conn: &Connection<T, R>) -> Self {
        let state = match conn.phase {
            Phase::Connecting => ConnState::Connecting,
            Phase::Accepting | Phase::Open => ConnState::Open,
            Phase::Closing | Phase::Lingering => ConnState::Closing,
            Phase::Over(failure) => ConnState::Failed(failure),
        };
        Self {
            conn: conn.id,
            peer: conn.peer,
            state,
            rails: conn.rails.usable().count_ones() as usize,
            stats: conn.snapshot(),
            memory_bytes: conn.memory_bytes(),
        }
    }
}

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
    /// Frames that waited for an earlier one.
    pub reordered: u64,
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

impl Stats {
    /// Counters and what is under way summed; of depths and times the largest.
    #[must_use]
    pub(crate) fn plus(&self, other: &Stats) -> Stats {
        Stats {
            frames_sent: self.frames_sent + other.frames_sent,
            bytes_sent: self.bytes_sent + other.bytes_sent,
            frames_received: self.frames_received + other.frames_received,
            bytes_received: self.bytes_received + other.bytes_received,
            retransmitted: self.retransmitted + other.retransmitted,
            found_lost: self.found_lost + other.found_lost,
            timeouts: self.timeouts + other.timeouts,
            probes_sent: self.probes_sent + other.probes_sent,
            acks_sent: self.acks_sent + other.acks_sent,
            duplicates: self.duplicates + other.duplicates,
            beyond_window: self.beyond_window + other.beyond_window,
            invalid: self.invalid + other.invalid,
            reordered: self.reordered + other.reordered,
            reorder_depth_max: self.reorder_depth_max.max(other.reorder_depth_max),
            credit_stalls: self.credit_stalls + other.credit_stalls,
            rail_stalls: self.rail_stalls + other.rail_stalls,
            rail_failovers: self.rail_failovers + other.rail_failovers,
            rtt_ns: self.rtt_ns.max(other.rtt_ns),
            rtt_var_ns: self.rtt_var_ns.max(other.rtt_var_ns),
            in_flight: self.in_flight + other.in_flight,
            window: self.window + other.window,
        }
    }
}
