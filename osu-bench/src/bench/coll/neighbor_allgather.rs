//! `osu_neighbor_allgather`, `osu_ineighbor_allgather`, `osu_neighbor_allgather_persistent`: every rank of a ring
//! gets what its two neighbours give.

use super::setup::{BufferBytes, Collective, DEFAULTS, EVERYBODY, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::NeighborAllgather;

const NEIGHBOR_ALLGATHER: Collective = Collective {
    on_ring: true,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: size, recv: 2 * size }),
    prepare: |setup| {
        let call = NeighborAllgather { send: setup.given(), recv: setup.recv.blocks(setup.count(), 2, setup.element) };
        let check =
            Pieces { sends: setup.pieces_to([EVERYBODY]), receives: setup.pieces_from(setup.neighbours, EVERYBODY) };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    NEIGHBOR_ALLGATHER,
    "neighbor_allgather",
    "Neighborhood Allgather",
    "MPI_Neighbor_allgather: every rank of a ring gets what its two neighbours give",
    DEFAULTS
);
