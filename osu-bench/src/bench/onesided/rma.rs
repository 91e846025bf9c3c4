//! The run over all sizes that the one-sided benchmarks share.

use std::sync::atomic::AtomicU8;

use super::sync::{Sync, Traffic};
use crate::bench::BenchError;
use crate::measure::{Check, Context, Piece, Samples, percentile_columns, percentiles, run_iterations};
use crate::mpi_raw::{Buffer, Comm, Element, Elements, Target, Window, WindowKind};
use crate::options::{Counts, Defaults, Sizes};
use crate::report::{Cell, Column, Table};

/// Options of all one-sided latencies.
pub(super) const LATENCY_OPTIONS: &str = "mixwscudTz";
/// Options of one-sided bandwidths.
pub(super) const BANDWIDTH_OPTIONS: &str = "mixWwscudTz";
/// Options of accesses to a single element.
pub(super) const ATOMIC_OPTIONS: &str = "ixwscudz";

/// Defaults of latencies.
pub(super) const LATENCY_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 1, max_bytes: 4 << 20 }, counts: Counts::LATENCY, element: Element::Char };
/// Defaults of bandwidths.
pub(super) const BANDWIDTH_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 1, max_bytes: 4 << 20 }, counts: Counts::BANDWIDTH, element: Element::Char };
/// Defaults of accesses to a single element: 8 bytes, as in OSU.
pub(super) const ATOMIC_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 8, max_bytes: 8 }, counts: Counts::LATENCY, element: Element::Long };

/// What all latencies mean.
pub(super) const LATENCY_MEANING: &str = "Rank 0 measures one access and its synchronisation. With a passive synchronisation \
    (lock, lock_all, flush, flush_local) that is the latency; with pscw and fence rank 1 then does the same to rank 0, and half of \
    the time of both is. The mean of the timed iterations.";
/// What bandwidths one way mean.
pub(super) const BANDWIDTH_MEANING: &str = "An iteration is a window of 64 accesses (-W), each to a place of its own, and their \
    synchronisation, measured by rank 0. MB/s are millions of bytes per second: all bytes of the timed iterations over the sum of \
    their times.";

/// One access at a time.
pub(super) const LATENCY: Shape = Shape { traffic: Traffic::Latency, accesses: 1, default_sync: Sync::Flush };

/// What a one-sided benchmark does, apart from its access.
pub(super) struct Shape {
    /// Who accesses whom.
    pub(super) traffic: Traffic,
    /// Accesses in an iteration, each at its own place.
    pub(super) accesses: usize,
    /// Synchronisation if the user names none.
    pub(super) default_sync: Sync,
}

/// One size on one rank.
pub(super) struct Setup<'w> {
    /// The window.
    pub(super) window: &'w Window,
    /// Read by the accesses of this rank.
    pub(super) origin: Buffer,
    /// Written by them.
    pub(super) result: Buffer,
    /// Compared by them.
    pub(super) compare: Buffer,
    /// Of an access.
    pub(super) size_bytes: usize,
    /// Datatype.
    pub(super) element: Element,
    /// This rank.
    pub(super) rank: usize,
    /// Whether this rank accesses the other's memory.
    pub(super) accesses: bool,
    /// Whether the other accesses this one's.
    pub(super) is_accessed: bool,
    /// Accesses in an iteration.
    pub(super) messages: usize,
    /// How often an iteration is repeated before its result is checked, the timed time included.
    pub(super) repetitions: usize,
}

impl<'w> Setup<'w> {
    /// The other rank.
    pub(super) fn peer(&self) -> usize {
        1 - self.rank
    }

    /// The pieces of an iteration in `bytes`, as messages of `sender`.
    pub(super) fn pieces<'m>(&self, bytes: &'m [AtomicU8], sender: usize) -> Vec<Piece<'m>> {
        let piece = |receiver: usize| Piece {
            bytes: &bytes[receiver * self.size_bytes..][..self.size_bytes],
            sender,
            receiver,
        };
        (0..self.messages).map(piece).collect()
    }

    /// The places of an iteration's accesses in a buffer.
    pub(super) fn messages_in(&self, buffer: Buffer) -> Vec<Elements> {
        let count = self.size_bytes / self.element.size_bytes();
        (0..self.messages).map(|at| buffer.elements(at * self.size_bytes, count, self.element)).collect()
    }

    /// The places of an iteration's accesses in the peer's window.
    pub(super) fn targets(&self) -> Vec<Target> {
        let count = self.size_bytes / self.element.size_bytes();
        (0..self.messages).map(|at| self.window.target(at * self.size_bytes, count, self.element)).collect()
    }
}

/// What checks the data of one size, after it has arrived.
struct Settled<'a> {
    check: Box<dyn Check + 'a>,
    sync: Sync,
    setup: &'a Setup<'a>,
    comm: &'a Comm,
}

