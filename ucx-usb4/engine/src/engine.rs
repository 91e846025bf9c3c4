//! The engine: all connections of one channel.

mod access;
mod flush;
mod slots;

use std::collections::{BTreeMap, VecDeque};

use rand_chacha::ChaCha12Rng;
use rand_core::SeedableRng;
use usb4_wire::{Address, Header, NodeId, RailId, RailSet};

use crate::connection::{Connection, Phase};
use crate::credits::Pool;
use crate::shared::Shared;
use crate::strangers::Strangers;
use crate::timers::{Deadlines, NEVER};
use crate::{
    Body, Config, ConnId, ConnectError, Delivery, Event, Failure, Message, Peer, Rails, Refused, Released, Stats,
    Transmit, Verdict,
};
use slots::Slot;

/// The protocol engine of one channel, generic over the driver's handles: `T` for frames that it sends, `R` for frames that it received.
///
/// The [crate documentation](crate) says in which order to call what.
pub struct Engine<T, R> {
    pub(crate) slots: Vec<Slot<T, R>>,
    pub(crate) shared: Shared<T, R>,
    /// The connection that new endpoints to a peer join.
    pub(crate) peers: BTreeMap<Peer, u16>,
    pub(crate) strangers: Strangers,
    free: VecDeque<u16>,
    last_serial: u32,
    /// What connections that are gone had counted.
    buried: Stats,
    /// When [`Engine::close`] stops waiting.
    close_deadline_ns: u64,
}

impl<T: Copy, R: Copy> Engine<T, R> {
    /// An engine without connections. Bounds of `config` that make no sense are moved to the nearest that do.
    pub fn new(config: Config) -> Self {
        let config = config.sane();
        Self {
            slots: Vec::new(),
            shared: Shared {
                rng: ChaCha12Rng::from_seed(config.seed),
                pool: Pool::new(config.rx_pool_frames),
                up: RailSet::ALL,
                events: VecDeque::new(),
                released: VecDeque::new(),
                held_released: VecDeque::new(),
                unsettled: Vec::new(),
                ready: VecDeque::new(),
                deliverable: VecDeque::new(),
                fillable: VecDeque::new(),
                ended: Vec::new(),
                confirmed: Vec::new(),
                deadlines: Deadlines::new(),
                closing: false,
                config,
            },
            peers: BTreeMap::new(),
            strangers: Strangers::new(),
            free: VecDeque::new(),
            last_serial: 0,
            buried: Stats::default(),
            close_deadline_ns: NEVER,
        }
    }

    // Connections.

    /// The connection to `peer`, which `rails` lead to: a new one, or the one there is, whoever opened it.
    ///
    /// # Errors
    /// [`ConnectError`] at the limit of connections, and once [`Engine::close`] was called.
    pub fn connect(&mut self, now_ns: u64, peer: Peer, rails: RailSet) -> Result<ConnId, ConnectError> {
        if self.shared.closing {
            return Err(ConnectError::Closing);
        }
        if let Some(&slot) = self.peers.get(&peer)
            && let Some(conn) = self.slots[usize::from(slot)].conn.as_mut()
            && conn.is_joinable()
        {
            conn.set_routes(&mut self.shared, now_ns, rails);
            return Ok(conn.id);
        }
        let id = self.create(now_ns, peer)?;
        if let Some((conn, cx)) = self.parts(id) {
            conn.set_routes(cx, now_ns, rails);
            conn.open(cx, now_ns);
        }
        self.bury();
        Ok(id)
    }

    /// Counts an endpoint that uses the connection.
    pub fn attach(&mut self, conn: ConnId) {
        if let Some((conn, _)) = self.parts(conn) {
            conn.refs += 1;
            conn.close_told = false;
        }
    }

