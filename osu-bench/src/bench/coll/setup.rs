//! What a collective gives to the loops that measure its blocking, non-blocking and persistent form.

use crate::bench::BenchError;
use crate::measure::{Check, Context};
use crate::mpi_raw::{Buffer, Call, Element};
use crate::options::{Counts, Defaults, Sizes};

/// Defaults of collectives that carry bytes.
pub(super) const DEFAULTS: Defaults =
    Defaults { sizes: Sizes { min_bytes: 1, max_bytes: 1 << 20 }, counts: Counts::COLLECTIVE, element: Element::Char };
/// Defaults of reductions: integers, as in OSU 7.5.
pub(super) const REDUCTION_DEFAULTS: Defaults = Defaults { element: Element::Int, ..DEFAULTS };

/// A collective operation, whatever its form.
pub(super) struct Collective {
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
}

impl Collective {
    /// Runs `each` for all sizes of one datatype, smallest first, with buffers that hold the largest.
    ///
    /// # Errors
    /// If the buffers do not fit into memory, or `each` fails.
    pub(super) fn for_each_size(
        &self,
        context: &mut Context<'_>,
        element: Element,
        mut each: impl FnMut(&mut Context<'_>, Option<usize>, Operation) -> Result<(), BenchError>,
    ) -> Result<(), BenchError> {
        let (rank, ranks) = (context.comm.rank(), context.comm.size());
        let Some(buffer_bytes) = self.buffer_bytes else {
            let nothing = Buffer::new(0);
            let setup = Setup { send: nothing, recv: nothing, size_bytes: 0, element, rank, ranks };
            return each(context, None, (self.prepare)(&setup));
        };
        let max_bytes = within_limit(context, |size| buffer_bytes(size, ranks));
        let bytes = buffer_bytes(max_bytes, ranks);
        context.require_memory(bytes.send + bytes.recv)?;
        let (send, recv) = (Buffer::new(bytes.send), Buffer::new(bytes.recv));
        send.set(1);
        for size_bytes in context.options.sizes.iter(element).take_while(|&size| size <= max_bytes) {
            each(context, Some(size_bytes), (self.prepare)(&Setup { send, recv, size_bytes, element, rank, ranks }))?;
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
