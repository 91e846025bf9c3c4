//! Entry points for fuzzers. They take any bytes and panic where the engine does what it must never do.
//!
//! `fuzz/` wraps them for cargo-fuzz; `tests/corpus.rs` replays its corpus, and random bytes, in every test run.

use usb4_wire::extension::{AtomicOp, AtomicWidth, OpErrorReason};
use usb4_wire::{Address, Flags, HEADER_LEN, Header, Kind, RailId, RailSet};

use crate::{
    Atomic, Body, Config, ConnId, Content, Delivery, Engine, Event, Message, Peer, Rails, Transfer, Transmit, Verdict,
};

/// Any bytes as a header: what is accepted must come out again as it was.
pub fn header(data: &[u8]) {
    let Some(bytes) = data.first_chunk::<HEADER_LEN>() else { return };
    if let Ok(header) = Header::parse(bytes) {
        assert_eq!(header.emit(), *bytes);
        assert!(header.private_len() <= usb4_wire::CONTROL_MAX);
    }
}

struct Fair;

impl Rails for Fair {
    fn cost_ns(&self, rail: RailId, len_bytes: usize) -> Option<u64> {
        Some(len_bytes as u64 + rail.index() as u64)
    }
}

/// A frame between the two engines.
#[derive(Clone)]
struct Packet {
    to: usize,
    rail: RailId,
    header: [u8; HEADER_LEN],
    payload: Vec<u8>,
}

/// Transmit frames by number, and whether the engine has them.
#[derive(Default)]
struct Side {
    payloads: Vec<Option<Vec<u8>>>,
    conns: Vec<ConnId>,
    attached: u32,
    closed: bool,
}

struct Pair {
    engines: [Engine<usize, usize>; 2],
    sides: [Side; 2],
    packets: Vec<Packet>,
    now_ns: u64,
}

/// Bytes as numbers, zero when they are used up.
struct Input<'a>(std::slice::Iter<'a, u8>);

impl Input<'_> {
    fn byte(&mut self) -> usize {
        self.0.next().map_or(0, |&byte| usize::from(byte))
    }

    fn word(&mut self) -> u64 {
        (0..8).fold(0, |word, _| word << 8 | self.byte() as u64)
    }
}

const ROUTES: RailSet = RailSet::from_bits(0b11);

fn peer(side: usize) -> Peer {
    Peer { address: Address::new(side as u32, 1), incarnation: side as u64 + 1 }
}

fn engine(side: usize) -> Engine<usize, usize> {
    Engine::new(Config {
        rx_pool_frames: 64,
        ..Config::new(peer(side).address, peer(side).incarnation, [side as u8; 32])
    })
}

/// Any bytes as a sequence of things that drivers, cables and hostile peers do to a pair of engines.
///
/// # Panics
/// When a frame is given back that the engine does not have, or one is missing at the end.
pub fn operations(data: &[u8]) {
    let mut pair = Pair {
        engines: [engine(0), engine(1)],
        sides: [Side::default(), Side::default()],
        packets: Vec::new(),
        now_ns: 0,
    };
    let mut input = Input(data.iter());
    let mut steps = 0;
    while !input.0.as_slice().is_empty() && steps < 2000 {
        pair.step(&mut input);
        steps += 1;
    }
    pair.end();
}

impl Pair {
    fn step(&mut self, input: &mut Input) {
        let code = input.byte();
        let side = code & 1;
        match code >> 1 & 31 {
            0 => self.connect(side),
            1 => {
                if let Some(conn) = self.conn(side, input)
                    && self.sides[side].attached > 0
                {
                    self.sides[side].attached -= 1;
                    self.engines[side].detach(self.now_ns, conn);
                }
            }
            2..=6 => self.send(side, input),
            7 => self.ask(side, input, |engine, conn, transfer| engine.put(conn, transfer).is_ok()),
            8 => self.ask(side, input, |engine, conn, transfer| engine.get(conn, transfer).is_ok()),
            9 => self.ask(side, input, |engine, conn, transfer| {
                let Transfer { cookie, remote_addr, key, len, .. } = transfer;
                let (code, width) = (AtomicOp::Add, AtomicWidth::Bits64);
                let atomic =
                    Atomic { cookie, remote_addr, key, code, width, operand: 1, compare: 0, fetch: len % 2 == 0 };
                engine.atomic(conn, atomic).is_ok()
            }),
            10 => {
                if let Some(conn) = self.conn(side, input) {
                    self.engines[side].fence(conn);
                }
            }
            11 => {
                if let Some(conn) = self.conn(side, input) {
                    self.engines[side].request_ack(self.now_ns, conn);
                    self.engines[side].want_flush(conn);
                }
            }
            12..=19 => self.arrive(input, false),
            20 => self.arrive(input, true),
            21 => self.forge(side, input),
            22 => {
                if !self.packets.is_empty() {
                    let index = input.byte() % self.packets.len();
                    self.packets.swap_remove(index);
                }
            }
            23..=25 => self.now_ns += (input.byte() as u64) << (input.byte() % 28),
            26 => self.engines[side].handle_rail_down(self.now_ns, rail(input.byte())),
            27 => self.engines[side].handle_rail_up(self.now_ns, rail(input.byte())),
            28 if input.byte() == 0 => self.engines[side].handle_peer_gone(self.now_ns, peer(1 - side).address),
            29 if input.byte() == 0 => {
                self.engines[side].close(self.now_ns);
                self.sides[side].closed = true;
            }
            _ => self.engines[side].acknowledge_all(),
        }
        self.drive(side);
    }

