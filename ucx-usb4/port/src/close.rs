//! Closing: what was sent shall arrive, and the peers shall know, within a bounded time.

use std::time::Duration;

use crate::Port;

/// How long a wait for the peers' answers sleeps at a time: they may need this core to answer.
const NAP: Duration = Duration::from_micros(20);

impl Port {
    /// Closes all connections in good order. Returns when the peers have answered, or when their time is over.
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
            if !self.engine.is_closed() {
                std::thread::sleep(NAP);
            }
        }
        self.recycle();
    }
}
