//! Collective benchmarks.

mod allreduce;
mod barrier;
mod blocking;
mod setup;

use super::Benchmark;

pub(super) const ALL: &[&Benchmark] = &[&allreduce::BLOCKING, &barrier::BLOCKING];
