//! The sending half of a channel: pool, lanes and peers.
//!
//! A *lane* is a ring of ours to one peer over one rail, made when the first frame goes that way.

use std::collections::VecDeque;
use std::os::unix::net::SocketAddr;
use std::sync::Arc;

use super::channel::SimChannel;
use super::counting::Count;
use super::own::RingLead;
use super::peer::{Announcement, PeerFile, Slot};
use super::rails::Fate;
use super::wake;
use crate::shm::cells::MappedRing;
use crate::shm::frames::Frames;
use crate::shm::mapping::Word;
use crate::shm::ring::{Body, HEADER_WORDS, INLINE_MAX, Producer};
use crate::sim::layout::channel as at;
use crate::sim::{LOOPBACK, RAILS};
use crate::{Address, HEADER_LEN, NodeId, PAYLOAD_MAX, RailId, SubmitError, TxFrame};

const NONE: u32 = u32::MAX;
/// Tries to find a free inbox slot while other senders do the same.
const ANNOUNCE_TRIES: usize = 64;

/// The transmit pool: first in, first out. The frame that came back last is still in its reader's cache, and would have to be fetched
/// from there before it can be written.
#[derive(Debug)]
pub(crate) struct Pool {
    frames: Frames,
    free: VecDeque<u32>,
}

impl Pool {
    pub(crate) fn new(frames: Frames) -> Pool {
        let free = (0..frames.count()).collect();
        Pool { frames, free }
    }

    #[inline]
    pub(crate) fn alloc(&mut self) -> Option<TxFrame> {
        self.free.pop_front().map(TxFrame)
    }

    #[inline]
    pub(crate) fn free(&mut self, frame: TxFrame) {
        debug_assert!(self.free.len() < self.frames.count() as usize, "{frame:?} was freed twice");
        self.free.push_back(frame.0);
    }

    #[inline]
    pub(crate) fn payload_mut(&self, frame: TxFrame) -> *mut u8 {
        self.frames.pointer(frame.0).as_ptr()
    }

    pub(crate) fn count(&self) -> usize {
        self.frames.count() as usize
    }
}

/// A ring to a peer over a rail.
#[derive(Debug)]
pub(crate) struct Lane {
    producer: Producer<MappedRing>,
    peer: u32,
    ring: u16,
    needs_barrier: bool,
    sleeping: Word,
}

/// A peer as a destination.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) file: Arc<PeerFile>,
    socket: SocketAddr,
    lanes: [u32; RAILS],
    pub(crate) is_gone: bool,
}

/// Frames that a peer may still read although nobody waits for them any more.
#[derive(Debug)]
pub(crate) struct Quarantined {
    frame: TxFrame,
    /// The lanes to the peer, and how far the peer must have come.
    marks: Vec<(u32, u32)>,
}

/// All destinations. Slots keep their place, so that indices stay valid.
#[derive(Debug, Default)]
pub(crate) struct Targets {
    slots: Vec<Option<Target>>,
    lanes: Vec<Option<Lane>>,
    /// By node and channel: both are small numbers that count up from zero.
    by_address: Vec<Vec<u32>>,
    quarantine: Vec<Quarantined>,
    recent: [Recent; RAILS],
}

/// Where a rail's last frame went.
#[derive(Clone, Copy, Debug, Default)]
struct Recent {
    to: Option<Address>,
    lane: u32,
}

impl Targets {
    #[inline]
    fn find(&self, address: Address) -> Option<u32> {
        let slot = *self.by_address.get(address.node.0 as usize)?.get(usize::from(address.channel.0))?;
        (slot != NONE).then_some(slot)
    }

    /// The lane to a channel over a rail, if it is open. A rail mostly carries frames for the channel that it carried
    /// the last one for.
    #[inline]
    fn lane(&mut self, dst: Address, rail: RailId) -> Option<u32> {
        let recent = self.recent[rail.index() % RAILS];
        if recent.to == Some(dst) { Some(recent.lane) } else { self.look_up_lane(dst, rail) }
    }

    fn look_up_lane(&mut self, dst: Address, rail: RailId) -> Option<u32> {
        let lane = self.find_lane(dst, rail)?;
        self.recent[rail.index() % RAILS] = Recent { to: Some(dst), lane };
        Some(lane)
    }

    fn find_lane(&self, dst: Address, rail: RailId) -> Option<u32> {
        let target = self.slots[self.find(dst)? as usize].as_ref()?;
        let lane = *target.lanes.get(rail.index())?;
        (lane != NONE && !target.is_gone).then_some(lane)
    }

    /// All destinations, to mark those that are gone.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Target> {
        self.recent = Default::default();
        self.slots.iter_mut().flatten()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Target> {
        self.slots.iter().flatten()
    }

