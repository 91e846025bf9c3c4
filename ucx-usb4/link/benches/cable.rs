//! What the simulated cable costs: `cargo bench -p usb4-link`.
//!
//! Compare figures of one run only. `short path` is one frame of 8 bytes out and in on one processor, so it is the
//! software alone; `ping-pong` adds two transfers of a cache line between processors; `stream` moves 4056-byte payloads,
//! one copy in and one out, beside the same two copies alone (`two copies`), which is its limit.

#![allow(missing_docs)]

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use usb4_link::sim::Profile;
use usb4_link::{Address, Carrier, Channel, HEADER_LEN, LinkSpec, NodeId, OpenOptions, PAYLOAD_MAX, RailId, Reaped};

const RAIL: RailId = RailId::new(0).unwrap();
const HEADER: [u8; HEADER_LEN] = [7; HEADER_LEN];

fn open(folder: &tempfile::TempDir, node: u32) -> Channel {
    let options = OpenOptions {
        node: Some(NodeId(node)),
        shm: Some(folder.path().to_owned()),
        ..OpenOptions::new(LinkSpec::SimProfile(Profile::Ideal))
    };
    options.open().unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("usb4-link-bench-").tempdir_in("/dev/shm").unwrap()
}

#[inline]
fn send(channel: &mut Channel, rail: RailId, dst: Address, payload: &[u8]) -> bool {
    let Some(frame) = channel.alloc() else { return false };
    // SAFETY: the payload is at most PAYLOAD_MAX bytes long, which the frame has room for.
    unsafe { std::ptr::copy_nonoverlapping(payload.as_ptr(), channel.payload_mut(frame), payload.len()) };
    let sent = channel.submit(0, rail, dst, &HEADER, frame, payload.len()).is_ok();
    // Nobody here acknowledges: the pool is far larger than what is under way.
    channel.free(frame);
    sent
}

#[inline]
fn take(channel: &mut Channel, out: &mut [u8]) -> Option<Reaped> {
    let reaped = channel.reap(0)?;
    let len = reaped.frame.payload_len();
    // SAFETY: the payload is that long, and `out` has room for the longest.
    unsafe { std::ptr::copy_nonoverlapping(channel.payload(reaped.frame), out.as_mut_ptr(), len) };
    channel.release(reaped.frame);
    Some(reaped)
}

/// A peer on node 1 that runs `serve` until it is told to stop.
struct Peer {
    address: Address,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Peer {
    fn start(folder: &tempfile::TempDir, mut serve: impl FnMut(&mut Channel) + Send + 'static) -> Peer {
        let mut channel = open(folder, 1);
        let (address, stop) = (channel.address(), Arc::new(AtomicBool::new(false)));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..1000 {
                    serve(&mut channel);
                }
            }
        });
        Peer { address, stop, thread: Some(thread) }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

fn short_path(c: &mut Criterion) {
    let folder = folder();
    let mut channel = open(&folder, 0);
    let own = channel.address();
    let mut out = [0; PAYLOAD_MAX];
    send(&mut channel, RailId::LOOPBACK, own, &[1; 8]);
    while take(&mut channel, &mut out).is_none() {}
    c.bench_function("short path: 8 B out and in on one processor", |b| {
        b.iter(|| {
            send(&mut channel, RailId::LOOPBACK, own, black_box(&[1; 8]));
            take(&mut channel, &mut out).unwrap()
        });
    });
    c.bench_function("idle reap", |b| b.iter(|| channel.reap(black_box(0)).is_none()));
    c.bench_function("clock", |b| b.iter(|| channel.now_ns()));
}

