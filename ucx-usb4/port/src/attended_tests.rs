//! Ports whose owners are away: peers must not notice, and the owners must find what happened.

use std::os::fd::BorrowedFd;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};

use usb4_engine::{Access, Atomic, Transfer};
use usb4_wire::extension::{AtomicOp, AtomicWidth};

use super::*;
use crate::presence;
use crate::tests::{fabric, open, regions, try_send, turn};

const ABSENCE: Duration = Duration::from_micros(200);
const CABLES: [&str; 2] = ["rails = 1", "rails = 2\nloss = 0.01\nreorder_us = 20"];
const ADD: Atomic = Atomic {
    cookie: 0,
    remote_addr: 0,
    key: 0,
    code: AtomicOp::Add,
    width: AtomicWidth::Bits64,
    operand: 1,
    compare: 0,
    fetch: true,
};

/// A peer that is called all the time, and a target that nobody calls unless a test does.
struct Pair {
    peer: Port,
    target: Attended,
    to_target: ConnId,
    regions: Regions,
    _file: tempfile::NamedTempFile,
}

impl Pair {
    fn new(cable: &str) -> Self {
        let file = fabric(cable);
        let regions = regions();
        let mut peer = open(&file, 0, &regions);
        let mut target = Attended::new(open(&file, 1, &regions)).unwrap();
        let address = target.enter().port().address();
        let to_target = peer.connect(&address).unwrap();
        target.start(ABSENCE).unwrap();
        Self { peer, target, to_target, regions, _file: file }
    }

    fn register(&self, memory: &mut [u64]) -> (u64, u64) {
        let start = memory.as_mut_ptr().expose_provenance() as u64;
        (start, self.regions.write().unwrap().insert(start, size_of_val(memory) as u64, Access::ALL).unwrap())
    }

    /// Runs one operation of the peer to its end.
    fn complete(&mut self) -> u64 {
        complete(&mut self.peer)
    }

    fn send(&mut self, id: u8, bytes: &[u8]) {
        send(&mut self.peer, self.to_target, id, bytes);
    }

    fn wait_for_acknowledgement(&mut self) {
        let mark = self.peer.sent_mark(self.to_target);
        self.peer.request_ack(self.to_target);
        while !self.peer.is_acknowledged(self.to_target, mark) {
            turn(&mut self.peer, &mut Vec::new());
        }
    }
}

