//! The run over all sizes that the benchmarks of pairs of ranks share.
//!
//! The first half of the ranks sends first, the second half answers: rank `i` talks to rank `i + pairs`, as in OSU.

use crate::bench::BenchError;
use crate::measure::{Context, Piece, Pieces, Samples, percentile_columns, percentiles, run_iterations};
use crate::mpi_raw::{Buffer, Element, Elements, Peer};
use crate::options::{Buffers, Counts, Defaults, Sizes};
use crate::report::{Cell, Column, Table};

/// Tag of the measured messages.
const DATA_TAG: u16 = 100;
/// Tag of the receiver's answer to a window.
const ACK_TAG: u16 = 101;
/// The answer is four bytes, as in OSU.
const ACK_BYTES: usize = 4;
/// Messages of a window start on pages of their own.
const SLOT_ALIGNMENT: usize = 4096;

/// Defaults of a latency benchmark.
pub(super) const LATENCY_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 0, max_bytes: 4 << 20 }, counts: Counts::LATENCY, element: Element::Char };
/// Defaults of a bandwidth benchmark.
pub(super) const BANDWIDTH_DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 1, max_bytes: 4 << 20 }, counts: Counts::BANDWIDTH, element: Element::Char };

/// What an iteration's time says.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Figure {
    /// Half of it, at the ranks that send first, is the latency in us.
    HalfRoundTrip,
    /// The same, averaged over both ends.
    HalfRoundTripOfBoth,
    /// It moved messages; MB/s over all pairs.
    Bandwidth,
    /// The same, and messages per second.
    BandwidthAndRate,
}

/// What a benchmark of pairs does, apart from its operation.
pub(super) struct Shape {
    /// What is printed.
    pub(super) figure: Figure,
    /// Messages in flight in one direction.
    pub(super) window: usize,
    /// Whether the rank that sends first gets data back.
    pub(super) sends_back: bool,
    /// Number of pairs.
    pub(super) pairs: usize,
    /// Comment lines ahead of the datatype.
    pub(super) notes: Vec<String>,
}

/// One size on one rank of a pair: the buffers and the peer.
pub(super) struct Exchange {
    /// Whether this rank sends first.
    pub(super) first: bool,
    /// The other rank, for messages.
    pub(super) peer: Peer,
    /// The other rank, for answers.
    pub(super) ack_peer: Peer,
    /// What is sent; one per message of a window.
    pub(super) send: Vec<Elements>,
    /// Where messages arrive; as many.
    pub(super) recv: Vec<Elements>,
    /// Where the receiver's answer lies.
    pub(super) ack: Elements,
}

impl Shape {
    /// Of ranks 0 and 1.
    pub(super) fn one_pair(figure: Figure, window: usize, sends_back: bool) -> Shape {
        Shape { figure, window, sends_back, pairs: 1, notes: Vec::new() }
    }

    /// Messages that a pair moves in an iteration, both directions together.
    fn messages(&self) -> usize {
        if self.sends_back { 2 * self.window } else { self.window }
    }

    fn value(&self, seconds: f64, size_bytes: usize) -> f64 {
        match self.figure {
            Figure::HalfRoundTrip | Figure::HalfRoundTripOfBoth => seconds * 1e6 / 2.0,
            Figure::Bandwidth | Figure::BandwidthAndRate => {
                (size_bytes * self.messages() * self.pairs) as f64 / 1e6 / seconds
            }
        }
    }

    fn is_latency(&self) -> bool {
        matches!(self.figure, Figure::HalfRoundTrip | Figure::HalfRoundTripOfBoth)
    }

    fn columns(&self, context: &Context<'_>) -> Vec<Column> {
        let mut columns = match self.figure {
            Figure::HalfRoundTrip | Figure::HalfRoundTripOfBoth => vec![Column::new("latency_us", "Avg Latency(us)")],
            Figure::Bandwidth => vec![Column::new("bandwidth_mb_s", "Bandwidth (MB/s)")],
            Figure::BandwidthAndRate => {
                vec![Column::new("bandwidth_mb_s", "MB/s"), Column::new("messages_per_s", "Messages/s")]
            }
        };
        if context.options.validate {
            columns.push(Column::new("validation", "Validation"));
        }
        let what = if self.is_latency() { "Lat(us)" } else { "BW(MB/s)" };
        columns.extend(percentile_columns(&context.options.percentiles, what));
        columns
    }

    /// Whether the times of `rank` count.
    fn measures(&self, rank: usize) -> bool {
        rank < if self.figure == Figure::HalfRoundTripOfBoth { 2 * self.pairs } else { self.pairs }
    }

