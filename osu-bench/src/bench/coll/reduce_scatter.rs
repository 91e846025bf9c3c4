//! `osu_reduce_scatter`, `osu_ireduce_scatter`, `osu_reduce_scatter_persistent`: every rank gets its part of the sum
//! of all.

use super::setup::{BufferBytes, Collective, Operation, REDUCTION_DEFAULTS, forms};
use crate::bench::Benchmark;
use crate::measure::Sums;
use crate::mpi_raw::{ReduceScatter, Reduction};

const REDUCE_SCATTER: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: size, recv: size }),
    prepare: |setup| {
        // The size is of the whole sum, which the ranks share as evenly as its elements allow.
        let (count, ranks) = (setup.count(), setup.ranks);
        let counts: Vec<usize> = (0..ranks).map(|rank| count / ranks + usize::from(rank < count % ranks)).collect();
        let (mine, first) = (counts[setup.rank], counts[..setup.rank].iter().sum());
        let call = ReduceScatter {
            send: setup.send.parts(&counts, setup.element),
            recv: setup.recv.elements(0, mine, setup.element),
            operation: Reduction,
        };
        let check = Sums {
            terms: &setup.send.bytes()[..setup.size_bytes],
            sums: &setup.recv.bytes()[..mine * setup.element.size_bytes()],
            first,
            element: setup.element,
            rank: setup.rank,
            ranks: setup.ranks,
        };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    REDUCE_SCATTER,
    "reduce_scatter",
    "Reduce_scatter",
    "MPI_Reduce_scatter: every rank gets its part of the sum of all",
    REDUCTION_DEFAULTS
);
