//! `osu_allreduce`, `osu_iallreduce`, `osu_allreduce_persistent`: every rank gets the sum of all.

use super::setup::{BufferBytes, Collective, Operation, REDUCTION_DEFAULTS, forms};
use crate::bench::Benchmark;
use crate::measure::Sums;
use crate::mpi_raw::{Allreduce, Reduction};

const ALLREDUCE: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: size, recv: size }),
    prepare: |setup| {
        let call = Allreduce { send: setup.given(), recv: setup.got(), operation: Reduction };
        let check = Sums {
            terms: &setup.send.bytes()[..setup.size_bytes],
            sums: &setup.recv.bytes()[..setup.size_bytes],
            first: 0,
            element: setup.element,
            rank: setup.rank,
            ranks: setup.ranks,
        };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(ALLREDUCE, "allreduce", "Allreduce", "MPI_Allreduce: every rank gets the sum of all", REDUCTION_DEFAULTS);