    fn insert(&mut self, target: Target) -> u32 {
        let address = target.file.address;
        let slot = insert_into(&mut self.slots, target);
        let (node, channel) = (address.node.0 as usize, usize::from(address.channel.0));
        if self.by_address.len() <= node {
            self.by_address.resize(node + 1, Vec::new());
        }
        let channels = &mut self.by_address[node];
        if channels.len() <= channel {
            channels.resize(channel + 1, NONE);
        }
        channels[channel] = slot;
        slot
    }

    /// Forgets a peer that is gone; returns the rings that led to it.
    pub(crate) fn remove_gone(&mut self, address: Address) -> Vec<u16> {
        let Some(slot) = self.find(address) else { return Vec::new() };
        if self.slots[slot as usize].as_ref().is_some_and(|target| !target.is_gone) {
            return Vec::new();
        }
        self.by_address[address.node.0 as usize][usize::from(address.channel.0)] = NONE;
        self.slots[slot as usize] = None;
        self.recent = Default::default();
        let mut rings = Vec::new();
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(gone) = lane.take_if(|lane| lane.peer == slot) {
                rings.push(gone.ring);
                // Nobody reads there any more.
                self.quarantine.iter_mut().for_each(|entry| entry.marks.retain(|mark| mark.0 != number as u32));
            }
        }
        rings
    }
}

fn insert_into<T>(slots: &mut Vec<Option<T>>, value: T) -> u32 {
    let slot = slots.iter().position(Option::is_none).unwrap_or(slots.len());
    if slot == slots.len() {
        slots.push(None);
    }
    slots[slot] = Some(value);
    slot as u32
}

/// What a frame carries: bytes of the pool by reference, or a copy.
#[derive(Clone, Copy)]
pub(crate) enum Load<'a> {
    Frame { frame: TxFrame, len_bytes: usize },
    Copy(&'a [u8]),
}

impl SimChannel {
    #[inline]
    pub(crate) fn transmit(
        &mut self,
        now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        load: Load<'_>,
    ) -> Result<(), SubmitError> {
        let lane = match self.targets.lane(dst, rail) {
            Some(lane) => lane,
            None => self.open_lane(now_ns, rail, dst)?,
        };
        let len_bytes = match load {
            Load::Frame { len_bytes, .. } => len_bytes.min(PAYLOAD_MAX),
            Load::Copy(bytes) => bytes.len().min(INLINE_MAX),
        };
        let Some(state) = self.rails[rail.index() & (RAILS - 1)].as_mut() else {
            return Err(SubmitError::RailDown);
        };
        let fate = state.carry(now_ns, len_bytes)?;
        state.count_sent(len_bytes);
        let (at_ns, copies) = match fate {
            Fate::Arrives { at_ns } => (at_ns, 1),
            Fate::ArrivesTwice { at_ns } => (at_ns, 2),
            Fate::Lost => {
                state.counters.add(Count::Lost, 1);
                return Ok(());
            }
        };
        let Some(lane) = self.targets.lanes[lane as usize].as_mut() else { return Err(SubmitError::PeerGone) };
        let mut words = [0; 8];
        let body = match load {
            Load::Frame { frame, .. } if len_bytes > INLINE_MAX => Body::Frame { index: frame.0, len_bytes },
            Load::Frame { frame, .. } => {
                self.pool.frames.copy_words(frame.0, 0, &mut words[..len_bytes.div_ceil(8)]);
                Body::Inline { words: &words, len_bytes }
            }
            Load::Copy(bytes) => {
                to_words(&bytes[..len_bytes], &mut words);
                Body::Inline { words: &words, len_bytes }
            }
        };
        let header: [u64; HEADER_WORDS] =
            std::array::from_fn(|word| u64::from_ne_bytes(std::array::from_fn(|byte| header[word * 8 + byte])));
        for copy in 0..copies {
            if lane.producer.has_room() {
                lane.producer.push(&header, at_ns, body);
            } else {
                state.counters.add(Count::NoBuffer, 1);
                continue;
            }
            if copy > 0 {
                state.counters.add(Count::Duplicated, 1);
            }
        }
        if wake::claim_wakeup(&lane.sleeping, || wake::sender_barrier(lane.needs_barrier)) {
            let peer = lane.peer;
            self.wake(peer);
        }
        Ok(())
    }

    #[cold]
    fn wake(&mut self, peer: u32) {
        if let Some(target) = &self.targets.slots[peer as usize] {
            self.waker.wake(&target.socket);
            self.wakeups_sent.bump(1);
        }
    }

