//! `osu_neighbor_alltoallv`, `osu_ineighbor_alltoallv`, `osu_neighbor_alltoallv_persistent`: every rank of a ring
//! gives each of its two neighbours a block.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::{Buffer, NeighborAlltoallv};

const NEIGHBOR_ALLTOALLV: Collective = Collective {
    on_ring: true,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: 2 * size, recv: 2 * size }),
    prepare: |setup| {
        let parts = |buffer: Buffer| buffer.parts(&setup.counts(2), setup.element);
        let call = NeighborAlltoallv { send: parts(setup.send), recv: parts(setup.recv) };
        let check = Pieces {
            sends: setup.pieces_to(setup.neighbours),
            receives: setup.pieces_from(setup.neighbours, setup.rank),
        };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    NEIGHBOR_ALLTOALLV,
    "neighbor_alltoallv",
    "Neighborhood Alltoallv",
    "MPI_Neighbor_alltoallv: every rank of a ring gives each of its two neighbours a block",
    DEFAULTS
);
