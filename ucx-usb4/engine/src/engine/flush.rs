//! Flushing and fencing: what a connection's peer has, and what takes effect before what.

use super::Engine;
use crate::ConnId;
use crate::timers::NEVER;

impl<T: Copy, R: Copy> Engine<T, R> {
    /// The number after the last frame sent on the connection. A flush is over when [`Engine::acked_mark`] has reached what this was.
    pub fn sent_mark(&self, conn: ConnId) -> u64 {
        self.lookup(conn).map_or(0, |conn| conn.tx.next())
    }

    /// The number before which every frame sent on the connection is acknowledged. It stops when the connection fails.
    pub fn acked_mark(&self, conn: ConnId) -> u64 {
        self.lookup(conn).map_or(0, |conn| conn.tx.una())
    }

    /// Since when the peer has acknowledged nothing of what is under way; `None` when nothing is.
    pub fn silent_since_ns(&self, conn: ConnId) -> Option<u64> {
        self.lookup(conn).filter(|conn| !conn.tx.is_empty()).map(|conn| conn.progress_ns)
    }

    /// Own operations of the connection that are not complete.
    pub fn outstanding_ops(&self, conn: ConnId) -> usize {
        self.lookup(conn).and_then(|conn| conn.operations.as_ref()).map_or(0, |operations| operations.outstanding())
    }

    /// Asks for an [`Event::Unblocked`] when everything sent so far is acknowledged; not if it is already.
    pub fn want_flush(&mut self, conn: ConnId) {
        if let Some((conn, _)) = self.parts(conn) {
            let mark = conn.tx.next();
            conn.waiting.flush = (conn.tx.una() < mark).then_some(mark);
        }
    }

    /// Asks the peer to acknowledge now what has arrived, and the rest as soon as it does; also a question whether it lives.
    pub fn request_ack(&mut self, now_ns: u64, conn: ConnId) {
        if let Some((conn, cx)) = self.parts(conn) {
            conn.request_ack(cx, now_ns);
        }
    }

    /// The driver is about to sleep: acknowledgements that wait for company go out with the next [`Engine::poll_transmit`], so that no
    /// timer must wake it for them.
    pub fn acknowledge_all(&mut self) {
        let mut from = 0;
        // Who owes an acknowledgement has a timer for it.
        while let Some(slot) = self.shared.deadlines.first_due(from, NEVER - 1) {
            from = slot + 1;
            if let Some(conn) = self.slots[slot].conn.as_mut() {
                conn.acknowledge_now(&mut self.shared);
            }
        }
    }

    /// What is sent or asked for after this on the connection takes effect after what was before.
    pub fn fence(&mut self, conn: ConnId) {
        if let Some((conn, _)) = self.parts(conn) {
            conn.fence();
        }
    }
}
