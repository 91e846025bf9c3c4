//! Credits: how many frames each peer may have under way to this channel.
//!
//! All grants together never exceed the channel's receive pool. Half of it is set aside for minimums: every connection has a fair one reserved,
//! and as many connections as that half can serve are never refused. What a connection needs beyond its minimum it borrows from the other
//! half, by the dynamic threshold of switch buffers: it may hold as much as is still to be had, so one busy connection gets half of that, two
//! get a third each, and a newcomer always finds some. A promise cannot be taken back, so a connection that falls silent keeps what it
//! borrowed; that is why minimums must not depend on what others hold.

/// The channel's receive pool.
#[derive(Debug)]
pub(crate) struct Pool {
    frames: u32,
    reserved: u32,
    borrowed: u32,
}

impl Pool {
    pub(crate) fn new(frames: u32) -> Self {
        Self { frames, reserved: 0, borrowed: 0 }
    }

    fn free(&self) -> u32 {
        self.frames - self.reserved - self.borrowed
    }

    /// What may still be borrowed.
    fn lendable(&self) -> u32 {
        (self.frames / 2).saturating_sub(self.borrowed).min(self.free())
    }

    /// Frames granted at this moment, by this account.
    #[cfg(any(test, feature = "sim"))]
    pub(crate) fn granted(&self) -> u32 {
        self.reserved + self.borrowed
    }
}

/// What one connection has been granted.
#[derive(Debug)]
pub(crate) struct Grant {
    /// The first frame that it may not send. Never moves back: a promise is kept.
    edge: u64,
    /// Reserved in the pool.
    min: u32,
    /// Most at once.
    max: u32,
    /// Wanted at once; doubles while the peer uses it up.
    target: u32,
    /// Held beyond `min`, by the last account.
    borrowed: u32,
    /// Where the target was last raised.
    raised_at: u64,
}

impl Grant {
    /// Reserves the minimum for a connection whose peer starts at frame `first`. `None` when the pool has no room for another connection.
    pub(crate) fn open(pool: &mut Pool, min: u16, max: u16, first: u64) -> Option<Grant> {
        let (min, max) = (u32::from(min), u32::from(max));
        if pool.free() < min {
            return None;
        }
        pool.reserved += min;
        Some(Grant { edge: first + u64::from(min), min, max, target: min, borrowed: 0, raised_at: first })
    }

    /// Gives everything back.
    pub(crate) fn close(&mut self, pool: &mut Pool) {
        pool.reserved -= self.min;
        pool.borrowed -= self.borrowed;
        (self.min, self.borrowed, self.target) = (0, 0, 0);
    }

    /// Restarts the grant at the first frame of a peer that has just said which one that is.
    pub(crate) fn restart(&mut self, pool: &mut Pool, first: u64) {
        pool.borrowed -= self.borrowed;
        (self.borrowed, self.target) = (0, self.min);
        (self.edge, self.raised_at) = (first + u64::from(self.min), first);
    }

    /// The first frame that the peer may not send.
    #[inline]
    pub(crate) fn edge(&self) -> u64 {
        self.edge
    }

    /// How many frames the peer is meant to have under way.
    #[inline]
    pub(crate) fn target(&self) -> u32 {
        self.target
    }

    /// Whether enough has arrived, `next` being the first frame that has not, for a larger grant to be worth telling. The minimum is always
    /// restored: whoever wants to send that much at once would wait for ever otherwise.
    #[inline]
    pub(crate) fn wants_extension(&self, next: u64) -> bool {
        self.edge - next <= u64::from((self.target - self.target / 4).max(self.min.saturating_sub(1)))
    }

    /// Moves the edge as far as target and pool allow; every frame before `next` has arrived.
    #[inline]
    pub(crate) fn extend(&mut self, pool: &mut Pool, next: u64) {
        let outstanding = (self.edge - next) as u32;
        let borrowed = outstanding.saturating_sub(self.min);
        pool.borrowed -= self.borrowed - borrowed;
        self.borrowed = borrowed;
        if next - self.raised_at >= u64::from(self.target) {
            self.target = (2 * self.target).min(self.max);
            self.raised_at = next;
        }
        let threshold = pool.lendable().saturating_sub(borrowed) / 2;
        let more = self.target.saturating_sub(outstanding);
        let own = self.min.saturating_sub(outstanding).min(more);
        let lent = (more - own).min(threshold);
        pool.borrowed += lent;
        self.borrowed += lent;
        self.edge += u64::from(own + lent);
    }

    /// Forgets how much the peer once needed.
    pub(crate) fn relax(&mut self) {
        self.target = self.min;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_busy_peer_cannot_starve_a_newcomer() {
        let mut pool = Pool::new(64);
        let mut greedy = Grant::open(&mut pool, 4, 512, 0).expect("room");
        for next in 1..10_000 {
            greedy.extend(&mut pool, next.min(greedy.edge()));
        }
        let mut late = Grant::open(&mut pool, 4, 512, 0).expect("the minimum is still there");
        let before = late.edge();
        for next in 1..=before {
            late.extend(&mut pool, next);
        }
        assert!(late.edge() - before > 4, "the newcomer may borrow too");
        assert!(pool.granted() <= 64);
    }

    #[test]
    fn half_of_the_pool_serves_newcomers_whatever_others_hold() {
        let mut pool = Pool::new(256);
        let mut grants = Vec::new();
        for _ in 0..256 / 2 / 4 {
            let mut grant = Grant::open(&mut pool, 4, 512, 0).expect("the minimums are set aside");
            for next in 1..10_000 {
                let next = next.min(grant.edge());
                grant.extend(&mut pool, next);
            }
            grants.push(grant);
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Open,
        Close(usize),
        Arrive(usize, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => Just(Step::Open),
            1 => any::<usize>().prop_map(Step::Close),
            8 => (any::<usize>(), 0u64..100).prop_map(|(who, frames)| Step::Arrive(who, frames)),
        ]
    }

    proptest! {
        /// What was promised to all peers together is never more than there is, and everybody keeps the minimum.
        #[test]
        fn promises_never_exceed_the_pool(steps in prop::collection::vec(step(), 1..300), frames in 8u32..2000) {
            let mut pool = Pool::new(frames);
            let mut grants: Vec<(Grant, u64)> = Vec::new();
            for step in steps {
                match step {
                    Step::Open => grants.extend(Grant::open(&mut pool, 4, 256, 100).map(|grant| (grant, 100))),
                    Step::Close(who) if !grants.is_empty() => {
                        let who = who % grants.len();
                        grants.swap_remove(who).0.close(&mut pool);
                    }
                    Step::Arrive(who, count) if !grants.is_empty() => {
                        let who = who % grants.len();
                        let (grant, next) = &mut grants[who];
                        let edge = grant.edge();
                        *next = (*next + count).min(edge);
                        grant.extend(&mut pool, *next);
                        prop_assert!(grant.edge() >= edge);
                        prop_assert!(grant.edge() - *next >= 4 && grant.edge() - *next <= 256);
                    }
                    _ => {}
                }
                let promised: u64 = grants.iter().map(|(grant, next)| (grant.edge() - next).max(4)).sum();
                prop_assert!(promised <= u64::from(frames), "{promised} of {frames}");
            }
            grants.iter_mut().for_each(|(grant, _)| grant.close(&mut pool));
            prop_assert_eq!(pool.granted(), 0);
        }
    }
}
