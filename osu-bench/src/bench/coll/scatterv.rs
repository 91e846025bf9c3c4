//! `osu_scatterv`, `osu_iscatterv`, `osu_scatterv_persistent`: as scatter, with a length for each rank.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, ROOT, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::Scatterv;

const SCATTERV: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size * ranks, recv: size }),
    prepare: |setup| {
        let send = setup.send.parts(&setup.counts(setup.ranks), setup.element);
        let call = Scatterv { send, recv: setup.got(), root: ROOT };
        let sends = if setup.is_root() { setup.pieces_to(0..setup.ranks) } else { Vec::new() };
        Operation::new(call, Pieces { sends, receives: setup.pieces_from([ROOT], setup.rank) })
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(SCATTERV, "scatterv", "Scatterv", "MPI_Scatterv: the root gives each rank a block of its own", DEFAULTS);
