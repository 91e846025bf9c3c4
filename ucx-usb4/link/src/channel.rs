//! The channel that the driver holds: one of the carriers, chosen when it is opened.

use std::os::fd::RawFd;
use std::path::PathBuf;

use crate::kernel::{KernelChannel, ReceiveMode};
use crate::severed::SeveredChannel;
use crate::sim::SimChannel;
use crate::{
    Address, ArmResult, Board, Carrier, Counters, FabricId, HEADER_LEN, Limits, LinkEvent, LinkSpec, NodeId, OpenError,
    RailId, RailInfo, RailSet, Reaped, RxFrame, SubmitError, TxFrame,
};

/// How to open a channel.
#[derive(Clone, Debug)]
pub struct OpenOptions {
    /// Which carrier.
    pub links: LinkSpec,
    /// Frames of 4 KiB in the transmit pool.
    pub transmit_frames: usize,
    /// Frames of 4 KiB in the receive pool of a channel of the kernel's. A simulated cable has none.
    pub receive_frames: usize,
    /// How a channel of the kernel's learns of frames.
    pub receive_mode: ReceiveMode,
    /// The simulated node to be on; `None`: what the environment says (see [`sim::Placement`](crate::sim::Placement)).
    pub node: Option<NodeId>,
    /// The folder (of a file system in memory) for simulated fabrics; `None`: `/dev/shm`.
    pub shm: Option<PathBuf>,
}

impl OpenOptions {
    /// The defaults for a carrier: together its frames stay below the 8 MiB that a process may lock where nobody changed the limit.
    #[must_use]
    pub fn new(links: LinkSpec) -> OpenOptions {
        OpenOptions {
            links,
            transmit_frames: 1024,
            receive_frames: 960,
            receive_mode: ReceiveMode::default(),
            node: None,
            shm: None,
        }
    }

    /// Opens the channel.
    ///
    /// # Errors
    /// Each says what happened and what to do: see [`OpenError`].
    pub fn open(&self) -> Result<Channel, OpenError> {
        match &self.links {
            LinkSpec::Auto | LinkSpec::Kernel if !self.links.is_present() => Err(OpenError::NoDevice),
            LinkSpec::Auto | LinkSpec::Kernel => Ok(KernelChannel::open(self).map(Channel::Kernel)?),
            LinkSpec::SimProfile(_) | LinkSpec::SimFile(_) => SimChannel::open(self).map(Channel::Sim),
        }
    }
}

/// An open channel. The driver calls it for every frame, so the carriers stand side by side in an enum and
/// the compiler sees through each call. Which one it is stands in a byte of its own, so that a look at it is one comparison.
#[derive(Debug)]
#[repr(u8)]
#[non_exhaustive]
#[allow(clippy::large_enum_variant, reason = "there is one for each interface, and a box would cost each frame a load")]
pub enum Channel {
    /// A simulated cable.
    Sim(SimChannel),
    /// The kernel's rings.
    Kernel(KernelChannel),
    /// None any more.
    Severed(SeveredChannel),
}

impl Channel {
    /// What stands for this channel in a forked child, which must leave the channel itself alone.
    #[must_use]
    pub fn severed(&self) -> Channel {
        Channel::Severed(SeveredChannel::new(self))
    }
}

impl Carrier for Channel {
    #[inline]
    fn address(&self) -> Address {
        match self {
            Channel::Sim(channel) => channel.address(),
            Channel::Kernel(channel) => channel.address(),
            Channel::Severed(channel) => channel.address(),
        }
    }

    #[inline]
    fn incarnation(&self) -> u64 {
        match self {
            Channel::Sim(channel) => channel.incarnation(),
            Channel::Kernel(channel) => channel.incarnation(),
            Channel::Severed(channel) => channel.incarnation(),
        }
    }

    #[inline]
    fn fabric(&self) -> FabricId {
        match self {
            Channel::Sim(channel) => channel.fabric(),
            Channel::Kernel(channel) => channel.fabric(),
            Channel::Severed(channel) => channel.fabric(),
        }
    }

    #[inline]
    fn rails(&self) -> &[RailInfo] {
        match self {
            Channel::Sim(channel) => channel.rails(),
            Channel::Kernel(channel) => channel.rails(),
            Channel::Severed(channel) => channel.rails(),
        }
    }

    #[inline]
    fn rails_to(&self, node: NodeId) -> RailSet {
        match self {
            Channel::Sim(channel) => channel.rails_to(node),
            Channel::Kernel(channel) => channel.rails_to(node),
            Channel::Severed(channel) => channel.rails_to(node),
        }
    }

    #[inline]
    fn limits(&self) -> Limits {
        match self {
            Channel::Sim(channel) => channel.limits(),
            Channel::Kernel(channel) => channel.limits(),
            Channel::Severed(channel) => channel.limits(),
        }
    }

    #[inline]
    fn now_ns(&self) -> u64 {
        match self {
            Channel::Sim(channel) => channel.now_ns(),
            Channel::Kernel(channel) => channel.now_ns(),
            Channel::Severed(channel) => channel.now_ns(),
        }
    }

    #[inline]
    fn alloc(&mut self) -> Option<TxFrame> {
        match self {
            Channel::Sim(channel) => channel.alloc(),
            Channel::Kernel(channel) => channel.alloc(),
            Channel::Severed(channel) => channel.alloc(),
        }
    }

    #[inline]
    fn free(&mut self, frame: TxFrame) {
        match self {
            Channel::Sim(channel) => channel.free(frame),
            Channel::Kernel(channel) => channel.free(frame),
            Channel::Severed(channel) => channel.free(frame),
        }
    }

