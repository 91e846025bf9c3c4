//! What a collective gives to the loops that measure its blocking, non-blocking and persistent form.

use super::{blocking, nonblocking, persistent};
use crate::bench::BenchError;
use crate::measure::{Check, Context, Piece};
use crate::mpi_raw::{Buffer, Call, Comm, Element, Elements};
use crate::options::{Counts, Defaults, Sizes};

/// Defaults of collectives that carry bytes.
pub(super) const DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 1, max_bytes: 1 << 20 }, counts: Counts::COLLECTIVE, element: Element::Char };
/// The root of all rooted collectives, as in OSU.
pub(super) const ROOT: usize = 0;
/// Stands for the receiver of what goes to all ranks alike.
pub(super) const EVERYBODY: usize = 0;
/// Defaults of reductions: integers, as in OSU 7.5.
pub(super) const REDUCTION_DEFAULTS: Defaults = Defaults { element: Element::Int, ..DEFAULTS };

/// How a collective is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// The call returns when it is done.
    Blocking,
    /// The call starts it, MPI_Wait ends it; computation goes on in between.
    NonBlocking,
    /// Prepared once, started and waited for in each iteration.
    Persistent,
}

impl Form {
    /// Measures `collective` in this form.
    ///
    /// # Errors
    /// If the buffers do not fit into memory, this MPI lacks the form, or validation fails.
    pub(crate) fn run(self, context: &mut Context<'_>, collective: &Collective) -> Result<(), BenchError> {
        match self {
            Form::Blocking => blocking::run(context, collective),
            Form::NonBlocking => nonblocking::run(context, collective),
            Form::Persistent => persistent::run(context, collective),
        }
    }
}

/// The benchmarks of a collective's three forms, with OSU's names and titles.
macro_rules! forms {
    ($collective:ident, $name:literal, $title:literal, $about:literal, $defaults:expr) => {
        &[
            forms!(@one Blocking, $collective, $name, concat!("OSU MPI ", $title, " Latency Test"), $about, $defaults, blocking),
            forms!(
                @one NonBlocking, $collective, concat!("i", $name), concat!("OSU MPI Non-blocking ", $title, " Latency Test"),
                concat!($about, "; non-blocking, with computation beside it"), $defaults, nonblocking
            ),
            forms!(
                @one Persistent, $collective, concat!($name, "_persistent"),
                concat!("OSU MPI Persistent ", $title, " Latency Test"), concat!($about, "; persistent"), $defaults, persistent
            ),
        ]
    };
    (@one $form:ident, $collective:ident, $name:expr, $title:expr, $about:expr, $defaults:expr, $module:ident) => {
        &$crate::bench::Benchmark {
            name: $name,
            title: $title,
            about: $about,
            meaning: super::$module::MEANING,
            options: if $collective.buffer_bytes.is_some() { super::$module::OPTIONS } else { super::$module::DATALESS_OPTIONS },
            defaults: $defaults,
            ranks: $crate::bench::Ranks::AtLeastTwo,
            run: $crate::bench::Run::Collective(super::setup::Form::$form, &$collective),
        }
    };
}
pub(super) use forms;

/// A collective operation, whatever its form.
pub(crate) struct Collective {
    /// Whether it runs on a ring of ranks, with two neighbours each.
    pub(super) on_ring: bool,
    /// Bytes of the send and the receive buffer of one rank, for messages of a size and a number of ranks; `None` if it
    /// carries no data.
    pub(super) buffer_bytes: Option<fn(usize, usize) -> BufferBytes>,
    /// The call for one size, and how its data is checked.
    pub(super) prepare: fn(&Setup) -> Operation,
}

/// Bytes of the buffers of one rank.
pub(super) struct BufferBytes {
    /// Sent from.
    pub(super) send: usize,
    /// Received in.
    pub(super) recv: usize,
}

/// A call and how its data is checked.
pub(super) struct Operation {
    /// The call.
    pub(super) call: Box<dyn Call>,
    /// Its data.
    pub(super) check: Box<dyn Check>,
}

/// One size on one rank.
pub(super) struct Setup {
    /// Sent from here.
    pub(super) send: Buffer,
    /// Received here.
    pub(super) recv: Buffer,
    /// Size of a message as OSU counts it: of what a rank gives to one other, or to a sum.
    pub(super) size_bytes: usize,
    /// Datatype.
    pub(super) element: Element,
    /// This rank.
    pub(super) rank: usize,
    /// All ranks.
    pub(super) ranks: usize,
    /// Predecessor and successor in the ring.
    pub(super) neighbours: [usize; 2],
}

