//! `ping_pong link|port LINKS ROUNDS`: 8 bytes there and back between two threads, over the link's rings alone or with the engine
//! on them. Prints half a round trip in microseconds (the mean). `cargo xtask perf layers` puts it beside the layers above.

use std::sync::{Arc, RwLock, mpsc};
use std::thread;
use std::time::Instant;

use usb4_engine::{ConnId, RegionTable};
use usb4_link::{Address, Carrier, Channel, HEADER_LEN, LinkSpec, NodeId, OpenOptions, RailId};

use usb4_port::address::PortAddress;
use usb4_port::{Arrival, Options, Part, Port};

const PAYLOAD: [u8; 8] = [7; 8];

/// One side of the exchange.
trait Side: Sized {
    /// What the other side must know.
    type Name: Send + 'static;

    fn open(links: LinkSpec, node: u32) -> Self;
    fn name(&self) -> Self::Name;
    fn connect(&mut self, peer: Self::Name);
    fn send(&mut self);
    fn poll(&mut self) -> bool;

    fn receive(&mut self) {
        while !self.poll() {
            std::hint::spin_loop();
        }
    }
}

struct Bare {
    channel: Channel,
    peer: Option<(RailId, Address)>,
}

impl Side for Bare {
    type Name = Address;

    fn open(links: LinkSpec, node: u32) -> Self {
        let options = OpenOptions { node: Some(NodeId(node)), ..OpenOptions::new(links) };
        Self { channel: options.open().expect("the cable opens"), peer: None }
    }

    fn name(&self) -> Address {
        self.channel.address()
    }

    fn connect(&mut self, peer: Address) {
        let rail = self.channel.rails_to(peer.node).iter().next().expect("a cable leads there");
        self.peer = Some((rail, peer));
    }

    fn send(&mut self) {
        let (rail, peer) = self.peer.expect("connected");
        let now_ns = self.channel.now_ns();
        let sent = self.channel.submit_control(now_ns, rail, peer, &[7; HEADER_LEN], &PAYLOAD);
        sent.expect("one frame is under way");
        self.channel.doorbell();
    }

    fn poll(&mut self) -> bool {
        let reaped = self.channel.reap(self.channel.now_ns());
        reaped.inspect(|reaped| self.channel.release(reaped.frame)).is_some()
    }
}

struct Engined {
    port: Port,
    conn: Option<ConnId>,
}

impl Side for Engined {
    type Name = PortAddress;

    fn open(links: LinkSpec, node: u32) -> Self {
        let options = Options { node: Some(NodeId(node)), ..Options::new(links) };
        let regions = Arc::new(RwLock::new(RegionTable::new([7; 32])));
        Self { port: Port::open(&options, regions).expect("the cable opens"), conn: None }
    }

    fn name(&self) -> PortAddress {
        self.port.address()
    }

    fn connect(&mut self, peer: PortAddress) {
        self.conn = Some(self.port.connect(&peer).expect("a cable leads there"));
    }

    fn send(&mut self) {
        let conn = self.conn.expect("connected");
        let frame = self.port.reserve(conn, 1).expect("one message is under way");
        self.port.fill(frame).put_bytes(&PAYLOAD);
        self.port.send_am(conn, frame, 1, Part::WHOLE, PAYLOAD.len());
    }

    fn poll(&mut self) -> bool {
        self.port.begin();
        let arrival = self.port.poll_arrival();
        if let Some(Arrival::Message { frame, .. }) = arrival {
            self.port.release(frame);
            // As the interface does.
            if self.port.can_rest() {
                return true;
            }
        }
        self.port.service();
        while self.port.poll_event().is_some() {}
        arrival.is_some()
    }
}

/// Microseconds one way.
fn run<S: Side>(links: &LinkSpec, rounds: u32) -> f64 {
    let warm_up = rounds / 10 + 1;
    let (to_main, from_echo) = mpsc::channel();
    let (to_echo, from_main) = mpsc::channel();
    let echo = thread::spawn({
        let links = links.clone();
        move || {
            let mut side = S::open(links, 1);
            to_main.send(side.name()).expect("main waits");
            side.connect(from_main.recv().expect("main sends its name"));
            for _ in 0..warm_up + rounds {
                side.receive();
                side.send();
            }
            // The last frame must find its sender alive.
            from_main.recv().ok();
        }
    });
    let mut side = S::open(links.clone(), 0);
    to_echo.send(side.name()).expect("the echo waits");
    side.connect(from_echo.recv().expect("the echo sends its name"));
    let mut started = Instant::now();
    for round in 0..warm_up + rounds {
        if round == warm_up {
            started = Instant::now();
        }
        side.send();
        side.receive();
    }
    let elapsed = started.elapsed();
    drop(to_echo);
    echo.join().expect("the echo ends well");
    elapsed.as_secs_f64() * 1e6 / f64::from(rounds) / 2.0
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [level, links, rounds] = &arguments[..] else { panic!("usage: ping_pong link|port LINKS ROUNDS") };
    let links: LinkSpec = links.parse().expect("LINKS as for UCX_USB4_LINKS");
    let rounds = rounds.parse().expect("ROUNDS is a number");
    let us = match level.as_str() {
        "link" => run::<Bare>(&links, rounds),
        "port" => run::<Engined>(&links, rounds),
        other => panic!("{other}: link or port"),
    };
    println!("{us:.4}");
}