fn complete(port: &mut Port) -> u64 {
    loop {
        turn(port, &mut Vec::new());
        match port.poll_event() {
            Some(Event::Completed { result, .. }) => return result.unwrap(),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
    }
}

fn send(port: &mut Port, conn: ConnId, id: u8, bytes: &[u8]) {
    while !try_send(port, conn, id, bytes) {
        turn(port, &mut Vec::new());
    }
}

fn message(n: usize) -> Vec<u8> {
    (0..n * 37 % (PAYLOAD_MAX + 1)).map(|byte| (byte + n) as u8).collect()
}

fn local(memory: &mut [u64]) -> (u64, u64) {
    (memory.as_mut_ptr().expose_provenance() as u64, size_of_val(memory) as u64)
}

/// Puts, gets and adds; the target's memory afterwards is what was put.
fn operate(peer: &mut Port, conn: ConnId, there: &mut [u64], key: u64, round: u64) {
    let remote_addr = there.as_mut_ptr().expose_provenance() as u64;
    let words = there.len();
    let mut source: Vec<u64> = (0..words as u64).map(|n| n * 3 + round).collect();
    let (local_addr, len) = local(&mut source);
    // SAFETY: `source` lives until the event.
    unsafe { peer.start_put(conn, Transfer { cookie: 1, local_addr, remote_addr, len, key }) }.unwrap();
    complete(peer);
    for n in 0..20 {
        peer.start_atomic(conn, Atomic { remote_addr, key, ..ADD }).unwrap();
        assert_eq!(complete(peer), round + n, "the old value counts the additions before");
    }
    let mut back = vec![0_u64; words];
    let (local_addr, len) = local(&mut back);
    // SAFETY: `back` lives until the event, and nobody looks at it before.
    unsafe { peer.start_get(conn, Transfer { cookie: 2, local_addr, remote_addr, len, key }) }.unwrap();
    complete(peer);
    source[0] += 20;
    assert!(back == source, "the get brought other bytes");
}

#[test]
fn a_target_that_nobody_calls_serves_puts_gets_and_atomics() {
    for cable in CABLES {
        let mut pair = Pair::new(cable);
        // Several MiB.
        let mut there = vec![0; 600_000];
        let (_, key) = pair.register(&mut there);
        for round in 1..4 {
            operate(&mut pair.peer, pair.to_target, &mut there, key, round);
        }
    }
}

#[test]
fn what_came_meanwhile_is_there_when_the_owner_returns_once_and_in_order() {
    for cable in CABLES {
        let mut pair = Pair::new(cable);
        for n in 0..700 {
            pair.send((n % 32) as u8, &message(n));
        }
        pair.wait_for_acknowledgement();
        let inside = pair.target.enter();
        let mut arrived = Vec::new();
        turn(&mut inside.port(), &mut arrived);
        assert_eq!(arrived.len(), 700, "one round of progress finds all");
        for (n, (id, bytes)) in arrived.iter().enumerate() {
            assert_eq!((usize::from(*id), bytes), (n % 32, &message(n)), "message {n}");
        }
        drop(inside);
        pair.send(1, b"more");
        let mut later = Vec::new();
        while later.is_empty() {
            turn(&mut pair.target.enter().port(), &mut later);
            turn(&mut pair.peer, &mut Vec::new());
        }
        assert_eq!(later, [(1, b"more".to_vec())]);
    }
}

/// The owner takes one message while it looks at another, as UCX's handlers may.
#[test]
fn kept_messages_may_be_taken_one_inside_the_other() {
    let mut pair = Pair::new(CABLES[0]);
    pair.send(1, b"outer");
    pair.send(2, b"inner");
    pair.wait_for_acknowledgement();
    let inside = pair.target.enter();
    let mut port = inside.port();
    let take = |port: &mut Port| match port.poll_arrival() {
        Some(Arrival::Message { payload, length, frame, .. }) => (payload, length, frame),
        None => panic!("two messages were kept"),
    };
    let outer = take(&mut port);
    let inner = take(&mut port);
    let bytes = |(payload, length, _): (*const u8, usize, Parcel)| {
        // SAFETY: readable until it is released.
        unsafe { std::slice::from_raw_parts(payload, length) }
    };
    assert_eq!(bytes(inner), b"inner");
    port.release(inner.2);
    assert_eq!(bytes(outer), b"outer");
    port.release(outer.2);
}

#[test]
fn more_than_is_kept_waits_for_the_owner() {
    let mut pair = Pair::new(CABLES[0]);
    let bytes = vec![7; PAYLOAD_MAX];
    // As many as fit, and then until the window is used up.
    let fit = kept::BYTES_MAX.div_ceil(PAYLOAD_MAX + kept::OVERHEAD);
    let (mut sent, mut mark) = (0_usize, u64::MAX);
    loop {
        match pair.peer.reserve(pair.to_target, 1) {
            Ok(frame) => {
                pair.peer.fill(frame).put_bytes(&bytes);
                pair.peer.send_am(pair.to_target, frame, (sent % 32) as u8, Part::WHOLE, bytes.len());
                sent += 1;
            }
            Err(_) if pair.peer.is_acknowledged(pair.to_target, mark) => break,
            Err(_) => {}
        }
        if sent == fit {
            mark = pair.peer.sent_mark(pair.to_target);
        }
        turn(&mut pair.peer, &mut Vec::new());
    }
    assert!(pair.target.enter().port().kept.bytes() < kept::BYTES_MAX + 2 * PAYLOAD_MAX);
    let mut arrived = Vec::new();
    while arrived.len() < sent {
        turn(&mut pair.target.enter().port(), &mut arrived);
        turn(&mut pair.peer, &mut Vec::new());
    }
    assert!(arrived.iter().enumerate().all(|(n, (id, _))| usize::from(*id) == n % 32));
}

#[test]
fn owner_and_attendant_take_turns() {
    const ROUNDS: u64 = 60;
    for cable in CABLES {
        let pair = Pair::new(cable);
        let mut there = vec![0; 2000];
        let (_, key) = pair.register(&mut there);
        let Pair { mut peer, target, to_target, regions: _regions, _file } = pair;
        let done = AtomicBool::new(false);
        let mut back = Vec::new();
        let arrived = std::thread::scope(|scope| {
            let owner = scope.spawn(|| {
                let target = target;
                let mut arrived = Vec::new();
                let (mut round, mut answered, mut conn) = (0_u64, 0, None);
                while !done.load(Acquire) || answered < arrived.len() {
                    let inside = target.enter();
                    target.note_round();
                    // A call from inside, as from a handler.
                    turn(&mut target.enter().port(), &mut arrived);
                    let mut port = inside.port();
                    conn = conn.or_else(|| port.connections().first().copied());
                    // Each message is answered.
                    while let Some(conn) = conn
                        && answered < arrived.len()
                        && let Ok(frame) = port.reserve(conn, 1)
                    {
                        port.fill(frame).put_bytes(&arrived[answered].1);
                        port.send_am(conn, frame, 1, Part::WHOLE, arrived[answered].1.len());
                        answered += 1;
                    }
                    drop(port);
                    drop(inside);
                    // Away now and then, for none to some of the attendant's looks.
                    round += 1;
                    if round.is_multiple_of(7) {
                        std::thread::sleep(ABSENCE * (round % 4) as u32);
                    }
                }
                (target, arrived)
            });
            for round in 0..ROUNDS {
                for n in 0..20 {
                    let message = message((round * 20 + n) as usize);
                    let frame = loop {
                        match peer.reserve(to_target, 1) {
                            Ok(frame) => break frame,
                            Err(_) => turn(&mut peer, &mut back),
                        }
                    };
                    peer.fill(frame).put_bytes(&message);
                    peer.send_am(to_target, frame, 1, Part::WHOLE, message.len());
                }
                let mut came = Vec::new();
                operate_while(&mut peer, to_target, &mut there, key, round, &mut came);
                back.extend(came);
            }
            while back.len() < ROUNDS as usize * 20 {
                turn(&mut peer, &mut back);
            }
            done.store(true, Release);
            // The last acknowledgements.
            let (target, arrived) = owner.join().unwrap();
            drop(target);
            arrived
        });
        for (n, (came, answer)) in arrived.iter().zip(&back).enumerate() {
            assert_eq!(came.1, message(n), "message {n}");
            assert_eq!(answer.1, message(n), "answer {n}");
        }
        assert_eq!((arrived.len(), back.len()), (ROUNDS as usize * 20, ROUNDS as usize * 20));
    }
}

/// One put, one addition and one get, while messages come.
fn operate_while(
    peer: &mut Port,
    conn: ConnId,
    there: &mut [u64],
    key: u64,
    round: u64,
    came: &mut Vec<(u16, Vec<u8>)>,
) {
    let remote_addr = there.as_mut_ptr().expose_provenance() as u64;
    let mut source = vec![round; there.len()];
    let mut back = vec![0_u64; there.len()];
    let ((from, len), (to, _)) = (local(&mut source), local(&mut back));
    let mut wait = |peer: &mut Port| loop {
        turn(peer, came);
        if let Some(Event::Completed { result, .. }) = peer.poll_event() {
            return result.unwrap();
        }
    };
    // SAFETY: `source` lives until the event.
    unsafe { peer.start_put(conn, Transfer { cookie: 1, local_addr: from, remote_addr, len, key }) }.unwrap();
    wait(peer);
    peer.start_atomic(conn, Atomic { remote_addr, key, ..ADD }).unwrap();
    assert_eq!(wait(peer), round);
    // SAFETY: `back` lives until the event, and nobody looks at it before.
    unsafe { peer.start_get(conn, Transfer { cookie: 2, local_addr: to, remote_addr, len, key }) }.unwrap();
    wait(peer);
    source[0] += 1;
    assert!(back == source, "round {round}");
}

#[test]
fn an_owner_that_sleeps_is_woken_and_one_that_does_not_come_is_replaced() {
    let mut pair = Pair::new(CABLES[0]);
    pair.send(1, b"first");
    pair.wait_for_acknowledgement();
    let mut arrived = Vec::new();
    let fd = pair.target.enter().port().event_fd();
    while !pair.target.enter().port().arm(None) {
        let inside = pair.target.enter();
        turn(&mut inside.port(), &mut arrived);
        while inside.port().poll_event().is_some() {}
    }
    assert_eq!(arrived.len(), 1);
    // The owner has armed and does something else: whoever waits for an atomic operation gets it all the same.
    let mut there = vec![0; 1];
    let (remote_addr, key) = pair.register(&mut there);
    for n in 0..3 {
        pair.peer.start_atomic(pair.to_target, Atomic { remote_addr, key, ..ADD }).unwrap();
        assert_eq!(pair.complete(), n);
    }
    pair.send(2, b"second");
    pair.wait_for_acknowledgement();
    // And what came for the owner is told it when it looks.
    // SAFETY: the port lives.
    let event = unsafe { BorrowedFd::borrow_raw(fd) };
    assert_eq!(poll(&mut [PollFd::new(&event, PollFlags::IN)], None), Ok(1));
    turn(&mut pair.target.enter().port(), &mut arrived);
    assert_eq!(arrived.pop(), Some((2, b"second".to_vec())));
}

#[test]
fn the_attendant_can_be_stopped_in_the_midst() {
    let mut pair = Pair::new(CABLES[1]);
    let mut there: Vec<u64> = (0..1_000_000).collect();
    let (remote_addr, key) = pair.register(&mut there);
    let mut back = vec![0_u64; there.len()];
    let (local_addr, len) = local(&mut back);
    // SAFETY: `back` lives until the event, and nobody looks at it before.
    unsafe { pair.peer.start_get(pair.to_target, Transfer { cookie: 1, local_addr, remote_addr, len, key }) }.unwrap();
    while pair.peer.totals().bytes_received < len / 4 {
        turn(&mut pair.peer, &mut Vec::new());
    }
    pair.target.stop();
    // Nobody else is left to serve it.
    loop {
        turn(&mut pair.target.enter().port(), &mut Vec::new());
        turn(&mut pair.peer, &mut Vec::new());
        if let Some(Event::Completed { result, .. }) = pair.peer.poll_event() {
            assert_eq!(result, Ok(0));
            break;
        }
    }
    assert!(back == there);
}

#[test]
fn a_peer_that_goes_meanwhile_is_reported_to_the_owner() {
    let mut pair = Pair::new(CABLES[0]);
    pair.send(1, b"last words");
    pair.wait_for_acknowledgement();
    drop(pair.peer);
    let is_noticed = |target: &Attended| target.enter().port().engine.has_events();
    // The owner looks, but it makes no progress.
    while !is_noticed(&pair.target) {
        std::thread::sleep(ABSENCE);
    }
    let inside = pair.target.enter();
    let mut port = inside.port();
    let mut arrived = Vec::new();
    turn(&mut port, &mut arrived);
    assert_eq!(arrived, [(1, b"last words".to_vec())]);
    while !matches!(port.poll_event(), Some(Event::Failed { .. })) {
        turn(&mut port, &mut arrived);
    }
}

/// Everything that a child can do with its copy of the port, while its parent's attendant was in there.
#[test]
fn a_forked_child_reaches_nobody_and_takes_nothing_from_its_parent() {
    let mut pair = Pair::new(CABLES[0]);
    pair.send(1, b"kept");
    pair.wait_for_acknowledgement();
    let (peer, event_fd) = (pair.peer.address(), pair.target.enter().port().event_fd());
    let to_peer = pair.target.enter().port().connections()[0];
    // The attendant is in the port at this moment, and finds no more than it has.
    let shared = Arc::clone(&pair.target.shared);
    let pass = loop {
        if let Some(pass) = shared.presence.claim(presence::heavy_barrier) {
            break pass;
        }
    };
    // SAFETY: the pass is held until the borrow has ended.
    let used = unsafe { shared.port() };
    pair.send(2, b"in the ring");
    let child = fork(|| {
        let inside = pair.target.enter();
        let mut port = inside.port();
        let mut arrived = Vec::new();
        turn(&mut port, &mut arrived);
        let is_refused = matches!(port.reserve(to_peer, 1), Err(usb4_engine::Refused::Failed(_)));
        let is_alone = port.connect(&peer).is_err() && port.connections().is_empty();
        let is_asleep = port.arm(None) && port.event_fd() == event_fd;
        port.close();
        drop(port);
        drop(inside);
        drop(pair.target.enter());
        pair.target.stop();
        is_refused && is_alone && is_asleep && arrived.is_empty()
    });
    // The parent goes on when the child has done all this.
    assert!(child.succeeds());
    drop(used);
    drop(pass);
    let mut arrived = Vec::new();
    while arrived.len() < 2 {
        turn(&mut pair.target.enter().port(), &mut arrived);
        turn(&mut pair.peer, &mut Vec::new());
    }
    assert_eq!(arrived, [(1, b"kept".to_vec()), (2, b"in the ring".to_vec())]);
    pair.send(3, b"later");
    pair.wait_for_acknowledgement();
}

/// As `system(3)` and Python's `subprocess` do.
#[test]
fn children_that_come_and_go_while_messages_flow_change_nothing() {
    const MESSAGES: usize = 3000;
    const CHILDREN: usize = 20;
    let pair = Pair::new(CABLES[1]);
    let Pair { mut peer, target, to_target, .. } = pair;
    let mut arrived = Vec::new();
    std::thread::scope(|scope| {
        let sender = scope.spawn(move || {
            for n in 0..MESSAGES {
                send(&mut peer, to_target, (n % 32) as u8, &message(n));
            }
            let mark = peer.sent_mark(to_target);
            while !peer.is_acknowledged(to_target, mark) {
                turn(&mut peer, &mut Vec::new());
            }
        });
        for n in 0..CHILDREN {
            if n % 2 == 0 {
                assert!(std::process::Command::new("true").status().unwrap().success());
            } else {
                assert!(fork(|| true).succeeds());
            }
            turn(&mut target.enter().port(), &mut arrived);
        }
        while arrived.len() < MESSAGES {
            turn(&mut target.enter().port(), &mut arrived);
        }
        while !sender.is_finished() {
            turn(&mut target.enter().port(), &mut arrived);
        }
    });
    assert!(arrived.iter().enumerate().all(|(n, (id, bytes))| usize::from(*id) == n % 32 && *bytes == message(n)));
    assert_eq!(arrived.len(), MESSAGES);
}

struct Forked(libc::pid_t);

/// Does this in a forked child, which ends without running anything else of the test's, and soon if it hangs.
fn fork(work: impl FnOnce() -> bool) -> Forked {
    const HANG_GUARD_S: u32 = 20;
    // SAFETY: the child calls only what the port's own calls do.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // SAFETY: ends the child if it hangs.
        unsafe { libc::alarm(HANG_GUARD_S) };
        let code = if work() { 7 } else { 8 };
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) };
    }
    Forked(child)
}

impl Forked {
    fn succeeds(self) -> bool {
        let mut status = 0;
        // SAFETY: a child of this process, and where its status goes.
        assert_eq!(unsafe { libc::waitpid(self.0, &raw mut status, 0) }, self.0);
        libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 7
    }
}

/// A process of its own, since it must not survive.
#[test]
fn a_panic_of_the_attendant_ends_the_program() {
    const CHILD: &str = "USB4_TEST_ATTENDANT_PANICS";
    if std::env::var_os(CHILD).is_some() {
        let pair = Pair::new(CABLES[0]);
        // The attendant finds the port in use although nobody is inside.
        std::mem::forget(pair.target.enter().port());
        loop {
            std::thread::park();
        }
    }
    let name = "attended_tests::a_panic_of_the_attendant_ends_the_program";
    let program = std::env::current_exe().unwrap();
    let child = std::process::Command::new(program).args(["--exact", name]).env(CHILD, "1").output().unwrap();
    assert_eq!(child.status.signal(), Some(libc::SIGABRT), "{child:?}");
}
