//! `osu_neighbor_alltoallw`, `osu_ineighbor_alltoallw`, `osu_neighbor_alltoallw_persistent`: every rank of a ring
//! gives each of its two neighbours a block.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::{Buffer, NeighborAlltoallw};

const NEIGHBOR_ALLTOALLW: Collective = Collective {
    on_ring: true,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: 2 * size, recv: 2 * size }),
    prepare: |setup| {
        let parts = |buffer: Buffer| buffer.parts(&setup.counts(2), setup.element);
        let call = NeighborAlltoallw { send: parts(setup.send), recv: parts(setup.recv) };
        let check = Pieces {
            sends: setup.pieces_to(setup.neighbours),
            receives: setup.pieces_from(setup.neighbours, setup.rank),
        };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    NEIGHBOR_ALLTOALLW,
    "neighbor_alltoallw",
    "Neighborhood Alltoallw",
    "MPI_Neighbor_alltoallw: every rank of a ring gives each of its two neighbours a block",
    DEFAULTS
);
