//! A channel on the kernel's rings.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use rustix::event::epoll;
use usb4_dma_sys::{
    USB4_DMA_KICK_ARM, USB4_DMA_KICK_ARM_TX, USB4_DMA_KICK_RX, USB4_DMA_KICK_TX, USB4_DMA_KICKED_ARMED,
    USB4_DMA_KICKED_TX_LEFT, USB4_DMA_REGION_COMPLETE, USB4_DMA_REGION_COUNTERS, USB4_DMA_REGION_FILL,
    USB4_DMA_REGION_NODE, USB4_DMA_REGION_POOL, USB4_DMA_REGION_READY, USB4_DMA_REGION_SUBMIT, usb4_dma_kick,
    usb4_dma_rail_counters, usb4_dma_region_id, usb4_dma_setup,
};

use super::board::OwnBoard;
use super::device::{Device, Node};
use super::error::DeviceError;
use super::mapped::{CountersPage, MappedRing, NodePage};
use super::rails::Rails;
use super::receive::{Arrival, Receive};
use super::transmit::Transmit;
use super::{DEVICE, FABRIC, ReceiveMode};
use crate::clock::Clock;
use crate::shm::frames::Frames;
use crate::shm::mapping::Access;
use crate::timer::Timer;
use crate::{
    Address, ArmResult, Board, CONTROL_MAX, Carrier, ChannelId, Counters, FabricId, HEADER_LEN, Limits, LinkEvent,
    NodeId, OpenOptions, PAYLOAD_MAX, RailCounters, RailId, RailInfo, RailSet, Reaped, RxFrame, SubmitError, TxFrame,
};

/// Fruitless looks at the hardware's rings after which [`ReceiveMode::Auto`] leaves them to the interrupt, until something comes
/// or is sent.
const PATIENCE: u32 = 10_000;
/// Frames of one KICK that are left for the next, at most so often.
const KICKS_MAX: usize = 16;

/// A channel on the kernel's rings.
#[derive(Debug)]
pub struct KernelChannel {
    // What every frame touches.
    receive: Receive,
    transmit: Transmit,
    rails: Rails,
    node: NodePage,
    device: Box<dyn Device>,
    mode: ReceiveMode,
    /// Looks at the hardware's rings that are left in `ReceiveMode::Auto`.
    patience: u32,
    clock: Clock,
    // The rest.
    address: Address,
    incarnation: u64,
    events: VecDeque<LinkEvent>,
    sleep: Sleep,
    counters: CountersPage,
    board: OwnBoard,
    has_complained: bool,
}

/// What a sleeping channel waits for.
#[derive(Debug)]
struct Sleep {
    epoll: OwnedFd,
    timer: Timer,
    is_armed: bool,
}

impl Sleep {
    fn new(device: &dyn Device) -> io::Result<Sleep> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let timer = Timer::new()?;
        let device_events = epoll::EventFlags::IN | epoll::EventFlags::OUT;
        epoll::add(&epoll, device.as_fd(), epoll::EventData::new_u64(0), device_events)?;
        epoll::add(&epoll, &timer, epoll::EventData::new_u64(1), epoll::EventFlags::IN)?;
        Ok(Sleep { epoll, timer, is_armed: false })
    }
}

impl KernelChannel {
    pub(crate) fn open(options: &OpenOptions) -> Result<KernelChannel, DeviceError> {
        let path = DEVICE.as_ref();
        let device = Node::open(path).map_err(|error| DeviceError::of_open(path, error))?;
        KernelChannel::new(Box::new(device), options)
    }

