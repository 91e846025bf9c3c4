//! The ring against a queue, against a hostile producer, and under loom.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// Plain memory that both ends share.
#[derive(Clone)]
struct Plain {
    words: Rc<[Cell<u64>]>,
    consumed: Rc<Cell<u64>>,
    depth: u32,
}

impl Plain {
    fn new(depth: u32) -> Plain {
        let words = vec![Cell::new(0); depth as usize * CELL_WORDS].into();
        Plain { words, consumed: Rc::new(Cell::new(0)), depth }
    }

    fn cell(&self, position: u32, word: usize) -> &Cell<u64> {
        &self.words[(position & (self.depth - 1)) as usize * CELL_WORDS + word]
    }
}

impl RingMemory for Plain {
    fn depth(&self) -> u32 {
        self.depth
    }
    fn load(&self, position: u32, word: usize, _: Ordering) -> u64 {
        self.cell(position, word).get()
    }
    fn store(&self, position: u32, word: usize, value: u64, _: Ordering) {
        self.cell(position, word).set(value);
    }
    fn load_consumed(&self, _: Ordering) -> u64 {
        self.consumed.get()
    }
    fn store_consumed(&self, count: u64, _: Ordering) {
        self.consumed.set(count);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Push { header: u64, len_bytes: usize, in_frame: bool, deliver_at_ns: u64 },
    Take { now_ns: u64 },
    Release { which: prop::sample::Index },
    Publish,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (any::<u64>(), 0..=INLINE_MAX, any::<bool>(), prop_oneof![Just(0u64), 1..100u64])
            .prop_map(|(header, len_bytes, in_frame, deliver_at_ns)| Step::Push { header, len_bytes, in_frame, deliver_at_ns }),
        4 => (0..100u64).prop_map(|now_ns| Step::Take { now_ns }),
        3 => any::<prop::sample::Index>().prop_map(|which| Step::Release { which }),
        1 => Just(Step::Publish),
    ]
}

struct Sent {
    header: u64,
    len_bytes: usize,
    in_frame: bool,
    deliver_at_ns: u64,
}

