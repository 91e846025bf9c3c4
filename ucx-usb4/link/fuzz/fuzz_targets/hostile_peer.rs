//! A peer that writes what it likes into everything a channel reads: `cargo +nightly fuzz run hostile_peer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|script: &[u8]| usb4_link::sim::hostile::run(script));
