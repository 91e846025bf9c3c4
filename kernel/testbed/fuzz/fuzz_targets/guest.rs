//! Whatever a guest writes into registers, descriptors and control packets: the device neither panics nor leaves guest memory.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| usb4_testbed::fuzzing::run(input));
