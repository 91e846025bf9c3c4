//! `osu_barrier`, `osu_ibarrier`, `osu_barrier_persistent`: every rank waits for all.

use super::setup::{Collective, DEFAULTS, Operation, forms};
use crate::bench::Benchmark;
use crate::measure::Nothing;
use crate::mpi_raw::Barrier;

const BARRIER: Collective =
    Collective { on_ring: false, buffer_bytes: None, prepare: |_setup| Operation::new(Barrier {}, Nothing) };

pub(super) const ALL: &[&Benchmark] =
    forms!(BARRIER, "barrier", "Barrier", "MPI_Barrier: every rank waits for all", DEFAULTS);
