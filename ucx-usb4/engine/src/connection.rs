//! A connection: everything that two channels know of each other.
//!
//! Its verbs stand in the modules of their concern: [`crate::handshake`], [`crate::arrive`], [`crate::acked`], [`crate::recover`],
//! [`crate::emit`], [`crate::close`], [`crate::operations`].

use rand_core::RngCore;
use usb4_wire::{Flags, Form, HOP_LIMIT, Header, Kind, Psn, RailId, RailSet, Token};

use crate::ack::AckState;
use crate::acked::Heard;
use crate::credits::Grant;
use crate::hold::AckHold;
use crate::operations::Operations;
use crate::rails::RailTable;
use crate::reorder::Reorder;
use crate::rtt::Rtt;
use crate::shared::Shared;
use crate::timers::{Timer, Timers};
use crate::transmit::{Fate, Sent, TxWindow};
use crate::{ConnId, Event, Failure, Message, Peer, Rails, Refused, Released, Stats};

/// Where a connection stands in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Connect was sent.
    Connecting,
    /// Accept was sent, and the peer has not shown that it has it. Frames flow.
    Accepting,
    /// Both sides know each other.
    Open,
    /// Close was sent: nothing is left here.
    Closing,
    /// Both sides agreed; the peer may have missed it.
    Lingering,
    /// Over.
    Over(Failure),
}

/// What a connection wants to send besides frames and acknowledgements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Connect or Accept, by phase.
    pub(crate) handshake: bool,
    /// A probe on any rail.
    pub(crate) probe: bool,
    /// Probes on these rails, by index.
    pub(crate) rail_probes: u32,
    /// The refusal that is next.
    pub(crate) refusal: bool,
    /// A confirmation of the peer's refusal of this number.
    pub(crate) refuse_ack: Option<u16>,
    /// Close.
    pub(crate) close: bool,
    /// An answer to the Close of this number; the flag says whether the connection is over.
    pub(crate) close_ack: Option<(u16, bool)>,
    /// Tell the driver when a rail has room.
    pub(crate) rail_wait: bool,
}

/// What the sender is waiting for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Waiting {
    /// Room for so many frames; 0: nobody waits.
    pub(crate) frames: usize,
    /// The end of the handshake.
    pub(crate) ready: bool,
    /// The end of a fence.
    pub(crate) fence: bool,
    /// The acknowledgement of everything before this frame.
    pub(crate) flush: Option<u64>,
}

pub(crate) struct Connection<T, R> {
    pub(crate) id: ConnId,
    pub(crate) peer: Peer,
    pub(crate) phase: Phase,
    /// What the peer calls this connection.
    pub(crate) peer_token: Token,
    /// What this side calls it.
    pub(crate) local_token: Token,
    pub(crate) tx: TxWindow<T>,
    pub(crate) rx: Reorder<R>,
    pub(crate) ack: AckState,
    /// The rail by which the last frame came: acknowledgements go back by it, since it works.
    pub(crate) heard_on: RailId,
    /// How often the peer has repeated itself since something new came: acknowledgements may be lost on their way back, so they try the rails
    /// in turn.
    pub(crate) ack_turn: u32,
    /// What the last header acknowledged.
    pub(crate) advertised: u64,
    pub(crate) grant: Grant,
    /// What the peer has acknowledged and grants, by its last header.
    pub(crate) heard: Heard,
    /// Whether that is still to be acted on: it is in [`Shared::unsettled`].
    pub(crate) is_unsettled: bool,
    pub(crate) timers: Timers,
    pub(crate) rails: RailTable,
    pub(crate) rtt: Rtt,
    /// Whether it is in [`Shared::ready`].
    pub(crate) queued: bool,
    pub(crate) waiting: Waiting,
    /// Frames from here on that find an earlier frame unacknowledged carry FENCE while the first is below this.
    pub(crate) fence: u64,
    pub(crate) stats: Stats,
    /// Frames sent and received when idleness was last looked for.
    pub(crate) idle_mark: u64,
    pub(crate) last_heard_ns: u64,
    /// When the first unacknowledged frame became the first, or the wait for an answer began.
    pub(crate) progress_ns: u64,
    /// Loss timer expiries in a row: the first ones probe ([`Rtt::probes`]), after them frames are sent again.
    pub(crate) silence: u32,
    /// A probe waits for its answer although nothing may be under way.
    pub(crate) probing: bool,
    pub(crate) probe_number: u16,
    pub(crate) work: Work,
    /// A refusal on its way keeps the acknowledgement back.
    pub(crate) hold: Option<Box<AckHold>>,
    /// Number of the refusal that is under way or next, and of the peer's next one.
    pub(crate) refusal_number: u16,
    pub(crate) peer_refusals: u16,
    pub(crate) operations: Option<Box<Operations>>,
    /// Endpoints of this side.
    pub(crate) refs: u32,
    /// All rails that lead to the peer, up or not.
    pub(crate) routes: RailSet,
    /// The first PSN of this side, and the number of this connection among those it opened.
    pub(crate) first_psn: Psn,
    pub(crate) serial: u32,
    pub(crate) peer_serial: u32,
    pub(crate) opened_ns: u64,
    pub(crate) attempts: u32,
    pub(crate) announced: bool,
    /// The peer knows that this side has no endpoint.
    pub(crate) close_told: bool,
    pub(crate) close_number: u16,
    pub(crate) close_started_ns: u64,
    /// The whole channel is being closed.
    pub(crate) going_away: bool,
    /// The failure has not been told: nobody has used the connection since.
    pub(crate) untold: bool,
}

