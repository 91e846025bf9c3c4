//! Keeping an acknowledgement back until a refusal has arrived.
//!
//! A put completes when it is acknowledged. So when its target refuses it, the refusal (a sequenced OpError) must reach the requester
//! before any acknowledgement of the put does, whatever is lost or overtaken. The target therefore stops its cumulative
//! acknowledgement short of the put until it knows that the OpError has arrived. It knows from the peer's *selective*
//! acknowledgement too, so two sides that refuse each other's puts at once do not wait for each other for ever.

/// The acknowledgement that is kept back, and why.
#[derive(Debug)]
pub(crate) struct AckHold {
    /// What is acknowledged meanwhile.
    ack: u64,
    /// Refusals that wait to be sent.
    unsent: u32,
    /// The frames of those that were sent and are not known to have arrived.
    under_way: Vec<u64>,
}

impl AckHold {
    /// Nothing beyond `ack` shall be acknowledged.
    pub(crate) fn new(ack: u64) -> Self {
        Self { ack, unsent: 0, under_way: Vec::new() }
    }

    pub(crate) fn ack(&self) -> u64 {
        self.ack
    }

    /// A refusal was queued.
    pub(crate) fn queued(&mut self) {
        self.unsent += 1;
    }

    /// A refusal went out as frame `psn`.
    pub(crate) fn sent(&mut self, psn: u64) {
        self.unsent = self.unsent.saturating_sub(1);
        self.under_way.push(psn);
    }

    /// Forgets the refusals that have arrived. Returns whether none is left: the acknowledgement is free again.
    pub(crate) fn settle(&mut self, has_arrived: impl Fn(u64) -> bool) -> bool {
        self.under_way.retain(|&psn| !has_arrived(psn));
        self.unsent == 0 && self.under_way.is_empty()
    }
}
