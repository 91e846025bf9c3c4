//! `osu_allgatherv`, `osu_iallgatherv`, `osu_allgatherv_persistent`: as allgather, with a length for each rank.

use super::setup::{BufferBytes, Collective, DEFAULTS, EVERYBODY, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::Allgatherv;

const ALLGATHERV: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size, recv: size * ranks }),
    prepare: |setup| {
        let call =
            Allgatherv { send: setup.given(), recv: setup.recv.parts(&setup.counts(setup.ranks), setup.element) };
        let check =
            Pieces { sends: setup.pieces_to([EVERYBODY]), receives: setup.pieces_from(0..setup.ranks, EVERYBODY) };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(ALLGATHERV, "allgatherv", "Allgatherv", "MPI_Allgatherv: every rank gets what every rank gives", DEFAULTS);
