//! Shows observers (`usb4ctl status`, UCX's virtual file system) what is counted, a few times a second.

use std::sync::{Arc, Mutex, PoisonError};

use usb4_engine::{ConnInfo, ConnState};
use usb4_link::{Board, Carrier, ConnectionState, ConnectionStats, Counters};

use crate::Port;

/// Time between two publications, nanoseconds.
const INTERVAL_NS: u64 = 100_000_000;

/// A port's counters as other threads may read them, while it is open and afterwards: as they were a tenth of a second before its
/// owner last called it, or later.
#[derive(Clone, Debug)]
pub struct Observer {
    board: Board,
    counters: Arc<Mutex<Counters>>,
}

impl Observer {
    pub(super) fn new(board: Board) -> Self {
        Self { board, counters: Arc::default() }
    }

    /// The connections; 256 at most.
    #[must_use]
    pub fn connections(&self) -> Vec<ConnectionStats> {
        self.board.connections().map(|(_, stats)| stats).collect()
    }

    /// Frames and bytes per rail.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Port {
    /// For other threads.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

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
        let board = &self.observer.board;
        for slot in 0..self.published {
            if !infos.iter().any(|info| usize::from(info.conn.slot()) == slot) {
                board.show(slot, None);
            }
        }
        self.published = infos.iter().map(|info| usize::from(info.conn.slot()) + 1).max().unwrap_or(0);
        for info in &infos {
            board.show(usize::from(info.conn.slot()), Some(&shown(info)));
        }
        // Whoever reads them right now reads those of the last time: the port waits for nobody.
        if let Ok(mut counters) = self.observer.counters.try_lock() {
            *counters = self.channel.counters();
        }
    }
}

fn shown(info: &ConnInfo) -> ConnectionStats {
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
