//! `osu_gatherv`, `osu_igatherv`, `osu_gatherv_persistent`: as gather, with a length for each rank.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, ROOT, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::Gatherv;

const GATHERV: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size, recv: size * ranks }),
    prepare: |setup| {
        let recv = setup.recv.parts(&setup.counts(setup.ranks), setup.element);
        let call = Gatherv { send: setup.given(), recv, root: ROOT };
        let receives = if setup.is_root() { setup.pieces_from(0..setup.ranks, ROOT) } else { Vec::new() };
        Operation::new(call, Pieces { sends: setup.pieces_to([ROOT]), receives })
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(GATHERV, "gatherv", "Gatherv", "MPI_Gatherv: the root gets what every rank gives", DEFAULTS);
