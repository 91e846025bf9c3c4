//! The receiving half of a channel: the rings of its peers.

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use super::channel::SimChannel;
use super::counting::Count;
use super::layout::channel as at;
use super::peer::{Announcement, PeerFile};
use super::topology::rail_id;
use crate::shm::cells::MappedRing;
use crate::shm::frames::Frames;
use crate::shm::mapping::Word;
use crate::shm::ring::{Consumer, Source, Taken};
use crate::sim::{LOOPBACK, RAILS};
use crate::{Address, HEADER_LEN, RailId, Reaped, RxFrame};

/// Rings that one call of `reap` looks at: what an idle round costs stays bounded however many peers there are.
const LOOK_MAX: usize = 16;
/// Frames that are taken from one ring before the next has its turn.
const TURN_FRAMES: u32 = 32;
/// Idle rounds after which what was given back is published, so that senders need not wait for a full quarter.
const IDLE_PUBLISH: u32 = 64;

/// Marks a payload inside a cell, in `RxFrame::source`.
pub(crate) const IN_CELL: u32 = 1 << 31;

/// A ring from a peer.
#[derive(Debug)]
pub(crate) struct Inbound {
    consumer: Consumer<MappedRing>,
    frames: Frames,
    rail: RailId,
    slot: usize,
    from: Address,
    incarnation: u64,
}

/// All rings that lead here. Slots keep their place while frames of theirs are out.
#[derive(Debug)]
pub(crate) struct Inbox {
    rings: Vec<Option<Inbound>>,
    /// The rings that are looked at, in turn.
    active: Vec<u16>,
    turn: usize,
    turn_frames: u32,
    idle_rounds: u32,
    announcements: Word,
    announcements_seen: u64,
    /// Peers with rings in here, mapped once each.
    pub(crate) senders: Vec<Sender>,
}

/// A peer that sends to this channel.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) file: Arc<PeerFile>,
    pub(crate) is_gone: bool,
}

impl Inbox {
    pub(crate) fn new(announcements: Word) -> Inbox {
        Inbox {
            rings: Vec::new(),
            active: Vec::new(),
            turn: 0,
            turn_frames: 0,
            idle_rounds: 0,
            announcements,
            announcements_seen: 0,
            senders: Vec::new(),
        }
    }

    pub(crate) fn has_announcements(&self) -> bool {
        self.announcements.load(Acquire) != self.announcements_seen
    }

    #[inline]
    fn next_turn(&mut self) {
        self.turn_frames = 0;
        self.turn += 1;
        if self.turn >= self.active.len() {
            self.turn = 0;
        }
    }

    #[inline]
    fn ring(&self, number: u16) -> Option<&Inbound> {
        self.rings.get(usize::from(number))?.as_ref()
    }

    /// When the next frame is due: `None` if there is none, 0 if one can be taken at once.
    pub(crate) fn next_due_ns(&self) -> Option<u64> {
        self.active.iter().filter_map(|number| self.ring(*number)?.consumer.next_due_ns()).min()
    }

    pub(crate) fn publish(&mut self) {
        for ring in self.rings.iter_mut().flatten() {
            ring.consumer.publish();
        }
    }

    /// Whether everything that a channel has sent was taken.
    fn is_drained(&self, from: Address, incarnation: u64) -> bool {
        let mut rings = self.rings.iter().flatten();
        rings.all(|ring| (ring.from, ring.incarnation) != (from, incarnation) || ring.consumer.next_due_ns().is_none())
    }
}

