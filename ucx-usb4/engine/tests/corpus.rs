//! Replays the fuzzers' corpus, and bytes that nobody chose.

use proptest::prelude::*;
use usb4_engine::sim::fuzz;

fn replay(target: &str, run: impl Fn(&[u8])) {
    let folder = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = std::fs::read_dir(&folder).expect("the corpus is checked in").flatten().collect();
    assert!(!files.is_empty(), "{folder} is empty");
    for file in files {
        println!("{}", file.path().display());
        run(&std::fs::read(file.path()).expect("readable"));
    }
}

#[test]
fn corpus_of_headers() {
    replay("header", fuzz::header);
}

#[test]
fn corpus_of_operations() {
    replay("operations", fuzz::operations);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    #[test]
    fn any_header(bytes in prop::collection::vec(any::<u8>(), 40)) {
        fuzz::header(&bytes);
    }

    #[test]
    fn any_operations(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        // Both sides know each other before anything strange happens.
        let start = [0, 24, 0, 24, 0, 24, 0];
        fuzz::operations(&[&start[..], &bytes[..]].concat());
    }
}
