//! The fuzz target's corpus, and random inputs, through the same entry function as the fuzzer: nothing here needs a fuzzer to run.

use std::fs;
use std::path::Path;

use proptest::collection::vec;
use proptest::prelude::*;
use usb4_testbed::fuzzing::run;

#[test]
fn the_corpus_runs_through() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus/guest");
    let mut replayed = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is in the repository") {
        let path = entry.expect("readable").path();
        run(&fs::read(&path).expect("readable"));
        replayed += 1;
    }
    assert!(replayed >= 10, "only {replayed} inputs in {}", folder.display());
}

/// One operation of a guest with a few bytes behind it, so that random inputs are sequences of operations rather than noise.
fn operation() -> impl Strategy<Value = Vec<u8>> {
    (0..10u8, any::<u8>(), vec(any::<u8>(), 0..16))
        .prop_map(|(operation, host, bytes)| [vec![operation, host], bytes].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_operations_stops_the_device(operations in vec(operation(), 0..60)) {
        run(&operations.concat());
    }

    #[test]
    fn running_rings_take_any_packet(packets in vec((5..8u8, any::<u8>(), vec(any::<u8>(), 0..40)), 0..40)) {
        let mut input = vec![4, 0, 4, 1, 4, 2];
        for (operation, host, bytes) in packets {
            input.extend([operation, host]);
            input.extend(bytes);
        }
        run(&input);
    }
}
