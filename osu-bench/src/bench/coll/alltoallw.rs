//! `osu_alltoallw`, `osu_ialltoallw`, `osu_alltoallw_persistent`: as alltoallv, with a datatype for each block.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::{Alltoallw, Buffer};

const ALLTOALLW: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size * ranks, recv: size * ranks }),
    prepare: |setup| {
        let parts = |buffer: Buffer| buffer.parts(&setup.counts(setup.ranks), setup.element);
        let call = Alltoallw { send: parts(setup.send), recv: parts(setup.recv) };
        let check =
            Pieces { sends: setup.pieces_to(0..setup.ranks), receives: setup.pieces_from(0..setup.ranks, setup.rank) };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    ALLTOALLW,
    "alltoallw",
    "All-to-Allw Personalized Exchange",
    "MPI_Alltoallw: every rank gives each rank a block of its own",
    DEFAULTS
);