    /// Makes an open handle a channel.
    pub(super) fn new(device: Box<dyn Device>, options: &OpenOptions) -> Result<KernelChannel, DeviceError> {
        let query = device.query().map_err(DeviceError::of_query)?;
        DeviceError::check_version(query.abi_version)?;
        let frames = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).clamp(2, query.frames_max / 2);
        let (tx_frames, rx_frames) = (frames(options.transmit_frames), frames(options.receive_frames));
        let setup = usb4_dma_setup { tx_frames, rx_frames, ..Default::default() };
        let setup = device.setup(setup).map_err(|error| DeviceError::of_setup(&query, &setup, error))?;
        let map = |region: usb4_dma_region_id, access| {
            device.map(&setup.regions[region as usize], access).map_err(DeviceError::Map)
        };
        let ring = |region| map(region, Access::ReadWrite);
        let pool = map(USB4_DMA_REGION_POOL, Access::ReadWrite)?;
        let pool = || Frames::new(&pool, 0, tx_frames + rx_frames);
        let transmit = Transmit::new(
            MappedRing::new(&ring(USB4_DMA_REGION_SUBMIT)?, setup.tx_entries),
            MappedRing::new(&ring(USB4_DMA_REGION_COMPLETE)?, setup.tx_entries),
            pool(),
            tx_frames,
        );
        let receive = Receive::new(
            MappedRing::new(&ring(USB4_DMA_REGION_FILL)?, setup.rx_entries),
            MappedRing::new(&ring(USB4_DMA_REGION_READY)?, setup.rx_entries),
            pool(),
            tx_frames,
        );
        let node = NodePage::new(&map(USB4_DMA_REGION_NODE, Access::Read)?);
        let counters = CountersPage::new(&map(USB4_DMA_REGION_COUNTERS, Access::Read)?);
        let sleep = Sleep::new(&*device).map_err(DeviceError::Sleep)?;
        let own = NodeId(setup.node);
        let mut channel = KernelChannel {
            receive,
            transmit,
            rails: Rails::new(own, tx_frames),
            node,
            mode: options.receive_mode,
            patience: PATIENCE,
            clock: Clock::start(),
            address: Address { node: own, channel: ChannelId(setup.channel) },
            incarnation: setup.incarnation,
            events: VecDeque::new(),
            sleep,
            counters,
            board: OwnBoard::new(ChannelId(setup.channel)).map_err(DeviceError::Map)?,
            has_complained: false,
            device,
        };
        let (generation, listed) = channel.device.rails().map_err(DeviceError::of_query)?;
        // What is there at the beginning is no news.
        channel.rails.update(generation, listed, |_| {});
        Ok(channel)
    }

    #[cfg(test)]
    pub(super) fn has_all_control_frames(&self) -> bool {
        self.transmit.has_all_control_frames()
    }

    fn kick(&mut self, flags: u32) -> usb4_dma_kick {
        match self.device.kick(flags) {
            Ok(kick) => kick,
            Err(error) => {
                self.complain(&error);
                usb4_dma_kick::default()
            }
        }
    }

    /// A KICK cannot fail with a module that fits. What was submitted lies in the ring, so the next one may help.
    #[cold]
    fn complain(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_complained, true) {
            log::error!("{DEVICE}: {error}; see dmesg for what the module says, and end the job (told once)");
        }
    }

    /// Tells the kernel of submitted frames until it has taken all.
    fn kick_transmit(&mut self) {
        for _ in 0..KICKS_MAX {
            let kick = self.kick(USB4_DMA_KICK_TX);
            if kick.result & USB4_DMA_KICKED_TX_LEFT == 0 {
                return;
            }
            // It may be for want of room in the complete ring.
            self.transmit.collect(&mut self.rails);
            self.transmit.publish();
        }
    }

    /// Takes back frames that have left.
    #[inline]
    fn collect(&mut self) {
        if !self.transmit.is_idle() && self.transmit.collect(&mut self.rails) {
            self.doorbell();
        }
    }

    /// Lets the kernel look at the hardware's rings now, if this channel receives that way. Whether it did.
    #[inline]
    fn poll_hardware(&mut self) -> bool {
        match self.mode {
            ReceiveMode::Ring => return false,
            ReceiveMode::Auto if self.patience == 0 => return false,
            ReceiveMode::Auto => self.patience -= 1,
            ReceiveMode::Poll => {}
        }
        self.kick(USB4_DMA_KICK_RX);
        true
    }

    #[inline]
    fn take(&mut self) -> Option<Reaped> {
        loop {
            match self.receive.take()? {
                Arrival::Frame(reaped) => {
                    self.patience = PATIENCE;
                    return Some(reaped);
                }
                Arrival::Gone(address) => self.events.push_back(LinkEvent::PeerGone(address)),
            }
        }
    }

    /// Takes in what changed on the rails.
    #[cold]
    fn look_at_rails(&mut self) {
        match self.device.rails() {
            Ok((generation, listed)) => {
                let events = &mut self.events;
                self.rails.update(generation, listed, |event| events.push_back(event));
            }
            Err(error) => self.complain(&error),
        }
    }
}

