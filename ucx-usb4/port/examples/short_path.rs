//! Eight-byte (or longer) messages there and back between two ports of one process: what the layers above UCX's interface have no
//! part in. For instruction counts (`cargo xtask perf`) and profilers; `short_path [MESSAGES [BYTES]]`.

use std::sync::{Arc, RwLock};

use usb4_engine::{ConnId, RegionTable};
use usb4_link::LinkSpec;
use usb4_port::{Arrival, Attended, Part, Port};

mod common;

/// From the call that sends to the frame on its ring.
#[inline(never)]
fn send(port: &Attended, conn: ConnId, bytes: &[u8]) {
    let inside = port.enter();
    let mut port = inside.port();
    let frame = port.reserve(conn, 1).expect("one message is under way");
    port.fill(frame).put_bytes(bytes);
    port.send_am(conn, frame, 1, Part::WHOLE, bytes.len());
}

/// From a frame on its ring to the return of the progress that delivers it. The bytes are not looked at.
#[inline(never)]
fn receive(port: &Attended) -> usize {
    let inside = port.enter();
    port.note_round();
    let mut port = inside.port();
    port.begin();
    let Some(Arrival::Message { length, frame, .. }) = port.poll_arrival() else { return 0 };
    port.release(frame);
    // As the interface does.
    if !port.can_rest() {
        serve(&mut port);
    }
    length
}

/// What the next round does, while this side waits for the answer.
#[inline(never)]
fn settle(port: &Attended) {
    let inside = port.enter();
    port.note_round();
    serve(&mut inside.port());
}

fn serve(port: &mut Port) {
    port.begin();
    assert!(port.poll_arrival().is_none());
    port.service();
    while port.poll_event().is_some() {}
}

fn rounds(a: &Attended, b: &Attended, to_b: ConnId, to_a: ConnId, messages: usize, bytes: &[u8]) -> usize {
    let mut received = 0;
    for _ in 0..messages / 2 {
        send(a, to_b, bytes);
        settle(a);
        received += receive(b);
        send(b, to_a, bytes);
        settle(b);
        received += receive(a);
    }
    received
}

/// What is counted.
#[inline(never)]
fn exchange(a: &Attended, b: &Attended, to_b: ConnId, to_a: ConnId, messages: usize, bytes: &[u8]) -> usize {
    rounds(a, b, to_b, to_a, messages, bytes)
}

fn main() {
    let argument = |n, default| std::env::args().nth(n).map_or(default, |text| text.parse().expect("a number"));
    let (messages, length) = (argument(1, 10_000), argument(2, 8));
    let links: LinkSpec = "sim:ideal".parse().expect("a profile");
    let open = |node| common::open(node, &links, Arc::new(RwLock::new(RegionTable::new([7; 32]))));
    let (mut a, mut b) = (open(0), open(1));
    let to_b = a.connect(&b.address()).expect("a cable");
    let to_a = b.connect(&a.address()).expect("a cable");
    // As the interface has them. Nobody is away here, and an attendant's look now and then would be counted.
    let (a, b) = (&Attended::new(a).unwrap(), &Attended::new(b).unwrap());
    for _ in 0..1000 {
        settle(a);
        settle(b);
    }
    let bytes = vec![1; length];
    rounds(a, b, to_b, to_a, 2000, &bytes);
    let start = std::time::Instant::now();
    let received = exchange(a, b, to_b, to_a, messages, &bytes);
    let elapsed = start.elapsed();
    assert_eq!(received, messages / 2 * 2 * length);
    println!("{messages} messages of {length} bytes: {:.1} ns each", elapsed.as_secs_f64() * 1e9 / messages as f64);
}
