//! A channel as a well-behaved process has it: rings, pool, counters.

use std::mem::offset_of;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::OFlags;
use rustix::io::Errno;
use usb4_dma_sys as uapi;
use usb4_dma_sys::{usb4_dma_counters, usb4_dma_header, usb4_dma_rx, usb4_dma_setup, usb4_dma_tx, usb4_dma_tx_done};

use crate::sys::{self, Arena, Mapping, Pod};

/// Bytes of a frame's header.
pub(crate) const HEADER: usize = size_of::<usb4_dma_header>();
/// The rail that leads back to the own node.
pub(crate) const LOOPBACK: u8 = uapi::USB4_DMA_RAIL_LOOPBACK as u8;
/// Hang guard for whatever must come soon. Nothing is measured by it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const PRODUCER: usize = offset_of!(uapi::usb4_dma_ring, producer);
const CONSUMER: usize = offset_of!(uapi::usb4_dma_ring, consumer);
const ENTRIES: usize = uapi::USB4_DMA_RING_ENTRIES as usize;
const FRAME: usize = uapi::USB4_DMA_FRAME_SIZE as usize;

/// A handle, and a place for arguments.
pub(crate) struct Handle {
    /// The device.
    pub(crate) fd: OwnedFd,
    /// Arguments of its ioctls.
    pub(crate) arena: Arena,
}

impl Handle {
    /// Opens the device for reading and writing.
    pub(crate) fn open() -> Result<Handle> {
        Handle::open_as(OFlags::RDWR)
    }

    /// Opens the device.
    pub(crate) fn open_as(flags: OFlags) -> Result<Handle> {
        let fd = sys::open(flags).with_context(|| format!("{} does not open", sys::DEVICE))?;
        Ok(Handle { fd, arena: Arena::new()? })
    }

    /// An ioctl with a structure.
    pub(crate) fn call<T: Pod>(&self, request: u32, argument: &mut T) -> Result<(), Errno> {
        sys::call(self.fd.as_fd(), &self.arena, request, argument)
    }

    /// QUERY.
    pub(crate) fn query(&self) -> Result<uapi::usb4_dma_query> {
        let mut query = uapi::usb4_dma_query::default();
        self.call(uapi::IOCTL_QUERY, &mut query).context("QUERY")?;
        Ok(query)
    }

    /// SETUP with a pool of that many frames.
    pub(crate) fn setup(&self, tx_frames: u32, rx_frames: u32) -> Result<usb4_dma_setup, Errno> {
        let mut setup = usb4_dma_setup { tx_frames, rx_frames, ..Default::default() };
        self.call(uapi::IOCTL_SETUP, &mut setup).map(|()| setup)
    }

    /// KICK.
    pub(crate) fn kick(&self, flags: u32) -> Result<uapi::usb4_dma_kick, Errno> {
        let mut kick = uapi::usb4_dma_kick { flags, ..Default::default() };
        self.call(uapi::IOCTL_KICK, &mut kick).map(|()| kick)
    }

    /// RAILS, all of them.
    pub(crate) fn rails(&self) -> Result<(Vec<uapi::usb4_dma_rail>, u32)> {
        let entry = size_of::<uapi::usb4_dma_rail>();
        let count = uapi::USB4_DMA_RAILS_MAX as usize;
        // The array lies in the arena before the structure, which is a multiple of its alignment away from the end.
        let place = size_of::<uapi::usb4_dma_rails>() + count * entry;
        let mut rails = uapi::usb4_dma_rails {
            size: size_of::<uapi::usb4_dma_rails>() as u32,
            count: count as u32,
            entry_size: entry as u32,
            entries: self.arena.nowhere() - place as u64,
            ..Default::default()
        };
        self.arena.put(&vec![0xff; place]);
        let address = self.arena.put(sys::bytes_of(&rails));
        sys::ioctl_at(self.fd.as_fd(), &self.arena, uapi::IOCTL_RAILS, address).context("RAILS")?;
        let bytes = self.arena.take(place);
        rails = sys::from_bytes(&bytes[count * entry..]);
        ensure!(rails.count as usize <= count, "RAILS: {} rails, but there can be {count} at most", rails.count);
        let list = (0..rails.count as usize).map(|index| sys::from_bytes(&bytes[index * entry..])).collect();
        Ok((list, rails.generation))
    }