    fn connect(&mut self, side: usize) {
        if let Ok(conn) = self.engines[side].connect(self.now_ns, peer(1 - side), ROUTES) {
            self.engines[side].attach(conn);
            self.sides[side].attached += 1;
            self.sides[side].conns.push(conn);
        }
    }

    fn conn(&self, side: usize, input: &mut Input) -> Option<ConnId> {
        let conns = &self.sides[side].conns;
        conns.get(input.byte() % conns.len().max(1)).copied()
    }

    fn keep(&mut self, side: usize, payload: Vec<u8>) -> usize {
        self.sides[side].payloads.push(Some(payload));
        self.sides[side].payloads.len() - 1
    }

    fn send(&mut self, side: usize, input: &mut Input) {
        let Some(conn) = self.conn(side, input) else { return };
        if self.engines[side].admit(conn, 1, &Fair).is_err() {
            return;
        }
        let len = input.byte() * 15;
        let message = Message::am(1, Flags::FIRST | Flags::LAST, len).expect("it fits");
        let frame = self.keep(side, vec![7; len]);
        if let Some(transmit) = self.engines[side].commit(self.now_ns, conn, message, frame, &Fair) {
            self.transmit(side, &transmit);
        }
    }

    fn ask(
        &mut self,
        side: usize,
        input: &mut Input,
        ask: impl FnOnce(&mut Engine<usize, usize>, ConnId, Transfer) -> bool,
    ) {
        let Some(conn) = self.conn(side, input) else { return };
        let len = (input.byte() * input.byte()) as u64;
        let transfer = Transfer { cookie: 1, local_addr: 0, remote_addr: 0x1000, len, key: len };
        ask(&mut self.engines[side], conn, transfer);
    }

    /// Lets a packet arrive; `twice`: it stays under way as well.
    fn arrive(&mut self, input: &mut Input, twice: bool) {
        if self.packets.is_empty() {
            return;
        }
        let index = input.byte() % self.packets.len();
        let packet = if twice { self.packets[index].clone() } else { self.packets.remove(index) };
        self.deliver(&packet);
    }

    /// A packet as a hostile peer would write it: the right token, and anything else.
    fn forge(&mut self, side: usize, input: &mut Input) {
        if self.packets.is_empty() {
            return;
        }
        let index = input.byte() % self.packets.len();
        let mut packet = self.packets[index].clone();
        let Ok(mut header) = Header::parse(&packet.header) else { return };
        match input.byte() % 8 {
            0 => header.psn.0 = input.word() as u32,
            1 => header.ack.0 = input.word() as u32,
            2 => header.window = input.word() as u16,
            3 => header.word = input.word() as u16,
            4 => header.psn.0 = header.psn.0.wrapping_add(input.byte() as u32),
            5 => header.ack.0 = header.ack.0.wrapping_add(input.byte() as u32),
            6 => {
                let kind = Kind::ALL[input.byte() % Kind::ALL.len()];
                let len = packet.payload.len().max(kind.extension_len());
                packet.payload.resize(len, 0);
                let Ok(form) = usb4_wire::Form::new(kind, kind.flags(), len) else { return };
                header.form = form;
            }
            _ => {
                if let Some(byte) = packet.payload.first_mut() {
                    *byte ^= 1;
                }
            }
        }
        packet.header = header.emit();
        let _ = side;
        self.deliver(&packet);
    }

