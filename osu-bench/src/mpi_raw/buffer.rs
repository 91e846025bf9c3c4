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
        Elements {
            address: range.as_ptr().cast_mut().cast(),
            count: c_int::try_from(count).expect("message sizes are limited to what MPI can count"),
            datatype: element.raw(),
        }
    }

    /// Sets all bytes to `value`.
    pub(crate) fn set(&self, value: u8) {
        for byte in self.bytes {
            byte.store(value, Relaxed);
        }
    }
}
