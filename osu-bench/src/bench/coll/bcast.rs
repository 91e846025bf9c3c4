//! `osu_bcast`, `osu_ibcast`, `osu_bcast_persistent`: every rank gets what the root has.

use super::setup::{BufferBytes, Collective, DEFAULTS, EVERYBODY, Operation, ROOT, forms};
use crate::bench::Benchmark;
use crate::measure::Pieces;
use crate::mpi_raw::Bcast;

const BCAST: Collective = Collective {
    on_ring: false,
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: size, recv: 0 }),
    prepare: |setup| {
        let call = Bcast { message: setup.given(), root: ROOT };
        let message = vec![setup.piece(setup.send, 0, ROOT, EVERYBODY)];
        let check = if setup.is_root() {
            Pieces { sends: message, receives: Vec::new() }
        } else {
            Pieces { sends: Vec::new(), receives: message }
        };
        Operation::new(call, check)
    },
};

pub(super) const ALL: &[&Benchmark] =
    forms!(BCAST, "bcast", "Broadcast", "MPI_Bcast: every rank gets what the root has", DEFAULTS);
