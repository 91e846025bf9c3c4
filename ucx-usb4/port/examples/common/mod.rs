//! What the examples that are counted share.

use usb4_engine::Timeouts;
use usb4_link::{LinkSpec, NodeId};
use usb4_port::{Options, Port, Regions};

const HOUR_NS: u64 = 3_600_000_000_000;

/// A port in which no timer goes off.
pub(crate) fn open(node: u32, links: &LinkSpec, regions: Regions) -> Port {
    // Under valgrind everything takes fifty times as long, but for the clock: no timer shall send what the machine would not.
    let timeouts =
        Timeouts { ack_delay_ns: HOUR_NS, probe_min_ns: HOUR_NS, rto_max_ns: 2 * HOUR_NS, ..Timeouts::default() };
    let options = Options { node: Some(NodeId(node)), timeouts, ..Options::new(links.clone()) };
    Port::open(&options, regions).expect("the cable opens")
}
