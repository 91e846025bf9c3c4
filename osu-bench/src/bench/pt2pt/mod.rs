//! Point-to-point benchmarks of one pair of ranks.

mod bibw;
mod bw;
mod latency;
mod pair;

use super::Benchmark;

pub(super) const ALL: &[&Benchmark] = &[&latency::BENCHMARK, &bw::BENCHMARK, &bibw::BENCHMARK];