impl Carrier for KernelChannel {
    fn address(&self) -> Address {
        self.address
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn fabric(&self) -> FabricId {
        FABRIC
    }

    fn rails(&self) -> &[RailInfo] {
        self.rails.infos()
    }

    fn rails_to(&self, node: NodeId) -> RailSet {
        if node == self.address.node { RailSet::LOOPBACK } else { self.rails.to(node) }
    }

    fn limits(&self) -> Limits {
        // A quarter is for control frames, which no window bounds.
        let pool = self.receive.count() - self.receive.count() / 4;
        let hardware = self.rails.receive_depth().map_or(usize::MAX, |depth| depth as usize);
        Limits {
            transmit_frames: self.transmit.count(),
            receive_frames: pool.min(hardware),
            receive_pool_frames: pool,
            transmit_rings: usize::MAX,
        }
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    #[inline]
    fn alloc(&mut self) -> Option<TxFrame> {
        self.transmit.alloc().or_else(|| {
            self.collect();
            self.transmit.alloc()
        })
    }

    #[inline]
    fn free(&mut self, frame: TxFrame) {
        self.transmit.free(frame);
    }

    fn abandon(&mut self, frame: TxFrame, _dst: Address) {
        // Receivers get copies, so only a copy that has not left yet holds the frame.
        self.transmit.free(frame);
    }

    #[inline]
    fn payload_mut(&mut self, frame: TxFrame) -> *mut u8 {
        self.transmit.payload_mut(frame)
    }

    #[inline]
    fn cost_ns(&self, _now_ns: u64, rail: RailId, len_bytes: usize) -> Option<u64> {
        if !self.transmit.has_control_frame() {
            return None;
        }
        self.rails.cost_ns(&self.node, rail, len_bytes)
    }

    #[inline]
    fn submit(
        &mut self,
        _now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        frame: TxFrame,
        payload_len: usize,
    ) -> Result<(), SubmitError> {
        debug_assert!(payload_len <= PAYLOAD_MAX);
        self.transmit.send(&mut self.rails, rail, dst.node, header, frame, payload_len)
    }

    #[inline]
    fn submit_control(
        &mut self,
        _now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        payload: &[u8],
    ) -> Result<(), SubmitError> {
        debug_assert!(payload.len() <= CONTROL_MAX);
        if !self.transmit.has_control_frame() {
            self.collect();
        }
        self.transmit.send_control(&mut self.rails, rail, dst.node, header, payload)
    }

    #[inline]
    fn doorbell(&mut self) {
        if self.transmit.publish() {
            // Who speaks expects an answer.
            self.patience = PATIENCE;
            self.kick_transmit();
        }
    }

    #[inline]
    fn reap(&mut self, _now_ns: u64) -> Option<Reaped> {
        if let Some(reaped) = self.take() {
            return Some(reaped);
        }
        self.collect();
        if self.poll_hardware() { self.take() } else { None }
    }

    #[inline]
    fn payload(&self, frame: RxFrame) -> *const u8 {
        self.receive.payload(frame)
    }

    #[inline]
    fn copy_control(&self, frame: RxFrame, len_bytes: usize, out: &mut [u8; 64]) -> usize {
        let len_bytes = len_bytes.min(out.len()).min(frame.payload_len());
        let mut words = [0; 8];
        let words = &mut words[..len_bytes.div_ceil(8)];
        self.receive.copy_words(frame, words);
        for (chunk, word) in out.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *chunk = word.to_ne_bytes();
        }
        len_bytes
    }

    #[inline]
    fn release(&mut self, frame: RxFrame) {
        self.receive.release(frame);
    }

    fn event_fd(&self) -> RawFd {
        self.sleep.epoll.as_raw_fd()
    }

    fn arm(&mut self, deadline_ns: Option<u64>) -> ArmResult {
        self.disarm();
        self.collect();
        let now_ns = self.now_ns();
        let is_late = deadline_ns.is_some_and(|deadline| deadline <= now_ns);
        let has_changed = self.node.generation() != self.rails.generation();
        if is_late || has_changed || !self.events.is_empty() || !self.receive.is_empty() {
            return ArmResult::Busy;
        }
        let completions = if self.transmit.is_short(&self.rails) { USB4_DMA_KICK_ARM_TX } else { 0 };
        if self.kick(USB4_DMA_KICK_ARM | completions).result & USB4_DMA_KICKED_ARMED == 0 {
            return ArmResult::Busy;
        }
        self.sleep.is_armed = true;
        if let Some(deadline) = deadline_ns {
            self.sleep.timer.set(Some(deadline - now_ns));
        }
        ArmResult::Armed
    }

    #[inline]
    fn disarm(&mut self) {
        // The kernel disarms itself when it wakes somebody.
        if std::mem::take(&mut self.sleep.is_armed) {
            self.patience = PATIENCE;
            self.sleep.timer.set(None);
        }
    }

    fn is_armed(&self) -> bool {
        self.sleep.is_armed
    }

    fn alert(&mut self) {
        if self.sleep.is_armed {
            self.sleep.timer.set(Some(0));
        }
    }

    #[inline]
    fn poll_event(&mut self, _now_ns: u64) -> Option<LinkEvent> {
        if self.node.generation() != self.rails.generation() {
            self.look_at_rails();
        }
        self.collect();
        self.events.pop_front()
    }

    fn counters(&self) -> Counters {
        let counted = self.counters.get();
        let rails = counted.rails.iter().enumerate().filter_map(|(rail, counters)| {
            let id = RailId::new(rail as u8)?;
            let is_listed = id == RailId::LOOPBACK || self.rails.infos().iter().any(|info| info.id == id);
            (is_listed || counters.tx_frames + counters.rx_frames > 0).then(|| (id, to_public(counters)))
        });
        let mut rails: Vec<_> = rails.collect();
        if let Some((_, loopback)) = rails.last_mut() {
            // The kernel writes none; they belong to no rail.
            loopback.malformed = self.receive.malformed;
        }
        Counters { rails, wakeups_sent: 0, sleeps: counted.arms }
    }

    fn board(&self) -> Board {
        self.board.board.clone()
    }
}

fn to_public(counters: &usb4_dma_rail_counters) -> RailCounters {
    RailCounters {
        tx_frames: counters.tx_frames,
        tx_bytes: counters.tx_bytes,
        rx_frames: counters.rx_frames,
        rx_bytes: counters.rx_bytes,
        no_buffer: counters.rx_no_buffer,
        unplugged: counters.tx_down,
        ..RailCounters::default()
    }
}
