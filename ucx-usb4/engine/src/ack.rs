//! When to acknowledge.

/// Early frames after which a gap is reported without waiting for the reorder delay.
const GAP_FRAMES: u8 = 8;
/// Most frames that one acknowledgement covers: the sender keeps its frames until then.
const FRAMES_MAX: u32 = 32;

/// What the peer is owed.
#[derive(Debug)]
pub(crate) struct AckState {
    /// Frames that arrived since the last acknowledgement was sent.
    unacknowledged: u32,
    /// Frames that arrived early since then.
    early: u8,
    /// An acknowledgement shall go out now.
    due: bool,
    /// The number of a probe that waits for its answer, or 0.
    echo: u16,
    /// Acknowledge at once when every frame before this one has arrived.
    wanted: u64,
}

/// What an arrival means for the acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// It is due now.
    Now,
    /// It may wait for the acknowledgement delay.
    Soon,
    /// It may wait for the reorder delay.
    Gap,
}

impl AckState {
    pub(crate) const fn new() -> Self {
        Self { unacknowledged: 0, early: 0, due: false, echo: 0, wanted: u64::MAX }
    }

    /// A frame was delivered in order; `next` is the first that has not been, `window` what the peer may have under way.
    #[inline]
    pub(crate) fn in_order(&mut self, next: u64, window: u32) -> Urgency {
        self.unacknowledged += 1;
        if next >= self.wanted || self.unacknowledged >= (window / 4).clamp(1, FRAMES_MAX) {
            self.due = true;
            return Urgency::Now;
        }
        Urgency::Soon
    }

    /// A frame arrived before its turn.
    pub(crate) fn early(&mut self) -> Urgency {
        self.early += 1;
        if self.early >= GAP_FRAMES {
            self.due = true;
            return Urgency::Now;
        }
        Urgency::Gap
    }

    /// The peer wants to know when everything before `psn` has arrived.
    pub(crate) fn want(&mut self, psn: u64, next: u64) {
        if next >= psn {
            self.due = true;
        } else if self.wanted == u64::MAX || psn > self.wanted {
            self.wanted = psn;
        }
    }

    /// The peer asks what has arrived.
    pub(crate) fn probe(&mut self, number: u16) {
        self.due = true;
        self.echo = number;
    }

    /// An acknowledgement shall go out now.
    pub(crate) fn demand(&mut self) {
        self.due = true;
    }

    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due
    }

    /// Whether anything has arrived that was not yet acknowledged.
    #[inline]
    pub(crate) fn owes(&self) -> bool {
        self.unacknowledged > 0
    }

    /// The probe to answer.
    pub(crate) fn echo(&self) -> u16 {
        self.echo
    }

    /// A header with an acknowledgement goes out, every frame before `next` having arrived. `complete`: it is an Ack, which answers
    /// probes and reports gaps; others carry the number alone.
    #[inline]
    pub(crate) fn sent(&mut self, next: u64, complete: bool, gap: bool) {
        self.unacknowledged = 0;
        if next >= self.wanted {
            self.wanted = u64::MAX;
        }
        if complete || (self.echo == 0 && !gap) {
            (self.due, self.early) = (false, 0);
        }
        if complete {
            self.echo = 0;
        }
    }
}
