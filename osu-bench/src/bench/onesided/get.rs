//! MPI_Get, as its latency and its bandwidths use it.

use super::rma::{self, Shape};
use crate::bench::BenchError;
use crate::measure::{Context, Pieces};

/// Measures the accesses of `shape`.
pub(super) fn run(context: &mut Context<'_>, shape: &Shape) -> Result<(), BenchError> {
    rma::run(
        context,
        shape,
        |setup| {
            let places = setup.messages_in(setup.result);
            let (window, targets) = (setup.window, setup.targets());
            Box::new(move || {
                for (&place, &target) in places.iter().zip(&targets) {
                    window.get(place, target);
                }
            })
        },
        |setup| {
            // What is got lies in the window of its owner.
            let sends = if setup.is_accessed { setup.pieces(setup.window.bytes(), setup.rank) } else { Vec::new() };
            let receives = if setup.accesses { setup.pieces(setup.result.bytes(), setup.peer()) } else { Vec::new() };
            Box::new(Pieces { sends, receives })
        },
    )
}
