//! Two engines, a wire between them that a test can cut, and time that it turns itself.

use usb4_engine::{
    Body, Config, ConnId, Content, Engine, Event, Message, Peer, Rails, Refused, Released, Transmit, Verdict,
};
use usb4_wire::{Address, Flags, Header, RailId, RailSet};

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const RAIL: RailId = RailId::LOOPBACK;

/// A rail that always has room.
pub(crate) struct Open;

impl Rails for Open {
    fn cost_ns(&self, _rail: RailId, len_bytes: usize) -> Option<u64> {
        Some(len_bytes as u64)
    }
}

pub(crate) struct Duo {
    pub(crate) engines: [Engine<u32, u32>; 2],
    /// Whether frames from this side arrive.
    pub(crate) carries: [bool; 2],
    pub(crate) now_ns: u64,
    pub(crate) events: [Vec<Event>; 2],
    pub(crate) released: [Vec<Released>; 2],
    pub(crate) delivered: [Vec<Content>; 2],
    /// Frames that each side has sent.
    pub(crate) sent: [u64; 2],
}

pub(crate) fn peer(side: usize) -> Peer {
    Peer { address: Address::new(side as u32, 1), incarnation: side as u64 + 100 }
}

pub(crate) fn engine(side: usize, change: impl Fn(&mut Config)) -> Engine<u32, u32> {
    let mut config = Config::new(peer(side).address, peer(side).incarnation, [side as u8 + 1; 32]);
    change(&mut config);
    Engine::new(config)
}

impl Duo {
    pub(crate) fn new(change: impl Fn(&mut Config)) -> Self {
        Self {
            engines: [engine(0, &change), engine(1, &change)],
            carries: [true; 2],
            now_ns: 0,
            events: Default::default(),
            released: Default::default(),
            delivered: Default::default(),
            sent: [0; 2],
        }
    }

    /// Both sides connected, each with an endpoint.
    pub(crate) fn connected(change: impl Fn(&mut Config)) -> (Self, [ConnId; 2]) {
        let mut duo = Self::new(change);
        let conns = [duo.connect(0), duo.connect(1)];
        duo.settle();
        for side in [0, 1] {
            assert_eq!(duo.events[side], [Event::Connected(conns[side])]);
            duo.events[side].clear();
        }
        (duo, conns)
    }

    pub(crate) fn connect(&mut self, side: usize) -> ConnId {
        let conn = self.engines[side].connect(self.now_ns, peer(1 - side), RailSet::only(RAIL)).expect("room");
        self.engines[side].attach(conn);
        conn
    }

    pub(crate) fn send(&mut self, side: usize, conn: ConnId) -> Result<(), Refused> {
        self.engines[side].admit(conn, 1, &Open)?;
        let message = Message::am(1, Flags::FIRST | Flags::LAST, 8).expect("it fits");
        if let Some(transmit) = self.engines[side].commit(self.now_ns, conn, message, 0, &Open) {
            self.carry(side, &transmit, &[]);
        }
        Ok(())
    }

    pub(crate) fn carry(&mut self, side: usize, transmit: &Transmit<u32>, extension: &[u8]) {
        self.sent[side] += 1;
        let other = 1 - side;
        if !self.carries[side] {
            return;
        }
        let header = Header::parse(&transmit.header).expect("what an engine sends is valid");
        let private = match &transmit.body {
            Body::Control { payload, len } => &payload[..*len],
            Body::Frame { .. } => extension,
        };
        let engine = &mut self.engines[other];
        if let Verdict::Deliver(delivery) = engine.handle_frame(self.now_ns, transmit.rail, &header, private, 0) {
            self.delivered[other].push(delivery.content);
        }
        while let Some(delivery) = engine.poll_deliver() {
            self.delivered[other].push(delivery.content);
        }
    }

    /// Lets both sides speak until neither has more to say now.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut quiet = true;
            for side in [0, 1] {
                while let Some(transmit) = self.engines[side].poll_transmit(self.now_ns, &Open) {
                    quiet = false;
                    self.carry(side, &transmit, &[]);
                }
                while let Some(event) = self.engines[side].poll_event() {
                    self.events[side].push(event);
                }
                while let Some((_, released)) = self.engines[side].poll_release() {
                    self.released[side].push(released);
                }
            }
            if quiet {
                return;
            }
        }
    }

    /// Lets time pass, from deadline to deadline.
    pub(crate) fn pass(&mut self, duration_ns: u64) {
        let until_ns = self.now_ns + duration_ns;
        loop {
            self.settle();
            let next = self.engines.iter_mut().filter_map(Engine::poll_timeout).min();
            match next {
                Some(at_ns) if at_ns <= until_ns => self.now_ns = self.now_ns.max(at_ns),
                _ => break,
            }
        }
        self.now_ns = until_ns;
        self.settle();
    }
}
