//! `osu_allreduce`: every rank gets the sum of all.

use super::blocking;
use super::setup::{BufferBytes, Collective, Operation, REDUCTION_DEFAULTS};
use crate::bench::{Benchmark, Ranks};
use crate::measure::Sums;
use crate::mpi_raw::{Allreduce, Reduction};

const ALLREDUCE: Collective = Collective {
    buffer_bytes: Some(|size, _ranks| BufferBytes { send: size, recv: size }),
    prepare: |setup| {
        let call = Allreduce {
            send: setup.send.elements(0, setup.count(), setup.element),
            recv: setup.recv.elements(0, setup.count(), setup.element),
            operation: Reduction,
        };
        let check = Sums {
            terms: &setup.send.bytes()[..setup.size_bytes],
            sums: &setup.recv.bytes()[..setup.size_bytes],
            first: 0,
            element: setup.element,
            rank: setup.rank,
            ranks: setup.ranks,
        };
        Operation::new(call, check)
    },
};

pub(super) const BLOCKING: Benchmark = Benchmark {
    name: "allreduce",
    title: "OSU MPI Allreduce Latency Test",
    about: "MPI_Allreduce, a sum",
    meaning: blocking::MEANING,
    options: blocking::OPTIONS,
    defaults: REDUCTION_DEFAULTS,
    ranks: Ranks::AtLeastTwo,
    run: |context| blocking::run(context, &ALLREDUCE),
};