    /// An endpoint no longer uses the connection. When neither side has any and everything is acknowledged, it is closed.
    pub fn detach(&mut self, now_ns: u64, conn: ConnId) {
        if let Some((conn, cx)) = self.parts(conn) {
            conn.refs = conn.refs.saturating_sub(1);
            if conn.refs == 0 {
                match conn.phase {
                    Phase::Over(_) => cx.ended.push(conn.slot()),
                    // Nothing was sent, so nothing is lost; what the peer may have accepted meets an unknown token.
                    Phase::Connecting if conn.is_settled() => conn.finish(cx),
                    _ => conn.close_if_unused(cx, now_ns),
                }
            }
        }
        self.bury();
    }

    // Sending.

    /// Whether `frames` frames can be sent on the connection now; at most [`Config::window_min`] can be asked for at once. A refusal is
    /// remembered: [`Event::Unblocked`] says when to try again.
    ///
    /// # Errors
    /// What is in the way.
    #[inline]
    pub fn admit(&mut self, conn: ConnId, frames: usize, rails: &impl Rails) -> Result<(), Refused> {
        let Some((conn, cx)) = self.parts(conn) else { return Err(Refused::Failed(Failure::Closed)) };
        conn.admit(cx, frames, rails)
    }

    /// Sends a frame that [`Engine::admit`] has just admitted. The engine keeps `frame`, and its bytes must stay, until
    /// [`Engine::poll_release`] gives it back. `None`: the connection is being set up, and [`Engine::poll_transmit`] yields the frame as soon as
    /// the peer has answered.
    ///
    /// # Panics
    /// When the connection does not exist, which [`Engine::admit`] would have said.
    #[inline]
    pub fn commit(
        &mut self,
        now_ns: u64,
        conn: ConnId,
        message: Message,
        frame: T,
        rails: &impl Rails,
    ) -> Option<Transmit<T>> {
        let (conn, cx) = self.parts(conn).expect("admit() said that the connection exists");
        let (rail, header) = conn.commit(cx, now_ns, message, frame, rails)?;
        Some(transmit_frame(conn, rail, &header, frame))
    }

    /// The next frame that the engine itself wants on a rail: handshakes, acknowledgements, probes, retransmissions, last words. Call it
    /// until it yields `None`. Deals with deadlines that have passed.
    #[inline]
    pub fn poll_transmit(&mut self, now_ns: u64, rails: &impl Rails) -> Option<Transmit<T>> {
        self.settle();
        if now_ns >= self.shared.deadlines.next_ns().min(self.close_deadline_ns) {
            self.handle_timeout(now_ns);
        }
        if self.shared.ready.is_empty() && self.strangers.is_empty() {
            return None;
        }
        if let Some(refusal) = self.strangers.poll_transmit(&self.shared.config, self.shared.up, rails) {
            return Some(refusal);
        }
        for _ in 0..self.shared.ready.len() {
            let slot = self.shared.ready.pop_front()?;
            let Some(conn) = self.slots[usize::from(slot)].conn.as_mut() else { continue };
            match conn.produce(&mut self.shared, now_ns, rails) {
                // To the end of the queue, so that all connections take turns.
                crate::emit::Produced::Frame(transmit) => {
                    self.shared.ready.push_back(slot);
                    self.bury();
                    return Some(transmit);
                }
                crate::emit::Produced::Blocked => self.shared.ready.push_back(slot),
                crate::emit::Produced::Nothing => conn.queued = false,
            }
        }
        self.bury();
        None
    }

    /// The rail refused a frame that the engine handed out: it goes out again later. The engine still owns the frame.
    pub fn handle_unsent(&mut self, _now_ns: u64, transmit: &Transmit<T>) {
        let Some((conn, cx)) = transmit.conn.and_then(|conn| self.parts(conn)) else { return };
        let Ok(header) = Header::parse(&transmit.header) else { return };
        match transmit.body {
            Body::Frame { .. } => conn.handle_unsent(cx, header.psn),
            // An acknowledgement that nobody repeats; the other control frames have timers.
            Body::Control { .. } => {
                conn.ack.demand();
                conn.make_ready(cx);
            }
        }
    }

    // Receiving.

