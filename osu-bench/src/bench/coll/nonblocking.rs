//! Non-blocking collectives and how much computation they hide.

use std::cell::RefCell;
use std::hint::black_box;

use super::setup::Collective;
use crate::bench::BenchError;
use crate::measure::{Context, Nothing, percentile_columns, percentiles, run_iterations};
use crate::mpi_raw::Request;
use crate::report::{Cell, Column, Table};

/// Options of a non-blocking collective that carries data.
pub(super) const OPTIONS: &str = "mixMtcufdTz";
/// Options of one that carries none.
pub(super) const DATALESS_OPTIONS: &str = "ixtfz";
/// What its numbers mean.
pub(super) const MEANING: &str = "First the call and MPI_Wait alone are measured (Pure Comm.). Then each iteration starts the operation, computes for as \
     long as that took, with -t MPI_Test calls in between, and waits (Overall). Overlap is the share of the communication that the \
     computation hid: 100 - (Overall - Compute) / Pure Comm. x 100, not below 0; Compute is without the MPI_Test calls. All are means \
     over the timed iterations and all ranks, in us. With -f also the parts of Overall, and the fastest and slowest rank's Pure Comm.";

/// Rows and columns of the matrix that the computation multiplies, as in OSU.
const MATRIX_SIZE: usize = 25;

/// Seconds that the parts of the overlapped iterations took, summed up.
#[derive(Clone, Copy, Default)]
struct Parts {
    start_s: f64,
    compute_s: f64,
    test_s: f64,
    wait_s: f64,
    count: usize,
}

/// Runs the non-blocking form.
///
/// # Errors
/// If the buffers do not fit into memory, or validation fails.
pub(super) fn run(context: &mut Context<'_>, collective: &Collective) -> Result<(), BenchError> {
    for &element in &context.options.elements {
        let sized = collective.buffer_bytes.is_some();
        let datatype = sized.then(|| format!("Datatype: {}.", element.mpi_name()));
        let overall = "Overall = Coll. Init + Compute + MPI_Test + MPI_Wait".to_owned();
        context.report.begin(Table {
            title: context.benchmark.title.to_owned(),
            notes: std::iter::once(overall).chain(datatype).collect(),
            sized,
            columns: columns(context),
        });
        collective.for_each_size(context, element, |context, comm, size, operation| {
            let options = context.options;
            let iterations = options.counts.of_size(size.unwrap_or(0));
            let ready = || comm.barrier();
            let alone = || operation.call.start(comm).wait();
            let (pure, _) = run_iterations(options, iterations, &Nothing, ready, alone);

            let parts = RefCell::new(Parts::default());
            let mut computation = Computation::new();
            let overlapped = || {
                let times = overlapped_iteration(&mut computation, pure.mean_s(), options.test_calls, || {
                    operation.call.start(comm)
                });
                parts.borrow_mut().add(times);
            };
            // The parts of warm-up iterations do not count; they are dropped when the first timed one is made ready.
            let mut made = 0;
            let not_timed = iterations.warmup * (1 + options.validation_warmup);
            let ready = || {
                comm.barrier();
                if made == not_timed {
                    *parts.borrow_mut() = Parts::default();
                }
                made += 1;
            };
            let (overall, errors) = run_iterations(options, iterations, &*operation.check, ready, overlapped);
            let errors = context.sum(errors);

            let parts = parts.into_inner();
            let mean = |seconds: f64| context.mean(seconds * 1e6);
            let per_iteration = |seconds: f64| mean(seconds / parts.count.max(1) as f64);
            let (overall_us, pure_us) = (mean(overall.mean_s()), mean(pure.mean_s()));
            let compute_us = per_iteration(parts.compute_s);
            let overlap = (100.0 - (overall_us - compute_us) / pure_us * 100.0).max(0.0);
            let mut values = vec![overall_us, compute_us];
            if options.full {
                values.extend([parts.start_s, parts.test_s, parts.wait_s].map(per_iteration));
            }
            values.push(pure_us);
            if options.full {
                values.extend([context.min(pure.mean_s() * 1e6), context.max(pure.mean_s() * 1e6)]);
            }
            values.push(overlap);
            let mut cells: Vec<Cell> = values.into_iter().map(Cell::Number).collect();
            if options.validate {
                cells.push(Cell::Validation(errors == 0));
            }
            if !options.percentiles.is_empty() {
                let each_us = context.mean_each(overall.each_s()).into_iter().map(|seconds| seconds * 1e6);
                cells.extend(percentiles(each_us, &options.percentiles).into_iter().map(Cell::Number));
            }
            context.report.row(size, &cells);
            context.require_valid(size.unwrap_or(0), errors)
        })?;
    }
    Ok(())
}