impl Operation {
    /// Boxes both.
    pub(super) fn new(call: impl Call + 'static, check: impl Check + 'static) -> Self {
        Self { call: Box::new(call), check: Box::new(check) }
    }
}

impl Setup {
    /// Elements of one message.
    pub(super) fn count(&self) -> usize {
        self.size_bytes / self.element.size_bytes()
    }

    /// Whether this rank is the root; it is always rank 0.
    pub(super) fn is_root(&self) -> bool {
        self.rank == ROOT
    }

    /// The message that this rank gives.
    pub(super) fn given(&self) -> Elements {
        self.send.elements(0, self.count(), self.element)
    }

    /// The message that this rank gets.
    pub(super) fn got(&self) -> Elements {
        self.recv.elements(0, self.count(), self.element)
    }

    /// As many elements as a message has, once for each of `parts`.
    pub(super) fn counts(&self, parts: usize) -> Vec<usize> {
        vec![self.count(); parts]
    }

    /// The block `at` of `buffer`, as the message from `sender` to `receiver`.
    pub(super) fn piece(&self, buffer: Buffer, at: usize, sender: usize, receiver: usize) -> Piece<'static> {
        Piece { bytes: &buffer.bytes()[at * self.size_bytes..][..self.size_bytes], sender, receiver }
    }

    /// Blocks of the receive buffer, from each of `senders` in turn, for `receiver`.
    pub(super) fn pieces_from(&self, senders: impl IntoIterator<Item = usize>, receiver: usize) -> Vec<Piece<'static>> {
        senders.into_iter().enumerate().map(|(at, sender)| self.piece(self.recv, at, sender, receiver)).collect()
    }

    /// Blocks of the send buffer, from this rank to each of `receivers` in turn.
    pub(super) fn pieces_to(&self, receivers: impl IntoIterator<Item = usize>) -> Vec<Piece<'static>> {
        receivers.into_iter().enumerate().map(|(at, receiver)| self.piece(self.send, at, self.rank, receiver)).collect()
    }
}

impl Collective {
    /// Runs `each` for all sizes of one datatype, smallest first, with buffers that hold the largest and the
    /// communicator of the calls.
    ///
    /// # Errors
    /// If the buffers do not fit into memory, or `each` fails.
    pub(super) fn for_each_size(
        &self,
        context: &mut Context<'_>,
        element: Element,
        mut each: impl FnMut(&mut Context<'_>, &Comm, Option<usize>, Operation) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let (rank, ranks) = (context.comm.rank(), context.comm.size());
        let neighbours = [(rank + ranks - 1) % ranks, (rank + 1) % ranks];
        let ring = self.on_ring.then(|| context.comm.ring());
        let comm = ring.as_ref().unwrap_or(context.comm);
        let Some(buffer_bytes) = self.buffer_bytes else {
            let nothing = Buffer::new(0);
            let setup = Setup { send: nothing, recv: nothing, size_bytes: 0, element, rank, ranks, neighbours };
            return each(context, comm, None, (self.prepare)(&setup));
        };
        let max_bytes = within_limit(context, |size| buffer_bytes(size, ranks));
        let bytes = buffer_bytes(max_bytes, ranks);
        context.require_memory(bytes.send + bytes.recv)?;
        let (send, recv) = (Buffer::new(bytes.send), Buffer::new(bytes.recv));
        send.set(1);
        for size_bytes in context.options.sizes.iter(element).take_while(|&size| size <= max_bytes) {
            each(
                context,
                comm,
                Some(size_bytes),
                (self.prepare)(&Setup { send, recv, size_bytes, element, rank, ranks, neighbours }),
            )?;
        }
        Ok(())
    }
}

/// The largest size whose buffers -M allows; OSU warns and goes on with it, and so do we.
fn within_limit(context: &Context<'_>, buffer_bytes: impl Fn(usize) -> BufferBytes) -> usize {
    let asked = context.options.sizes.max_bytes;
    let limit = context.options.memory_limit_bytes;
    let mut max_bytes = asked;
    while max_bytes > 0 && buffer_bytes(max_bytes).send.max(buffer_bytes(max_bytes).recv) > limit {
        max_bytes /= 2;
    }
    if max_bytes < asked && context.comm.rank() == 0 {
        eprintln!(
            "Warning! Limiting max message size to: {max_bytes}. Increase -M, --mem-limit for higher message sizes."
        );
    }
    max_bytes
}
