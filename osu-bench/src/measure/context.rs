//! What a running benchmark has at hand.

use std::time::Duration;

use mpi::collective::{CommunicatorCollectives, SystemOperation};
use mpi::traits::Equivalence;

use super::memory;
use crate::bench::{BenchError, Benchmark};
use crate::mpi_raw::Comm;
use crate::options::Options;
use crate::report::Report;

/// A benchmark in its job.
pub(crate) struct Context<'a> {
    /// What runs.
    pub(crate) benchmark: &'static Benchmark,
    /// All ranks.
    pub(crate) comm: &'a Comm,
    /// What the user asked for.
    pub(crate) options: &'a Options,
    /// How long MPI took to start.
    pub(crate) init: Duration,
    /// Where results go.
    pub(crate) report: Report,
}

impl Context<'_> {
    /// Checks that `needed_bytes` of buffers fit for every rank.
    ///
    /// # Errors
    /// If they do not fit on some host.
    pub(crate) fn require_memory(&self, needed_bytes: usize) -> Result<(), BenchError> {
        memory::require(self.comm, self.options.sizes.max_bytes, needed_bytes)
    }

    /// Waits for all ranks.
    pub(crate) fn barrier(&self) {
        self.comm.barrier();
    }

    /// The sum over all ranks.
    pub(crate) fn sum<T: Equivalence + Default>(&self, value: T) -> T {
        self.reduce(value, SystemOperation::sum())
    }

    /// The least of all ranks.
    pub(crate) fn min(&self, value: f64) -> f64 {
        self.reduce(value, SystemOperation::min())
    }

    /// The greatest of all ranks.
    pub(crate) fn max(&self, value: f64) -> f64 {
        self.reduce(value, SystemOperation::max())
    }

    /// The mean over all ranks.
    pub(crate) fn mean(&self, value: f64) -> f64 {
        self.sum(value) / self.comm.size() as f64
    }

    /// The mean over all ranks, value by value; all ranks give as many.
    pub(crate) fn mean_each(&self, values: &[f64]) -> Vec<f64> {
        let mut sums = vec![0.0; values.len()];
        self.comm.rsmpi().all_reduce_into(values, &mut sums[..], SystemOperation::sum());
        sums.iter().map(|sum| sum / self.comm.size() as f64).collect()
    }

    /// Fails on all ranks if any rank counted wrong elements.
    ///
    /// # Errors
    /// If so.
    pub(crate) fn require_valid(&self, size_bytes: usize, errors: u64) -> Result<(), BenchError> {
        if errors == 0 {
            return Ok(());
        }
        Err(BenchError::Validation { name: self.benchmark.name, size_bytes, errors })
    }

    fn reduce<T: Equivalence + Default>(&self, value: T, operation: SystemOperation) -> T {
        let mut result = T::default();
        self.comm.rsmpi().all_reduce_into(&value, &mut result, operation);
        result
    }
}
