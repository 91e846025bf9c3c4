//! `osu_allgather`, `osu_iallgather`, `osu_allgather_persistent`: every rank gets what every rank gives.

use super::setup::{BufferBytes, Collective, DEFAULTS, EVERYBODY, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::Allgather;

const ALLGATHER: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size, recv: size * ranks }),
    prepare: |setup| {
        let call =
            Allgather { send: setup.given(), recv: setup.recv.blocks(setup.count(), setup.ranks, setup.element) };
        let check =
            Pieces { sends: setup.pieces_to([EVERYBODY]), receives: setup.pieces_from(0..setup.ranks, EVERYBODY) };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(ALLGATHER, "allgather", "Allgather", "MPI_Allgather: every rank gets what every rank gives", DEFAULTS);