    fn deliver(&mut self, packet: &Packet) {
        let Ok(header) = Header::parse(&packet.header) else { return };
        let private = &packet.payload[..header.private_len().min(packet.payload.len())];
        let to = packet.to;
        if header.psn.0.is_multiple_of(2)
            && let Some(conn) = self.engines[to].handle_message(self.now_ns, packet.rail, &header)
        {
            self.use_up(to, &Delivery::of_message(conn, &header, 0));
            return self.drive(to);
        }
        if let Verdict::Deliver(delivery) = self.engines[to].handle_frame(self.now_ns, packet.rail, &header, private, 0)
        {
            self.use_up(to, &delivery);
        }
        while let Some(delivery) = self.engines[to].poll_deliver() {
            self.use_up(to, &delivery);
        }
        self.drive(to);
    }

    fn use_up(&mut self, side: usize, delivery: &Delivery<usize>) {
        let (engine, conn) = (&mut self.engines[side], delivery.conn);
        match delivery.content {
            Content::Am { .. } | Content::GetData { .. } => {}
            Content::Put(put) if put.key % 3 == 0 => engine.reject(conn, put.op, OpErrorReason::BadKey),
            Content::Put(_) => {}
            Content::GetRequest(request) if request.key % 3 == 0 || request.len > 1 << 20 => {
                engine.reject(conn, request.op, OpErrorReason::BadKey);
            }
            Content::GetRequest(request) => engine.respond_get(conn, &request, request.remote_addr),
            Content::Atomic { request, .. } if request.key % 3 == 0 => {
                engine.reject(conn, request.op, OpErrorReason::Access);
            }
            Content::Atomic { request, fetch } if fetch => engine.respond_atomic(conn, request.op, 5),
            Content::Atomic { .. } => {}
        }
    }

    fn drive(&mut self, side: usize) {
        for _ in 0..64 {
            let Some(fill) = self.engines[side].poll_fill(self.now_ns, &Fair) else { break };
            if fill.region == Some(7) {
                self.engines[side].reject_fill(&fill, OpErrorReason::BadKey);
                continue;
            }
            let mut payload = fill.extension().to_vec();
            payload.resize(payload.len() + fill.len, 9);
            let frame = self.keep(side, payload);
            match self.engines[side].commit_fill(self.now_ns, &fill, frame, &Fair) {
                Ok(transmit) => self.transmit(side, &transmit),
                Err(frame) => self.give_back(side, frame),
            }
        }
        while let Some(transmit) = self.engines[side].poll_transmit(self.now_ns, &Fair) {
            self.transmit(side, &transmit);
        }
        while let Some(event) = self.engines[side].poll_event() {
            if let Event::Connected(conn) = event {
                self.sides[side].conns.push(conn);
            }
        }
        while let Some((frame, _)) = self.engines[side].poll_release() {
            self.give_back(side, frame);
        }
        while self.engines[side].poll_held_release().is_some() {}
        self.engines[side].poll_timeout();
    }

    fn give_back(&mut self, side: usize, frame: usize) {
        assert!(self.sides[side].payloads[frame].take().is_some(), "frame {frame} was given back twice");
    }

    fn transmit(&mut self, side: usize, transmit: &Transmit<usize>) {
        let payload = match &transmit.body {
            Body::Frame { frame, .. } => self.sides[side].payloads[*frame].clone().expect("the engine has the frame"),
            Body::Control { payload, len } => payload[..*len].to_vec(),
        };
        if self.packets.len() < 1000 {
            let (rail, header) = (transmit.rail, transmit.header);
            self.packets.push(Packet { to: 1 - side, rail, header, payload });
        }
    }

    /// Whatever has happened: closing ends in bounded time, and every frame comes back.
    fn end(&mut self) {
        for side in [0, 1] {
            self.engines[side].close(self.now_ns);
            self.drive(side);
        }
        for _ in 0..10_000 {
            let deadlines = self.engines.iter_mut().filter_map(Engine::poll_timeout);
            let Some(next_ns) = deadlines.min() else { break };
            self.now_ns = self.now_ns.max(next_ns);
            self.packets.clear();
            self.drive(0);
            self.drive(1);
        }
        for side in [0, 1] {
            assert!(self.engines[side].is_closed(), "connections are left on side {side}");
            assert!(self.sides[side].payloads.iter().all(Option::is_none), "frames are left on side {side}");
            assert_eq!(self.engines[side].shared.pool.granted(), 0, "credits are left on side {side}");
        }
    }
}

fn rail(byte: usize) -> RailId {
    RailId::new((byte & 1) as u8).expect("two rails")
}