    /// How many ranks' times count.
    fn measuring_ranks(&self) -> f64 {
        if self.figure == Figure::HalfRoundTripOfBoth { 2.0 * self.pairs as f64 } else { self.pairs as f64 }
    }
}

/// Runs `prepare` for each size; it returns the operation of one iteration on this rank.
///
/// # Errors
/// If the buffers do not fit into memory, or validation fails.
pub(super) fn run<'c, Operation: FnMut()>(
    context: &mut Context<'c>,
    shape: &Shape,
    prepare: impl Fn(Exchange, &Context<'c>) -> Operation,
) -> Result<(), BenchError> {
    let options = context.options;
    let slots = if options.buffers == Buffers::Multiple { shape.window } else { 1 };
    let slot_bytes = options.sizes.max_bytes.max(1).next_multiple_of(SLOT_ALIGNMENT);
    context.require_memory(2 * slots * slot_bytes)?;
    let (send, recv) = (Buffer::new(slots * slot_bytes), Buffer::new(slots * slot_bytes));
    let ack = Buffer::new(ACK_BYTES).elements(0, ACK_BYTES, Element::Char);
    send.set(b'a');
    recv.set(b'b');

    let rank = context.comm.rank();
    let first = rank < shape.pairs;
    let partner = if first { rank + shape.pairs } else { rank.wrapping_sub(shape.pairs) };
    let takes_part = rank < 2 * shape.pairs;
    for &element in &options.elements {
        let mut notes = shape.notes.clone();
        notes.push(format!("Datatype: {}.", element.mpi_name()));
        let title = context.benchmark.title.to_owned();
        context.report.begin(Table { title, notes, sized: true, columns: shape.columns(context) });
        for size_bytes in options.sizes.iter(element) {
            if !takes_part {
                print_row(context, shape, size_bytes, &Samples::new(0, false), 0)?;
                continue;
            }
            // Without -b multiple all messages of a window lie in the same place.
            let at = |message: usize| message % slots * slot_bytes;
            let elements = |buffer: &Buffer| {
                (0..shape.window)
                    .map(|message| buffer.elements(at(message), size_bytes / element.size_bytes(), element))
                    .collect()
            };
            let exchange = Exchange {
                first,
                peer: Peer::new(partner, DATA_TAG),
                ack_peer: Peer::new(partner, ACK_TAG),
                send: elements(&send),
                recv: elements(&recv),
                ack,
            };
            let pieces = |buffer: Buffer, sender: usize| -> Vec<Piece<'_>> {
                (0..slots)
                    .map(|slot| Piece { bytes: &buffer.bytes()[at(slot)..][..size_bytes], sender, receiver: slot })
                    .collect()
            };
            let receives = if shape.sends_back || !first { pieces(recv, partner) } else { Vec::new() };
            let check = Pieces { sends: pieces(send, rank), receives };
            let operation = prepare(exchange, context);
            context.barrier();
            let iterations = options.counts.of_size(size_bytes);
            let (samples, errors) = run_iterations(options, iterations, &check, || {}, operation);
            print_row(context, shape, size_bytes, &samples, errors)?;
        }
    }
    Ok(())
}

fn print_row(
    context: &mut Context<'_>,
    shape: &Shape,
    size_bytes: usize,
    samples: &Samples,
    errors: u64,
) -> Result<(), BenchError> {
    let options = context.options;
    let counts = f64::from(u8::from(shape.measures(context.comm.rank())));
    let errors = context.sum(errors);
    let mean_s = context.sum(samples.mean_s() * counts) / shape.measuring_ranks();
    let mut cells = vec![Cell::Number(shape.value(mean_s, size_bytes))];
    if shape.figure == Figure::BandwidthAndRate {
        cells.push(Cell::Number((shape.messages() * shape.pairs) as f64 / mean_s));
    }
    if options.validate {
        cells.push(Cell::Validation(errors == 0));
    }
    if !options.percentiles.is_empty() {
        let timed = options.counts.of_size(size_bytes).timed;
        let mut mine: Vec<f64> = samples.each_s().iter().map(|seconds| seconds * counts).collect();
        mine.resize(timed, 0.0);
        let ranks = context.comm.size() as f64;
        let each = context.mean_each(&mine).into_iter().map(|mean| mean * ranks / shape.measuring_ranks());
        let values = percentiles(each.map(|seconds| shape.value(seconds, size_bytes)), &options.percentiles);
        cells.extend(values.into_iter().map(Cell::Number));
    }
    context.report.row(Some(size_bytes), &cells);
    context.require_valid(size_bytes, errors)
}
