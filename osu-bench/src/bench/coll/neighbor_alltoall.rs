//! `osu_neighbor_alltoall`, `osu_ineighbor_alltoall`, `osu_neighbor_alltoall_persistent`: every rank of a ring gives
//! each of its two neighbours a block.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::{Buffer, NeighborAlltoall};

const NEIGHBOR_ALLTOALL: Collective = Collective {
    on_ring: true,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: 2 * size, recv: 2 * size }),
    prepare: |setup| {
        let blocks = |buffer: Buffer| buffer.blocks(setup.count(), 2, setup.element);
        let call = NeighborAlltoall { send: blocks(setup.send), recv: blocks(setup.recv) };
        let check = Pieces {
            sends: setup.pieces_to(setup.neighbours),
            receives: setup.pieces_from(setup.neighbours, setup.rank),
        };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    NEIGHBOR_ALLTOALL,
    "neighbor_alltoall",
    "Neighborhood Alltoall",
    "MPI_Neighbor_alltoall: every rank of a ring gives each of its two neighbours a block",
    DEFAULTS
);
