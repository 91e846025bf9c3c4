//! `osu_scatter`, `osu_iscatter`, `osu_scatter_persistent`: the root gives each rank a block of its own.

use super::setup::{BufferBytes, Collective, DEFAULTS, Operation, ROOT, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::Scatter;

const SCATTER: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, ranks| BufferBytes { send: size * ranks, recv: size }),
    prepare: |setup| {
        let call = Scatter {
            send: setup.send.blocks(setup.count(), setup.ranks, setup.element),
            recv: setup.got(),
            root: ROOT,
        };
        let sends = if setup.is_root() { setup.pieces_to(0..setup.ranks) } else { Vec::new() };
        Operation::new(call, Pieces { sends, receives: setup.pieces_from([ROOT], setup.rank) })
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(SCATTER, "scatter", "Scatter", "MPI_Scatter: the root gives each rank a block of its own", DEFAULTS);
