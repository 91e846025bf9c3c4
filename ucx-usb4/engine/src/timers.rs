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

    /// Takes one timer that is due, and by how much it is late.
    pub(crate) fn take_due(&mut self, now_ns: u64) -> Option<(Timer, u64)> {
        let timer = TIMERS.into_iter().find(|&timer| self.at_ns(timer) <= now_ns)?;
        let late_ns = now_ns - self.at_ns(timer);
        self.clear(timer);
        Some((timer, late_ns))
    }
}

/// For each connection a time that is never later than its first deadline.
///
/// Timers are pushed back with every acknowledgement. So that this costs one comparison, the bounds here are not raised at once: a bound
/// that turns out too early is corrected when it is reached. They are the leaves of a tree in which every node has the lesser of its two
/// children, so what is due is found, and a bound corrected, in as many steps as the number of connections has bits.
#[derive(Debug)]
pub(crate) struct Deadlines {
    /// Node `i` has the children `2 i` and `2 i + 1`; the root is 1, and the second half are the leaves, one for each slot.
    tree_ns: Vec<u64>,
    slots: usize,
}

impl Deadlines {
    pub(crate) fn new() -> Self {
        Self { tree_ns: vec![NEVER; 2], slots: 0 }
    }

    #[inline]
    fn leaf(&self, slot: usize) -> usize {
        self.tree_ns.len() / 2 + slot
    }

    /// Makes room for one more connection.
    pub(crate) fn grow(&mut self) {
        let leaves = self.tree_ns.len() / 2;
        if self.slots == leaves {
            let bounds_ns = self.tree_ns.split_off(leaves);
            self.tree_ns = vec![NEVER; 4 * leaves];
            self.tree_ns[2 * leaves..3 * leaves].copy_from_slice(&bounds_ns);
            for node in (1..2 * leaves).rev() {
                self.tree_ns[node] = self.lesser_child_ns(node);
            }
        }
        self.slots += 1;
    }

    fn lesser_child_ns(&self, node: usize) -> u64 {
        self.tree_ns[2 * node].min(self.tree_ns[2 * node + 1])
    }

    /// The connection in `slot` has a deadline at `at_ns`.
    #[inline]
    pub(crate) fn note(&mut self, slot: u16, at_ns: u64) {
        let mut node = self.leaf(usize::from(slot));
        while node > 0 && self.tree_ns[node] > at_ns {
            self.tree_ns[node] = at_ns;
            node /= 2;
        }
    }

    /// Sets the exact first deadline of the connection in `slot`.
    pub(crate) fn correct(&mut self, slot: usize, at_ns: u64) {
        let mut node = self.leaf(slot);
        self.tree_ns[node] = at_ns;
        while node > 1 {
            node /= 2;
            let lesser_ns = self.lesser_child_ns(node);
            if self.tree_ns[node] == lesser_ns {
                return;
            }
            self.tree_ns[node] = lesser_ns;
        }
    }

    /// The first slot from `slot` on whose bound is at `until_ns` or earlier.
    pub(crate) fn first_due(&self, slot: usize, until_ns: u64) -> Option<usize> {
        if slot >= self.slots {
            return None;
        }
        let mut node = self.leaf(slot);
        // To the right, and up wherever that is possible, until a subtree has something; then down to its first.
        while self.tree_ns[node] > until_ns {
            while node % 2 == 1 {
                node /= 2;
            }
            if node == 0 {
                return None;
            }
            node += 1;
        }
        while node < self.tree_ns.len() / 2 {
            node = if self.tree_ns[2 * node] <= until_ns { 2 * node } else { 2 * node + 1 };
        }
        Some(node - self.tree_ns.len() / 2)
    }

    /// No deadline is earlier than this.
    #[inline]
    pub(crate) fn next_ns(&self) -> u64 {
        self.tree_ns[1]
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn due_timers_come_out_once() {
        let mut timers = Timers::new();
        timers.set(Timer::Ack, 5);
        timers.set(Timer::Loss, 3);
        timers.set(Timer::Idle, 9);
        assert_eq!(timers.earliest_ns(), 3);
        assert_eq!(timers.take_due(6), Some((Timer::Loss, 3)));
        assert_eq!(timers.take_due(6), Some((Timer::Ack, 1)));
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
        assert_eq!((deadlines.next_ns(), deadlines.first_due(0, 50)), (50, Some(1)));
        deadlines.correct(1, 90);
        assert_eq!(deadlines.next_ns(), 70);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Grow,
        Note(u16, u64),
        Correct(u16, u64),
        Due(u16, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Grow),
            (any::<u16>(), 0..100u64).prop_map(|(slot, at_ns)| Step::Note(slot, at_ns)),
            (any::<u16>(), prop_oneof![0..100u64, Just(NEVER)]).prop_map(|(slot, at_ns)| Step::Correct(slot, at_ns)),
            (any::<u16>(), 0..100u64).prop_map(|(slot, until_ns)| Step::Due(slot, until_ns)),
        ]
    }

    proptest! {
        #[test]
        fn the_tree_is_a_list_with_a_quick_search(steps in proptest::collection::vec(step(), 1..200)) {
            let (mut tree, mut list) = (Deadlines::new(), Vec::new());
            for step in steps {
                let slots = list.len().max(1);
                match step {
                    Step::Grow => {
                        tree.grow();
                        list.push(NEVER);
                    }
                    Step::Note(slot, at_ns) if !list.is_empty() => {
                        let slot = usize::from(slot) % slots;
                        tree.note(slot as u16, at_ns);
                        list[slot] = at_ns.min(list[slot]);
                    }
                    Step::Correct(slot, at_ns) if !list.is_empty() => {
                        let slot = usize::from(slot) % slots;
                        tree.correct(slot, at_ns);
                        list[slot] = at_ns;
                    }
                    Step::Note(..) | Step::Correct(..) => {}
                    Step::Due(slot, until_ns) => {
                        let slot = usize::from(slot) % (slots + 1);
                        let due = (slot..list.len()).find(|&slot| list[slot] <= until_ns);
                        prop_assert_eq!(tree.first_due(slot, until_ns), due);
                    }
                }
                prop_assert_eq!(tree.next_ns(), list.iter().copied().min().unwrap_or(NEVER));
            }
        }
    }
}
