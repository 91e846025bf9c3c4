//! `osu_reduce`, `osu_ireduce`, `osu_reduce_persistent`: the root gets the sum of all.

use super::setup::{BufferBytes, Collective, Operation, REDUCTION_DEFAULTS, ROOT, forms};
use crate::bench::Benchmark;
use crate::measure::Sums;
use crate::mpi_raw::{Reduce, Reduction};

const REDUCE: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: size, recv: size }),
    prepare: |setup| {
        let call = Reduce { send: setup.given(), recv: setup.got(), operation: Reduction, root: ROOT };
        let sums = if setup.is_root() { &setup.recv.bytes()[..setup.size_bytes] } else { &[] };
        let check = Sums {
            terms: &setup.send.bytes()[..setup.size_bytes],
            sums,
            first: 0,
            element: setup.element,
            rank: setup.rank,
            ranks: setup.ranks,
        };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(REDUCE, "reduce", "Reduce", "MPI_Reduce: the root gets the sum of all", REDUCTION_DEFAULTS);
