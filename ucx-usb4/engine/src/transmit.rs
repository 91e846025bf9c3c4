//! The transmit window: frames that were sent and are not yet acknowledged.

use std::collections::VecDeque;

use usb4_wire::{Form, Psn};

/// First PSNs lie above this, so that 64-bit numbers never go below zero.
const EPOCH: u64 = 1 << 32;
/// Slots that an idle connection keeps.
const IDLE_CAPACITY: usize = 8;

/// Where a frame stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// On its way.
    InFlight,
    /// Arrived out of order. Kept until acknowledged, not sent again.
    Arrived,
    /// To be sent again; or for the first time, if the connection was not open yet.
    Lost,
}

/// A frame that was sent.
#[derive(Debug)]
pub(crate) struct Sent<T> {
    pub(crate) frame: T,
    pub(crate) form: Form,
    pub(crate) word: u16,
    pub(crate) fate: Fate,
    /// Index into the connection's rails: where it was last sent.
    pub(crate) rail: u8,
    /// How often it was sent, saturating.
    pub(crate) attempts: u8,
    /// Its place in the order of that rail.
    pub(crate) rail_seq: u32,
    pub(crate) sent_at_ns: u64,
}

/// The frames between the first unacknowledged one and the next to be sent.
#[derive(Debug)]
pub(crate) struct TxWindow<T> {
    una: u64,
    frames: VecDeque<Sent<T>>,
    /// The first frame that the peer does not accept yet.
    limit: u64,
    /// How many are [`Fate::Lost`].
    lost: u32,
}

impl<T: Copy> TxWindow<T> {
    pub(crate) fn new(first: Psn) -> Self {
        let una = EPOCH + u64::from(first.0);
        Self { una, frames: VecDeque::with_capacity(IDLE_CAPACITY), limit: una, lost: 0 }
    }

    /// The first frame that is not acknowledged.
    pub(crate) fn una(&self) -> u64 {
        self.una
    }

    /// The next frame to be sent.
    pub(crate) fn next(&self) -> u64 {
        self.una + self.frames.len() as u64
    }

    pub(crate) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn lost(&self) -> u32 {
        self.lost
    }

    /// How many frames the peer accepts beyond those acknowledged.
    pub(crate) fn granted(&self) -> u64 {
        self.limit - self.una
    }

    /// How many more frames may be sent now, `max` being the most under way.
    pub(crate) fn room(&self, max: u16) -> usize {
        let granted = self.limit.saturating_sub(self.next()) as usize;
        granted.min(usize::from(max).saturating_sub(self.frames.len()))
    }

    /// The peer accepts everything before `limit`. Returns whether that is news; older promises are kept.
    pub(crate) fn raise_limit(&mut self, limit: u64) -> bool {
        let news = limit > self.limit;
        self.limit = self.limit.max(limit);
        news
    }

    pub(crate) fn push(&mut self, sent: Sent<T>) {
        self.lost += u32::from(sent.fate == Fate::Lost);
        self.frames.push_back(sent);
    }

    /// Takes the first frame, which is acknowledged.
    pub(crate) fn pop(&mut self) -> Option<Sent<T>> {
        let sent = self.frames.pop_front()?;
        self.una += 1;
        self.lost -= u32::from(sent.fate == Fate::Lost);
        Some(sent)
    }

    pub(crate) fn get(&self, psn: u64) -> Option<&Sent<T>> {
        self.frames.get(usize::try_from(psn.checked_sub(self.una)?).ok()?)
    }

    pub(crate) fn get_mut(&mut self, psn: u64) -> Option<&mut Sent<T>> {
        self.frames.get_mut(usize::try_from(psn.checked_sub(self.una)?).ok()?)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Sent<T>> {
        self.frames.iter()
    }

    /// Marks the frames under way for which `is_lost` holds as to be sent again; returns how many.
    pub(crate) fn mark_lost(&mut self, mut is_lost: impl FnMut(&Sent<T>) -> bool) -> u32 {
        let before = self.lost;
        for sent in &mut self.frames {
            if sent.fate == Fate::InFlight && is_lost(sent) {
                sent.fate = Fate::Lost;
                self.lost += 1;
            }
        }
        self.lost - before
    }

    /// Marks the first frame as to be sent again, whatever was said of it: the last resort when nothing else moves.
    pub(crate) fn mark_first_lost(&mut self) -> Option<&Sent<T>> {
        let first = self.frames.front_mut()?;
        if first.fate != Fate::Lost {
            first.fate = Fate::Lost;
            self.lost += 1;
        }
        Some(first)
    }

    /// The first frame to be sent again, and its number; `None` also while the peer does not accept it.
    pub(crate) fn first_lost(&self) -> Option<(u64, &Sent<T>)> {
        if self.lost == 0 {
            return None;
        }
        let granted = self.granted() as usize;
        let offset = self.frames.iter().take(granted).position(|sent| sent.fate == Fate::Lost)?;
        Some((self.una + offset as u64, &self.frames[offset]))
    }

    /// Frame `psn` has been sent again.
    pub(crate) fn resent(&mut self, psn: u64, rail: u8, rail_seq: u32, now_ns: u64) {
        if let Some(sent) = self.get_mut(psn) {
            debug_assert_eq!(sent.fate, Fate::Lost);
            sent.fate = Fate::InFlight;
            (sent.rail, sent.rail_seq, sent.sent_at_ns) = (rail, rail_seq, now_ns);
            sent.attempts = sent.attempts.saturating_add(1);
            self.lost -= 1;
        }
    }

    /// Frame `psn` has arrived out of order. Returns it if that is news.
    pub(crate) fn arrived(&mut self, psn: u64) -> Option<&Sent<T>> {
        let offset = usize::try_from(psn.checked_sub(self.una)?).ok()?;
        let sent = self.frames.get_mut(offset)?;
        if sent.fate == Fate::Arrived {
            return None;
        }
        self.lost -= u32::from(sent.fate == Fate::Lost);
        sent.fate = Fate::Arrived;
        Some(sent)
    }

    /// Takes every frame out, acknowledged or not. The first unacknowledged number stays: what was not acknowledged never will be.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = T> {
        self.lost = 0;
        std::mem::take(&mut self.frames).into_iter().map(|sent| sent.frame)
    }