    /// The short way of [`Engine::handle_frame`] for what arrives most: the next active message of an open connection. `None`: nothing has
    /// happened, and the long way must be taken.
    #[inline]
    pub fn handle_message(&mut self, now_ns: u64, rail: RailId, header: &Header) -> Option<ConnId> {
        let slot = usize::from(header.token.slot());
        let conn = self.slots.get_mut(slot)?.conn.as_deref_mut()?;
        if conn.local_token != header.token || conn.peer.address != header.src {
            return None;
        }
        conn.arrive_message(&mut self.shared, now_ns, rail, header).then_some(conn.id)
    }

    /// A frame has arrived. `private` is a copy of the first [`Header::private_len`] bytes of its payload, made once, before this call.
    /// Afterwards drain [`Engine::poll_deliver`].
    #[inline]
    pub fn handle_frame(&mut self, now_ns: u64, rail: RailId, header: &Header, private: &[u8], frame: R) -> Verdict<R> {
        let slot = usize::from(header.token.slot());
        if let Some(conn) = self.slots.get_mut(slot).and_then(|slot| slot.conn.as_mut())
            && conn.local_token == header.token
            && conn.peer.address == header.src
            && header.form.kind() as u8 > usb4_wire::Kind::Reset as u8
        {
            match conn.arrive(&mut self.shared, now_ns, rail, header, private, frame) {
                crate::arrive::Reply::Verdict(verdict) => {
                    if !self.shared.ended.is_empty() || !self.shared.confirmed.is_empty() {
                        self.bury();
                    }
                    return verdict;
                }
                crate::arrive::Reply::Refuse(frame) => {
                    self.refuse_unknown(now_ns, rail, header);
                    return Verdict::Drop(frame);
                }
            }
        }
        self.handle_stranger(now_ns, rail, header, private);
        self.bury();
        Verdict::Drop(frame)
    }

    /// The next frame that waited for its turn and has it now.
    #[inline]
    pub fn poll_deliver(&mut self) -> Option<Delivery<R>> {
        loop {
            let &slot = self.shared.deliverable.front()?;
            if let Some(conn) = self.slots[usize::from(slot)].conn.as_mut()
                && let Some(delivery) = conn.take_ready(&mut self.shared)
            {
                return Some(delivery);
            }
            self.shared.deliverable.pop_front();
        }
    }

    // What the engine gives back and tells.

    /// A transmit frame that the engine no longer needs.
    #[inline]
    pub fn poll_release(&mut self) -> Option<(T, Released)> {
        self.shared.released.pop_front()
    }

    /// A received frame that was held for a connection which ended before its turn came.
    #[inline]
    pub fn poll_held_release(&mut self) -> Option<R> {
        self.shared.held_released.pop_front()
    }