fn overlapped_iteration(
    computation: &mut Computation,
    target_s: f64,
    test_calls: usize,
    start: impl Fn() -> Request,
) -> Parts {
    let begin_s = mpi::time();
    let mut request = start();
    let started_s = mpi::time();
    let test_s = computation.run_for(target_s, test_calls, &mut request);
    let computed_s = mpi::time();
    request.wait();
    Parts {
        start_s: started_s - begin_s,
        compute_s: computed_s - started_s - test_s,
        test_s,
        wait_s: mpi::time() - computed_s,
        count: 1,
    }
}

impl Parts {
    fn add(&mut self, other: Parts) {
        self.start_s += other.start_s;
        self.compute_s += other.compute_s;
        self.test_s += other.test_s;
        self.wait_s += other.wait_s;
        self.count += other.count;
    }
}

/// Work for the processor that needs nothing from MPI: a matrix times a vector, over and over.
struct Computation {
    matrix: [[f32; MATRIX_SIZE]; MATRIX_SIZE],
    vector: [f32; MATRIX_SIZE],
}

impl Computation {
    fn new() -> Self {
        Self { matrix: [[1.0 / MATRIX_SIZE as f32; MATRIX_SIZE]; MATRIX_SIZE], vector: [1.0; MATRIX_SIZE] }
    }

    /// Computes for `target_s`, with `tests` calls of MPI_Test spread over it; the seconds that those took.
    fn run_for(&mut self, target_s: f64, tests: usize, request: &mut Request) -> f64 {
        let mut test_s = 0.0;
        for _ in 0..tests {
            self.compute_for(target_s / (tests + 1) as f64);
            let before_s = mpi::time();
            request.test();
            test_s += mpi::time() - before_s;
        }
        self.compute_for(target_s / (tests + 1) as f64);
        test_s
    }

    fn compute_for(&mut self, target_s: f64) {
        let end_s = mpi::time() + target_s;
        while mpi::time() < end_s {
            let vector = self.matrix.map(|row| row.iter().zip(&self.vector).map(|(a, x)| a * x).sum());
            self.vector = black_box(vector);
        }
    }
}

fn columns(context: &Context<'_>) -> Vec<Column> {
    let full = context.options.full;
    let mut columns = vec![Column::new("overall_us", "Overall(us)"), Column::new("compute_us", "Compute(us)")];
    if full {
        columns.push(Column::new("start_us", "Coll. Init(us)"));
        columns.push(Column::new("test_us", "MPI_Test(us)"));
        columns.push(Column::new("wait_us", "MPI_Wait(us)"));
    }
    columns.push(Column::new("pure_us", "Pure Comm.(us)"));
    if full {
        columns.push(Column::new("min_pure_us", "Min Comm.(us)"));
        columns.push(Column::new("max_pure_us", "Max Comm.(us)"));
    }
    columns.push(Column::new("overlap_percent", "Overlap(%)"));
    if context.options.validate {
        columns.push(Column::new("validation", "Validation"));
    }
    columns.extend(percentile_columns(&context.options.percentiles, "Lat(us)"));
    columns
}
