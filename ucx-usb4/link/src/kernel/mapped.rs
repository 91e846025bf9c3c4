//! What the kernel shares with a channel, in mapped memory: rings, the node's page, counters.

use std::marker::PhantomData;
use std::mem::offset_of;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use usb4_dma_sys::{
    USB4_DMA_RING_ENTRIES, usb4_dma_counters, usb4_dma_node, usb4_dma_node_rail, usb4_dma_rail_counters, usb4_dma_ring,
    usb4_dma_rx, usb4_dma_tx, usb4_dma_tx_done,
};

use super::ring::RingMemory;
use crate::shm::mapping::Mapping;

/// An entry of a ring: plain numbers, of which every bit pattern is one.
///
/// # Safety
/// The type has no padding and no invalid values, and its alignment is at most 8.
pub(crate) unsafe trait Entry: Copy {}

// SAFETY: fixed-width integers without padding, as usb4-dma-sys asserts.
unsafe impl Entry for usb4_dma_tx {}
// SAFETY: as above.
unsafe impl Entry for usb4_dma_tx_done {}
// SAFETY: as above.
unsafe impl Entry for usb4_dma_rx {}
// SAFETY: an integer.
unsafe impl Entry for u32 {}

/// A ring in a mapping of its own.
#[derive(Debug)]
pub(crate) struct MappedRing<E> {
    mapping: Arc<Mapping>,
    head: NonNull<u8>,
    entries: NonNull<E>,
    mask: u32,
    _entry: PhantomData<E>,
}

// SAFETY: it points to memory that belongs to the process, not to a thread, and stays mapped as long as it lives.
unsafe impl<E: Entry> Send for MappedRing<E> {}

impl<E: Entry> MappedRing<E> {
    /// The ring of `entries` entries (a power of two) in the mapping.
    pub(crate) fn new(mapping: &Arc<Mapping>, entries: u32) -> Self {
        assert!(entries.is_power_of_two(), "a ring of {entries} entries");
        let head = mapping.pointer(0, size_of::<usb4_dma_ring>());
        let first = mapping.pointer(USB4_DMA_RING_ENTRIES as usize, entries as usize * size_of::<E>()).cast();
        assert!(first.is_aligned());
        Self { mapping: Arc::clone(mapping), head, entries: first, mask: entries - 1, _entry: PhantomData }
    }

    #[inline]
    fn word(&self, offset: usize) -> &AtomicU32 {
        debug_assert!(offset.is_multiple_of(4) && offset < size_of::<usb4_dma_ring>());
        // SAFETY: the head lies in the mapping, and the offset is a field's.
        let at = unsafe { self.head.add(offset) };
        // SAFETY: in bounds as shown, aligned since mappings start on a page, mapped as long as self lives, and the kernel
        // accesses the word atomically, too.
        unsafe { AtomicU32::from_ptr(at.as_ptr().cast()) }
    }

    #[inline]
    fn entry(&self, position: u32) -> NonNull<E> {
        // SAFETY: the index is masked to below the number of entries, which `new` checked to lie in the mapping.
        unsafe { self.entries.add((position & self.mask) as usize) }
    }

    /// What the kernel says of the ring's state.
    #[inline]
    pub(crate) fn flags(&self) -> u32 {
        self.word(offset_of!(usb4_dma_ring, flags)).load(Ordering::Relaxed)
    }
}

impl<E: Entry> RingMemory for MappedRing<E> {
    type Entry = E;

    #[inline]
    fn entries(&self) -> u32 {
        self.mask + 1
    }

    #[inline]
    fn load_producer(&self, order: Ordering) -> u32 {
        self.word(offset_of!(usb4_dma_ring, producer)).load(order)
    }

    #[inline]
    fn store_producer(&self, value: u32, order: Ordering) {
        debug_assert!(self.mapping.is_writable());
        self.word(offset_of!(usb4_dma_ring, producer)).store(value, order);
    }

    #[inline]
    fn load_consumer(&self, order: Ordering) -> u32 {
        self.word(offset_of!(usb4_dma_ring, consumer)).load(order)
    }

    #[inline]
    fn store_consumer(&self, value: u32, order: Ordering) {
        debug_assert!(self.mapping.is_writable());
        self.word(offset_of!(usb4_dma_ring, consumer)).store(value, order);
    }

    #[inline]
    fn load(&self, position: u32) -> E {
        // SAFETY: in bounds, aligned as `new` checked, and any bit pattern is an entry. Volatile: it is read once, whoever writes.
        unsafe { self.entry(position).as_ptr().read_volatile() }
    }

