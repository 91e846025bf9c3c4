//! The one trait for both carriers.

use std::os::fd::RawFd;

use crate::{
    Address, ArmResult, Board, Counters, FabricId, HEADER_LEN, LinkEvent, NodeId, RailId, RailInfo, RailSet, Reaped,
    RxFrame, SubmitError, TxFrame,
};

/// Bounds that the carrier sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Frames of the transmit pool.
    pub transmit_frames: usize,
    /// Frames that one peer can have under way to this channel over one rail, control frames included,
    /// before the receiver has no posted buffer. A connection's window must stay below it.
    pub receive_frames: usize,
    /// Frames that this channel can receive and hold at once, from all peers and rails together.
    pub receive_pool_frames: usize,
    /// Peers times rails that a channel can send to.
    pub transmit_rings: usize,
}

/// One process's opening of the node's links: frames out, frames in, sleep until something happens.
///
/// Nothing here is sequenced or acknowledged; a frame that was submitted arrives once, arrives twice or
/// not at all. Frames over one rail to one channel keep their order.
pub trait Carrier {
    /// Where others reach this channel.
    fn address(&self) -> Address;

    /// Random per opening: a restarted process has another one at the same address.
    fn incarnation(&self) -> u64;

    /// Only channels of the same fabric can reach each other.
    fn fabric(&self) -> FabricId;

    /// The node's rails, without loopback.
    fn rails(&self) -> &[RailInfo];

    /// The rails to a node, whether up or down: loopback for the own node, none for one that no cable joins.
    fn rails_to(&self, node: NodeId) -> RailSet;

    /// The bounds that this carrier sets.
    fn limits(&self) -> Limits;

    /// Nanoseconds of the fabric's clock, never decreasing on a thread; about 10 ns where the TSC is invariant.
    fn now_ns(&self) -> u64;

    /// Takes a frame from the transmit pool; `None` when all are in use.
    fn alloc(&mut self) -> Option<TxFrame>;

    /// Gives back a frame that no receiver reads any more: its content was acknowledged, or it was never submitted.
    fn free(&mut self, frame: TxFrame);

    /// Gives back a frame whose connection to `dst` failed. The peer may hold descriptors that point to it,
    /// so it rests until the peer has passed them or is gone.
    fn abandon(&mut self, frame: TxFrame, dst: Address);

    /// Where the frame's payload is to be written: `PAYLOAD_MAX` bytes, 8-byte aligned, valid while the channel
    /// is open. A pointer because receivers read it at any time after `submit`.
    fn payload_mut(&mut self, frame: TxFrame) -> *mut u8;

    /// Nanoseconds from `now_ns` until a frame with `len_bytes` of payload would be delivered, as far as is known.
    /// `None`: the rail is down or its transmit ring is full.
    fn cost_ns(&self, now_ns: u64, rail: RailId, len_bytes: usize) -> Option<u64>;

    /// Sends a frame. Its first `payload_len` bytes must stay as they are until the receiver has acknowledged them.
    ///
    /// # Errors
    /// The frame was not taken: see [`SubmitError`].
    ///
    /// # Panics
    /// In debug builds, if `payload_len` exceeds `PAYLOAD_MAX`; in release builds it is cut.
    fn submit(
        &mut self,
        now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        frame: TxFrame,
        payload_len: usize,
    ) -> Result<(), SubmitError>;

    /// Sends a frame of at most [`CONTROL_MAX`](crate::CONTROL_MAX) bytes of payload, which is copied.
    ///
    /// # Errors
    /// The frame was not taken: see [`SubmitError`].
    fn submit_control(
        &mut self,
        now_ns: u64,
        rail: RailId,
        dst: Address,
        header: &[u8; HEADER_LEN],
        payload: &[u8],
    ) -> Result<(), SubmitError>;

    /// Lets what was submitted leave. The carrier may keep submitted frames until then: on the kernel's rings this is
    /// the system call that tells of them, so one call serves as many frames as are ready together.
    fn doorbell(&mut self);

    /// Takes the next frame that has arrived by `now_ns`; its payload is not touched.
    fn reap(&mut self, now_ns: u64) -> Option<Reaped>;

    /// Where the payload lies: [`RxFrame::payload_len`] bytes, valid until it is released. A pointer because the
    /// sender can still write there; copy, then check the copy.
    fn payload(&self, frame: RxFrame) -> *const u8;

    /// Private copy of the first `len_bytes` (at most 64, and at most what is there) of the payload; returns how
    /// many were copied. The rest of `out` is undefined.
    fn copy_control(&self, frame: RxFrame, len_bytes: usize, out: &mut [u8; 64]) -> usize;

    /// Gives a received frame back, in any order.
    fn release(&mut self, frame: RxFrame);

    /// Becomes readable when an armed channel should be polled again. One descriptor for the channel's life.
    fn event_fd(&self) -> RawFd;

    /// Prepares to sleep until something arrives or `deadline_ns`. `Busy`: poll now, do not sleep. Disarms first.
    fn arm(&mut self, deadline_ns: Option<u64>) -> ArmResult;

    /// Ends sleeping and makes the event descriptor unreadable; cheap when not armed. To be called when awake: until
    /// then the next sender believes that it must wake this channel, which costs it a system call.
    fn disarm(&mut self);

    /// Whether [`arm`](Self::arm) was called and [`disarm`](Self::disarm) was not: somebody sleeps, or has been woken and has not said so.
    fn is_armed(&self) -> bool;

    /// Makes the event descriptor of an armed channel readable: whoever sleeps on it shall look.
    fn alert(&mut self);

    /// The next change of rails or peers. Cheap enough for every round of progress.
    fn poll_event(&mut self, now_ns: u64) -> Option<LinkEvent>;

    /// What this channel has counted since it was opened.
    fn counters(&self) -> Counters;

    /// Where observers find what the engine knows of the channel's connections. The channel's owner writes it.
    fn board(&self) -> Board;
}
