//! Latency of blocking collectives.

use super::setup::Collective;
use crate::bench::BenchError;
use crate::measure::{Context, Samples, percentile_columns, percentiles, run_iterations};
use crate::mpi_raw::Element;
use crate::report::{Cell, Column, Table};

/// Options of a blocking collective that carries data.
pub(super) const OPTIONS: &str = "mixMcufdTz";
/// Options of one that carries none.
pub(super) const DATALESS_OPTIONS: &str = "ixfz";
/// What its number means.
pub(super) const MEANING: &str = "Every rank measures each call from before it until MPI returns, after a barrier. The latency is the mean \
     over the timed iterations and all ranks; with -f also the mean of the fastest and of the slowest rank. The size is what a rank \
     gives to one other rank, or to a sum.";

/// Runs the blocking form.
///
/// # Errors
/// If the buffers do not fit into memory, or validation fails.
pub(super) fn run(context: &mut Context<'_>, collective: &Collective) -> Result<(), BenchError> {
    for &element in &context.options.elements {
        begin(context, collective.buffer_bytes.is_some(), element);
        collective.for_each_size(context, element, |context, comm, size, operation| {
            let options = context.options;
            let iterations = options.counts.of_size(size.unwrap_or(0));
            let ready = || comm.barrier();
            let (samples, errors) =
                run_iterations(options, iterations, &*operation.check, ready, || operation.call.blocking(comm));
            print_row(context, size, &samples, errors)
        })?;
    }
    Ok(())
}

/// Prints the latency over all ranks, and fails if the data was wrong. The persistent form prints the same.
pub(super) fn print_row(
    context: &mut Context<'_>,
    size: Option<usize>,
    samples: &Samples,
    errors: u64,
) -> Result<(), BenchError> {
    let options = context.options;
    let errors = context.sum(errors);
    let mine_us = samples.mean_s() * 1e6;
    let mut cells = vec![Cell::Number(context.mean(mine_us))];
    if options.full {
        cells.push(Cell::Number(context.min(mine_us)));
        cells.push(Cell::Number(context.max(mine_us)));
        cells.push(Cell::Iterations(samples.count()));
    }
    if options.validate {
        cells.push(Cell::Validation(errors == 0));
    }
    if !options.percentiles.is_empty() {
        let each_us = context.mean_each(samples.each_s()).into_iter().map(|seconds| seconds * 1e6);
        cells.extend(percentiles(each_us, &options.percentiles).into_iter().map(Cell::Number));
    }
    context.report.row(size, &cells);
    context.require_valid(size.unwrap_or(0), errors)
}

/// Starts the table of one datatype.
pub(super) fn begin(context: &mut Context<'_>, sized: bool, element: Element) {
    context.report.begin(Table {
        title: context.benchmark.title.to_owned(),
        notes: if sized { vec![format!("Datatype: {}.", element.mpi_name())] } else { Vec::new() },
        sized,
        columns: columns(context),
    });
}

fn columns(context: &Context<'_>) -> Vec<Column> {
    let mut columns = vec![Column::new("latency_us", "Avg Latency(us)")];
    if context.options.full {
        columns.push(Column::new("min_latency_us", "Min Latency(us)"));
        columns.push(Column::new("max_latency_us", "Max Latency(us)"));
        columns.push(Column::new("iterations", "Iterations"));
    }
    if context.options.validate {
        columns.push(Column::new("validation", "Validation"));
    }
    columns.extend(percentile_columns(&context.options.percentiles, "Lat(us)"));
    columns
}