    #[inline]
    fn abandon(&mut self, frame: TxFrame, dst: Address) {
        match self {
            Channel::Sim(channel) => channel.abandon(frame, dst),
            Channel::Kernel(channel) => channel.abandon(frame, dst),
            Channel::Severed(channel) => channel.abandon(frame, dst),
        }
    }

    #[inline]
    fn payload_mut(&mut self, frame: TxFrame) -> *mut u8 {
        match self {
            Channel::Sim(channel) => channel.payload_mut(frame),
            Channel::Kernel(channel) => channel.payload_mut(frame),
            Channel::Severed(channel) => channel.payload_mut(frame),
        }
    }

    #[inline]
    fn cost_ns(&self, now_ns: u64, rail: RailId, len_bytes: usize) -> Option<u64> {
        match self {
            Channel::Sim(channel) => channel.cost_ns(now_ns, rail, len_bytes),
            Channel::Kernel(channel) => channel.cost_ns(now_ns, rail, len_bytes),
            Channel::Severed(channel) => channel.cost_ns(now_ns, rail, len_bytes),
        }
    }

    #[inline]
    fn submit(
        &mut self,
        now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        frame: TxFrame,
        payload_len: usize,
    ) -> Result<(), SubmitError> {
        match self {
            Channel::Sim(channel) => channel.submit(now_ns, rail, dst, header, frame, payload_len),
            Channel::Kernel(channel) => channel.submit(now_ns, rail, dst, header, frame, payload_len),
            Channel::Severed(channel) => channel.submit(now_ns, rail, dst, header, frame, payload_len),
        }
    }

    #[inline]
    fn submit_control(
        &mut self,
        now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        payload: &[u8],
    ) -> Result<(), SubmitError> {
        match self {
            Channel::Sim(channel) => channel.submit_control(now_ns, rail, dst, header, payload),
            Channel::Kernel(channel) => channel.submit_control(now_ns, rail, dst, header, payload),
            Channel::Severed(channel) => channel.submit_control(now_ns, rail, dst, header, payload),
        }
    }

    #[inline]
    fn doorbell(&mut self) {
        match self {
            Channel::Sim(channel) => channel.doorbell(),
            Channel::Kernel(channel) => channel.doorbell(),
            Channel::Severed(channel) => channel.doorbell(),
        }
    }

    #[inline]
    fn reap(&mut self, now_ns: u64) -> Option<Reaped> {
        match self {
            Channel::Sim(channel) => channel.reap(now_ns),
            Channel::Kernel(channel) => channel.reap(now_ns),
            Channel::Severed(channel) => channel.reap(now_ns),
        }
    }

    #[inline]
    fn payload(&self, frame: RxFrame) -> *const u8 {
        match self {
            Channel::Sim(channel) => channel.payload(frame),
            Channel::Kernel(channel) => channel.payload(frame),
            Channel::Severed(channel) => channel.payload(frame),
        }
    }

    #[inline]
    fn copy_control(&self, frame: RxFrame, len_bytes: usize, out: &mut [u8; 64]) -> usize {
        match self {
            Channel::Sim(channel) => channel.copy_control(frame, len_bytes, out),
            Channel::Kernel(channel) => channel.copy_control(frame, len_bytes, out),
            Channel::Severed(channel) => channel.copy_control(frame, len_bytes, out),
        }
    }

    #[inline]
    fn release(&mut self, frame: RxFrame) {
        match self {
            Channel::Sim(channel) => channel.release(frame),
            Channel::Kernel(channel) => channel.release(frame),
            Channel::Severed(channel) => channel.release(frame),
        }
    }

    #[inline]
    fn event_fd(&self) -> RawFd {
        match self {
            Channel::Sim(channel) => channel.event_fd(),
            Channel::Kernel(channel) => channel.event_fd(),
            Channel::Severed(channel) => channel.event_fd(),
        }
    }

    #[inline]
    fn arm(&mut self, deadline_ns: Option<u64>) -> ArmResult {
        match self {
            Channel::Sim(channel) => channel.arm(deadline_ns),
            Channel::Kernel(channel) => channel.arm(deadline_ns),
            Channel::Severed(channel) => channel.arm(deadline_ns),
        }
    }

    #[inline]
    fn disarm(&mut self) {
        match self {
            Channel::Sim(channel) => channel.disarm(),
            Channel::Kernel(channel) => channel.disarm(),
            Channel::Severed(channel) => channel.disarm(),
        }
    }

    fn is_armed(&self) -> bool {
        match self {
            Channel::Sim(channel) => channel.is_armed(),
            Channel::Kernel(channel) => channel.is_armed(),
            Channel::Severed(channel) => channel.is_armed(),
        }
    }

    fn alert(&mut self) {
        match self {
            Channel::Sim(channel) => channel.alert(),
            Channel::Kernel(channel) => channel.alert(),
            Channel::Severed(channel) => channel.alert(),
        }
    }

    #[inline]
    fn poll_event(&mut self, now_ns: u64) -> Option<LinkEvent> {
        match self {
            Channel::Sim(channel) => channel.poll_event(now_ns),
            Channel::Kernel(channel) => channel.poll_event(now_ns),
            Channel::Severed(channel) => channel.poll_event(now_ns),
        }
    }

    #[inline]
    fn counters(&self) -> Counters {
        match self {
            Channel::Sim(channel) => channel.counters(),
            Channel::Kernel(channel) => channel.counters(),
            Channel::Severed(channel) => channel.counters(),
        }
    }

    #[inline]
    fn board(&self) -> Board {
        match self {
            Channel::Sim(channel) => channel.board(),
            Channel::Kernel(channel) => channel.board(),
            Channel::Severed(channel) => channel.board(),
        }
    }
}
