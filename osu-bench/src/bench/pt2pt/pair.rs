//! The run over all sizes that the benchmarks of one pair share.

use crate::bench::BenchError;
use crate::measure::{Context, Piece, Pieces, percentile_columns, percentiles, run_iterations};
use crate::mpi_raw::{Buffer, Element, Elements, Peer};
use crate::options::{Buffers, Counts, Defaults, Sizes};
use crate::report::{Cell, Column, Table};

/// Tag of the measured messages.
const DATA_TAG: u16 = 100;
/// Tag of the receiver's answer to a window.
const ACK_TAG: u16 = 101;
/// The answer is four bytes, as in OSU.
const ACK_BYTES: usize = 4;

/// Defaults of a latency benchmark.
pub(super) const LATENCY_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 0, max_bytes: 4 << 20 }, counts: Counts::LATENCY, element: Element::Char };
/// Defaults of a bandwidth benchmark.
pub(super) const BANDWIDTH_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 1, max_bytes: 4 << 20 }, counts: Counts::BANDWIDTH, element: Element::Char };

/// What an iteration's time says.
#[derive(Clone, Copy)]
pub(super) enum Figure {
    /// Half of it is the latency in us.
    HalfRoundTrip,
    /// It moved this many messages; MB/s.
    Bandwidth {
        /// Per iteration, both directions together.
        messages: usize,
    },
}

/// One size on one rank of the pair: the buffers and the peer.
pub(super) struct Exchange {
    /// This rank: 0 measures.
    pub(super) rank: usize,
    /// The other rank, for messages.
    pub(super) peer: Peer,
    /// The other rank, for answers.
    pub(super) ack_peer: Peer,
    /// What is sent; one per message of a window, or one for all.
    pub(super) send: Vec<Elements>,
    /// Where messages arrive; as many.
    pub(super) recv: Vec<Elements>,
    /// Where the receiver's answer lies.
    pub(super) ack: Elements,
}

impl Figure {
    fn value(self, seconds: f64, size_bytes: usize) -> f64 {
        match self {
            Figure::HalfRoundTrip => seconds * 1e6 / 2.0,
            Figure::Bandwidth { messages } => (size_bytes * messages) as f64 / 1e6 / seconds,
        }
    }

    fn column(self) -> Column {
        match self {
            Figure::HalfRoundTrip => Column::new("latency_us", "Avg Latency(us)"),
            Figure::Bandwidth { .. } => Column::new("bandwidth_mb_s", "Bandwidth (MB/s)"),
        }
    }

    fn percentile_unit(self) -> &'static str {
        match self {
            Figure::HalfRoundTrip => "Lat(us)",
            Figure::Bandwidth { .. } => "BW(MB/s)",
        }
    }
}

/// Runs `prepare` for each size; it returns the operation of one iteration on this rank, which is timed on rank 0.
///
/// `window` is the number of messages that need a place of their own with -b multiple; `sends_back` says whether rank 0
/// receives data too.
///
/// # Errors
/// If the buffers do not fit into memory, or validation fails.
pub(super) fn run<'c, Operation: FnMut()>(
    context: &mut Context<'c>,
    figure: Figure,
    window: usize,
    sends_back: bool,
    prepare: impl Fn(Exchange, &Context<'c>) -> Operation,
) -> Result<(), BenchError> {
    let options = context.options;
    let slots = if options.buffers == Buffers::Multiple { window } else { 1 };
    // Messages keep the alignment of a page, as separate allocations would.
    let slot_bytes = options.sizes.max_bytes.next_multiple_of(4096).max(4096);
    context.require_memory(2 * slots * slot_bytes)?;
    let (send, recv, ack) = (Buffer::new(slots * slot_bytes), Buffer::new(slots * slot_bytes), Buffer::new(ACK_BYTES));
    send.set(b'a');
    recv.set(b'b');

    for &element in &options.elements {
        let mut columns = vec![figure.column()];
        if options.validate {
            columns.push(Column::new("validation", "Validation"));
        }
        columns.extend(percentile_columns(&options.percentiles, figure.percentile_unit()));
        context.report.begin(Table {
            title: context.benchmark.title.to_owned(),
            notes: vec![format!("Datatype: {}.", element.mpi_name())],
            sized: true,
            columns,
        });
        for size_bytes in options.sizes.iter(element) {
            let rank = context.comm.rank();
            let offsets_bytes: Vec<usize> = (0..slots).map(|slot| slot * slot_bytes).collect();
            let elements = |buffer: &Buffer| {
                offsets_bytes
                    .iter()
                    .map(|&at| buffer.elements(at, size_bytes / element.size_bytes(), element))
                    .collect()
            };
            let exchange = Exchange {
                rank,
                peer: Peer::new(1 - rank, DATA_TAG),
                ack_peer: Peer::new(1 - rank, ACK_TAG),
                send: elements(&send),
                recv: elements(&recv),
                ack: ack.elements(0, ACK_BYTES, Element::Char),
            };
            let pieces = |buffer: &Buffer, sender: usize| {
                let piece = |(slot, &at): (usize, &usize)| Piece {
                    bytes: &buffer.bytes()[at..at + size_bytes],
                    sender,
                    receiver: slot,
                };
                offsets_bytes.iter().enumerate().map(piece).collect()
            };
            let check = Pieces {
                sends: pieces(&send, rank),
                receives: if sends_back || rank == 1 { pieces(&recv, 1 - rank) } else { Vec::new() },
            };
            let operation = prepare(exchange, context);
            measure_size(context, figure, size_bytes, &check, operation)?;
        }
    }
    Ok(())
}

fn measure_size(
    context: &mut Context<'_>,
    figure: Figure,
    size_bytes: usize,
    check: &Pieces,
    operation: impl FnMut(),
) -> Result<(), BenchError> {
    let options = context.options;
    let iterations = options.counts.of_size(size_bytes);
    context.barrier();
    let (samples, errors) = run_iterations(options, iterations, check, || {}, operation);
    let errors = context.sum(errors);

    let mut cells = vec![Cell::Number(figure.value(samples.mean_s(), size_bytes))];
    if options.validate {
        cells.push(Cell::Validation(errors == 0));
    }
    let each = samples.each_s().iter().map(|&seconds| figure.value(seconds, size_bytes));
    cells.extend(percentiles(each, &options.percentiles).into_iter().map(Cell::Number));
    context.report.row(Some(size_bytes), &cells);
    context.require_valid(size_bytes, errors)
}