    /// Makes the lane to a channel over a rail: maps the peer, reserves a ring and announces it.
    #[cold]
    fn open_lane(&mut self, now_ns: u64, rail: RailId, dst: Address) -> Result<u32, SubmitError> {
        if !self.rails_lead_to(rail, dst.node) || !self.is_rail_up(rail, now_ns) {
            return Err(SubmitError::RailDown);
        }
        let target = self.target(dst)?;
        let peer = self.targets.slots[target as usize].as_ref().ok_or(SubmitError::PeerGone)?;
        let fabric_rail = self.local_rails.get(rail.index()).map(|rail| rail.fabric);
        let lead = RingLead { to: dst, incarnation: peer.file.incarnation, rail: fabric_rail };
        let (ring, mapping) = self.own.add_ring(lead).ok_or(SubmitError::NoSpace)?;
        let announcement = Announcement { from: self.own.address, ring, incarnation_low: self.own.incarnation as u16 };
        let Some(slot) = announce(&peer.file, announcement) else {
            self.own.remove_ring(ring);
            return Err(SubmitError::NoSpace);
        };
        let lane = Lane {
            producer: Producer::new(MappedRing::new(&mapping, at::RING_DEPTH, peer.file.consumed(slot))),
            peer: target,
            ring,
            needs_barrier: peer.file.needs_barrier || !self.has_membarrier,
            sleeping: peer.file.sleeping(),
        };
        let lane = insert_into(&mut self.targets.lanes, lane);
        if let Some(target) = &mut self.targets.slots[target as usize] {
            target.lanes[rail.index()] = lane;
        }
        Ok(lane)
    }

    /// The destination, mapped if this is the first frame that goes there.
    pub(crate) fn target(&mut self, dst: Address) -> Result<u32, SubmitError> {
        if let Some(slot) = self.targets.find(dst) {
            let is_gone = self.targets.slots[slot as usize].as_ref().is_none_or(|target| target.is_gone);
            return if is_gone { Err(SubmitError::PeerGone) } else { Ok(slot) };
        }
        let file = self.peer_file(dst).ok_or(SubmitError::PeerGone)?;
        let socket = wake::socket_address(self.fabric.id, dst, file.incarnation).map_err(|_| SubmitError::PeerGone)?;
        Ok(self.targets.insert(Target { file, socket, lanes: [NONE; RAILS], is_gone: false }))
    }

    /// A peer's file: the one that is mapped already if it lives, so that a peer costs one descriptor.
    fn peer_file(&self, address: Address) -> Option<Arc<PeerFile>> {
        let senders = self.inbox.senders.iter().filter(|sender| sender.file.address == address && !sender.is_gone);
        let mut mapped = senders.map(|sender| &sender.file).filter(|file| file.is_alive());
        mapped.next().cloned().or_else(|| PeerFile::open(&self.folder, &self.fabric, address).map(Arc::new))
    }

    fn rails_lead_to(&self, rail: RailId, node: NodeId) -> bool {
        match self.local_rails.get(rail.index()) {
            Some(local) => local.peer == node,
            None => rail.index() == LOOPBACK && node == self.own.address.node,
        }
    }

    fn is_rail_up(&self, rail: RailId, now_ns: u64) -> bool {
        self.rails.get(rail.index()).and_then(Option::as_ref).is_some_and(|rail| rail.is_up(now_ns))
    }

    /// Keeps a frame until the peer can no longer read it.
    pub(crate) fn quarantine(&mut self, frame: TxFrame, dst: Address) {
        let peer = self.targets.find(dst);
        let lanes = self.targets.lanes.iter().enumerate();
        let marks: Vec<_> = lanes
            .filter_map(|(number, lane)| {
                let lane = lane.as_ref().filter(|lane| Some(lane.peer) == peer)?;
                Some((number as u32, lane.producer.position()))
            })
            .collect();
        if marks.is_empty() {
            self.pool.free(frame);
        } else {
            self.targets.quarantine.push(Quarantined { frame, marks });
        }
    }

    /// Gives back what no peer can read any more.
    pub(crate) fn end_quarantine(&mut self) {
        let Targets { lanes, quarantine, .. } = &mut self.targets;
        let pool = &mut self.pool;
        quarantine.retain_mut(|entry| {
            entry.marks.retain(|(lane, mark)| {
                lanes[*lane as usize].as_mut().is_some_and(|lane| !lane.producer.has_passed(*mark))
            });
            let is_held = !entry.marks.is_empty();
            if !is_held {
                pool.free(entry.frame);
            }
            is_held
        });
    }

    pub(crate) fn has_quarantine(&self) -> bool {
        !self.targets.quarantine.is_empty()
    }
}

fn announce(peer: &PeerFile, announcement: Announcement) -> Option<Slot> {
    (0..ANNOUNCE_TRIES).find_map(|_| {
        let slot = peer.reserve_slot(announcement.from)?;
        peer.announce(slot, announcement).then_some(slot)
    })
}

#[inline]
fn to_words(bytes: &[u8], words: &mut [u64; 8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    for (word, chunk) in words.iter_mut().zip(whole) {
        *word = u64::from_ne_bytes(*chunk);
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words[whole.len()] = u64::from_ne_bytes(last);
    }
}
