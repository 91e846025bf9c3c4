//! Nothing is allocated on the way of a short message, and idle connections are small.

mod common;

use std::alloc::System;

use common::{Duo, SECOND};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

// One test: others would allocate beside it.
#[test]
fn steady_state_allocates_nothing_and_idleness_gives_back() {
    let (mut duo, conns) = Duo::connected(|_| {});
    let exchange = |duo: &mut Duo, count: u32| {
        for _ in 0..count {
            for side in [0, 1] {
                duo.now_ns += 1_000;
                duo.send(side, conns[side]).expect("open");
                duo.settle();
                duo.delivered[1 - side].clear();
                duo.released[side].clear();
            }
        }
    };
    exchange(&mut duo, 1_000);
    let region = Region::new(ALLOCATOR);
    exchange(&mut duo, 10_000);
    let change = region.change();
    assert_eq!((change.allocations, change.reallocations), (0, 0), "{change:?}");

    // Grow both directions, then rest.
    duo.carries = [false; 2];
    while duo.send(0, conns[0]).is_ok() {}
    duo.carries = [true; 2];
    duo.pass(5 * SECOND);
    for side in [0, 1] {
        let info = duo.engines[side].info(conns[side]).expect("open");
        assert!(info.memory_bytes <= 4096, "{info:?}");
    }
}
