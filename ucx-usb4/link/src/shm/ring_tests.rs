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
    fn a_hostile_producer_is_contained(writes in prop::collection::vec((0u32..8, 0usize..CELL_WORDS, hostile_word()), 0..300)) {
        let memory = Plain::new(8);
        let mut consumer = Consumer::new(memory.clone());
        let mut out = Vec::new();
        for (position, word, value) in writes {
            memory.store(position, word, value, Ordering::Relaxed);
            if let Taken::Arrival(arrival) = consumer.take(50, 4) {
                match arrival.source {
                    Source::Frame(frame) => prop_assert!(frame < 4 && usize::from(arrival.payload_len) <= PAYLOAD_MAX),
                    Source::Cell(word) => prop_assert!(word * 8 + usize::from(arrival.payload_len) <= CELL_WORDS * 8),
                }
                out.push(arrival.position);
            }
            prop_assert!(out.len() <= 8);
            if out.len() > 4 {
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

/// Words that get past the first check often enough to reach the others.
fn hostile_word() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..8u64,
        (1..40u64, any::<u16>(), 0..16u64)
            .prop_map(|(sequence, len, flags)| { sequence | u64::from(len) << 32 | flags << 48 }),
        (1..40u64, 0..70u64, 0..4u32).prop_map(|(sequence, len, flag)| sequence | len << 32 | 1 << (48 + flag))
    ]
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

    /// (A)/(B) and (E)/(F): three frames through two cells; each is seen whole, in order, or not yet.
    #[test]
    fn a_frame_is_seen_whole_and_its_cell_is_not_reused_early() {
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
                let arrival = loop {
                    match consumer.take(0, 0) {
                        Taken::Arrival(arrival) => break arrival,
                        Taken::Malformed => panic!("malformed"),
                        Taken::Nothing => loom::thread::yield_now(),
                    }
                };
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
}
