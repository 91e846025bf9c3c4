//! `osu_gather`, `osu_igather`, `osu_gather_persistent`: the root gets what every rank gives.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, ROOT, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::Gather;

const GATHER: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size, recv: size * ranks }),
    prepare: |setup| {
        let call = Gather {
            send: setup.given(),
            recv: setup.recv.blocks(setup.count(), setup.ranks, setup.element),
            root: ROOT,
        };
        let receives = if setup.is_root() { setup.pieces_from(0..setup.ranks, ROOT) } else { Vec::new() };
        Operation::new(call, Pieces { sends: setup.pieces_to([ROOT]), receives })
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(GATHER, "gather", "Gather", "MPI_Gather: the root gets what every rank gives", DEFAULTS);