fn ping_pong(c: &mut Criterion) {
    let folder = folder();
    let mut channel = open(&folder, 0);
    let own = channel.address();
    let peer = Peer::start(&folder, move |channel| {
        let mut out = [0; 64];
        if take(channel, &mut out).is_some() {
            send(channel, RAIL, own, &out[..8]);
        }
    });
    let mut out = [0; 64];
    c.bench_function("ping-pong: 8 B there and back", |b| {
        b.iter(|| {
            send(&mut channel, RAIL, peer.address, black_box(&[1; 8]));
            while take(&mut channel, &mut out).is_none() {}
        });
    });
    let flag = Arc::new([const { AtomicBool::new(false) }; 256]);
    let (ours, theirs) = (Arc::clone(&flag), Arc::clone(&flag));
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let thread = thread::spawn(move || {
        while !stopped.load(Ordering::Relaxed) {
            if theirs[0].swap(false, Ordering::AcqRel) {
                theirs[128].store(true, Ordering::Release);
            }
        }
    });
    c.bench_function("limit: a flag there and back", |b| {
        b.iter(|| {
            ours[0].store(true, Ordering::Release);
            while !ours[128].load(Ordering::Acquire) {
                std::hint::spin_loop();
            }
            ours[128].store(false, Ordering::Relaxed);
        });
    });
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

/// The receiver's count, if there is one, or when it must come.
fn acknowledgement(channel: &mut Channel, wait: bool) -> Option<u64> {
    loop {
        if let Some(reaped) = channel.reap(0) {
            let mut words = [0; 64];
            channel.copy_control(reaped.frame, 8, &mut words);
            channel.release(reaped.frame);
            return words.first_chunk().map(|word| u64::from_ne_bytes(*word));
        }
        if !wait {
            return None;
        }
    }
}

fn stream(c: &mut Criterion) {
    let folder = folder();
    let mut channel = open(&folder, 0);
    let own = channel.address();
    // The receiver acknowledges every 32 frames with 8 bytes, as an engine would.
    let (mut buffer, mut place, mut received) = (vec![0; 1 << 20], 0, 0_u64);
    let peer = Peer::start(&folder, move |channel| {
        if place + PAYLOAD_MAX > buffer.len() {
            place = 0;
        }
        if take(channel, &mut buffer[place..]).is_some() {
            place += PAYLOAD_MAX;
            received += 1;
            if received.is_multiple_of(32) {
                send(channel, RAIL, own, &received.to_ne_bytes());
            }
        }
    });
    let source = vec![1_u8; 1 << 20];
    let (mut place, mut sent, mut acknowledged) = (0, 0_u64, 0_u64);
    let mut under_way = std::collections::VecDeque::new();
    let mut group = c.benchmark_group("4056 B payloads");
    group.throughput(Throughput::Bytes(32 * PAYLOAD_MAX as u64));
    group.bench_function("stream of 32 frames", |b| {
        b.iter(|| {
            for _ in 0..32 {
                if place + PAYLOAD_MAX > source.len() {
                    place = 0;
                }
                let frame = channel.alloc().unwrap();
                // SAFETY: the frame has room for PAYLOAD_MAX bytes.
                unsafe {
                    std::ptr::copy_nonoverlapping(source[place..].as_ptr(), channel.payload_mut(frame), PAYLOAD_MAX)
                };
                channel.submit(0, RAIL, peer.address, &HEADER, frame, PAYLOAD_MAX).unwrap();
                under_way.push_back(frame);
                place += PAYLOAD_MAX;
                sent += 1;
            }
            while let Some(word) = acknowledgement(&mut channel, sent - acknowledged > 128) {
                acknowledged = word;
                while under_way.len() as u64 > sent - acknowledged {
                    under_way.pop_front().into_iter().for_each(|frame| channel.free(frame));
                }
            }
        });
    });
    drop(peer);
    let (mut through, mut target) = (vec![0_u8; 128 * 4096], vec![0_u8; 1 << 20]);
    let (mut place, mut frame) = (0, 0);
    group.bench_function("two copies of 32 frames on one processor", |b| {
        b.iter(|| {
            for _ in 0..32 {
                if place + PAYLOAD_MAX > source.len() {
                    place = 0;
                }
                let middle = &mut through[frame * 4096..frame * 4096 + PAYLOAD_MAX];
                middle.copy_from_slice(&source[place..place + PAYLOAD_MAX]);
                target[place..place + PAYLOAD_MAX].copy_from_slice(black_box(middle));
                place += PAYLOAD_MAX;
                frame = (frame + 1) % 128;
            }
        });
    });
    group.finish();
}

criterion_group!(benches, short_path, ping_pong, stream);
criterion_main!(benches);
