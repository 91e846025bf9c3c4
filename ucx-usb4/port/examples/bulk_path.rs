//! Gets of one mebibyte between two ports of one process, as UCX's rendezvous uses them: for instruction counts (`cargo xtask perf`) and
//! profilers; `bulk_path [GETS]`. Prints the frames that one get takes.

use std::sync::{Arc, RwLock};

use usb4_engine::{Access, ConnId, RegionTable, Transfer};
use usb4_link::LinkSpec;
use usb4_port::{Event, Port};

mod common;

const BYTES: usize = 1 << 20;

/// The side that has the bytes: from a frame that is wanted to the frame on its ring.
#[inline(never)]
fn source(port: &mut Port) {
    turn(port);
}

/// The side that wants them: from a frame on its ring to its bytes in place.
#[inline(never)]
fn sink(port: &mut Port) -> bool {
    turn(port)
}

/// A round of progress; true when a get is complete.
#[inline]
fn turn(port: &mut Port) -> bool {
    port.begin();
    assert!(port.poll_arrival().is_none(), "nobody sends messages");
    port.service();
    let mut complete = false;
    while let Some(event) = port.poll_event() {
        let Event::Completed { result, .. } = event else { panic!("{event:?}") };
        result.expect("nothing goes wrong here");
        complete = true;
    }
    complete
}

fn rounds(a: &mut Port, b: &mut Port, to_b: ConnId, transfer: Transfer, gets: usize) {
    for _ in 0..gets {
        a.admit_operations(to_b, 1).expect("one is under way");
        // SAFETY: the bytes live until `main` returns, and nobody looks at them before.
        unsafe { a.start_get(to_b, transfer) }.expect("the connection is open");
        while !sink(a) {
            source(b);
        }
    }
}

/// What is counted.
#[inline(never)]
fn exchange(a: &mut Port, b: &mut Port, to_b: ConnId, transfer: Transfer, gets: usize) {
    rounds(a, b, to_b, transfer, gets);
}

fn frames_sent(port: &Port) -> u64 {
    port.counters().rails.iter().map(|(_, rail)| rail.tx_frames).sum()
}

fn main() {
    let gets = std::env::args().nth(1).map_or(100, |text| text.parse().expect("a number"));
    let links: LinkSpec = "sim:ideal".parse().expect("a profile");
    let regions = Arc::new(RwLock::new(RegionTable::new([7; 32])));
    let mut a = common::open(0, &links, Arc::new(RwLock::new(RegionTable::new([8; 32]))));
    let mut b = common::open(1, &links, Arc::clone(&regions));
    let to_b = a.connect(&b.address()).expect("a cable");
    let (mut here, there) = (vec![0_u8; BYTES], vec![1_u8; BYTES]);
    let remote_addr = there.as_ptr().expose_provenance() as u64;
    let key = regions.write().expect("one thread").insert(remote_addr, BYTES as u64, Access::ALL).expect("room");
    let local_addr = here.as_mut_ptr().expose_provenance() as u64;
    let transfer = Transfer { cookie: 1, local_addr, remote_addr, len: BYTES as u64, key };
    rounds(&mut a, &mut b, to_b, transfer, 20);
    let before = frames_sent(&b);
    let start = std::time::Instant::now();
    exchange(&mut a, &mut b, to_b, transfer, gets);
    let elapsed = start.elapsed();
    assert!(here == there, "the get brought other bytes");
    eprintln!("{:.0} MB/s", (gets * BYTES) as f64 / 1e6 / elapsed.as_secs_f64());
    println!("{}", (frames_sent(&b) - before) / gets as u64);
}