impl<T: Copy, R: Copy> Connection<T, R> {
    /// A connection that has said nothing yet. `None` when the receive pool has no room for another peer.
    pub(crate) fn new(cx: &mut Shared<T, R>, id: ConnId, peer: Peer, serial: u32, now_ns: u64) -> Option<Self> {
        let grant = Grant::open(&mut cx.pool, cx.config.window_min, cx.config.window_max, 0)?;
        let first_psn = Psn(cx.rng.next_u32());
        let tx = TxWindow::new(first_psn);
        Some(Self {
            id,
            peer,
            phase: Phase::Connecting,
            peer_token: Token::NONE,
            local_token: cx.new_token(id.slot()),
            fence: tx.una(),
            tx,
            rx: Reorder::new(0),
            ack: AckState::new(),
            heard_on: RailId::LOOPBACK,
            ack_turn: 0,
            advertised: 0,
            grant,
            heard: Heard::default(),
            is_unsettled: false,
            timers: Timers::new(),
            rails: RailTable::new(),
            rtt: Rtt::default(),
            queued: false,
            waiting: Waiting::default(),
            stats: Stats::default(),
            idle_mark: 0,
            last_heard_ns: now_ns,
            progress_ns: now_ns,
            silence: 0,
            probing: false,
            probe_number: 0,
            work: Work::default(),
            hold: None,
            refusal_number: 0,
            peer_refusals: 0,
            operations: None,
            refs: 0,
            routes: RailSet::EMPTY,
            first_psn,
            serial,
            peer_serial: 0,
            opened_ns: now_ns,
            attempts: 0,
            announced: false,
            close_told: true,
            close_number: 0,
            close_started_ns: 0,
            going_away: false,
            untold: false,
        })
    }

    #[inline]
    pub(crate) fn slot(&self) -> u16 {
        self.id.slot()
    }

