//! Tests that start mpirun: all benchmarks with validation, what they print, and what they say to bad input. They
//! need Open MPI and run over tcp and shared memory; the same over usb4 is tested where the transport is staged.

mod bad_input;
mod compare;
mod job;
mod output;
mod validation;