    /// What poll(2) says, waiting no longer than `limit`.
    pub(crate) fn poll(&self, events: PollFlags, limit: Duration) -> Result<PollFlags> {
        let mut fds = [PollFd::new(&self.fd, events)];
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        poll(&mut fds, Some(&limit)).context("poll")?;
        Ok(fds[0].revents())
    }
}

impl AsFd for Handle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A handle after SETUP, everything mapped.
pub(crate) struct Channel {
    /// The handle.
    pub(crate) handle: Handle,
    /// What SETUP said.
    pub(crate) setup: usb4_dma_setup,
    /// Indexed by `usb4_dma_region_id`.
    pub(crate) regions: Vec<Mapping>,
}

impl Channel {
    /// Opens, sets up, maps.
    pub(crate) fn open(tx_frames: u32, rx_frames: u32) -> Result<Channel> {
        Channel::make(Handle::open()?, tx_frames, rx_frames)
    }

    /// Makes a channel of a handle.
    pub(crate) fn make(handle: Handle, tx_frames: u32, rx_frames: u32) -> Result<Channel> {
        let setup =
            handle.setup(tx_frames, rx_frames).with_context(|| format!("SETUP of {tx_frames} + {rx_frames} frames"))?;
        let regions = (0..uapi::USB4_DMA_REGIONS)
            .map(|id| map(&handle, &setup, id).with_context(|| format!("mmap of region {id}")))
            .collect::<Result<_>>()?;
        Ok(Channel { handle, setup, regions })
    }

    /// A region.
    pub(crate) fn region(&self, id: u32) -> &Mapping {
        &self.regions[id as usize]
    }

    /// The header of a frame from this channel to another one.
    pub(crate) fn header(&self, node: u32, channel: u16, payload_len: usize) -> usb4_dma_header {
        usb4_dma_header {
            version: 1,
            payload_len: (payload_len as u16).to_le(),
            dst_node: node.to_le(),
            src_node: self.setup.node.to_le(),
            dst_channel: channel.to_le(),
            src_channel: self.setup.channel.to_le(),
            ..Default::default()
        }
    }

    /// Writes a frame.
    pub(crate) fn write_frame(&self, index: u32, header: &usb4_dma_header, payload: &[u8]) {
        let place = index as usize * FRAME;
        let pool = self.region(uapi::USB4_DMA_REGION_POOL);
        pool.write(place, header);
        pool.copy_in(place + HEADER, payload);
    }

    /// Reads a frame that arrived.
    pub(crate) fn read_frame(&self, rx: &usb4_dma_rx) -> (usb4_dma_header, Vec<u8>) {
        let bytes = self.region(uapi::USB4_DMA_REGION_POOL).copy_out(rx.frame as usize * FRAME, rx.len.into());
        (sys::from_bytes(&bytes), bytes[HEADER..].to_vec())
    }

    /// Writes a frame for another channel and submits it, without a kick.
    pub(crate) fn submit(&self, frame: u32, rail: u8, node: u32, channel: u16, payload: &[u8], cookie: u64) {
        self.write_frame(frame, &self.header(node, channel, payload.len()), payload);
        let len = (HEADER + payload.len()) as u16;
        self.push_tx(&usb4_dma_tx { frame, len, rail, flags: 0, cookie });
    }

    /// Puts an entry into the submit ring.
    pub(crate) fn push_tx(&self, tx: &usb4_dma_tx) {
        push(self.region(uapi::USB4_DMA_REGION_SUBMIT), self.setup.tx_entries, tx);
    }

    /// Puts a frame into the fill ring.
    pub(crate) fn push_fill(&self, frame: u32) {
        push(self.region(uapi::USB4_DMA_REGION_FILL), self.setup.rx_entries, &frame);
    }

    /// Puts all receive frames into the fill ring.
    pub(crate) fn fill_all(&self) {
        for frame in 0..self.setup.rx_frames {
            self.push_fill(self.setup.tx_frames + frame);
        }
    }

    /// Takes an entry from the complete ring.
    pub(crate) fn pop_done(&self) -> Option<usb4_dma_tx_done> {
        pop(self.region(uapi::USB4_DMA_REGION_COMPLETE), self.setup.tx_entries)
    }

