//! Sending: frames are reserved, filled by the owner, and handed to the engine, which says on which rail they leave.

use usb4_engine::{Body, ConnId, Message, Refused, Released, Transmit};
use usb4_link::{Carrier, SubmitError, TxFrame};
use usb4_wire::{Flags, PAYLOAD_MAX};

use crate::rma::OPERATIONS_MAX;
use crate::{Filler, Port, rails};

/// Operations that one call of the owner may start.
const OPERATIONS_MARGIN: usize = 16;

/// Where a frame stands in its message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// It begins the message.
    pub first: bool,
    /// It ends the message.
    pub last: bool,
}

impl Part {
    /// The message has one frame.
    pub const WHOLE: Self = Self { first: true, last: true };
}

impl Port {
    /// Frames that a message of `length` bytes takes.
    #[must_use]
    pub const fn frames_for(length: usize) -> usize {
        if length <= PAYLOAD_MAX { 1 } else { length.div_ceil(PAYLOAD_MAX) }
    }

    /// Takes the first of `frames` transmit frames for a message, or says why the message cannot leave now.
    ///
    /// # Errors
    /// The engine's reason, or [`Refused::Window`] when the channel's own frames are all in flight.
    #[inline]
    pub fn reserve(&mut self, conn: ConnId, frames: usize) -> Result<TxFrame, Refused> {
        self.look_at_clock();
        if let Err(refused) = self.engine.admit(conn, frames, rails!(self)) {
            // The failure that this found out is told by the next round of progress.
            self.active |= self.engine.has_events();
            return Err(refused);
        }
        for _ in 1..frames {
            let Some(frame) = self.channel.alloc() else { return Err(self.give_back()) };
            self.reserved.push(frame);
        }
        match self.channel.alloc() {
            Some(frame) => Ok(frame),
            None => Err(self.give_back()),
        }
    }

    /// The next frame of the message that [`reserve`](Self::reserve) made room for.
    ///
    /// # Panics
    /// If more are taken than were reserved.
    pub fn next_frame(&mut self) -> TxFrame {
        self.reserved.pop().expect("no more frames than reserved")
    }

    /// Gives back what [`reserve`](Self::reserve) took, unused.
    pub fn cancel(&mut self, frame: TxFrame) {
        self.channel.free(frame);
        self.give_back();
    }

    #[cold]
    fn give_back(&mut self) -> Refused {
        while let Some(frame) = self.reserved.pop() {
            self.channel.free(frame);
        }
        Refused::Window
    }

    /// A writer for the payload of a reserved frame.
    #[inline]
    pub fn fill(&mut self, frame: TxFrame) -> Filler {
        let start = self.channel.payload_mut(frame);
        // SAFETY: a frame's payload has PAYLOAD_MAX writable bytes, and a frame that was reserved and not sent has no reader.
        unsafe { Filler::new(start) }
    }

    /// Sends a reserved frame as a part of an active message. Its first `length` payload bytes are filled.
    ///
    /// # Panics
    /// If `length` exceeds what a frame holds.
    #[inline]
    pub fn send_am(&mut self, conn: ConnId, frame: TxFrame, id: u8, part: Part, length: usize) {
        let mut flags = Flags::empty();
        flags.set(Flags::FIRST, part.first);
        flags.set(Flags::LAST, part.last);
        let message = Message::am(u16::from(id), flags, length).expect("a frame's payload");
        if let Some(transmit) = self.engine.commit(self.now_ns, conn, message, frame, rails!(self)) {
            self.submit(&transmit);
        }
        // The frames of one message leave together.
        if part.last {
            self.channel.doorbell();
        }
    }

    /// Whether a message of `frames` frames and the largest set of operations would be taken now, or would fail for good: in both cases
    /// it should be tried. Whoever is told to try again must not be refused at once.
    pub fn can_send(&mut self, conn: ConnId, frames: usize) -> bool {
        self.look_at_clock();
        match self.reserve(conn, frames) {
            Ok(frame) => {
                self.cancel(frame);
                self.engine.outstanding_ops(conn) + OPERATIONS_MARGIN <= OPERATIONS_MAX
            }
            Err(Refused::Failed(_)) => true,
            Err(_) => false,
        }
    }

    /// Puts on the rails what the engine wants sent by itself: acknowledgements, retransmissions, handshakes.
    pub(super) fn transmit(&mut self) {
        while let Some(transmit) = self.engine.poll_transmit(self.now_ns, rails!(self)) {
            self.submit(&transmit);
        }
        self.channel.doorbell();
    }

    /// Hands a frame to the channel. It leaves with the next doorbell, which the caller rings when it has handed over all it has.
    #[inline]
    pub(super) fn submit(&mut self, transmit: &Transmit<TxFrame>) {
        let Transmit { rail, dst, header, .. } = *transmit;
        let submitted = match &transmit.body {
            Body::Frame { frame, payload_len } => {
                self.channel.submit(self.now_ns, rail, dst, &header, *frame, *payload_len)
            }
            Body::Control { payload, len } => {
                self.channel.submit_control(self.now_ns, rail, dst, &header, &payload[..*len])
            }
        };
        match submitted {
            Ok(()) if self.recorder.is_some() => self.record_sent(transmit),
            Ok(()) => {}
            Err(SubmitError::PeerGone) => self.engine.handle_peer_gone(self.now_ns, dst),
            // It goes out again later; a rail that is down comes as an event, too.
            Err(_) => self.engine.handle_unsent(self.now_ns, transmit),
        }
    }

    /// Returns the frames that the engine has finished with.
    pub(super) fn recycle(&mut self) {
        while let Some((frame, released)) = self.engine.poll_release() {
            match released {
                Released::Acked => self.channel.free(frame),
                Released::Abandoned(peer) => self.channel.abandon(frame, peer),
            }
        }
    }
}
