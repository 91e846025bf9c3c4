//! Start-up benchmarks.

mod hello;
mod init;

use super::Benchmark;

pub(super) const ALL: &[&Benchmark] = &[&init::BENCHMARK, &hello::BENCHMARK];
