//! Shows observers (`usb4ctl status`) what the engine counts, a few times a second.

use usb4_engine::{ConnInfo, ConnState};
use usb4_link::{Carrier, ConnectionState, ConnectionStats};

use crate::Port;

/// Time between two publications, nanoseconds.
const INTERVAL_NS: u64 = 100_000_000;

impl Port {
    /// Publishes every connection when it is time.
    #[inline]
    pub(super) fn publish_if_due(&mut self) {
        if self.now_ns >= self.publish_at_ns {
            self.publish();
        }
    }

    #[cold]
    fn publish(&mut self) {
        self.publish_at_ns = self.now_ns + INTERVAL_NS;
        self.resident.note_thread();
        if let Some(recorder) = &mut self.recorder {
            recorder.flush();
        }
        let infos: Vec<ConnInfo> = self.engine.connections().filter_map(|conn| self.engine.info(conn)).collect();
        let board = self.channel.board();
        for slot in 0..self.published {
            if !infos.iter().any(|info| usize::from(info.conn.slot()) == slot) {
                board.show(slot, None);
            }
        }
        self.published = infos.iter().map(|info| usize::from(info.conn.slot()) + 1).max().unwrap_or(0);
        for info in &infos {
            board.show(usize::from(info.conn.slot()), Some(&shown(info)));
        }
    }
}

pub(super) fn shown(info: &ConnInfo) -> ConnectionStats {
    let stats = &info.stats;
    ConnectionStats {
        peer: info.peer.address,
        state: match info.state {
            ConnState::Connecting => ConnectionState::Connecting,
            ConnState::Open => ConnectionState::Ready,
            ConnState::Closing => ConnectionState::Closing,
            ConnState::Failed(_) => ConnectionState::Failed,
        },
        tx_frames: stats.frames_sent,
        tx_bytes: stats.bytes_sent,
        rx_frames: stats.frames_received,
        rx_bytes: stats.bytes_received,
        retransmissions: stats.retransmitted,
        timeouts: stats.timeouts,
        duplicates: stats.duplicates,
        reordered: stats.reordered,
        reorder_depth_max: stats.reorder_depth_max.into(),
        credit_stalls: stats.credit_stalls,
        in_flight: stats.in_flight.into(),
        rtt_ns: stats.rtt_ns,
    }
}
