//! The sending half: the transmit part of the pool, the submit and the complete ring.
//!
//! The engine keeps a frame until the peer has acknowledged it, and may want it sent again before the hardware has read the
//! first copy. Header and payload of a frame are contiguous, so its header must not be rewritten while it is queued: such a
//! frame is remembered and submitted when its first copy is done. For the same reason a frame that the engine frees while a copy
//! is queued rests until that is done.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{Ordering, fence};

use usb4_dma_sys::{
    USB4_DMA_RAIL_LOOPBACK, USB4_DMA_RING_NEED_KICK, USB4_DMA_TX_AGAIN, USB4_DMA_TX_INVALID, USB4_DMA_TX_SENT,
    usb4_dma_tx, usb4_dma_tx_done,
};

use super::mapped::MappedRing;
use super::rails::Rails;
use super::ring::{Consumer, Producer};
use crate::shm::frames::Frames;
use crate::{CONTROL_MAX, HEADER_LEN, NodeId, PAYLOAD_MAX, RailId, SubmitError, TxFrame};

/// Of so many transmit frames one is set aside for control frames, whose payloads the engine does not keep.
const FRAMES_PER_CONTROL_FRAME: u32 = 16;
/// 64-bit words of a frame header.
pub(super) const HEADER_WORDS: usize = HEADER_LEN / 8;

/// Where a frame of the pool is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    /// The kernel or the hardware has it.
    is_queued: bool,
    /// The engine has it.
    is_held: bool,
    /// It goes out again when it is no longer queued.
    is_awaited: bool,
}

/// What a frame that is queued has to be sent as afterwards.
#[derive(Clone, Copy, Debug)]
struct Next {
    rail: RailId,
    node: NodeId,
    header: [u8; HEADER_LEN],
    payload_len: usize,
}

/// The sending half of a channel.
#[derive(Debug)]
pub(super) struct Transmit {
    submit: Producer<MappedRing<usb4_dma_tx>>,
    complete: Consumer<MappedRing<usb4_dma_tx_done>>,
    frames: Frames,
    states: Box<[State]>,
    /// Frames for the engine, the one used last on top: it is still in the cache.
    free: Vec<u32>,
    /// Frames for control payloads.
    free_control: Vec<u32>,
    /// Frames from this number on are for control payloads.
    first_control: u32,
    awaited: HashMap<u32, Next>,
    /// What the kernel had no room for; these frames count as queued.
    refused: VecDeque<usb4_dma_tx>,
    /// Entries submitted and not completed.
    in_flight: u32,
    has_complained: bool,
}

impl Transmit {
    /// The rings of a new channel, and the first `count` frames of its pool.
    pub(super) fn new(
        submit: MappedRing<usb4_dma_tx>,
        complete: MappedRing<usb4_dma_tx_done>,
        frames: Frames,
        count: u32,
    ) -> Transmit {
        let first_control = count - (count / FRAMES_PER_CONTROL_FRAME).max(1);
        Transmit {
            submit: Producer::new(submit),
            complete: Consumer::new(complete),
            frames,
            states: vec![State::default(); count as usize].into(),
            free: (0..first_control).rev().collect(),
            free_control: (first_control..count).rev().collect(),
            first_control,
            awaited: HashMap::new(),
            refused: VecDeque::new(),
            in_flight: 0,
            has_complained: false,
        }
    }

    /// Frames that the engine can have.
    pub(super) fn count(&self) -> usize {
        self.first_control as usize
    }

    #[inline]
    pub(super) fn alloc(&mut self) -> Option<TxFrame> {
        let frame = self.free.pop()?;
        self.states[frame as usize].is_held = true;
        Some(TxFrame(frame))
    }

    #[inline]
    pub(super) fn free(&mut self, frame: TxFrame) {
        let state = &mut self.states[frame.0 as usize];
        debug_assert!(state.is_held, "{frame:?} was freed twice");
        state.is_held = false;
        if std::mem::take(&mut state.is_awaited) {
            self.awaited.remove(&frame.0);
        }
        if !state.is_queued {
            self.free.push(frame.0);
        }
    }

