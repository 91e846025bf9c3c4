//! What a short message costs in the engine. Figures are of this machine at this moment: compare within a run only.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput};
use usb4_engine::{Body, Config, ConnId, Engine, Event, Message, Peer, Rails, Transmit, Verdict};
use usb4_wire::{Address, Flags, Header, RailId, RailSet};

struct Free;

impl Rails for Free {
    fn cost_ns(&self, rail: RailId, len_bytes: usize) -> Option<u64> {
        Some(1000 + rail.index() as u64 + len_bytes as u64)
    }
}

struct Pair {
    engines: [Engine<u32, u32>; 2],
    conns: [ConnId; 2],
    now_ns: u64,
}

impl Pair {
    fn new(rails: u8) -> Self {
        let peer = |side: u32| Peer { address: Address::new(side, 1), incarnation: u64::from(side) + 7 };
        let engine = |side: u32| Engine::new(Config::new(peer(side).address, peer(side).incarnation, [side as u8; 32]));
        let mut engines = [engine(0), engine(1)];
        let routes: RailSet = (0..rails).filter_map(RailId::new).collect();
        let conn = engines[0].connect(0, peer(1), routes).expect("room");
        engines[0].attach(conn);
        let mut pair = Self { engines, conns: [conn; 2], now_ns: 0 };
        for _ in 0..4 {
            pair.exchange(0);
            pair.exchange(1);
        }
        let back = pair.engines[1].connect(1, peer(0), routes).expect("room");
        pair.conns[1] = back;
        while let Some(event) = pair.engines[0].poll_event() {
            assert!(matches!(event, Event::Connected(_)));
        }
        pair
    }

    /// Carries what the engine of `side` wants to send of its own accord.
    fn exchange(&mut self, side: usize) {
        while let Some(transmit) = self.engines[side].poll_transmit(self.now_ns, &Free) {
            self.carry(side, &transmit);
        }
        while self.engines[side].poll_release().is_some() {}
    }

    fn carry(&mut self, side: usize, transmit: &Transmit<u32>) {
        let header = Header::parse(&transmit.header).expect("valid");
        let private: &[u8] = match &transmit.body {
            Body::Control { payload, len } => &payload[..*len],
            Body::Frame { .. } => &[],
        };
        let verdict = self.engines[1 - side].handle_frame(self.now_ns, transmit.rail, &header, private, 0);
        let control = header.form.kind().is_control();
        assert!(matches!(verdict, Verdict::Deliver(_)) != control);
    }

    fn send(&mut self, side: usize, message: Message) -> Transmit<u32> {
        let engine = &mut self.engines[side];
        engine.admit(self.conns[side], 1, &Free).expect("the window is open");
        engine.commit(self.now_ns, self.conns[side], message, 7, &Free).expect("the connection is open")
    }

    /// A message there and one back, as a latency test sends them.
    fn ping_pong(&mut self, message: Message) {
        for side in [0, 1] {
            self.now_ns += 500;
            let transmit = self.send(side, message);
            self.carry(side, black_box(&transmit));
            self.exchange(side);
        }
    }

    /// A train one way, acknowledged as it goes.
    fn stream(&mut self, message: Message, count: u32) {
        for _ in 0..count {
            self.now_ns += 100;
            let transmit = self.send(0, message);
            self.carry(0, black_box(&transmit));
            self.exchange(1);
            self.exchange(0);
        }
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let whole = Flags::FIRST | Flags::LAST;
    let (short, full) = (Message::am(1, whole, 8).expect("fits"), Message::am(1, whole, 4056).expect("fits"));
    for rails in [1, 4] {
        let mut group = criterion.benchmark_group(format!("{rails} rail(s)"));
        let mut pair = Pair::new(rails);
        group.throughput(Throughput::Elements(2));
        group.bench_function("ping-pong of short messages", |b| b.iter(|| pair.ping_pong(short)));
        group.throughput(Throughput::Elements(64));
        group.bench_function("stream of short messages", |b| b.iter(|| pair.stream(short, 64)));
        group.bench_function("stream of full frames", |b| b.iter(|| pair.stream(full, 64)));
        group.finish();
    }
    let mut pair = Pair::new(4);
    criterion.bench_function("idle poll", |b| b.iter(|| pair.engines[0].poll_transmit(black_box(pair.now_ns), &Free)));
    criterion.bench_function("commit alone, 16 frames", |b| {
        b.iter_batched_ref(
            || {
                let mut pair = Pair::new(1);
                pair.stream(short, 200);
                pair
            },
            |pair| {
                for _ in 0..16 {
                    black_box(pair.send(0, short));
                }
            },
            BatchSize::SmallInput,
        );
    });
    criterion.final_summary();
}
