//! The datatypes and reductions that OSU's -T names.

use mpi::ffi;

/// Type of the elements of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element {
    /// One byte; OSU's default.
    Char,
    /// Four-byte integer; OSU's default for reductions.
    Int,
    /// Four-byte float.
    Float,
    /// Eight-byte integer: what OSU's one-sided atomics use.
    Long,
}

/// What a reduction computes. OSU measures sums only.
#[derive(Clone, Copy)]
pub(crate) struct Reduction;

impl Element {
    /// Bytes of one element.
    pub(crate) fn size_bytes(self) -> usize {
        match self {
            Element::Char => 1,
            Element::Int | Element::Float => 4,
            Element::Long => 8,
        }
    }

    /// The name that OSU prints in its header.
    pub(crate) fn mpi_name(self) -> &'static str {
        match self {
            Element::Char => "MPI_CHAR",
            Element::Int => "MPI_INT",
            Element::Float => "MPI_FLOAT",
            Element::Long => "MPI_LONG_LONG",
        }
    }

    pub(super) fn raw(self) -> ffi::MPI_Datatype {
        match self {
            // SAFETY: a constant of rsmpi's C part, written before main and never again. MPI forbids reductions on
            // MPI_CHAR, which stands for text; INT8_T has the same size and may be summed.
            Element::Char => unsafe { ffi::RSMPI_INT8_T },
            // SAFETY: as above.
            Element::Int => unsafe { ffi::RSMPI_INT32_T },
            // SAFETY: as above.
            Element::Float => unsafe { ffi::RSMPI_FLOAT },
            // SAFETY: as above.
            Element::Long => unsafe { ffi::RSMPI_INT64_T },
        }
    }
}

impl Reduction {
    pub(super) fn raw(self) -> ffi::MPI_Op {
        // SAFETY: a constant of rsmpi's C part, written before main and never again.
        unsafe { ffi::RSMPI_SUM }
    }
}
