//! Remote memory: own puts, gets and atomics, and those that peers ask of this process.
//!
//! The engine cuts operations into frames and says what belongs where; the bytes are copied here. Whoever touches a registered
//! region on behalf of a peer holds the table of regions for reading meanwhile, so that a deregistration waits for it.

use std::sync::{Arc, PoisonError, RwLock};

use usb4_engine::{Access, Atomic, ConnId, Content, Delivery, Fill, Message, Refused, RegionTable, Transfer};
use usb4_link::{Carrier, RxFrame, TxFrame};
use usb4_wire::extension::{AtomicRequest, GetRequest, OpErrorReason, Put};

use crate::{Filler, Port, atomics, rails};

/// The registered memory of one memory domain, shared by its ports.
pub type Regions = Arc<RwLock<RegionTable>>;

/// Most operations of one connection that are not complete; a further one has to wait.
pub(super) const OPERATIONS_MAX: usize = 1024;
/// Frames that one call fills at most, so that arrivals have their turn.
const FILLS_PER_CALL: usize = 64;

const READ: Access = Access { read: true, write: false, atomic: false };
const WRITE: Access = Access { read: false, write: true, atomic: false };
const ATOMIC: Access = Access { read: false, write: false, atomic: true };

/// A place in a peer's memory.
#[derive(Clone, Copy, Debug)]
pub struct RemotePlace {
    /// Its address in the peer.
    pub remote_addr: u64,
    /// The key of the peer's region.
    pub key: u64,
}

/// Own operations.
impl Port {
    /// Whether `count` more operations may be started on the connection.
    ///
    /// # Errors
    /// Too many are under way, or the connection is over.
    pub fn admit_operations(&mut self, conn: ConnId, count: usize) -> Result<(), Refused> {
        self.look_at_clock();
        if let Some(failure) = self.engine.failure(conn) {
            return Err(Refused::Failed(failure));
        }
        if self.engine.outstanding_ops(conn) + count > OPERATIONS_MAX { Err(Refused::Ops) } else { Ok(()) }
    }

    /// Queues a put that [`admit_operations`](Self::admit_operations) made room for.
    ///
    /// # Safety
    /// The local bytes are readable and stay as they are until the operation's event.
    pub unsafe fn start_put(&mut self, conn: ConnId, transfer: Transfer) -> Result<(), Refused> {
        self.order_put(conn);
        self.engine.put(conn, transfer)
    }

    /// Queues a get that [`admit_operations`](Self::admit_operations) made room for.
    ///
    /// # Safety
    /// The local bytes are writable, and nobody uses them, until the operation's event.
    pub unsafe fn start_get(&mut self, conn: ConnId, transfer: Transfer) -> Result<(), Refused> {
        self.note_reader(conn);
        self.engine.get(conn, transfer)
    }

    /// Queues an atomic operation that [`admit_operations`](Self::admit_operations) made room for.
    ///
    /// # Errors
    /// The connection is over.
    pub fn start_atomic(&mut self, conn: ConnId, atomic: Atomic) -> Result<(), Refused> {
        self.note_reader(conn);
        self.engine.atomic(conn, atomic)
    }

    /// What is sent or started after this on the connection takes effect after what was before.
    pub fn fence(&mut self, conn: ConnId) {
        self.engine.fence(conn);
    }

    /// A put is placed as soon as it arrives, whatever it overtook. A get or an atomic before it must still find the old bytes, as
    /// on hardware that serves its requests in order (Open MPI's osc/ucx replaces what it has just asked for).
    fn order_put(&mut self, conn: ConnId) {
        if let Some(unfenced) = self.unfenced.get_mut(usize::from(conn.slot()))
            && std::mem::take(unfenced)
        {
            self.engine.fence(conn);
        }
    }

    fn note_reader(&mut self, conn: ConnId) {
        let slot = usize::from(conn.slot());
        if self.unfenced.len() <= slot {
            self.unfenced.resize(slot + 1, false);
        }
        self.unfenced[slot] = true;
    }

    /// [`reserve`](Self::reserve) for a put of one frame.
    ///
    /// # Errors
    /// As there; also while what must come first is under way.
    pub fn reserve_put(&mut self, conn: ConnId) -> Result<TxFrame, Refused> {
        self.order_put(conn);
        self.reserve(conn, 1)
    }

    /// A writer for a reserved frame that shall be a put to `place`.
    pub fn fill_put(&mut self, frame: TxFrame, place: RemotePlace) -> Filler {
        let mut filler = self.fill(frame);
        let extension = Put { key: place.key, remote_addr: place.remote_addr, op: 0 }.emit();
        filler.put_bytes(&extension);
        filler
    }

    /// Sends a reserved frame as a put of `length` bytes behind what [`fill_put`](Self::fill_put) wrote.
    ///
    /// # Panics
    /// If they are more than a frame holds.
    pub fn send_put(&mut self, conn: ConnId, frame: TxFrame, length: usize) {
        self.send_rma(conn, Message::put(Put::LEN + length).expect("a frame's payload"), frame);
    }

    /// Sends an atomic operation whose end nobody waits for.
    ///
    /// # Errors
    /// It cannot leave now.
    pub fn post_atomic(&mut self, conn: ConnId, atomic: &Atomic) -> Result<(), Refused> {
        let frame = self.reserve(conn, 1)?;
        self.note_reader(conn);
        let Atomic { remote_addr, key, code, width, operand, compare, .. } = *atomic;
        let request = AtomicRequest { key, remote_addr, operand, compare, op: 0, code, width };
        self.fill(frame).put_bytes(&request.emit());
        self.send_rma(conn, Message::atomic(), frame);
        Ok(())
    }

