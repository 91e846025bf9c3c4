//! How often an owner that polls in vain looks at the clock: it and what hangs on it cost more than many looks at an empty ring, and a
//! message that arrives meanwhile waits.
//!
//! A program that has a processor of its own comes by every microsecond or two. One that yields between its calls, where there are more
//! processes than processors, may lose a time slice at each: to it many calls are a long time, in which nothing would be sent again.

/// Most idle calls between two looks.
const CALLS_MAX: u32 = 64;
/// When that many calls take longer, each is a reason to look.
const LONG_NS: u64 = 500_000;

/// Idle calls of [`Port::service`](crate::Port::service).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idling {
    calls: u32,
    calls_per_look: u32,
    last_look_ns: u64,
}

impl Idling {
    pub(crate) fn new(now_ns: u64) -> Self {
        Self { calls: 0, calls_per_look: CALLS_MAX, last_look_ns: now_ns }
    }

    /// Another call found nothing: whether to look at the clock.
    #[inline]
    pub(crate) fn is_clock_due(&mut self) -> bool {
        self.calls += 1;
        self.calls >= self.calls_per_look
    }

    /// The next call is no part of a poll: its caller has slept.
    pub(crate) fn expect_sleep(&mut self) {
        self.calls_per_look = 1;
    }

    /// What the clock shows.
    #[inline]
    pub(crate) fn note_clock(&mut self, now_ns: u64) {
        let is_long = now_ns.saturating_sub(self.last_look_ns) >= LONG_NS;
        self.calls_per_look = if is_long { 1 } else { (2 * self.calls_per_look).min(CALLS_MAX) };
        (self.calls, self.last_look_ns) = (0, now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls until the clock is looked at.
    fn calls(idling: &mut Idling) -> u32 {
        (1..).find(|_| idling.is_clock_due()).expect("it is looked at some time")
    }

    #[test]
    fn who_comes_by_often_looks_seldom_and_who_comes_by_seldom_looks_each_time() {
        let mut idling = Idling::new(0);
        let mut now_ns = 0;
        let mut look = |idling: &mut Idling, call_ns: u64| {
            let calls = calls(idling);
            now_ns += u64::from(calls) * call_ns;
            idling.note_clock(now_ns);
            calls
        };
        assert_eq!([1000; 3].map(|ns| look(&mut idling, ns)), [64; 3]);
        // A time slice is lost at each call.
        assert_eq!([3_000_000; 3].map(|ns| look(&mut idling, ns)), [64, 1, 1]);
        // And no longer.
        assert_eq!([1000; 8].map(|ns| look(&mut idling, ns)), [1, 2, 4, 8, 16, 32, 64, 64]);
    }
}
