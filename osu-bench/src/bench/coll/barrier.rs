//! `osu_barrier`: every rank waits for all.

use super::blocking;
use super::setup::{Collective, DEFAULTS, Operation};
use crate::bench::{Benchmark, Ranks};
use crate::measure::Nothing;
use crate::mpi_raw::Barrier;

const BARRIER: Collective = Collective { buffer_bytes: None, prepare: |_setup| Operation::new(Barrier {}, Nothing) };

pub(super) const BLOCKING: Benchmark = Benchmark {
    name: "barrier",
    title: "OSU MPI Barrier Latency Test",
    about: "MPI_Barrier",
    meaning: blocking::MEANING,
    options: "ixfuz",
    defaults: DEFAULTS,
    ranks: Ranks::AtLeastTwo,
    run: |context| blocking::run(context, &BARRIER),
};