    #[inline]
    fn store(&self, position: u32, entry: E) {
        debug_assert!(self.mapping.is_writable());
        // SAFETY: in bounds and aligned as above. Volatile: the kernel reads it at any time.
        unsafe { self.entry(position).as_ptr().write_volatile(entry) };
    }
}

/// A read-only mapping of numbers that the kernel writes.
#[derive(Debug)]
struct Page {
    base: NonNull<u8>,
    bytes: usize,
    _mapping: Arc<Mapping>,
}

// SAFETY: it points to memory that belongs to the process, not to a thread, and stays mapped as long as it lives.
unsafe impl Send for Page {}

impl Page {
    fn new(mapping: &Arc<Mapping>, bytes: usize) -> Page {
        Page { base: mapping.pointer(0, bytes), bytes, _mapping: Arc::clone(mapping) }
    }

    #[inline]
    fn at(&self, offset: usize, bytes: usize) -> NonNull<u8> {
        assert!(offset.is_multiple_of(bytes) && offset + bytes <= self.bytes);
        // SAFETY: within the page, as just checked.
        unsafe { self.base.add(offset) }
    }

    #[inline]
    fn u32(&self, offset: usize, order: Ordering) -> u32 {
        // SAFETY: in bounds and aligned as `at` checked, mapped as long as self lives; it is only ever loaded here.
        unsafe { AtomicU32::from_ptr(self.at(offset, 4).as_ptr().cast()) }.load(order)
    }

    fn u64(&self, offset: usize) -> u64 {
        // SAFETY: in bounds and aligned as `at` checked, mapped as long as self lives; it is only ever loaded here.
        unsafe { AtomicU64::from_ptr(self.at(offset, 8).as_ptr().cast()) }.load(Ordering::Relaxed)
    }
}

/// What every channel sees of the node's rails.
#[derive(Debug)]
pub(crate) struct NodePage(Page);

impl NodePage {
    pub(crate) fn new(mapping: &Arc<Mapping>) -> NodePage {
        NodePage(Page::new(mapping, size_of::<usb4_dma_node>()))
    }

    /// Grows with each change of a rail.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.0.u32(offset_of!(usb4_dma_node, generation), Ordering::Acquire)
    }

    /// Frames of all channels that the hardware has not sent yet; 0 for loopback.
    #[inline]
    pub(crate) fn tx_backlog(&self, rail: usize) -> u32 {
        let rails = offset_of!(usb4_dma_node, rails);
        let offset = rails + rail * size_of::<usb4_dma_node_rail>() + offset_of!(usb4_dma_node_rail, tx_backlog);
        if offset >= size_of::<usb4_dma_node>() { 0 } else { self.0.u32(offset, Ordering::Relaxed) }
    }
}

/// What the kernel counts of the channel.
#[derive(Debug)]
pub(crate) struct CountersPage(Page);

impl CountersPage {
    pub(crate) fn new(mapping: &Arc<Mapping>) -> CountersPage {
        CountersPage(Page::new(mapping, size_of::<usb4_dma_counters>()))
    }

    /// A copy of all of them.
    pub(crate) fn get(&self) -> usb4_dma_counters {
        let word = |offset| self.0.u64(offset);
        let rail = |rail: usize| {
            let base = offset_of!(usb4_dma_counters, rails) + rail * size_of::<usb4_dma_rail_counters>();
            usb4_dma_rail_counters {
                tx_frames: word(base + offset_of!(usb4_dma_rail_counters, tx_frames)),
                tx_bytes: word(base + offset_of!(usb4_dma_rail_counters, tx_bytes)),
                tx_down: word(base + offset_of!(usb4_dma_rail_counters, tx_down)),
                tx_again: word(base + offset_of!(usb4_dma_rail_counters, tx_again)),
                rx_frames: word(base + offset_of!(usb4_dma_rail_counters, rx_frames)),
                rx_bytes: word(base + offset_of!(usb4_dma_rail_counters, rx_bytes)),
                rx_no_buffer: word(base + offset_of!(usb4_dma_rail_counters, rx_no_buffer)),
                rx_gone: word(base + offset_of!(usb4_dma_rail_counters, rx_gone)),
            }
        };
        usb4_dma_counters {
            kicks: word(offset_of!(usb4_dma_counters, kicks)),
            doorbells: word(offset_of!(usb4_dma_counters, doorbells)),
            arms: word(offset_of!(usb4_dma_counters, arms)),
            wakeups: word(offset_of!(usb4_dma_counters, wakeups)),
            tx_invalid: word(offset_of!(usb4_dma_counters, tx_invalid)),
            fill_invalid: word(offset_of!(usb4_dma_counters, fill_invalid)),
            ring_invalid: word(offset_of!(usb4_dma_counters, ring_invalid)),
            reserved: 0,
            rails: std::array::from_fn(rail),
        }
    }
}