proptest! {
    /// Everything arrives once, in order, as it was sent and not before its time; the producer never gets more
    /// cells than the ring has, and gets all of them back.
    #[test]
    fn the_ring_is_a_bounded_queue(start in prop_oneof![Just(0u32), Just(u32::MAX - 5)], steps in prop::collection::vec(step(), 0..200)) {
        let memory = Plain::new(8);
        let (mut producer, mut consumer) = (Producer::new(memory.clone()), Consumer::new(memory.clone()));
        // A ring that has run for long: the positions wrap in the middle of the test.
        (producer.produced, producer.consumed_seen) = (start, start);
        (consumer.head, consumer.tail, consumer.published) = (start, start, start);
        memory.consumed.set(u64::from(start));
        for back in 1..=8 {
            let position = start.wrapping_sub(back);
            memory.store(position, 0, u64::from(if start == 0 { 0 } else { position.wrapping_add(1) }), Ordering::Relaxed);
        }
        let mut queue = VecDeque::new();
        let mut held: Vec<Arrival> = Vec::new();
        let mut cells_used = 0;
        for step in steps {
            match step {
                Step::Push { header, len_bytes, in_frame, deliver_at_ns } => {
                    if producer.has_room() {
                        cells_used += 1;
                        prop_assert!(queue.len() + held.len() < 8);
                        let words = std::array::from_fn(|index| header.rotate_left(index as u32));
                        let body = if in_frame { Body::Frame { index: 3, len_bytes } } else { Body::Inline { words: &words, len_bytes } };
                        producer.push(&[header; HEADER_WORDS], deliver_at_ns, body);
                        queue.push_back(Sent { header, len_bytes, in_frame, deliver_at_ns });
                    } else {
                        // Full only if every cell is under way, held, behind one that is held, or in the unpublished quarter.
                        let oldest = held.iter().map(|arrival| arrival.position.wrapping_sub(start)).min();
                        let oldest = oldest.unwrap_or(cells_used - queue.len() as u32);
                        prop_assert!(cells_used - oldest + 2 > 8, "full with {oldest} of {cells_used} done");
                    }
                }
                Step::Take { now_ns } => match (consumer.take(now_ns, 4), queue.front()) {
                    (Taken::Arrival(arrival), Some(sent)) => {
                        prop_assert!(sent.deliver_at_ns <= now_ns);
                        prop_assert_eq!(arrival.header, [sent.header; HEADER_WORDS]);
                        prop_assert_eq!(usize::from(arrival.payload_len), sent.len_bytes);
                        match arrival.source {
                            Source::Frame(frame) => prop_assert!(sent.in_frame && frame == 3),
                            Source::Cell(word) => {
                                prop_assert!(!sent.in_frame);
                                for index in 0..sent.len_bytes.div_ceil(8) {
                                    let got = memory.cell(arrival.position, word + index).get();
                                    prop_assert_eq!(got, sent.header.rotate_left(index as u32));
                                }
                            }
                        }
                        held.push(arrival);
                        queue.pop_front();
                    }
                    (Taken::Nothing, front) => prop_assert!(front.is_none_or(|sent| sent.deliver_at_ns > now_ns)),
                    (other, front) => prop_assert!(false, "{other:?} with {} queued", usize::from(front.is_some())),
                },
                Step::Release { which } if !held.is_empty() => {
                    let arrival = held.swap_remove(which.index(held.len()));
                    consumer.release(arrival.position);
                }
                Step::Release { .. } => {}
                Step::Publish => consumer.publish(),
            }
        }
        while let Taken::Arrival(arrival) = consumer.take(u64::MAX, 4) {
            held.push(arrival);
        }
        for arrival in held {
            consumer.release(arrival.position);
        }
        consumer.publish();
        prop_assert!(consumer.is_settled());
        prop_assert!(producer.has_passed(start.wrapping_add(cells_used)));
    }

    /// Whatever a peer writes into the cells: no panic, no frame that does not exist, no length beyond its place,
    /// and never more cells out than there are.
    #[test]
    fn a_hostile_producer_is_contained(cells in prop::collection::vec(hostile_cell(), 0..100)) {
        let memory = Plain::new(8);
        let mut consumer = Consumer::new(memory.clone());
        let mut out = Vec::new();
        for cell in cells {
            let position = consumer.head.wrapping_add(cell.ahead);
            memory.store(position, TIME_AT, cell.time, Ordering::Relaxed);
            memory.store(position, FRAME_AT, cell.frame, Ordering::Relaxed);
            let first = u64::from(position.wrapping_add(1)) | cell.len_bytes << 32 | cell.flags << 48;
            memory.store(position, 0, first, Ordering::Relaxed);
            if let Taken::Arrival(arrival) = consumer.take(50, 4) {
                let len_bytes = usize::from(arrival.payload_len);
                match arrival.source {
                    Source::Frame(frame) => {
                        let said = memory.load(arrival.position, FRAME_AT, Ordering::Relaxed);
                        prop_assert!(said < 4 && said == u64::from(frame) && len_bytes <= PAYLOAD_MAX, "{cell:?}");
                    }
                    Source::Cell(SHORT_AT) => prop_assert!(len_bytes <= SHORT_MAX, "{cell:?}"),
                    Source::Cell(word) => prop_assert!(word == INLINE_AT && len_bytes <= INLINE_MAX, "{cell:?}"),
                }
                out.push(arrival.position);
            }
            prop_assert!(out.len() <= 8);
            if out.len() > cell.keep {
                consumer.release(out.remove(out.len() / 2));
            }
        }
    }

    /// A consumer that lies about its progress gains nothing: the producer writes at most the ring.
    #[test]
    fn a_hostile_consumer_is_not_believed(claims in prop::collection::vec(any::<u64>(), 1..50)) {
        let memory = Plain::new(8);
        let mut producer = Producer::new(memory.clone());
        for claim in claims {
            memory.consumed.set(claim);
            if producer.has_room() {
                producer.push(&[0; HEADER_WORDS], 0, Body::Frame { index: 0, len_bytes: 0 });
            }
            prop_assert!(producer.produced.wrapping_sub(producer.consumed_seen) <= 8);
        }
    }
}

#[derive(Clone, Debug)]
struct HostileCell {
    /// Cells ahead of the one that is read next.
    ahead: u32,
    flags: u64,
    len_bytes: u64,
    time: u64,
    frame: u64,
    /// Cells that the consumer holds on to.
    keep: usize,
}

/// Cells whose sequence is mostly right, so that the later checks are reached.
fn hostile_cell() -> impl Strategy<Value = HostileCell> {
    let near = |limit: u64| prop_oneof![Just(limit), Just(limit + 1), 0..=limit];
    let len_bytes = prop_oneof![near(16), near(64), near(PAYLOAD_MAX as u64), 0..65536u64];
    let frame = prop_oneof![near(3), any::<u64>(), (0..4u64).prop_map(|low| low | 1 << 32)];
    let ahead = prop_oneof![4 => Just(0u32), 1 => 0..8u32];
    let flags = prop_oneof![4 => (0..4u32).prop_map(|bit| 1u64 << bit), 1 => 0..32u64];
    (ahead, flags, len_bytes, any::<u64>(), frame, 0..20usize).prop_map(
        |(ahead, flags, len_bytes, time, frame, keep)| HostileCell { ahead, flags, len_bytes, time, frame, keep },
    )
}

