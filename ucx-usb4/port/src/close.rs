//! Closing: what was sent shall arrive, and the peers shall know, within a bounded time.

use std::time::Duration;

use crate::{Port, residents};

/// How long a wait for the peers' answers sleeps at a time: they may need this core to answer.
const NAP: Duration = Duration::from_micros(20);

impl Port {
    /// Closes all connections in good order. Returns when the peers have answered, or when their time is over. Those that only this thread
    /// could let answer are told, and find what was sent in their rings.
    pub fn close(&mut self) {
        self.look_at_clock();
        self.engine.close(self.now_ns);
        while !self.engine.is_closed() {
            while let Some(arrival) = self.poll_arrival() {
                // Nobody is left to take it.
                let crate::Arrival::Message { frame, .. } = arrival;
                self.release(frame);
            }
            self.look_at_clock();
            self.service_now();
            while self.poll_event().is_some() {}
            if self.is_waiting_for_itself() {
                break;
            }
            if !self.engine.is_closed() {
                std::thread::sleep(NAP);
            }
        }
        self.recycle();
    }

    /// No peer that is left can answer before this thread serves it.
    fn is_waiting_for_itself(&self) -> bool {
        let mut peers = self.engine.connections().filter_map(|conn| Some(self.engine.info(conn)?.peer));
        peers.all(|peer| residents::is_served_here(peer.incarnation))
    }
}
