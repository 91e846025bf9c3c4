#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| usb4_engine::sim::fuzz::header(data));
