//! `osu_alltoall`, `osu_ialltoall`, `osu_alltoall_persistent`: every rank gives each rank a block of its own.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::{Alltoall, Buffer};

const ALLTOALL: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size * ranks, recv: size * ranks }),
    prepare: |setup| {
        let blocks = |buffer: Buffer| buffer.blocks(setup.count(), setup.ranks, setup.element);
        let call = Alltoall { send: blocks(setup.send), recv: blocks(setup.recv) };
        let check =
            Pieces { sends: setup.pieces_to(0..setup.ranks), receives: setup.pieces_from(0..setup.ranks, setup.rank) };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] = forms!(
    ALLTOALL,
    "alltoall",
    "All-to-All Personalized Exchange",
    "MPI_Alltoall: every rank gives each rank a block of its own",
    DEFAULTS
);
