#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| usb4_engine::sim::fuzz::operations(data));