#[test]
fn eight_bytes_touch_one_cache_line() {
    let memory = Plain::new(8);
    let mut producer = Producer::new(memory.clone());
    producer.push(&[1; HEADER_WORDS], 0, Body::Inline { words: &[2; 8], len_bytes: 8 });
    assert!((0..8).all(|word| memory.cell(0, word).get() != 0));
    assert!((8..CELL_WORDS).all(|word| memory.cell(0, word).get() == 0));
}

mod interleavings {
    //! Every order in which two processors can see each other's stores, tried by loom.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU64;

    use super::super::*;

    #[derive(Clone)]
    struct Loom {
        words: Arc<Vec<AtomicU64>>,
        consumed: Arc<AtomicU64>,
    }

    const DEPTH: u32 = 2;

    impl RingMemory for Loom {
        fn depth(&self) -> u32 {
            DEPTH
        }
        fn load(&self, position: u32, word: usize, order: Ordering) -> u64 {
            self.words[(position & (DEPTH - 1)) as usize * CELL_WORDS + word].load(order)
        }
        fn store(&self, position: u32, word: usize, value: u64, order: Ordering) {
            self.words[(position & (DEPTH - 1)) as usize * CELL_WORDS + word].store(value, order);
        }
        fn load_consumed(&self, order: Ordering) -> u64 {
            self.consumed.load(order)
        }
        fn store_consumed(&self, count: u64, order: Ordering) {
            self.consumed.store(count, order);
        }
    }

    fn ring() -> (Producer<Loom>, Consumer<Loom>) {
        let memory = Loom {
            words: Arc::new((0..DEPTH as usize * CELL_WORDS).map(|_| AtomicU64::new(0)).collect()),
            consumed: Arc::new(AtomicU64::new(0)),
        };
        (Producer::new(memory.clone()), Consumer::new(memory))
    }

    /// Payloads that are plain memory: loom objects to a read and a write that nothing orders.
    #[derive(Clone)]
    struct Payloads(Arc<[UnsafeCell<u64>; DEPTH as usize]>);

    // SAFETY: that the accesses are ordered is what the test shows; loom fails it if they are not.
    unsafe impl Send for Payloads {}

    impl Payloads {
        fn write(&self, frame: u32, value: u64) {
            // SAFETY: loom has checked that nobody else accesses it now.
            self.0[frame as usize].with_mut(|payload| unsafe { *payload = value });
        }

        fn read(&self, frame: u32) -> u64 {
            // SAFETY: loom has checked that nobody writes it now.
            self.0[frame as usize].with(|payload| unsafe { *payload })
        }
    }

    fn take(consumer: &mut Consumer<Loom>) -> Arrival {
        loop {
            match consumer.take(0, DEPTH) {
                Taken::Arrival(arrival) => return arrival,
                Taken::Malformed => panic!("malformed"),
                Taken::Nothing => loom::thread::yield_now(),
            }
        }
    }

    /// (A)/(B): three frames through two cells; each is seen whole, in order, or not yet.
    #[test]
    fn a_frame_is_seen_whole() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring();
            let sender = loom::thread::spawn(move || {
                for value in 1..=3u64 {
                    while !producer.has_room() {
                        loom::thread::yield_now();
                    }
                    producer.push(&[value; HEADER_WORDS], 0, Body::Inline { words: &[value; 8], len_bytes: 16 });
                }
            });
            for value in 1..=3u64 {
                let arrival = take(&mut consumer);
                assert_eq!(arrival.header, [value; HEADER_WORDS]);
                let Source::Cell(word) = arrival.source else { panic!("not in the cell") };
                assert_eq!(consumer.memory().load(arrival.position, word, Ordering::Relaxed), value);
                assert_eq!(consumer.memory().load(arrival.position, word + 1, Ordering::Relaxed), value);
                consumer.release(arrival.position);
                consumer.publish();
            }
            sender.join().unwrap();
        });
    }

    /// (A)/(B) and (E)/(F): what belongs to a cell is written before it is sent, and written again only after it was
    /// read and given back.
    #[test]
    fn what_belongs_to_a_cell_is_not_reused_early() {
        loom::model(|| {
            let (mut producer, mut consumer) = ring();
            let payloads = Payloads(Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]));
            let theirs = payloads.clone();
            let sender = loom::thread::spawn(move || {
                for value in 0..3u64 {
                    while !producer.has_room() {
                        loom::thread::yield_now();
                    }
                    let index = value as u32 % DEPTH;
                    theirs.write(index, value);
                    producer.push(&[value; HEADER_WORDS], 0, Body::Frame { index, len_bytes: 8 });
                }
            });
            for value in 0..3u64 {
                let arrival = take(&mut consumer);
                let Source::Frame(frame) = arrival.source else { panic!("not in a frame") };
                assert_eq!(payloads.read(frame), value);
                consumer.release(arrival.position);
                consumer.publish();
            }
            sender.join().unwrap();
        });
    }
}
