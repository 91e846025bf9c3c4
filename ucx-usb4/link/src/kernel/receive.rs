//! The receiving half: the receive part of the pool, the fill and the ready ring.

use usb4_dma_sys::{USB4_DMA_RX_GONE, usb4_dma_rx};

use super::mapped::MappedRing;
use super::ring::{Consumer, Producer};
use super::transmit::HEADER_WORDS;
use crate::shm::frames::Frames;
use crate::{Address, ChannelId, HEADER_LEN, NodeId, PAYLOAD_MAX, RailId, Reaped, RxFrame};

/// What the ready ring held.
#[derive(Debug)]
pub(super) enum Arrival {
    /// A frame.
    Frame(Reaped),
    /// A channel to which something was sent does not exist.
    Gone(Address),
}

/// The receiving half of a channel.
#[derive(Debug)]
pub(super) struct Receive {
    fill: Producer<MappedRing<u32>>,
    ready: Consumer<MappedRing<usb4_dma_rx>>,
    frames: Frames,
    /// Receive frames of the pool: from here on.
    first: u32,
    /// Entries that made no sense. The kernel writes none such.
    pub(super) malformed: u64,
}

impl Receive {
    /// The rings of a new channel, and the frames of its pool from `first` on, all of which the kernel gets.
    pub(super) fn new(fill: MappedRing<u32>, ready: MappedRing<usb4_dma_rx>, frames: Frames, first: u32) -> Receive {
        let mut fill = Producer::new(fill);
        for frame in first..frames.count() {
            let is_taken = fill.reserve(frame);
            debug_assert!(is_taken, "the fill ring has room for every receive frame");
        }
        fill.submit();
        Receive { fill, ready: Consumer::new(ready), frames, first, malformed: 0 }
    }

    /// Receive frames of the pool.
    pub(super) fn count(&self) -> usize {
        (self.frames.count() - self.first) as usize
    }

    /// Whether nothing is there.
    pub(super) fn is_empty(&self) -> bool {
        self.ready.is_empty()
    }

    /// The next entry of the ready ring.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Arrival> {
        loop {
            let entry = self.ready.peek()?;
            self.ready.release();
            if u32::from(entry.flags) & USB4_DMA_RX_GONE != 0 {
                let (node, channel) = (NodeId(entry.src_node), ChannelId(entry.src_channel));
                return Some(Arrival::Gone(Address { node, channel }));
            }
            match self.accept(&entry) {
                Some(reaped) => return Some(Arrival::Frame(reaped)),
                None => self.malformed += 1,
            }
        }
    }

    #[inline]
    fn accept(&self, entry: &usb4_dma_rx) -> Option<Reaped> {
        let is_mine = (self.first..self.frames.count()).contains(&entry.frame);
        let payload_len = usize::from(entry.len).checked_sub(HEADER_LEN).filter(|&len| len <= PAYLOAD_MAX)?;
        let rail = RailId::new(entry.rail)?;
        if !is_mine {
            return None;
        }
        let mut words = [0; HEADER_WORDS];
        self.frames.copy_words(entry.frame, 0, &mut words);
        let mut header = [0; HEADER_LEN];
        for (chunk, word) in header.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *chunk = word.to_ne_bytes();
        }
        let frame = RxFrame { source: entry.frame, position: 0, ring: 0, payload_len: payload_len as u16 };
        Some(Reaped { header, rail, frame })
    }

    #[inline]
    pub(super) fn payload(&self, frame: RxFrame) -> *const u8 {
        self.frames.pointer(frame.source).as_ptr().cast_const().wrapping_add(HEADER_LEN)
    }

    #[inline]
    pub(super) fn copy_words(&self, frame: RxFrame, out: &mut [u64]) {
        self.frames.copy_words(frame.source, HEADER_WORDS, out);
    }

    #[inline]
    pub(super) fn release(&mut self, frame: RxFrame) {
        let is_taken = self.fill.reserve(frame.source);
        debug_assert!(is_taken, "{frame:?} was released twice");
        self.fill.submit();
    }
}
