//! `osu_alltoallv`, `osu_ialltoallv`, `osu_alltoallv_persistent`: as alltoall, with a length for each block.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::{Alltoallv, Buffer};

const ALLTOALLV: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size * ranks, recv: size * ranks }),
    prepare: |setup| {
        let parts = |buffer: Buffer| buffer.parts(&setup.counts(setup.ranks), setup.element);
        let call = Alltoallv { send: parts(setup.send), recv: parts(setup.recv) };
        let check =
            Pieces { sends: setup.pieces_to(0..setup.ranks), receives: setup.pieces_from(0..setup.ranks, setup.rank) };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    ALLTOALLV,
    "alltoallv",
    "All-to-Allv Personalized Exchange",
    "MPI_Alltoallv: every rank gives each rank a block of its own",
    DEFAULTS
);
