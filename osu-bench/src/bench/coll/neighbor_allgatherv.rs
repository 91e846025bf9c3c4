//! `osu_neighbor_allgatherv`, `osu_ineighbor_allgatherv`, `osu_neighbor_allgatherv_persistent`: every rank of a ring
//! gets what its two neighbours give.

use super::setup::{BufferBytes, Collective, DEFAULTS, EVERYBODY, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::NeighborAllgatherv;

const NEIGHBOR_ALLGATHERV: Collective = Collective {
    on_ring: true,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: size, recv: 2 * size }),
    prepare: |setup| {
        let call = NeighborAllgatherv { send: setup.given(), recv: setup.recv.parts(&setup.counts(2), setup.element) };
        let check =
            Pieces { sends: setup.pieces_to([EVERYBODY]), receives: setup.pieces_from(setup.neighbours, EVERYBODY) };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    NEIGHBOR_ALLGATHERV,
    "neighbor_allgatherv",
    "Neighborhood Allgatherv",
    "MPI_Neighbor_allgatherv: every rank of a ring gets what its two neighbours give",
    DEFAULTS
);