    /// Whether it is a connection of this channel with itself.
    pub(crate) fn is_self(&self) -> bool {
        self.peer_token == self.local_token
    }

    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over(_))
    }

    /// Whether the driver may find it by its peer: new endpoints join it.
    pub(crate) fn is_joinable(&self) -> bool {
        matches!(self.phase, Phase::Connecting | Phase::Accepting | Phase::Open) && !self.going_away
    }

    #[inline]
    pub(crate) fn arm(&mut self, cx: &mut Shared<T, R>, timer: Timer, at_ns: u64) {
        self.timers.set(timer, at_ns);
        cx.deadlines.note(self.slot(), at_ns);
    }

    /// Has [`crate::Engine::poll_transmit`] look at this connection.
    pub(crate) fn make_ready(&mut self, cx: &mut Shared<T, R>) {
        if !self.queued {
            self.queued = true;
            cx.ready.push_back(self.slot());
        }
    }

    #[inline]
    pub(crate) fn admit(&mut self, cx: &mut Shared<T, R>, frames: usize, rails: &impl Rails) -> Result<(), Refused> {
        match self.phase {
            Phase::Accepting | Phase::Open => {}
            // A few frames are kept until the peer has answered, so that an endpoint can be used as soon as it exists.
            Phase::Connecting if self.tx.len() + frames <= usize::from(cx.config.window_min) => {}
            Phase::Connecting => {
                self.waiting.ready = true;
                return Err(Refused::NotReady);
            }
            Phase::Closing | Phase::Lingering => return Err(Refused::Failed(Failure::Closed)),
            Phase::Over(failure) => {
                self.tell_failure(cx, failure);
                return Err(Refused::Failed(failure));
            }
        }
        if self.operations.as_ref().is_some_and(|operations| operations.is_fenced()) {
            self.waiting.fence = true;
            return Err(Refused::Fence);
        }
        if self.phase == Phase::Connecting {
            return Ok(());
        }
        if self.tx.room(cx.config.window_max) < frames {
            self.settle(cx);
        }
        if self.tx.room(cx.config.window_max) < frames {
            self.stats.credit_stalls += 1;
            self.waiting.frames = if self.waiting.frames == 0 { frames } else { self.waiting.frames.min(frames) };
            self.keep_asking_for_window(cx);
            return Err(Refused::Window);
        }
        if self.rails.cheapest(usb4_wire::PAYLOAD_MAX * frames, rails).is_none() {
            self.stats.rail_stalls += 1;
            self.work.rail_wait = true;
            self.make_ready(cx);
            return Err(Refused::Rails);
        }
        Ok(())
    }

    /// With nothing under way, no acknowledgement would ever tell of a larger window: a lost one must be asked for.
    fn keep_asking_for_window(&mut self, cx: &mut Shared<T, R>) {
        if self.tx.is_empty() && !self.timers.is_set(Timer::Loss) {
            self.progress_ns = self.last_heard_ns;
            let at_ns = self.last_heard_ns + self.rtt.probe_after_ns(&cx.config.timeouts);
            self.arm(cx, Timer::Loss, at_ns);
        }
    }

    /// Numbers a new frame and returns its header and rail; `None` where it must wait for the peer's answer.
    #[inline]
    pub(crate) fn commit(
        &mut self,
        cx: &mut Shared<T, R>,
        now_ns: u64,
        message: Message,
        frame: T,
        rails: &impl Rails,
    ) -> Option<(u8, Header)> {
        let Message { form, word } = message;
        let form = if self.tx.una() < self.fence { form.with_flags(Flags::FENCE) } else { form };
        let psn = self.tx.next();
        self.stats.frames_sent += 1;
        self.stats.bytes_sent += form.payload_len() as u64;
        if self.phase == Phase::Connecting {
            let fate = Fate::Lost;
            self.tx.push(Sent { frame, form, word, fate, rail: 0, attempts: 0, rail_seq: 0, sent_at_ns: now_ns });
            return None;
        }
        let rail = self.rails.for_frame(form.payload_len(), rails);
        let rail_seq = self.rails.next_seq(rail);
        let fate = Fate::InFlight;
        self.tx.push(Sent { frame, form, word, fate, rail, attempts: 1, rail_seq, sent_at_ns: now_ns });
        self.await_acknowledgement(cx, now_ns);
        Some((rail, self.header(cx, form, word, Psn(psn as u32), false)))
    }

    /// Something is under way: from now on the peer's silence means something.
    #[inline]
    pub(crate) fn await_acknowledgement(&mut self, cx: &mut Shared<T, R>, now_ns: u64) {
        if !self.timers.is_set(Timer::Loss) {
            (self.progress_ns, self.silence) = (now_ns, 0);
            let at_ns = now_ns + self.rtt.probe_after_ns(&cx.config.timeouts);
            self.arm(cx, Timer::Loss, at_ns);
        }
    }

    /// A header of this connection, with all that it acknowledges and grants. `complete`: it is an Ack.
    #[inline]
    pub(crate) fn header(&mut self, cx: &mut Shared<T, R>, form: Form, word: u16, psn: Psn, complete: bool) -> Header {
        let next = self.rx.next();
        if self.grant.wants_extension(next) {
            self.grant.extend(&mut cx.pool, next);
        }
        let ack = self.hold.as_ref().map_or(next, |hold| hold.ack());
        self.advertised = ack;
        self.ack.sent(next, complete, self.rx.has_gap() || self.hold.is_some());
        if !self.ack.is_due() {
            self.timers.clear(Timer::Ack);
        }
        Header {
            form,
            hop_limit: HOP_LIMIT,
            dst: self.peer.address,
            src: cx.config.local,
            window: (self.grant.edge() - ack).min(u64::from(u16::MAX)) as u16,
            word,
            token: self.peer_token,
            psn,
            ack: Psn(ack as u32),
        }
    }

    /// Whether nothing of this side waits for the peer.
    pub(crate) fn is_settled(&self) -> bool {
        self.tx.is_empty()
            && self.hold.is_none()
            && self.operations.as_ref().is_none_or(|operations| operations.is_idle())
    }

    /// Ends the connection for cause, and tells it once.
    pub(crate) fn fail(&mut self, cx: &mut Shared<T, R>, failure: Failure) {
        // What is acknowledged has not failed; it may have been the last thing to wait for.
        self.settle(cx);
        if self.is_over() {
            return;
        }
        self.wind_up(cx, failure);
        cx.events.push_back(Event::Failed(self.id, failure));
    }

    /// Ends the connection as both sides wanted it.
    pub(crate) fn finish(&mut self, cx: &mut Shared<T, R>) {
        if self.is_over() {
            return;
        }
        self.wind_up(cx, Failure::Closed);
        if self.announced {
            cx.events.push_back(Event::Closed(self.id));
        }
    }

    /// The peer has closed its channel. It is a failure only for who still wants something of it.
    pub(crate) fn end_by_peer(&mut self, cx: &mut Shared<T, R>) {
        let wanted = !self.is_settled() || self.waiting.frames > 0 || self.waiting.fence || self.probing;
        if wanted {
            self.fail(cx, Failure::PeerClosed);
        } else if self.refs == 0 {
            self.finish(cx);
        } else {
            self.wind_up(cx, Failure::PeerClosed);
            self.untold = true;
        }
    }

    fn tell_failure(&mut self, cx: &mut Shared<T, R>, failure: Failure) {
        if std::mem::take(&mut self.untold) {
            cx.events.push_back(Event::Failed(self.id, failure));
        }
    }

    /// Gives everything back that the connection holds.
    fn wind_up(&mut self, cx: &mut Shared<T, R>, failure: Failure) {
        self.phase = Phase::Over(failure);
        let address = self.peer.address;
        cx.released.extend(self.tx.drain().map(|frame| (frame, Released::Abandoned(address))));
        cx.held_released.extend(self.rx.drain());
        self.grant.close(&mut cx.pool);
        if let Some(mut operations) = self.operations.take() {
            operations.fail_all(cx, self.id, failure);
        }
        self.timers = Timers::new();
        self.hold = None;
        self.waiting = Waiting::default();
        self.work = Work { close_ack: self.work.close_ack, ..Work::default() };
        if self.refs == 0 {
            cx.ended.push(self.slot());
        }
    }

    pub(crate) fn snapshot(&self) -> Stats {
        Stats {
            rtt_ns: self.rtt.smoothed_ns(),
            rtt_var_ns: self.rtt.variation_ns(),
            in_flight: self.tx.len() as u32,
            window: self.tx.granted() as u32,
            ..self.stats
        }
    }

    /// Memory that the connection occupies, its buffers included.
    pub(crate) fn memory_bytes(&self) -> usize {
        let operations = self.operations.as_ref().map_or(0, |operations| operations.heap_bytes());
        size_of::<Self>() + self.tx.heap_bytes() + self.rx.heap_bytes() + self.rails.heap_bytes() + operations
    }

    /// A control frame without payload of this kind.
    pub(crate) fn bare(kind: Kind, flags: Flags) -> Form {
        Form::new(kind, flags, 0).expect("a control frame may be empty")
    }
}
