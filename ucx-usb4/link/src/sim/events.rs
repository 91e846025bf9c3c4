//! What happens besides frames: rails and peers come and go, and the channel goes to sleep.

use std::sync::atomic::Ordering::{Acquire, Relaxed};

use super::channel::SimChannel;
use super::wake;
use crate::shm::mapping::Word;
use crate::{ArmResult, LinkEvent};

/// How often peers are asked whether they live. A closed channel says so itself; this finds the killed ones.
const LOOK_EVERY_NS: u64 = 100_000_000;

/// When to look again.
#[derive(Debug)]
pub(crate) struct Watch {
    /// Counts commands that change rails.
    changes: Word,
    changes_seen: u64,
    /// When to ask peers whether they live, or when the plan changes a rail before that.
    next_look_ns: u64,
    /// When the plan next changes a rail; `u64::MAX`: never.
    next_plan_ns: u64,
    has_gone: bool,
}

impl Watch {
    pub(crate) fn new(changes: Word, next_plan_ns: u64) -> Watch {
        let changes_seen = changes.load(Acquire);
        Watch { changes, changes_seen, next_look_ns: 0, next_plan_ns, has_gone: false }
    }

    #[inline]
    fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.next_look_ns || self.has_gone || self.changes.load(Relaxed) != self.changes_seen
    }
}

impl SimChannel {
    #[inline]
    pub(crate) fn next_event(&mut self, now_ns: u64) -> Option<LinkEvent> {
        if self.watch.is_due(now_ns) {
            self.look_around(now_ns);
        }
        if self.events.is_empty() { None } else { self.events.pop_front() }
    }

    #[cold]
    fn look_around(&mut self, now_ns: u64) {
        let changes = self.watch.changes.load(Acquire);
        if changes != self.watch.changes_seen || now_ns >= self.watch.next_plan_ns {
            self.watch.changes_seen = changes;
            self.look_at_rails(now_ns);
        }
        if now_ns >= self.watch.next_look_ns {
            self.look_at_peers();
            self.watch.next_look_ns = self.watch.next_plan_ns.min(now_ns + LOOK_EVERY_NS);
        }
        self.part_with_the_gone();
    }

    fn look_at_rails(&mut self, now_ns: u64) {
        let mut next_plan_ns = u64::MAX;
        for info in &mut self.infos {
            let Some(rail) = &self.rails[info.id.index()] else { continue };
            next_plan_ns = next_plan_ns.min(rail.next_change_ns(now_ns));
            let is_up = rail.look(now_ns);
            if info.up != is_up {
                info.up = is_up;
                self.events.push_back(if is_up { LinkEvent::RailUp(info.id) } else { LinkEvent::RailDown(info.id) });
            }
        }
        self.watch.next_plan_ns = next_plan_ns;
        self.watch.next_look_ns = self.watch.next_look_ns.min(next_plan_ns);
    }

    fn look_at_peers(&mut self) {
        for target in self.targets.iter_mut().filter(|target| !target.is_gone) {
            target.is_gone = !target.file.is_alive();
            self.watch.has_gone |= target.is_gone;
        }
        for sender in self.inbox.senders.iter_mut().filter(|sender| !sender.is_gone) {
            sender.is_gone = !sender.file.is_alive();
            self.watch.has_gone |= sender.is_gone;
        }
        if self.has_quarantine() {
            self.end_quarantine();
        }
        self.end_rings();
    }

    /// Reports peers that are gone, once all they sent has been taken.
    fn part_with_the_gone(&mut self) {
        if !self.watch.has_gone {
            return;
        }
        let mut gone = Vec::new();
        while let Some(sender) = self.next_drained_sender() {
            gone.push(sender);
        }
        let still_sends = |address| self.inbox.senders.iter().any(|sender| sender.file.address == address);
        let targets = self.targets.iter().filter(|target| target.is_gone).map(|target| target.file.address);
        gone.extend(targets.filter(|address| !still_sends(*address)).collect::<Vec<_>>());
        gone.sort_unstable();
        gone.dedup();
        for address in gone {
            for ring in self.targets.remove_gone(address) {
                self.own.remove_ring(ring);
            }
            self.events.push_back(LinkEvent::PeerGone(address));
        }
        self.end_rings();
        let targets_gone = self.targets.iter().any(|target| target.is_gone);
        self.watch.has_gone = targets_gone || self.inbox.senders.iter().any(|sender| sender.is_gone);
    }

    pub(crate) fn prepare_to_sleep(&mut self, deadline_ns: Option<u64>) -> ArmResult {
        wake::announce_sleep(&self.sleeping, || wake::sleeper_barrier(self.has_membarrier));
        self.inbox.publish();
        if self.inbox.has_announcements() {
            self.accept_rings();
        }
        let now_ns = self.fabric.clock.now_ns();
        let due_ns = self.inbox.next_due_ns();
        let has_peers = !self.inbox.senders.is_empty() || self.targets.iter().next().is_some();
        let look_ns = has_peers.then_some(self.watch.next_look_ns.max(now_ns + LOOK_EVERY_NS));
        let plan_ns = Some(self.watch.next_plan_ns).filter(|plan_ns| *plan_ns != u64::MAX);
        let wake_ns = [deadline_ns, due_ns, look_ns, plan_ns].into_iter().flatten().min();
        let is_busy = !self.events.is_empty()
            || self.watch.changes.load(Acquire) != self.watch.changes_seen
            || wake_ns.is_some_and(|wake_ns| wake_ns <= now_ns);
        if is_busy {
            self.sleeping.store(0, Relaxed);
            return ArmResult::Busy;
        }
        self.waker.set_timer(wake_ns.map(|wake_ns| wake_ns - now_ns));
        self.is_armed = true;
        ArmResult::Armed
    }
}