    /// Something that happened.
    #[inline]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.shared.events.pop_front()
    }

    /// Whether [`Engine::poll_transmit`] has something to send that somebody waits for, deadlines aside.
    #[inline]
    pub fn wants_transmit(&self) -> bool {
        !self.shared.ready.is_empty() || !self.shared.fillable.is_empty() || !self.strangers.is_empty()
    }

    /// Whether [`Engine::poll_event`] has something to tell.
    pub fn has_events(&self) -> bool {
        !self.shared.events.is_empty()
    }

    /// When [`Engine::handle_timeout`] or [`Engine::poll_transmit`] must be called at the latest; `None`: not before something arrives. Ask after
    /// draining all other `poll_*`.
    pub fn poll_timeout(&mut self) -> Option<u64> {
        self.settle();
        let deadlines = &mut self.shared.deadlines;
        // The first bound may be too early; when it is exact, no other deadline is earlier.
        while let Some(slot) = deadlines.first_due(0, deadlines.next_ns()) {
            let exact_ns = self.slots[slot].conn.as_ref().map_or(NEVER, |conn| conn.timers.earliest_ns());
            if exact_ns == deadlines.next_ns() {
                break;
            }
            deadlines.correct(slot, exact_ns);
        }
        let next_ns = deadlines.next_ns().min(self.close_deadline_ns);
        (next_ns != NEVER).then_some(next_ns)
    }

    /// Deals with deadlines that have passed.
    pub fn handle_timeout(&mut self, now_ns: u64) {
        self.settle();
        if now_ns >= self.close_deadline_ns {
            self.close_deadline_ns = NEVER;
            for slot in &mut self.slots {
                slot.conn.iter_mut().for_each(|conn| conn.finish(&mut self.shared));
            }
        }
        let mut from = 0;
        while let Some(slot) = self.shared.deadlines.first_due(from, now_ns) {
            from = slot + 1;
            let earliest_ns = self.slots[slot].conn.as_mut().map_or(NEVER, |conn| {
                conn.handle_timers(&mut self.shared, now_ns);
                conn.timers.earliest_ns()
            });
            self.shared.deadlines.correct(slot, earliest_ns);
        }
        self.bury();
    }

    // Rails and peers.

    /// A rail went down: what is under way on it moves to others.
    pub fn handle_rail_down(&mut self, now_ns: u64, rail: RailId) {
        self.settle();
        self.shared.up.remove(rail);
        self.update_rails(now_ns);
    }

    /// A rail came up and may be used.
    pub fn handle_rail_up(&mut self, now_ns: u64, rail: RailId) {
        self.shared.up.insert(rail);
        self.update_rails(now_ns);
    }

    fn update_rails(&mut self, now_ns: u64) {
        for conn in self.slots.iter_mut().filter_map(|slot| slot.conn.as_mut()) {
            conn.update_rails(&mut self.shared, now_ns);
        }
        self.bury();
    }

    /// The rails that lead to `node` have changed.
    pub fn handle_rails(&mut self, now_ns: u64, node: NodeId, rails: RailSet) {
        let conns = self.slots.iter_mut().filter_map(|slot| slot.conn.as_mut());
        for conn in conns.filter(|conn| conn.peer.address.node == node) {
            conn.set_routes(&mut self.shared, now_ns, rails);
        }
        self.bury();
    }

    /// The channel at `address` has ceased to exist.
    pub fn handle_peer_gone(&mut self, _now_ns: u64, address: Address) {
        let conns = self.slots.iter_mut().filter_map(|slot| slot.conn.as_mut());
        for conn in conns.filter(|conn| conn.peer.address == address) {
            conn.handle_peer_gone(&mut self.shared);
        }
        self.bury();
    }

    // The end.

    /// Closes every connection, as when the channel itself is closed. Go on driving the engine until [`Engine::is_closed`]: it takes no longer
    /// than the configured times, at the end of which everything is given up.
    pub fn close(&mut self, now_ns: u64) {
        self.shared.closing = true;
        self.close_deadline_ns = now_ns + self.shared.config.timeouts.close_ns;
        for conn in self.slots.iter_mut().filter_map(|slot| slot.conn.as_mut()) {
            conn.go_away(&mut self.shared, now_ns);
        }
        self.bury();
    }

    /// Whether no connection is left.
    pub fn is_closed(&self) -> bool {
        self.slots.iter().all(|slot| slot.conn.is_none())
    }

    // Inside.

    /// Acts on the acknowledgements that were heard.
    #[inline]
    fn settle(&mut self) {
        if !self.shared.unsettled.is_empty() {
            self.settle_all();
        }
    }

    fn settle_all(&mut self) {
        while let Some(slot) = self.shared.unsettled.pop() {
            if let Some(conn) = self.slots[usize::from(slot)].conn.as_mut() {
                conn.settle(&mut self.shared);
            }
        }
        self.bury();
    }
}

#[inline]
fn transmit_frame<T: Copy, R>(conn: &Connection<T, R>, rail: u8, header: &Header, frame: T) -> Transmit<T>
where
    R: Copy,
{
    Transmit {
        conn: Some(conn.id),
        rail: conn.rails.id(rail),
        dst: header.dst,
        header: header.emit(),
        body: Body::Frame { frame, payload_len: header.form.payload_len() },
    }
}
