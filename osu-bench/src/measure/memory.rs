//! Whether the buffers fit into the machine, before they are touched.

use mpi::collective::{CommunicatorCollectives, SystemOperation};
use mpi::topology::Communicator;

use crate::bench::BenchError;
use crate::mpi_raw::Comm;

const MIB: usize = 1 << 20;

/// Checks that every rank's host can hold `needed_bytes` for each of its ranks. All ranks come to the same verdict.
///
/// # Errors
/// If one host cannot; `size_bytes` is the message size to blame.
pub(super) fn require(comm: &Comm, size_bytes: usize, needed_bytes: usize) -> Result<(), BenchError> {
    let ranks_here = comm.rsmpi().split_shared(0).size().max(1) as usize;
    // A host that does not tell is taken to have enough: the kernel will say no.
    let mine = available_bytes().map_or(u64::MAX, |bytes| (bytes / ranks_here) as u64);
    let mut least = 0;
    comm.rsmpi().all_reduce_into(&mine, &mut least, SystemOperation::min());
    if needed_bytes as u64 <= least {
        return Ok(());
    }
    Err(BenchError::Memory { size_bytes, needed_mib: needed_bytes.div_ceil(MIB), available_mib: least as usize / MIB })
}

/// `MemAvailable` of /proc/meminfo (proc_meminfo(5)).
fn available_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<usize>().ok().map(|kib| kib * 1024)
}