impl SimChannel {
    #[inline]
    pub(crate) fn receive(&mut self, now_ns: u64) -> Option<Reaped> {
        for _ in 0..self.inbox.active.len().min(LOOK_MAX) {
            let number = self.inbox.active[self.inbox.turn];
            let inbox = &mut self.inbox;
            let Some(ring) = &mut inbox.rings[usize::from(number)] else {
                inbox.next_turn();
                continue;
            };
            match ring.consumer.take(now_ns, ring.frames.count()) {
                Taken::Arrival(arrival) => {
                    let rail = ring.rail;
                    let state = self.rails[ring.rail.index() & (RAILS - 1)].as_ref();
                    if let Some(state) = state {
                        if arrival.is_timed && !state.is_up(now_ns) {
                            // It was under way when the cable was pulled.
                            ring.consumer.release(arrival.position);
                            state.counters.add(Count::Unplugged, 1);
                            continue;
                        }
                        state.counters.add(Count::RxFrames, 1);
                        state.counters.add(Count::RxBytes, u64::from(arrival.payload_len) + HEADER_LEN as u64);
                    }
                    inbox.turn_frames += 1;
                    if inbox.turn_frames >= TURN_FRAMES {
                        inbox.next_turn();
                    }
                    inbox.idle_rounds = 0;
                    let source = match arrival.source {
                        Source::Cell(word) => IN_CELL | word as u32,
                        Source::Frame(frame) => frame,
                    };
                    let frame =
                        RxFrame { source, position: arrival.position, ring: number, payload_len: arrival.payload_len };
                    return Some(Reaped { header: to_bytes(&arrival.header), rail, frame });
                }
                Taken::Malformed => {
                    if let Some(state) = &self.rails[ring.rail.index() & (RAILS - 1)] {
                        state.counters.add(Count::Malformed, 1);
                    }
                }
                Taken::Nothing => inbox.next_turn(),
            }
        }
        self.idle()
    }

    /// The rest of a round that found nothing.
    #[inline]
    fn idle(&mut self) -> Option<Reaped> {
        self.inbox.idle_rounds += 1;
        if self.inbox.idle_rounds >= IDLE_PUBLISH {
            self.inbox.idle_rounds = 0;
            self.inbox.publish();
        }
        if self.inbox.has_announcements() {
            self.accept_rings();
        }
        None
    }

    #[inline]
    pub(crate) fn payload_pointer(&self, frame: RxFrame) -> *const u8 {
        match self.inbox.ring(frame.ring) {
            Some(ring) if frame.source & IN_CELL != 0 => {
                ring.consumer.memory().pointer(frame.position, (frame.source & !IN_CELL) as usize)
            }
            Some(ring) => ring.frames.pointer(frame.source).as_ptr(),
            None => {
                debug_assert!(false, "{frame:?} was released");
                std::ptr::null()
            }
        }
    }

    #[inline]
    pub(crate) fn copy_words(&self, frame: RxFrame, words: usize, out: &mut [u64; 8]) {
        use crate::shm::ring::{CELL_WORDS, RingMemory};
        let Some(ring) = self.inbox.ring(frame.ring) else { return };
        if frame.source & IN_CELL == 0 {
            return ring.frames.copy_words(frame.source, 0, &mut out[..words]);
        }
        let first = (frame.source & !IN_CELL) as usize;
        for (index, word) in out.iter_mut().enumerate().take(words.min(CELL_WORDS - first)) {
            *word = ring.consumer.memory().load(frame.position, first + index, Relaxed);
        }
    }

    #[inline]
    pub(crate) fn give_back(&mut self, frame: RxFrame) {
        if let Some(Some(ring)) = self.inbox.rings.get_mut(usize::from(frame.ring)) {
            ring.consumer.release(frame.position);
        }
    }

    /// Takes in the rings that were announced since the last look.
    #[cold]
    pub(crate) fn accept_rings(&mut self) {
        self.inbox.announcements_seen = self.inbox.announcements.load(Acquire);
        for slot in 0..at::INBOX_SLOTS {
            let announcement = self.own.mailbox(at::slot_announcement(slot));
            let Some(said) = Announcement::from_word(announcement.load(Acquire)) else { continue };
            if self.inbox.rings.iter().flatten().any(|ring| ring.slot == slot) {
                continue;
            }
            match self.accept_ring(slot, said) {
                Some(ring) => self.add_ring(ring),
                // Its sender died before we looked, or made it up: the slot is free again.
                None => announcement.store(0, Release),
            }
        }
    }