    /// Gives memory back that an idle connection does not need.
    pub(crate) fn shrink(&mut self) {
        self.frames.shrink_to(IDLE_CAPACITY);
    }

    pub(crate) fn is_grown(&self) -> bool {
        self.frames.capacity() > 2 * IDLE_CAPACITY
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.frames.capacity() * size_of::<Sent<T>>()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use usb4_wire::{Flags, Kind};

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Send,
        Grant(u64),
        Acknowledge(usize),
        Arrive(usize),
        Lose(usize),
        Resend,
        LoseFirst,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Send),
            1 => (0u64..40).prop_map(Step::Grant),
            1 => (0usize..5).prop_map(Step::Acknowledge),
            2 => (0usize..40).prop_map(Step::Arrive),
            2 => (0usize..40).prop_map(Step::Lose),
            2 => Just(Step::Resend),
            1 => Just(Step::LoseFirst),
        ]
    }

    proptest! {
        /// Against a plain list of fates: numbers, room, and the count of lost frames always agree.
        #[test]
        fn it_is_a_list_of_fates(first: u32, steps in prop::collection::vec(step(), 0..300)) {
            let mut window = TxWindow::new(Psn(first));
            let mut fates: Vec<Fate> = Vec::new();
            let (mut una, mut limit) = (EPOCH + u64::from(first), EPOCH + u64::from(first));
            let form = Form::new(Kind::Am, Flags::empty(), 0).expect("valid");
            for step in steps {
                match step {
                    Step::Send if window.room(32) > 0 => {
                        let psn = window.next();
                        let fate = Fate::InFlight;
                        window.push(Sent { frame: psn, form, word: 0, fate, rail: 0, attempts: 1, rail_seq: 0, sent_at_ns: 0 });
                        fates.push(fate);
                    }
                    Step::Send => prop_assert!(fates.len() == 32 || una + fates.len() as u64 == limit),
                    Step::Grant(more) => {
                        prop_assert_eq!(window.raise_limit(una + more), una + more > limit);
                        limit = limit.max(una + more);
                    }
                    Step::Acknowledge(count) => {
                        for _ in 0..count.min(fates.len()) {
                            prop_assert_eq!(window.pop().map(|sent| sent.frame), Some(una));
                            fates.remove(0);
                            una += 1;
                        }
                        limit = limit.max(una);
                        window.raise_limit(una);
                    }
                    Step::Arrive(offset) => {
                        let news = fates.get(offset).is_some_and(|&fate| fate != Fate::Arrived);
                        prop_assert_eq!(window.arrived(una + offset as u64).is_some(), news);
                        if news { fates[offset] = Fate::Arrived; }
                    }
                    Step::Lose(offset) => {
                        let psn = una + offset as u64;
                        let hit = fates.get(offset) == Some(&Fate::InFlight);
                        prop_assert_eq!(window.mark_lost(|sent| sent.frame == psn), u32::from(hit));
                        if hit { fates[offset] = Fate::Lost; }
                    }
                    Step::Resend => {
                        let lost = fates.iter().position(|&fate| fate == Fate::Lost);
                        prop_assert_eq!(window.first_lost().map(|(psn, _)| psn), lost.map(|offset| una + offset as u64));
                        if let Some(offset) = lost {
                            window.resent(una + offset as u64, 0, 0, 0);
                            fates[offset] = Fate::InFlight;
                        }
                    }
                    Step::LoseFirst => {
                        prop_assert_eq!(window.mark_first_lost().is_some(), !fates.is_empty());
                        if let Some(first) = fates.first_mut() { *first = Fate::Lost; }
                    }
                }
                let lost = fates.iter().filter(|&&fate| fate == Fate::Lost).count();
                prop_assert_eq!((window.una(), window.len(), window.lost()), (una, fates.len(), lost as u32));
                prop_assert!(window.iter().map(|sent| sent.fate).eq(fates.iter().copied()));
                prop_assert_eq!(window.next(), una + fates.len() as u64);
            }
            prop_assert_eq!(window.drain().count(), fates.len());
        }
    }
}
