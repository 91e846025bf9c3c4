//! Two ports of one process over a simulated cable: everything that the engine and the link do together, without UCX.

use std::sync::{Arc, RwLock};

use usb4_engine::{Access, Atomic, ConnState, OpFailure, RegionTable, Transfer};
use usb4_link::{ConnectionState, LinkSpec};
use usb4_wire::extension::{AtomicOp, AtomicWidth};

use super::*;

/// A fabric of its own for each test, so that they run side by side.
pub(super) fn fabric(cable: &str) -> tempfile::NamedTempFile {
    let text = format!("nodes = 2\n\n[[cables]]\nbetween = [0, 1]\n{cable}\n");
    let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

/// A port of a node of the fabric.
pub(super) fn open(file: &tempfile::NamedTempFile, node: u32, regions: &Regions) -> Port {
    let links = LinkSpec::SimFile(file.path().to_owned());
    let options = Options { node: Some(NodeId(node)), message_frames: MAX_MESSAGE_FRAMES, ..Options::new(links) };
    Port::open(&options, Arc::clone(regions)).unwrap()
}

pub(super) fn regions() -> Regions {
    Arc::new(RwLock::new(RegionTable::new([7; 32])))
}

/// Sends a message of one frame; false where it cannot leave now.
pub(super) fn try_send(port: &mut Port, conn: ConnId, id: u8, bytes: &[u8]) -> bool {
    let Ok(frame) = port.reserve(conn, 1) else { return false };
    port.fill(frame).put_bytes(bytes);
    port.send_am(conn, frame, id, Part::WHOLE, bytes.len());
    true
}

/// One round of progress; what has arrived.
pub(super) fn turn(port: &mut Port, arrived: &mut Vec<(u16, Vec<u8>)>) {
    port.begin();
    while let Some(Arrival::Message { id, payload, length, frame, .. }) = port.poll_arrival() {
        let mut bytes = vec![0; length];
        // SAFETY: `length` readable bytes until the parcel is released.
        unsafe { payload.copy_to_nonoverlapping(bytes.as_mut_ptr(), length) };
        arrived.push((id, bytes));
        port.release(frame);
    }
    port.service();
}

struct Pair {
    a: Port,
    b: Port,
    /// Peers reach b's memory by these.
    regions: Regions,
    a_to_b: ConnId,
    // Last: the ports read it while they open only, but its name is the fabric's identity.
    _file: tempfile::NamedTempFile,
}

impl Pair {
    fn new(cable: &str) -> Self {
        let file = fabric(cable);
        let regions = regions();
        let (mut a, b) = (open(&file, 0, &regions), open(&file, 1, &regions));
        let a_to_b = a.connect(&b.address()).unwrap();
        Self { a, b, regions, a_to_b, _file: file }
    }

    /// One round of both; what arrives at `b`, and a's events.
    fn turn(&mut self, arrived: &mut Vec<(u16, Vec<u8>)>, events: &mut Vec<Event>) {
        for port in [&mut self.a, &mut self.b] {
            turn(port, arrived);
        }
        events.extend(std::iter::from_fn(|| self.a.poll_event()));
    }

    fn send(&mut self, id: u8, bytes: &[u8]) -> bool {
        try_send(&mut self.a, self.a_to_b, id, bytes)
    }

    /// Runs an operation to its event.
    fn complete(&mut self, cookie: u64) -> Result<u64, OpFailure> {
        let (mut arrived, mut events) = (Vec::new(), Vec::new());
        loop {
            self.turn(&mut arrived, &mut events);
            for event in events.drain(..) {
                if let Event::Completed { cookie: done, result } = event {
                    assert_eq!(done, cookie);
                    return result;
                }
            }
        }
    }

    fn register(&self, memory: &mut [u64], access: Access) -> (u64, u64) {
        let start = memory.as_mut_ptr().expose_provenance() as u64;
        let key = self.regions.write().unwrap().insert(start, size_of_val(memory) as u64, access).unwrap();
        (start, key)
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        self.a.close();
        self.b.close();
    }
}

fn local(memory: &mut [u64]) -> (u64, u64) {
    (memory.as_mut_ptr().expose_provenance() as u64, size_of_val(memory) as u64)
}

/// A port whose close would wait for its peers longer than any test lasts.
fn patient(file: &tempfile::NamedTempFile, node: u32) -> Port {
    let mut options = Options { node: Some(NodeId(node)), ..Options::new(LinkSpec::SimFile(file.path().to_owned())) };
    (options.timeouts.close_ns, options.timeouts.close_answer_ns) = (3_600_000_000_000, 3_600_000_000_000);
    Port::open(&options, Arc::new(RwLock::new(RegionTable::new([7; 32])))).unwrap()
}

/// One round of a port that nothing goes wrong with; how many messages came.
fn serve(port: &mut Port) -> usize {
    port.begin();
    let mut arrived = 0;
    while let Some(Arrival::Message { frame, .. }) = port.poll_arrival() {
        port.release(frame);
        arrived += 1;
    }
    port.service();
    assert!(port.poll_event().is_none());
    arrived
}

fn send_some(port: &mut Port, conn: ConnId, count: usize) {
    for _ in 0..count {
        let frame = loop {
            match port.reserve(conn, 1) {
                Ok(frame) => break frame,
                Err(_) => assert_eq!(serve(port), 0),
            }
        };
        port.fill(frame).put_bytes(&[0]);
        port.send_am(conn, frame, 0, Part::WHOLE, 1);
    }
}

#[test]
fn a_close_does_not_wait_for_a_peer_that_its_own_thread_serves() {
    let file = fabric("rails = 1");
    let (mut a, mut b) = (patient(&file, 0), patient(&file, 1));
    let a_to_b = a.connect(&b.address()).unwrap();
    while a.engine.info(a_to_b).unwrap().state != ConnState::Open {
        assert_eq!(serve(&mut a) + serve(&mut b), 0);
    }
    send_some(&mut a, a_to_b, 3);
    a.close();
    drop(a);
    let mut arrived = 0;
    while arrived < 3 {
        arrived += serve(&mut b);
    }
    b.close();
}

#[test]
fn a_close_waits_for_a_peer_that_another_thread_serves() {
    const COUNT: usize = 16;
    let file = Arc::new(fabric("rails = 1\nloss = 0.3"));
    let (mut a, of_b) = (patient(&file, 0), Arc::clone(&file));
    let (tell, told) = std::sync::mpsc::channel();
    let peer = std::thread::spawn(move || {
        let mut b = patient(&of_b, 1);
        tell.send(b.address()).unwrap();
        let mut arrived = 0;
        while arrived < COUNT {
            arrived += serve(&mut b);
        }
        b.close();
    });
    let a_to_b = a.connect(&told.recv().unwrap()).unwrap();
    send_some(&mut a, a_to_b, COUNT);
    while a.engine.info(a_to_b).unwrap().state != ConnState::Open {
        serve(&mut a);
    }
    a.close();
    peer.join().unwrap();
}

/// Messages of many lengths arrive once, in order, with the same bytes.
fn messages_arrive(cable: &str) {
    let mut pair = Pair::new(cable);
    let message = |n: usize| -> Vec<u8> { (0..n * 37 % (PAYLOAD_MAX + 1)).map(|byte| (byte + n) as u8).collect() };
    let (mut arrived, mut events) = (Vec::new(), Vec::new());
    let mut sent = 0;
    while arrived.len() < 2000 {
        while sent < 2000 && pair.send((sent % 32) as u8, &message(sent)) {
            sent += 1;
        }
        pair.turn(&mut arrived, &mut events);
    }
    for (n, (id, bytes)) in arrived.iter().enumerate() {
        assert_eq!((usize::from(*id), bytes), (n % 32, &message(n)), "message {n}");
    }
    assert!(events.is_empty(), "{events:?}");
}

#[test]
fn messages_arrive_in_order() {
    messages_arrive("rails = 1");
}

#[test]
fn messages_arrive_in_order_over_rails_that_lose_repeat_and_overtake() {
    messages_arrive("rails = 4\nloss = 0.05\nduplicate = 0.05\nreorder_us = 20\nlatency_us = 2");
}

#[test]
fn a_peer_is_silent_when_it_does_not_acknowledge_messages() {
    let mut pair = Pair::new("rails = 1");
    let (mut arrived, mut events) = (Vec::new(), Vec::new());
    pair.turn(&mut arrived, &mut events);
    while !pair.send(1, b"hello") {
        pair.turn(&mut arrived, &mut events);
    }
    let sent = pair.a.sent_mark(pair.a_to_b);
    // Nobody calls b.
    while !pair.a.is_silent(pair.a_to_b) {
        assert!(!pair.a.is_acknowledged(pair.a_to_b, sent));
        serve(&mut pair.a);
    }
    while !pair.a.is_acknowledged(pair.a_to_b, sent) {
        pair.turn(&mut arrived, &mut events);
    }
    assert!(!pair.a.is_silent(pair.a_to_b), "nothing is under way");
}

/// As a rank that yields its processor in each wait, where others use up their time slices.
#[test]
fn an_owner_that_comes_by_seldom_asks_for_what_was_lost_all_the_same() {
    const ROUNDS: u32 = 20;
    let mut pair = Pair::new("rails = 1");
    let (mut arrived, mut events) = (Vec::new(), Vec::new());
    while pair.a.engine.info(pair.a_to_b).unwrap().state != ConnState::Open {
        pair.turn(&mut arrived, &mut events);
    }
    assert!(pair.send(1, b"hello"));
    // Nobody calls b.
    for _ in 0..ROUNDS {
        std::thread::sleep(std::time::Duration::from_millis(5));
        serve(&mut pair.a);
    }
    let asked = pair.a.totals().probes_sent;
    assert!(asked > 0, "no question in {ROUNDS} rounds of 5 ms");
}

#[test]
fn puts_and_gets_of_any_length_move_the_bytes() {
    for cable in ["rails = 1", "rails = 3\nloss = 0.02\nreorder_us = 20"] {
        let mut pair = Pair::new(cable);
        let mut there: Vec<u64> = vec![0; 200_000];
        let (remote_addr, key) = pair.register(&mut there, Access::ALL);
        let mut source: Vec<u64> = (0..200_000).map(|n| n * 3 + 1).collect();
        let (local_addr, len) = local(&mut source);
        pair.a.admit_operations(pair.a_to_b, 1).unwrap();
        // SAFETY: `source` lives until the event.
        unsafe { pair.a.start_put(pair.a_to_b, Transfer { cookie: 1, local_addr, remote_addr, len, key }) }.unwrap();
        assert_eq!(pair.complete(1), Ok(0));
        assert!(there == source, "the put left other bytes");

        let mut back: Vec<u64> = vec![0; 200_000];
        let (local_addr, len) = local(&mut back);
        // SAFETY: `back` lives until the event, and nobody looks at it before.
        unsafe { pair.a.start_get(pair.a_to_b, Transfer { cookie: 2, local_addr, remote_addr, len, key }) }.unwrap();
        assert_eq!(pair.complete(2), Ok(0));
        assert!(back == source, "the get brought other bytes");
    }
}

#[test]
fn a_put_does_not_overtake_the_get_before_it() {
    // One rail is slow, so that what is sent later arrives earlier.
    let mut pair = Pair::new("rails = 4\nreorder_us = 200\nloss = 0.05");
    let mut there: Vec<u64> = vec![1; 2000];
    let (remote_addr, key) = pair.register(&mut there, Access::ALL);
    for round in 1..50_u64 {
        let mut back: Vec<u64> = vec![0; 2000];
        let mut source: Vec<u64> = vec![round + 1; 2000];
        let ((get_addr, len), (put_addr, _)) = (local(&mut back), local(&mut source));
        let get = Transfer { cookie: 1, local_addr: get_addr, remote_addr, len, key };
        let put = Transfer { cookie: 2, local_addr: put_addr, remote_addr, len, key };
        // SAFETY: both live until their events.
        unsafe { pair.a.start_get(pair.a_to_b, get) }.unwrap();
        // SAFETY: both live until their events.
        unsafe { pair.a.start_put(pair.a_to_b, put) }.unwrap();
        assert_eq!((pair.complete(1), pair.complete(2)), (Ok(0), Ok(0)));
        assert!(back == vec![round; 2000], "round {round}: the get saw the put after it");
        assert!(there == source);
    }
}

#[test]
fn a_bad_key_or_range_fails_the_operation_and_touches_nothing() {
    let mut pair = Pair::new("rails = 1");
    let mut there = vec![5; 8];
    let (remote_addr, key) = pair.register(&mut there, Access::ALL);
    let mut source = vec![9; 8];
    let (local_addr, len) = local(&mut source);
    for (cookie, remote_addr, key) in
        [(1, remote_addr, key ^ 1 << 40), (2, remote_addr + 8, key), (3, remote_addr - 8, key)]
    {
        // SAFETY: `source` lives until the event.
        unsafe { pair.a.start_put(pair.a_to_b, Transfer { cookie, local_addr, remote_addr, len, key }) }.unwrap();
        assert!(matches!(pair.complete(cookie), Err(OpFailure::Remote(_))));
    }
    pair.regions.write().unwrap().remove(key);
    // SAFETY: `source` lives until the event.
    unsafe { pair.a.start_get(pair.a_to_b, Transfer { cookie: 4, local_addr, remote_addr, len, key }) }.unwrap();
    assert!(matches!(pair.complete(4), Err(OpFailure::Remote(_))));
    assert_eq!((there, source), (vec![5; 8], vec![9; 8]));
}

#[test]
fn atomics_are_applied_once_though_frames_are_lost_and_repeated() {
    let mut pair = Pair::new("rails = 2\nloss = 0.1\nduplicate = 0.1");
    let mut there = vec![0; 1];
    let (remote_addr, key) = pair.register(&mut there, Access::ALL);
    let add = Atomic {
        cookie: 0,
        remote_addr,
        key,
        code: AtomicOp::Add,
        width: AtomicWidth::Bits64,
        operand: 1,
        compare: 0,
        fetch: true,
    };
    for n in 0..300 {
        pair.a.start_atomic(pair.a_to_b, Atomic { cookie: n, ..add }).unwrap();
        assert_eq!(pair.complete(n), Ok(n), "the old value counts the additions before");
    }
    assert_eq!(there, [300]);
}

#[test]
fn other_threads_see_the_connection_and_its_traffic_while_the_port_is_open_and_afterwards() {
    let mut pair = Pair::new("rails = 1");
    assert!(pair.send(1, b"hello"));
    let (mut arrived, mut events) = (Vec::new(), Vec::new());
    while arrived.is_empty() {
        pair.turn(&mut arrived, &mut events);
    }
    let totals = pair.a.totals();
    assert_eq!((totals.frames_sent, totals.bytes_sent), (1, 5));
    pair.a.publish_at_ns = 0;
    pair.a.service_now();
    let (observer, peer) = (pair.a.observer(), pair.b.address().address);
    drop(pair);
    let seen = std::thread::spawn(move || (observer.connections(), observer.counters())).join().unwrap();
    let [shown] = seen.0.try_into().unwrap();
    assert_eq!((shown.state, shown.tx_frames, shown.tx_bytes, shown.peer), (ConnectionState::Ready, 1, 5, peer));
    assert!(seen.1.rails.iter().any(|(_, rail)| rail.tx_frames > 0), "{:?}", seen.1);
}
