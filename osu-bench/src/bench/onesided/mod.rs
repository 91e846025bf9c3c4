//! One-sided benchmarks: two ranks, one accesses the memory of the other.

mod acc_latency;
mod atomics;
mod cas_latency;
mod fop_latency;
mod get;
mod get_acc_latency;
mod get_bw;
mod get_latency;
mod put;
mod put_bibw;
mod put_bw;
mod put_latency;
mod rma;
mod sync;

pub(crate) use sync::Sync;

use super::Benchmark;

pub(super) const ALL: &[&Benchmark] = &[
    &put_latency::BENCHMARK,
    &put_bw::BENCHMARK,
    &put_bibw::BENCHMARK,
    &get_latency::BENCHMARK,
    &get_bw::BENCHMARK,
    &acc_latency::BENCHMARK,
    &get_acc_latency::BENCHMARK,
    &cas_latency::BENCHMARK,
    &fop_latency::BENCHMARK,
];
