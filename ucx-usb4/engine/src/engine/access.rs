//! Remote memory access: what the owner asks for, and how it answers its peers.

use usb4_wire::extension::{GetRequest, OpErrorReason};

use super::{Engine, transmit_frame};
use crate::remote::{Offer, Request};
use crate::{Atomic, ConnId, Failure, Fill, Rails, Refused, Transfer, Transmit};

impl<T: Copy, R: Copy> Engine<T, R> {
    /// Queues a put; [`Event::Completed`] tells its end, when the target has the bytes.
    ///
    /// # Errors
    /// [`Refused::Ops`] when too many operations wait, [`Refused::Failed`].
    pub fn put(&mut self, conn: ConnId, transfer: Transfer) -> Result<(), Refused> {
        self.ask(conn, Request::Put(transfer))
    }

    /// Queues a get; [`Event::Completed`] tells its end, after the last [`Content::GetData`](crate::Content::GetData) was delivered: place the
    /// bytes before looking at events.
    ///
    /// # Errors
    /// As [`Engine::put`].
    pub fn get(&mut self, conn: ConnId, transfer: Transfer) -> Result<(), Refused> {
        self.ask(conn, Request::Get(transfer))
    }

    /// Queues an atomic operation; [`Event::Completed`] tells its end.
    ///
    /// # Errors
    /// As [`Engine::put`].
    pub fn atomic(&mut self, conn: ConnId, atomic: Atomic) -> Result<(), Refused> {
        self.ask(conn, Request::Atomic(atomic))
    }

    fn ask(&mut self, conn: ConnId, request: Request) -> Result<(), Refused> {
        let Some((conn, cx)) = self.parts(conn) else { return Err(Refused::Failed(Failure::Closed)) };
        conn.ask(cx, request)
    }

    /// The next frame that the driver shall fill for an operation or an answer. Connections take turns, frame by frame.
    #[inline]
    pub fn poll_fill(&mut self, now_ns: u64, rails: &impl Rails) -> Option<Fill> {
        self.settle();
        for _ in 0..self.shared.fillable.len() {
            let &slot = self.shared.fillable.front()?;
            let Some(conn) = self.slots[usize::from(slot)].conn.as_mut() else {
                self.shared.fillable.pop_front();
                continue;
            };
            match conn.next_fill(&mut self.shared, rails) {
                Offer::Fill(fill) => return Some(fill),
                Offer::Blocked => {
                    conn.retry_rails(&mut self.shared, now_ns);
                    self.shared.fillable.rotate_left(1);
                }
                Offer::Nothing => {
                    self.shared.fillable.pop_front();
                    conn.operations.iter_mut().for_each(|operations| operations.listed = false);
                }
            }
        }
        None
    }

    /// Sends a frame that was filled as `fill` said.
    ///
    /// # Errors
    /// Gives the frame back when something else was sent on the connection since, or it has ended: ask for a new [`Fill`].
    pub fn commit_fill(&mut self, now_ns: u64, fill: &Fill, frame: T, rails: &impl Rails) -> Result<Transmit<T>, T> {
        let Some((conn, cx)) = self.parts(fill.conn) else { return Err(frame) };
        let Some((rail, header)) = conn.commit_fill(cx, now_ns, fill, frame, rails) else { return Err(frame) };
        // The next connection's turn.
        if cx.fillable.front() == Some(&conn.slot()) {
            cx.fillable.rotate_left(1);
        }
        Ok(transmit_frame(conn, rail, &header, frame))
    }

    /// The region that an answer would read is gone: the requester is told instead.
    pub fn reject_fill(&mut self, fill: &Fill, reason: OpErrorReason) {
        if let Some((conn, cx)) = self.parts(fill.conn) {
            conn.reject_fill(cx, fill, reason);
        }
    }

    /// Answers a peer's get with the bytes at `local_addr`, which must be readable until the connection no longer asks for them.
    pub fn respond_get(&mut self, conn: ConnId, request: &GetRequest, local_addr: u64) {
        if let Some((conn, cx)) = self.parts(conn) {
            conn.respond_get(cx, request, local_addr);
        }
    }

    /// Answers a peer's fetching atomic with the old value.
    pub fn respond_atomic(&mut self, conn: ConnId, op: u32, old: u64) {
        if let Some((conn, cx)) = self.parts(conn) {
            conn.respond_atomic(cx, op, old);
        }
    }

    /// Refuses a peer's operation. To be called when its [`Delivery`] is handled, before anything is polled from the engine or sent: the
    /// acknowledgement must not overtake the refusal.
    pub fn reject(&mut self, conn: ConnId, op: u32, reason: OpErrorReason) {
        if let Some((conn, cx)) = self.parts(conn) {
            conn.reject(cx, op, reason);
        }
    }
}
