//! One engine with many connections, for counting what a message costs it (`cargo xtask perf scale`); `connections [MESSAGES [CONNECTIONS
//! [ACTIVE]]]`. Each message goes to one of the active peers in turn and is answered by one. Prints the bytes that a connection takes
//! while it is in use and after it has rested.

use usb4_engine::{Body, Config, ConnId, Engine, Message, Peer, Rails, Transmit, Verdict};
use usb4_wire::{Address, Flags, Header, RailId, RailSet};

/// Time from one message to the next.
const PACE_NS: u64 = 500;
/// After which nothing is left of what traffic had grown.
const REST_NS: u64 = 10_000_000_000;
/// How often the resting engine is looked at.
const LOOK_NS: u64 = 1_000_000;

struct Free;

impl Rails for Free {
    fn cost_ns(&self, _rail: RailId, len_bytes: usize) -> Option<u64> {
        Some(1000 + len_bytes as u64)
    }
}

type Node = Engine<u32, u32>;

struct Star {
    hub: Node,
    peers: Vec<Node>,
    /// The hub's name for each connection, and the peer's.
    conns: Vec<[ConnId; 2]>,
    now_ns: u64,
}

/// The hub is number 0.
fn name(number: usize) -> Peer {
    Peer { address: Address::new(number as u32, 1), incarnation: number as u64 + 7 }
}

fn node(number: usize) -> Node {
    let mut config = Config::new(name(number).address, name(number).incarnation, [number as u8; 32]);
    config.rx_pool_frames = 1 << 16;
    Engine::new(config)
}

/// What is counted: callgrind switches on here and off again.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    work()
}

fn send(engine: &mut Node, conn: ConnId, now_ns: u64) -> Transmit<u32> {
    let message = Message::am(1, Flags::FIRST | Flags::LAST, 8).expect("it fits a frame");
    engine.admit(conn, 1, &Free).expect("one message is under way");
    engine.commit(now_ns, conn, message, 0, &Free).expect("the connection is open")
}

fn receive(engine: &mut Node, transmit: &Transmit<u32>, now_ns: u64) {
    let header = Header::parse(&transmit.header).expect("an engine wrote it");
    if engine.handle_message(now_ns, transmit.rail, &header).is_some() {
        return;
    }
    let private: &[u8] = match &transmit.body {
        Body::Control { payload, len } => &payload[..*len],
        Body::Frame { .. } => &[],
    };
    let verdict = engine.handle_frame(now_ns, transmit.rail, &header, private, 0);
    assert!(!matches!(verdict, Verdict::Held), "nothing is lost or overtaken here");
}

/// What an engine wants to say, as long as it does.
fn settle(engine: &mut Node, now_ns: u64) -> Option<Transmit<u32>> {
    let transmit = engine.poll_transmit(now_ns, &Free);
    while engine.poll_release().is_some() {}
    while engine.poll_event().is_some() {}
    transmit
}

impl Star {
    fn new(connections: usize) -> Self {
        let mut star =
            Self { hub: node(0), peers: (1..=connections).map(node).collect(), conns: Vec::new(), now_ns: 0 };
        let rail = RailSet::only(RailId::LOOPBACK);
        for (index, peer) in star.peers.iter_mut().enumerate() {
            let there = star.hub.connect(0, name(index + 1), rail).expect("room");
            let back = peer.connect(0, name(0), rail).expect("room");
            star.hub.attach(there);
            peer.attach(back);
            star.conns.push([there, back]);
        }
        star.calm();
        star
    }

    /// Until nobody wants to say anything now.
    fn calm(&mut self) {
        loop {
            let mut said = false;
            while let Some(transmit) = settle(&mut self.hub, self.now_ns) {
                receive(&mut self.peers[transmit.dst.node.0 as usize - 1], &transmit, self.now_ns);
                said = true;
            }
            for peer in &mut self.peers {
                while let Some(transmit) = settle(peer, self.now_ns) {
                    receive(&mut self.hub, &transmit, self.now_ns);
                    said = true;
                }
            }
            if !said {
                return;
            }
        }
    }

    /// A message of the hub's to one peer, its answer, and what follows.
    fn exchange(&mut self, index: usize) {
        self.now_ns += PACE_NS;
        let Self { hub, peers, conns, now_ns } = self;
        let [there, back] = conns[index];
        let question = counted(|| send(hub, there, *now_ns));
        receive(&mut peers[index], &question, *now_ns);
        let answer = send(&mut peers[index], back, *now_ns);
        counted(|| receive(hub, &answer, *now_ns));
        while let Some(transmit) = counted(|| settle(hub, *now_ns)) {
            receive(&mut peers[transmit.dst.node.0 as usize - 1], &transmit, *now_ns);
        }
        while let Some(transmit) = settle(&mut peers[index], *now_ns) {
            counted(|| receive(hub, &transmit, *now_ns));
        }
    }

    /// Bytes that each of the first connections takes at the hub, in the mean.
    fn bytes_each(&self, connections: usize) -> usize {
        let bytes = |&[there, _]: &[ConnId; 2]| self.hub.info(there).expect("open").memory_bytes;
        self.conns[..connections].iter().map(bytes).sum::<usize>() / connections
    }
}

fn main() {
    let argument = |n, default| std::env::args().nth(n).map_or(default, |text| text.parse().expect("a number"));
    let (messages, connections) = (argument(1, 10_000), argument(2, 100));
    let active = argument(3, connections);
    let mut star = Star::new(connections);
    for message in 0..messages {
        star.exchange(message % active);
    }
    let busy_bytes = star.bytes_each(active);
    let rest_until_ns = star.now_ns + REST_NS;
    while star.now_ns < rest_until_ns {
        star.now_ns += LOOK_NS;
        star.calm();
    }
    println!("{busy_bytes} {}", star.bytes_each(connections));
}
