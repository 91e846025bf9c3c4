//! Point-to-point benchmarks.

mod bibw;
mod bibw_persistent;
mod bw;
mod bw_persistent;
mod latency;
mod latency_mt;
mod latency_persistent;
mod mbw_mr;
mod multi_lat;
mod pair;

use super::Benchmark;

pub(super) const ALL: &[&Benchmark] = &[
    &latency::BENCHMARK,
    &bw::BENCHMARK,
    &bibw::BENCHMARK,
    &mbw_mr::BENCHMARK,
    &multi_lat::BENCHMARK,
    &latency_mt::BENCHMARK,
    &latency_persistent::BENCHMARK,
    &bw_persistent::BENCHMARK,
    &bibw_persistent::BENCHMARK,
];
