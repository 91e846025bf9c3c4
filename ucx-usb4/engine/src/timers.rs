//! Deadlines: a few per connection, and one bound for the engine.

/// What a connection may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Timer {
    /// Repeat Connect or Accept.
    Handshake,
    /// No sign of what is under way: probe, then send again.
    Loss,
    /// An acknowledgement has waited long enough for company.
    Ack,
    /// No rail came back in time.
    Replug,
    /// Repeat Close, or stop lingering.
    Close,
    /// Repeat a refusal.
    Refusal,
    /// Has the idle peer been heard of?
    Keepalive,
    /// Give grown buffers back.
    Idle,
    /// Look again whether a rail has room, or a suspended one may be tried.
    Rails,
}

const TIMERS: [Timer; 9] = [
    Timer::Handshake,
    Timer::Loss,
    Timer::Ack,
    Timer::Replug,
    Timer::Close,
    Timer::Refusal,
    Timer::Keepalive,
    Timer::Idle,
    Timer::Rails,
];

/// Never.
pub(crate) const NEVER: u64 = u64::MAX;

/// The timers of a connection.
#[derive(Debug)]
pub(crate) struct Timers {
    at_ns: [u64; TIMERS.len()],
}

impl Timers {
    pub(crate) const fn new() -> Self {
        Self { at_ns: [NEVER; TIMERS.len()] }
    }

    #[inline]
    pub(crate) fn set(&mut self, timer: Timer, at_ns: u64) {
        self.at_ns[timer as usize] = at_ns;
    }

    #[inline]
    pub(crate) fn clear(&mut self, timer: Timer) {
        self.at_ns[timer as usize] = NEVER;
    }

    #[inline]
    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at_ns[timer as usize] != NEVER
    }

    #[inline]
    pub(crate) fn at_ns(&self, timer: Timer) -> u64 {
        self.at_ns[timer as usize]
    }

    pub(crate) fn earliest_ns(&self) -> u64 {
        self.at_ns.into_iter().min().unwrap_or(NEVER)
    }

    /// Takes one timer that is due.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<Timer> {
        let timer = TIMERS.into_iter().find(|&timer| self.at_ns(timer) <= now_ns)?;
        self.clear(timer);
        Some(timer)
    }
}

/// For each connection a time that is never later than its first deadline.
///
/// Timers are pushed back with every acknowledgement. So that this costs one store, the bounds here are not raised at once: a bound that
/// turns out too early is corrected when it is reached. They lie side by side, so looking at a thousand of them is a few cache lines.
#[derive(Debug)]
pub(crate) struct Deadlines {
    bound_ns: Vec<u64>,
    next_ns: u64,
}

impl Deadlines {
    pub(crate) const fn new() -> Self {
        Self { bound_ns: Vec::new(), next_ns: NEVER }
    }

    /// Makes room for one more connection.
    pub(crate) fn grow(&mut self) {
        self.bound_ns.push(NEVER);
    }

    /// The connection in `slot` has a deadline at `at_ns`.
    #[inline]
    pub(crate) fn note(&mut self, slot: u16, at_ns: u64) {
        if let Some(bound) = self.bound_ns.get_mut(usize::from(slot)) {
            *bound = at_ns.min(*bound);
        }
        self.next_ns = at_ns.min(self.next_ns);
    }

    /// Sets the exact first deadline of the connection in `slot`.
    pub(crate) fn correct(&mut self, slot: usize, at_ns: u64) {
        self.bound_ns[slot] = at_ns;
    }

    pub(crate) fn bound_ns(&self, slot: usize) -> u64 {
        self.bound_ns[slot]
    }

    pub(crate) fn len(&self) -> usize {
        self.bound_ns.len()
    }

    /// No deadline is earlier than this.
    #[inline]
    pub(crate) fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Recomputes the overall bound after corrections.
    pub(crate) fn settle(&mut self) {
        self.next_ns = self.bound_ns.iter().copied().min().unwrap_or(NEVER);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn due_timers_come_out_once() {
        let mut timers = Timers::new();
        timers.set(Timer::Ack, 5);
        timers.set(Timer::Loss, 3);
        timers.set(Timer::Idle, 9);
        assert_eq!(timers.earliest_ns(), 3);
        assert_eq!(timers.take_due(6), Some(Timer::Loss));
        assert_eq!(timers.take_due(6), Some(Timer::Ack));
        assert_eq!(timers.take_due(6), None);
        assert!(timers.is_set(Timer::Idle));
    }

    #[test]
    fn the_bound_is_never_late() {
        let mut deadlines = Deadlines::new();
        deadlines.grow();
        deadlines.grow();
        deadlines.note(1, 50);
        deadlines.note(0, 70);
        deadlines.note(1, 90);
        assert_eq!((deadlines.next_ns(), deadlines.bound_ns(1)), (50, 50));
        deadlines.correct(1, 90);
        deadlines.settle();
        assert_eq!(deadlines.next_ns(), 70);
    }
}
