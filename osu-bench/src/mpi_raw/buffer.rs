//! Message memory: page aligned, touched, never freed.

use std::os::raw::{c_int, c_void};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use mpi::ffi;

use super::element::Element;

/// Buffers start on a page, as OSU's do, so that copies and registrations are alike from run to run.
const PAGE_BYTES: usize = 4096;

/// A piece of message memory. It is never freed: a process runs one benchmark and allocates its buffers once per size
/// at most, and memory that outlives every request needs no proof about when MPI is done with it.
#[derive(Clone, Copy)]
pub(crate) struct Buffer {
    bytes: &'static [AtomicU8],
}

/// Elements of one datatype inside a [`Buffer`]: an address, a count and a type that are known to fit.
#[derive(Clone, Copy)]
pub(crate) struct Elements {
    pub(super) address: *mut c_void,
    pub(super) count: c_int,
    pub(super) datatype: ffi::MPI_Datatype,
}

/// As many elements for each rank (or neighbour), one block after the other.
#[derive(Clone, Copy)]
pub(crate) struct Blocks {
    pub(super) address: *mut c_void,
    pub(super) each: c_int,
    pub(super) blocks: usize,
    pub(super) datatype: ffi::MPI_Datatype,
}

/// A block for each rank (or neighbour) with its own length, one after the other, as the calls for vectors (`v`) and
/// for mixed datatypes (`w`) want it. Counts and displacements are never freed, as the buffer is not.
#[derive(Clone, Copy)]
pub(crate) struct Parts {
    pub(super) address: *mut c_void,
    pub(super) counts: &'static [c_int],
    /// In elements.
    pub(super) starts: &'static [c_int],
    /// In bytes.
    pub(super) starts_bytes: &'static [c_int],
    /// In bytes, as neighbour calls want them.
    pub(super) starts_address: &'static [ffi::MPI_Aint],
    pub(super) datatype: ffi::MPI_Datatype,
    /// The datatype, once for each part.
    pub(super) datatypes: &'static [ffi::MPI_Datatype],
}

impl Buffer {
    /// Allocates `len_bytes` on a page boundary and writes every page, so that no page fault falls into a timed call.
    pub(crate) fn new(len_bytes: usize) -> Self {
        let mut memory = Vec::new();
        memory.resize_with(len_bytes + PAGE_BYTES, || AtomicU8::new(0));
        let memory: &'static [AtomicU8] = memory.leak();
        let start = memory.as_ptr().align_offset(PAGE_BYTES);
        Self { bytes: &memory[start..start + len_bytes] }
    }

    /// The bytes, for filling and checking.
    pub(crate) fn bytes(&self) -> &'static [AtomicU8] {
        self.bytes
    }

    /// `count` elements that start `offset_bytes` into the buffer.
    ///
    /// # Panics
    /// If they do not fit: the benchmark sized its buffer wrongly.
    pub(crate) fn elements(&self, offset_bytes: usize, count: usize, element: Element) -> Elements {
        let range = &self.bytes[offset_bytes..offset_bytes + count * element.size_bytes()];
        Elements { address: range.as_ptr().cast_mut().cast(), count: to_int(count), datatype: element.raw() }
    }

    /// `blocks` blocks of `each` elements from the start of the buffer.
    ///
    /// # Panics
    /// If they do not fit: the benchmark sized its buffer wrongly.
    pub(crate) fn blocks(&self, each: usize, blocks: usize, element: Element) -> Blocks {
        let Elements { address, datatype, .. } = self.elements(0, each * blocks, element);
        Blocks { address, each: to_int(each), blocks, datatype }
    }

    /// Parts of `counts` elements from the start of the buffer, one after the other.
    ///
    /// # Panics
    /// If they do not fit: the benchmark sized its buffer wrongly.
    pub(crate) fn parts(&self, counts: &[usize], element: Element) -> Parts {
        let Elements { address, datatype, .. } = self.elements(0, counts.iter().sum(), element);
        let starts: Vec<usize> = counts
            .iter()
            .scan(0, |next, count| {
                let start = *next;
                *next += count;
                Some(start)
            })
            .collect();
        let starts_bytes = || starts.iter().map(|start| start * element.size_bytes());
        Parts {
            address,
            counts: counts.iter().copied().map(to_int).collect::<Vec<_>>().leak(),
            starts: starts.iter().copied().map(to_int).collect::<Vec<_>>().leak(),
            starts_bytes: starts_bytes().map(to_int).collect::<Vec<_>>().leak(),
            starts_address: starts_bytes().map(|start| start as ffi::MPI_Aint).collect::<Vec<_>>().leak(),
            datatype,
            datatypes: vec![datatype; counts.len()].leak(),
        }
    }

    /// Sets all bytes to `value`.
    pub(crate) fn set(&self, value: u8) {
        for byte in self.bytes {
            byte.store(value, Relaxed);
        }
    }
}

fn to_int(count: usize) -> c_int {
    c_int::try_from(count).expect("message sizes are limited to what MPI can count")
}
