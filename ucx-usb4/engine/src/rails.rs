//! Rails as the engine sees them.

use usb4_wire::RailId;

/// What the engine asks about rails: the driver answers from `link`.
pub trait Rails {
    /// Expected time in nanoseconds until `len_bytes` (header included) sent now on `rail` would be delivered: backlog, serialisation and latency.
    /// `None` when the rail is down or its transmit ring is full.
    fn cost_ns(&self, rail: RailId, len_bytes: usize) -> Option<u64>;
}