    /// Sends a frame that only a flush waits for.
    fn send_rma(&mut self, conn: ConnId, message: Message, frame: TxFrame) {
        if let Some(transmit) = self.engine.commit(self.now_ns, conn, message, frame, rails!(self)) {
            self.submit(&transmit);
            self.channel.doorbell();
        }
        let slot = usize::from(conn.slot());
        if self.rma_marks.len() <= slot {
            self.rma_marks.resize(slot + 1, None);
        }
        self.rma_marks[slot] = Some((conn, self.engine.sent_mark(conn)));
    }

    /// Sends frames of operations and answers, as far as windows, rails and the pool have room.
    pub fn push_operations(&mut self) {
        let mut offered = self.engine.poll_fill(self.now_ns, rails!(self));
        if offered.is_some() {
            // Once for all frames: to take it costs as much as a tenth of a frame.
            let regions = Arc::clone(&self.regions);
            let regions = regions.read().unwrap_or_else(PoisonError::into_inner);
            for _ in 0..FILLS_PER_CALL {
                let Some(fill) = offered else { break };
                // What is not filled now is offered again.
                let Some(frame) = self.channel.alloc() else { break };
                if self.copy_out(&regions, &fill, frame) {
                    match self.engine.commit_fill(self.now_ns, &fill, frame, rails!(self)) {
                        Ok(transmit) => self.submit(&transmit),
                        Err(frame) => self.channel.free(frame),
                    }
                } else {
                    self.channel.free(frame);
                    self.engine.reject_fill(&fill, OpErrorReason::BadKey);
                }
                offered = self.engine.poll_fill(self.now_ns, rails!(self));
            }
        }
        self.channel.doorbell();
    }

    /// Writes a frame as the engine asks. False: the region that the bytes come from is gone.
    fn copy_out(&mut self, regions: &RegionTable, fill: &Fill, frame: TxFrame) -> bool {
        let mut filler = self.fill(frame);
        filler.put_bytes(fill.extension());
        if let Some(key) = fill.region
            && regions.check(key, fill.local_addr, fill.len as u64, READ).is_err()
        {
            return false;
        }
        let source = std::ptr::with_exposed_provenance(fill.local_addr as usize);
        // SAFETY: for an own put the bytes are readable until its event, which was promised when it was started. For an answer
        // they lie in a registered region, which stays mapped while the table is held for reading.
        unsafe { filler.put(source, fill.len) };
        true
    }
}

/// What peers ask for, and what they answer.
impl Port {
    /// Does what a delivery of remote memory access says.
    pub(super) fn serve(&mut self, delivery: Delivery<RxFrame>) {
        let Delivery { conn, data_offset, data_len, frame, .. } = delivery;
        let data = self.channel.payload(frame).wrapping_add(data_offset);
        match delivery.content {
            Content::Am { .. } => unreachable!("messages are for the owner"),
            Content::Put(put) => {
                if let Err(reason) = self.place_put(&put, data, data_len) {
                    self.engine.reject(conn, put.op, reason);
                }
            }
            Content::GetData { local_addr } => {
                // SAFETY: the range lies within a get that is under way, whose bytes are writable until its event.
                unsafe { copy_in(local_addr, data, data_len) };
            }
            Content::GetRequest(request) => {
                if let Err(reason) = self.check_get(&request) {
                    self.engine.reject(conn, request.op, reason);
                } else {
                    self.engine.respond_get(conn, &request, request.remote_addr);
                }
            }
            Content::Atomic { request, fetch } => match self.apply(&request) {
                Ok(old) if fetch => self.engine.respond_atomic(conn, request.op, old),
                Ok(_) => {}
                Err(reason) => self.engine.reject(conn, request.op, reason),
            },
        }
        self.channel.release(frame);
    }

    fn place_put(&self, put: &Put, data: *const u8, len: usize) -> Result<(), OpErrorReason> {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        regions.check(put.key, put.remote_addr, len as u64, WRITE)?;
        // SAFETY: the range lies in a region that is registered for writing, and stays so while the table is held for reading.
        unsafe { copy_in(put.remote_addr, data, len) };
        Ok(())
    }

    fn check_get(&self, request: &GetRequest) -> Result<(), OpErrorReason> {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        regions.check(request.key, request.remote_addr, request.len, READ)
    }

    fn apply(&self, request: &AtomicRequest) -> Result<u64, OpErrorReason> {
        let regions = self.regions.read().unwrap_or_else(PoisonError::into_inner);
        let width = request.width.bytes();
        regions.check(request.key, request.remote_addr, width, ATOMIC)?;
        if !request.remote_addr.is_multiple_of(width) {
            return Err(OpErrorReason::Misaligned);
        }
        // SAFETY: aligned, and in a region that is registered for atomics and stays so while the table is held for reading.
        Ok(unsafe { atomics::apply(request) })
    }
}

/// Copies received bytes to an address of this process.
///
/// # Safety
/// `data` has `len` readable bytes of a received frame, and `len` bytes from `local_addr` on are writable memory that was
/// registered or given to a get.
unsafe fn copy_in(local_addr: u64, data: *const u8, len: usize) {
    let target = std::ptr::with_exposed_provenance_mut::<u8>(local_addr as usize);
    // SAFETY: promised by the caller; received frames do not overlap with memory of the user.
    unsafe { std::ptr::copy_nonoverlapping(data, target, len) };
}
