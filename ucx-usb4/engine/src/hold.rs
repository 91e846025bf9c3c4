//! Keeping an acknowledgement back until a refusal has arrived.
//!
//! A put completes when it is acknowledged. So when its target refuses it, the requester must learn of the refusal before any acknowledgement
//! of the put reaches it, whatever is lost or overtaken. The target therefore stops its cumulative acknowledgement short of the put until
//! the requester has confirmed the refusal. Refusals are control frames, outside the window: the windows of both sides may be full of
//! frames whose acknowledgement is kept back, and nothing must wait for room then. They go one at a time; refusals are rare.

use std::collections::VecDeque;

use usb4_wire::control::Refusal;

/// The acknowledgement that is kept back, and why.
#[derive(Debug)]
pub(crate) struct AckHold {
    /// What is acknowledged meanwhile.
    ack: u64,
    /// The first one is under way, or about to be.
    refusals: VecDeque<Refusal>,
    /// How often the first one was sent.
    pub(crate) attempts: u32,
    /// When the first one became the first.
    pub(crate) since_ns: u64,
}

impl AckHold {
    /// Nothing at or beyond `ack` shall be acknowledged.
    pub(crate) fn new(ack: u64, now_ns: u64) -> Self {
        Self { ack, refusals: VecDeque::new(), attempts: 0, since_ns: now_ns }
    }

    pub(crate) fn ack(&self) -> u64 {
        self.ack
    }

    /// Queues a refusal; of an operation of many segments one is enough. Returns how many wait now.
    pub(crate) fn refuse(&mut self, refusal: Refusal) -> usize {
        if !self.refusals.iter().any(|known| known.op == refusal.op) {
            self.refusals.push_back(refusal);
        }
        self.refusals.len()
    }

    pub(crate) fn first(&self) -> Option<Refusal> {
        self.refusals.front().copied()
    }

    /// The first refusal has arrived. Returns whether it was the last: the acknowledgement is free again.
    pub(crate) fn confirmed(&mut self, now_ns: u64) -> bool {
        self.refusals.pop_front();
        (self.attempts, self.since_ns) = (0, now_ns);
        self.refusals.is_empty()
    }
}