    fn accept_ring(&mut self, slot: usize, said: Announcement) -> Option<Inbound> {
        let file = self.sender(said)?;
        let lead = file.ring_lead(said.ring)?;
        if lead.to != self.own.address || lead.incarnation != self.own.incarnation {
            return None;
        }
        let rail = match lead.rail {
            None => (said.from.node == self.own.address.node).then_some(LOOPBACK)?,
            Some(fabric_rail) => {
                let mut rails = self.local_rails.iter();
                rails.find(|rail| rail.fabric == fabric_rail && rail.peer == said.from.node)?.local
            }
        };
        let consumed = self.own.mailbox(at::slot_consumed(slot));
        let memory = file.ring(said.ring, consumed)?;
        Some(Inbound {
            consumer: Consumer::new(memory),
            frames: file.pool(),
            rail: rail_id(rail),
            slot,
            from: said.from,
            incarnation: file.incarnation,
        })
    }

    fn sender(&mut self, said: Announcement) -> Option<Arc<PeerFile>> {
        let is_it = |file: &PeerFile| file.address == said.from && file.incarnation as u16 == said.incarnation_low;
        if let Some(sender) = self.inbox.senders.iter().find(|sender| is_it(&sender.file)) {
            return Some(Arc::clone(&sender.file));
        }
        let target = self.targets.iter().map(|target| &target.file).find(|file| is_it(file)).cloned();
        let open = || PeerFile::open(&self.folder, &self.fabric, said.from).filter(is_it).map(Arc::new);
        let file = target.or_else(open)?;
        self.inbox.senders.push(Sender { file: Arc::clone(&file), is_gone: false });
        Some(file)
    }

    fn add_ring(&mut self, ring: Inbound) {
        let rings = &mut self.inbox.rings;
        let number = rings.iter().position(Option::is_none).unwrap_or(rings.len());
        if number == rings.len() {
            rings.push(None);
        }
        rings[number] = Some(ring);
        self.inbox.active.push(number as u16);
    }

    /// A sender that is gone and whose frames have all been taken: forgets its rings as far as no frame of them is
    /// out, and says so.
    pub(crate) fn next_drained_sender(&mut self) -> Option<Address> {
        let inbox = &mut self.inbox;
        let done = inbox
            .senders
            .iter()
            .position(|sender| sender.is_gone && inbox.is_drained(sender.file.address, sender.file.incarnation))?;
        let sender = inbox.senders.swap_remove(done);
        let (from, incarnation) = (sender.file.address, sender.file.incarnation);
        let is_from = |ring: &Option<Inbound>| {
            ring.as_ref().is_some_and(|ring| (ring.from, ring.incarnation) == (from, incarnation))
        };
        inbox.active.retain(|number| !is_from(&inbox.rings[usize::from(*number)]));
        inbox.turn = 0;
        Some(from)
    }

    /// Ends rings that are no longer looked at and from which no frame is out any more.
    pub(crate) fn end_rings(&mut self) {
        let inbox = &mut self.inbox;
        for (number, ring) in inbox.rings.iter_mut().enumerate() {
            let is_active = inbox.active.contains(&(number as u16));
            if let Some(ended) = ring.take_if(|ring| !is_active && ring.consumer.is_settled()) {
                // The count first: whoever finds the slot free finds the count at zero.
                self.own.mailbox(at::slot_consumed(ended.slot)).store(0, Relaxed);
                self.own.mailbox(at::slot_announcement(ended.slot)).store(0, Release);
            }
        }
    }
}

#[inline]
fn to_bytes(words: &[u64; HEADER_LEN / 8]) -> [u8; HEADER_LEN] {
    let mut bytes = [0; HEADER_LEN];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *chunk = word.to_ne_bytes();
    }
    bytes
}
