//! Latency of persistent collectives.

use super::blocking;
use super::setup::Collective;
use crate::bench::BenchError;
use crate::measure::{Context, run_iterations};

/// Options of a persistent collective that carries data.
pub(super) const OPTIONS: &str = blocking::OPTIONS;
/// Options of one that carries none.
pub(super) const DATALESS_OPTIONS: &str = blocking::DATALESS_OPTIONS;
/// What its number means.
pub(super) const MEANING: &str = "The operation is prepared once for each size. Every rank measures from before MPI_Start until MPI_Wait returns, \
     after a barrier. The latency is the mean over the timed iterations and all ranks; with -f also the mean of the fastest and of the \
     slowest rank. Needs MPI 4.0, or Open MPI 4.1 with its extension pcollreq.";

/// Runs the persistent form.
///
/// # Errors
/// If the buffers do not fit into memory, this MPI lacks the call, or validation fails.
pub(super) fn run(context: &mut Context<'_>, collective: &Collective) -> Result<(), BenchError> {
    for &element in &context.options.elements {
        blocking::begin(context, collective.buffer_bytes.is_some(), element);
        collective.for_each_size(context, element, |context, comm, size, operation| {
            let iterations = context.options.counts.of_size(size.unwrap_or(0));
            let mut request = operation.call.init(comm)?;
            let start_and_wait = || {
                request.start();
                request.wait();
            };
            let ready = || comm.barrier();
            let (samples, errors) =
                run_iterations(context.options, iterations, &*operation.check, ready, start_and_wait);
            blocking::print_row(context, size, &samples, errors)
        })?;
    }
    Ok(())
}