    #[inline]
    pub(super) fn payload_mut(&self, frame: TxFrame) -> *mut u8 {
        // The payload lies behind the header, in the same frame.
        self.frames.pointer(frame.0).as_ptr().wrapping_add(HEADER_LEN)
    }

    /// Whether a control frame could be taken: the engine must not choose a rail for one that could not.
    #[inline]
    pub(super) fn has_control_frame(&self) -> bool {
        !self.free_control.is_empty()
    }

    #[cfg(test)]
    pub(super) fn has_all_control_frames(&self) -> bool {
        self.free_control.len() as u32 == self.states.len() as u32 - self.first_control
    }

    /// Whether there is nothing to take back.
    #[inline]
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.refused.is_empty()
    }

    /// Whether somebody may wait for frames to complete.
    pub(super) fn is_short(&self, rails: &Rails) -> bool {
        self.free.is_empty()
            || self.free_control.is_empty()
            || !self.awaited.is_empty()
            || !self.refused.is_empty()
            || rails.is_any_full()
    }

    #[inline]
    pub(super) fn send(
        &mut self,
        rails: &mut Rails,
        rail: RailId,
        node: NodeId,
        header: &[u8; HEADER_LEN],
        frame: TxFrame,
        payload_len: usize,
    ) -> Result<(), SubmitError> {
        let payload_len = payload_len.min(PAYLOAD_MAX);
        if self.states[frame.0 as usize].is_queued {
            return self.send_later(frame.0, Next { rail, node, header: *header, payload_len });
        }
        rails.admit(rail, node)?;
        self.enqueue(rails, rail, header, frame.0, payload_len)
    }

    #[inline]
    pub(super) fn send_control(
        &mut self,
        rails: &mut Rails,
        rail: RailId,
        node: NodeId,
        header: &[u8; HEADER_LEN],
        payload: &[u8],
    ) -> Result<(), SubmitError> {
        rails.admit(rail, node)?;
        let frame = self.free_control.pop().ok_or(SubmitError::RingFull)?;
        let payload = &payload[..payload.len().min(CONTROL_MAX)];
        let target = self.frames.pointer(frame).as_ptr().wrapping_add(HEADER_LEN);
        // SAFETY: a frame has room for header and payload, it is not queued, and nobody else of this process knows it.
        unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), target, payload.len()) };
        let sent = self.enqueue(rails, rail, header, frame, payload.len());
        if sent.is_err() {
            self.free_control.push(frame);
        }
        sent
    }

    /// The first copy has not left yet, so there is nothing to repair on this rail; it goes out again afterwards.
    #[cold]
    fn send_later(&mut self, frame: u32, next: Next) -> Result<(), SubmitError> {
        self.states[frame as usize].is_awaited = true;
        self.awaited.insert(frame, next);
        Ok(())
    }

    #[inline]
    fn enqueue(
        &mut self,
        rails: &mut Rails,
        rail: RailId,
        header: &[u8; HEADER_LEN],
        frame: u32,
        payload_len: usize,
    ) -> Result<(), SubmitError> {
        let words: [u64; HEADER_WORDS] =
            std::array::from_fn(|word| u64::from_ne_bytes(std::array::from_fn(|byte| header[word * 8 + byte])));
        self.frames.write_words(frame, &words);
        let len = (HEADER_LEN + payload_len) as u16;
        let entry = usb4_dma_tx { frame, len, rail: rail.index() as u8, flags: 0, cookie: u64::from(len) };
        if !self.submit.reserve(entry) {
            return Err(SubmitError::RingFull);
        }
        self.states[frame as usize].is_queued = true;
        self.in_flight += 1;
        rails.add(rail, len.into());
        Ok(())
    }

    /// Shows the kernel what was submitted. True: it must be told, too.
    #[inline]
    pub(super) fn publish(&mut self) -> bool {
        if !self.submit.submit() {
            return false;
        }
        // Pairs with the kernel's, between setting NEED_KICK and its last look at the producer: one of the two sees the other.
        fence(Ordering::SeqCst);
        self.submit.memory().flags() & USB4_DMA_RING_NEED_KICK != 0
    }

    /// Takes back what is done. Returns whether frames went out again meanwhile, so that a doorbell is due.
    pub(super) fn collect(&mut self, rails: &mut Rails) -> bool {
        let mut is_doorbell_due = false;
        while let Some(done) = self.complete.peek() {
            self.complete.release();
            is_doorbell_due |= self.finish(rails, &done);
        }
        if !self.refused.is_empty() {
            is_doorbell_due |= self.send_refused(rails);
        }
        is_doorbell_due
    }

    #[inline]
    fn finish(&mut self, rails: &mut Rails, done: &usb4_dma_tx_done) -> bool {
        let frame = done.frame;
        let Some(rail) = RailId::new(done.rail) else { return false };
        if !self.states.get(frame as usize).is_some_and(|state| state.is_queued) {
            return false;
        }
        self.in_flight -= 1;
        let len = done.cookie as u16;
        rails.remove(rail, len.into());
        match u32::from(done.status) {
            USB4_DMA_TX_SENT => rails.grow(rail),
            USB4_DMA_TX_AGAIN => {
                rails.shrink(rail);
                self.refused.push_back(usb4_dma_tx { frame, len, rail: done.rail, flags: 0, cookie: done.cookie });
                return false;
            }
            USB4_DMA_TX_INVALID => self.complain(done),
            _ => {}
        }
        self.end(rails, frame)
    }

    /// The frame has left, or is lost.
    fn end(&mut self, rails: &mut Rails, frame: u32) -> bool {
        let state = &mut self.states[frame as usize];
        state.is_queued = false;
        if std::mem::take(&mut state.is_awaited)
            && let Some(next) = self.awaited.remove(&frame)
        {
            // If the rail does not take it now it is lost like any frame, and the engine repairs that.
            return rails.admit(next.rail, next.node).is_ok()
                && self.enqueue(rails, next.rail, &next.header, frame, next.payload_len).is_ok();
        }
        if frame >= self.first_control {
            self.free_control.push(frame);
        } else if !state.is_held {
            self.free.push(frame);
        }
        false
    }

    /// Sends what the kernel had no room for, once more and as it is, where there is room now. Returns whether any was.
    #[cold]
    fn send_refused(&mut self, rails: &mut Rails) -> bool {
        let mut is_any_sent = false;
        for _ in 0..self.refused.len() {
            let Some(entry) = self.refused.pop_front() else { break };
            let state = self.states[entry.frame as usize];
            let is_wanted = entry.frame >= self.first_control || state.is_held && !state.is_awaited;
            let rail = RailId::new(entry.rail).filter(|&rail| is_wanted && rails.is_up(rail));
            match rail {
                None => is_any_sent |= self.end(rails, entry.frame),
                Some(rail) if rails.has_room(rail) && self.submit.reserve(entry) => {
                    self.in_flight += 1;
                    rails.add(rail, entry.len.into());
                    is_any_sent = true;
                }
                Some(_) => self.refused.push_back(entry),
            }
        }
        is_any_sent
    }

    #[cold]
    fn complain(&mut self, done: &usb4_dma_tx_done) {
        if !std::mem::replace(&mut self.has_complained, true) {
            let rail =
                if u32::from(done.rail) == USB4_DMA_RAIL_LOOPBACK { "loopback".into() } else { done.rail.to_string() };
            log::error!(
                "the kernel refused a frame of this process on rail {rail}: the module and this library do not fit \
                 together; install both from one release (told once)"
            );
        }
    }
}