    /// Takes an entry from the ready ring.
    pub(crate) fn pop_ready(&self) -> Option<usb4_dma_rx> {
        pop(self.region(uapi::USB4_DMA_REGION_READY), self.setup.rx_entries)
    }

    /// The channel's counters.
    pub(crate) fn counters(&self) -> usb4_dma_counters {
        self.region(uapi::USB4_DMA_REGION_COUNTERS).read(0)
    }

    /// The channel's counters on one rail.
    pub(crate) fn rail_counters(&self, rail: u8) -> uapi::usb4_dma_rail_counters {
        self.counters().rails[usize::from(rail)]
    }

    /// Kicks until `take` gives something.
    pub(crate) fn wait<T>(&self, what: &str, mut take: impl FnMut(&Channel) -> Option<T>) -> Result<T> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.handle.kick(uapi::USB4_DMA_KICK_TX | uapi::USB4_DMA_KICK_RX).context("KICK")?;
            if let Some(found) = take(self) {
                return Ok(found);
            }
            ensure!(Instant::now() < end, "{what} did not come");
            std::thread::yield_now();
        }
    }

    /// Kicks until a frame has been sent, or was not.
    pub(crate) fn wait_done(&self) -> Result<usb4_dma_tx_done> {
        self.wait("a completion", Channel::pop_done)
    }

    /// Kicks until something is in the ready ring.
    pub(crate) fn wait_ready(&self) -> Result<usb4_dma_rx> {
        self.wait("a frame", Channel::pop_ready)
    }
}

/// Maps a region as it is meant to be mapped.
pub(crate) fn map(handle: &Handle, setup: &usb4_dma_setup, id: u32) -> Result<Mapping, Errno> {
    let region = setup.regions[id as usize];
    let bytes = usize::try_from(region.bytes).unwrap_or(usize::MAX);
    Mapping::new(handle, region.offset, bytes, protection(id), libc::MAP_SHARED)
}

/// What a region may be mapped for.
pub(crate) fn protection(id: u32) -> i32 {
    match id {
        uapi::USB4_DMA_REGION_NODE | uapi::USB4_DMA_REGION_COUNTERS => libc::PROT_READ,
        _ => libc::PROT_READ | libc::PROT_WRITE,
    }
}

/// Shifts the producer of a ring, as only a faulty process does.
pub(crate) fn shift_producer(ring: &Mapping, by: u32) {
    ring.store(PRODUCER, ring.load(PRODUCER).wrapping_add(by));
}

/// Shifts the consumer of a ring, as only a faulty process does.
pub(crate) fn shift_consumer(ring: &Mapping, by: u32) {
    ring.store(CONSUMER, ring.load(CONSUMER).wrapping_add(by));
}

/// Puts an entry in. There is room: this program counts its frames.
fn push<T: Pod>(ring: &Mapping, entries: u32, entry: &T) {
    let producer = ring.load(PRODUCER);
    ring.write(ENTRIES + (producer & (entries - 1)) as usize * size_of::<T>(), entry);
    // The store releases the entry; the kernel's load of the producer acquires it. Without that it could read the old entry.
    ring.store(PRODUCER, producer.wrapping_add(1));
}

/// Takes an entry out.
fn pop<T: Pod>(ring: &Mapping, entries: u32) -> Option<T> {
    let consumer = ring.load(CONSUMER);
    // The load acquires what the kernel released with its store of the producer: the entry.
    if ring.load(PRODUCER) == consumer {
        return None;
    }
    let entry = ring.read(ENTRIES + (consumer & (entries - 1)) as usize * size_of::<T>());
    ring.store(CONSUMER, consumer.wrapping_add(1));
    Some(entry)
}

/// Sends a frame from a new channel to itself: the module still works.
pub(crate) fn module_works() -> Result<()> {
    let channel = Channel::open(2, 2)?;
    channel.fill_all();
    channel.submit(0, LOOPBACK, channel.setup.node, channel.setup.channel, b"still here", 1);
    channel.wait_done()?;
    let rx = channel.wait_ready()?;
    ensure!(channel.read_frame(&rx).1 == b"still here", "another frame arrived: {rx:?}");
    Ok(())
}
