//! Collective benchmarks: a file for each operation, a file for each form.

mod allgather;
mod allgatherv;
mod allreduce;
mod alltoall;
mod alltoallv;
mod alltoallw;
mod barrier;
mod bcast;
mod blocking;
mod gather;
mod gatherv;
mod neighbor_allgather;
mod neighbor_allgatherv;
mod neighbor_alltoall;
mod neighbor_alltoallv;
mod neighbor_alltoallw;
mod nonblocking;
mod persistent;
mod reduce;
mod reduce_scatter;
mod scatter;
mod scatterv;
mod setup;

pub(crate) use setup::{Collective, Form};

use super::Benchmark;

/// The benchmarks of one form.
pub(super) fn all(form: Form) -> impl Iterator<Item = &'static Benchmark> {
    let operations = [
        allgather::ALL,
        allgatherv::ALL,
        allreduce::ALL,
        alltoall::ALL,
        alltoallv::ALL,
        alltoallw::ALL,
        barrier::ALL,
        bcast::ALL,
        gather::ALL,
        gatherv::ALL,
        neighbor_allgather::ALL,
        neighbor_allgatherv::ALL,
        neighbor_alltoall::ALL,
        neighbor_alltoallv::ALL,
        neighbor_alltoallw::ALL,
        reduce::ALL,
        reduce_scatter::ALL,
        scatter::ALL,
        scatterv::ALL,
    ];
    let of_form = move |benchmark: &&Benchmark| matches!(benchmark.run, super::Run::Collective(its, _) if its == form);
    operations.into_iter().flatten().copied().filter(of_form)
}
