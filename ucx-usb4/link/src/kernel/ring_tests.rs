//! The ring against a queue, against a lying kernel, and under loom.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;

/// Plain memory that both ends share.
#[derive(Clone)]
struct Plain(Rc<Words>);

struct Words {
    producer: Cell<u32>,
    consumer: Cell<u32>,
    entries: Box<[Cell<u64>]>,
}

impl Plain {
    fn new(entries: usize, start: u32) -> Plain {
        let entries = vec![Cell::new(0); entries].into();
        Plain(Rc::new(Words { producer: Cell::new(start), consumer: Cell::new(start), entries }))
    }

    fn cell(&self, position: u32) -> &Cell<u64> {
        &self.0.entries[position as usize & (self.0.entries.len() - 1)]
    }
}

impl RingMemory for Plain {
    type Entry = u64;
    fn entries(&self) -> u32 {
        self.0.entries.len() as u32
    }
    fn load_producer(&self, _: Ordering) -> u32 {
        self.0.producer.get()
    }
    fn store_producer(&self, value: u32, _: Ordering) {
        self.0.producer.set(value);
    }
    fn load_consumer(&self, _: Ordering) -> u32 {
        self.0.consumer.get()
    }
    fn store_consumer(&self, value: u32, _: Ordering) {
        self.0.consumer.set(value);
    }
    fn load(&self, position: u32) -> u64 {
        self.cell(position).get()
    }
    fn store(&self, position: u32, entry: u64) {
        self.cell(position).set(entry);
    }
}

#[derive(Clone, Debug)]
enum Step {
    Reserve(u64),
    Submit,
    Take,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![any::<u64>().prop_map(Step::Reserve), Just(Step::Submit), Just(Step::Take)]
}

proptest! {
    /// Wherever the counters stand, also where they wrap.
    #[test]
    fn it_is_a_bounded_queue(start: u32, steps in prop::collection::vec(step(), 0..200)) {
        let memory = Plain::new(8, start);
        let (mut producer, mut consumer) = (Producer::new(memory.clone()), Consumer::new(memory));
        let (mut reserved, mut submitted) = (VecDeque::new(), VecDeque::new());
        for step in steps {
            match step {
                Step::Reserve(entry) => {
                    let has_room = reserved.len() + submitted.len() < 8;
                    prop_assert_eq!(producer.reserve(entry), has_room);
                    if has_room {
                        reserved.push_back(entry);
                    }
                }
                Step::Submit => {
                    prop_assert_eq!(producer.submit(), !reserved.is_empty());
                    submitted.append(&mut reserved);
                }
                Step::Take => {
                    prop_assert_eq!(consumer.is_empty(), submitted.is_empty());
                    let entry = consumer.peek();
                    prop_assert_eq!(entry, submitted.pop_front());
                    if entry.is_some() {
                        consumer.release();
                    }
                }
            }
        }
    }
}

/// A counter that claims more than the ring holds is not believed, so no entry is read twice.
#[test]
fn a_producer_that_runs_away_shows_nothing() {
    let memory = Plain::new(8, 0);
    let mut consumer = Consumer::new(memory.clone());
    memory.store_producer(9, Ordering::Relaxed);
    assert_eq!(consumer.peek(), None);
    memory.store_producer(8, Ordering::Relaxed);
    assert_eq!(consumer.peek(), Some(0));
}

mod order {
    //! Every order in which the two sides can see each other's stores.

    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;

    use super::*;

    /// loom's own words; a cell notices when both sides use it at once.
    #[derive(Clone)]
    struct Watched {
        counters: Arc<[AtomicU32; 2]>,
        entries: Arc<[UnsafeCell<u64>; 2]>,
        /// What the barriers are weakened to.
        order: Option<Ordering>,
    }

    // SAFETY: loom checks that no two threads use a cell at once, which is what the test is about.
    unsafe impl Send for Watched {}

    impl RingMemory for Watched {
        type Entry = u64;
        fn entries(&self) -> u32 {
            2
        }
        fn load_producer(&self, order: Ordering) -> u32 {
            self.counters[0].load(self.order.unwrap_or(order))
        }
        fn store_producer(&self, value: u32, order: Ordering) {
            self.counters[0].store(value, self.order.unwrap_or(order));
        }
        fn load_consumer(&self, order: Ordering) -> u32 {
            self.counters[1].load(self.order.unwrap_or(order))
        }
        fn store_consumer(&self, value: u32, order: Ordering) {
            self.counters[1].store(value, self.order.unwrap_or(order));
        }
        fn load(&self, position: u32) -> u64 {
            // SAFETY: loom panics if the cell is written at the same time.
            self.entries[position as usize & 1].with(|entry| unsafe { *entry })
        }
        fn store(&self, position: u32, entry: u64) {
            // SAFETY: loom panics if the cell is read at the same time.
            self.entries[position as usize & 1].with_mut(|place| unsafe { *place = entry });
        }
    }

    fn is_sound(order: Option<Ordering>) -> bool {
        let check = move || {
            let counters = Arc::new([AtomicU32::new(0), AtomicU32::new(0)]);
            let entries = Arc::new([UnsafeCell::new(0), UnsafeCell::new(0)]);
            let memory = Watched { counters, entries, order };
            let mut producer = Producer::new(memory.clone());
            let mut consumer = Consumer::new(memory);
            let filling = loom::thread::spawn(move || {
                for entry in 1..=3 {
                    while !producer.reserve(entry) {
                        loom::thread::yield_now();
                    }
                    producer.submit();
                }
            });
            for expected in 1..=3 {
                let entry = loop {
                    match consumer.peek() {
                        Some(entry) => break entry,
                        None => loom::thread::yield_now(),
                    }
                };
                assert_eq!(entry, expected);
                consumer.release();
            }
            filling.join().unwrap();
        };
        std::panic::catch_unwind(|| loom::model(check)).is_ok()
    }

    #[test]
    fn no_entry_is_read_while_it_is_written() {
        assert!(is_sound(None));
    }

    /// The model would notice: this is what (A) to (D) are for.
    #[test]
    fn without_the_barriers_one_would_be() {
        assert!(!is_sound(Some(Ordering::Relaxed)));
    }
}