impl Check for Settled<'_> {
    fn fill(&self, iteration: usize) {
        self.check.fill(iteration);
    }

    fn settle(&self) {
        self.sync.settle(self.setup.window, self.setup.accesses);
        self.comm.barrier();
    }

    fn errors(&self, iteration: usize) -> u64 {
        self.check.errors(iteration)
    }

    fn corrupt(&self) {
        self.check.corrupt();
    }
}

/// Runs the accesses that `prepare` returns, for each size, and checks them with what `check` returns.
///
/// # Errors
/// If the buffers do not fit into memory, -s is not possible, or validation fails.
pub(super) fn run(
    context: &mut Context<'_>,
    shape: &Shape,
    prepare: impl for<'w> Fn(&Setup<'w>) -> Box<dyn FnMut() + 'w>,
    check: impl for<'w> Fn(&Setup<'w>) -> Box<dyn Check + 'w>,
) -> Result<(), BenchError> {
    let options = context.options;
    let sync = options.sync.unwrap_or(shape.default_sync);
    if shape.traffic == Traffic::Both && !sync.is_active() {
        return Err(BenchError::PassiveSync { name: context.benchmark.name });
    }
    let largest_bytes = options.sizes.max_bytes * shape.accesses;
    // The window, what is read, what is written; a window of our own is never freed, so those of all sizes add up to
    // two.
    context.require_memory(4 * largest_bytes)?;
    let [origin, result, compare] = [(); 3].map(|()| Buffer::new(largest_bytes));
    let rank = context.comm.rank();
    for &element in &options.elements {
        context.report.begin(Table {
            title: context.benchmark.title.to_owned(),
            notes: vec![
                format!("Window creation: {}", window_title(options.window_kind)),
                format!("Synchronization: {}", sync.title()),
                format!("Datatype: {}.", element.mpi_name()),
            ],
            sized: true,
            columns: shape.columns(context),
        });
        for size_bytes in options.sizes.iter(element) {
            let window = Window::new(context.comm, options.window_kind, size_bytes * shape.accesses, 1 - rank);
            let both = shape.traffic == Traffic::Both || shape.traffic == Traffic::Latency && sync.is_active();
            let setup = Setup {
                window: &window,
                origin,
                result,
                compare,
                size_bytes,
                element,
                rank,
                accesses: both || rank == 0,
                is_accessed: both || rank != 0,
                messages: shape.accesses,
                repetitions: 1 + options.validation_warmup,
            };
            let check = Settled { check: check(&setup), sync, setup: &setup, comm: context.comm };
            let mut access = prepare(&setup);
            let ready = || {
                if options.validate {
                    context.comm.barrier();
                }
            };
            context.barrier();
            sync.open(&window, setup.accesses);
            let iteration = || sync.iteration(&window, shape.traffic, rank, &mut access);
            let (samples, errors) =
                run_iterations(options, options.counts.of_size(size_bytes), &check, ready, iteration);
            sync.close(&window, setup.accesses);
            context.barrier();
            shape.print_row(context, sync, size_bytes, &samples, errors)?;
        }
    }
    Ok(())
}

fn window_title(kind: WindowKind) -> &'static str {
    match kind {
        WindowKind::Create => "MPI_Win_create",
        WindowKind::Allocate => "MPI_Win_allocate",
        WindowKind::Dynamic => "MPI_Win_create_dynamic",
    }
}

impl Shape {
    fn columns(&self, context: &Context<'_>) -> Vec<Column> {
        let (column, tail) = match self.traffic {
            Traffic::Latency => (Column::new("latency_us", "Latency (us)"), "Lat(us)"),
            Traffic::OneWay | Traffic::Both => (Column::new("bandwidth_mb_s", "Bandwidth (MB/s)"), "BW(MB/s)"),
        };
        let validation = context.options.validate.then(|| Column::new("validation", "Validation"));
        let tails = percentile_columns(&context.options.percentiles, tail);
        std::iter::once(column).chain(validation).chain(tails).collect()
    }

    fn value(&self, sync: Sync, seconds: f64, size_bytes: usize) -> f64 {
        let bytes = (size_bytes * self.accesses) as f64;
        match self.traffic {
            Traffic::Latency if sync.is_active() => seconds * 1e6 / 2.0,
            Traffic::Latency => seconds * 1e6,
            Traffic::OneWay => bytes / 1e6 / seconds,
            Traffic::Both => 2.0 * bytes / 1e6 / seconds,
        }
    }

    fn print_row(
        &self,
        context: &mut Context<'_>,
        sync: Sync,
        size_bytes: usize,
        samples: &Samples,
        errors: u64,
    ) -> Result<(), BenchError> {
        let errors = context.sum(errors);
        let mut cells = vec![Cell::Number(self.value(sync, samples.mean_s(), size_bytes))];
        if context.options.validate {
            cells.push(Cell::Validation(errors == 0));
        }
        let each = samples.each_s().iter().map(|&seconds| self.value(sync, seconds, size_bytes));
        cells.extend(percentiles(each, &context.options.percentiles).into_iter().map(Cell::Number));
        context.report.row(Some(size_bytes), &cells);
        context.require_valid(size_bytes, errors)
    }
}
