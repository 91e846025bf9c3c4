//! One-sided windows: their memory, operations and synchronisation.

use std::os::raw::{c_int, c_void};
use std::sync::atomic::AtomicU8;

use mpi::collective::CommunicatorCollectives;
use mpi::ffi;

use mpi::topology::{Communicator, Group, UserGroup};
use mpi::traits::AsRaw;

use super::{Buffer, Comm, Element, Elements, Reduction, check};

/// How the memory of a window comes to be; OSU's -w.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WindowKind {
    /// MPI_Win_create over memory of ours.
    Create,
    /// MPI_Win_allocate.
    Allocate,
    /// MPI_Win_create_dynamic, and memory of ours attached.
    Dynamic,
}

/// Memory of every rank that the others may access. All ranks make it together, with the same length.
pub(crate) struct Window {
    raw: ffi::MPI_Win,
    /// This rank's part; MPI's memory for [`WindowKind::Allocate`], ours otherwise.
    memory: *const AtomicU8,
    len_bytes: usize,
    /// What is added to a displacement to address the peer's part: its address, if the window is dynamic.
    peer_base: ffi::MPI_Aint,
    peer: c_int,
    /// The peer alone.
    group: UserGroup,
}

/// Elements in the peer's part of a window.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    displacement: ffi::MPI_Aint,
    count: c_int,
    datatype: ffi::MPI_Datatype,
}

impl Window {
    /// A window of `len_bytes` in every rank of `comm`; this rank will access the part of `peer`.
    pub(crate) fn new(comm: &Comm, kind: WindowKind, len_bytes: usize, peer: usize) -> Self {
        let mut raw = null();
        let mut memory: *const AtomicU8 = std::ptr::null();
        let mut peer_base = 0;
        match kind {
            WindowKind::Create => {
                let buffer = Buffer::new(len_bytes);
                memory = buffer.bytes().as_ptr();
                let base = memory.cast_mut().cast::<c_void>();
                let len = len_bytes as ffi::MPI_Aint;
                // SAFETY: Memory and Handles, see the module's documentation; `len_bytes` is the buffer's length.
                let code = unsafe { ffi::MPI_Win_create(base, len, 1, no_info(), comm.raw, &mut raw) };
                check(code, "MPI_Win_create");
            }
            WindowKind::Allocate => {
                let place = (&raw mut memory).cast::<c_void>();
                // SAFETY: Handles, see the module's documentation; MPI writes the address of the new memory to `place`.
                let code = unsafe {
                    ffi::MPI_Win_allocate(len_bytes as ffi::MPI_Aint, 1, no_info(), comm.raw, place, &mut raw)
                };
                check(code, "MPI_Win_allocate");
            }
            WindowKind::Dynamic => {
                let buffer = Buffer::new(len_bytes);
                memory = buffer.bytes().as_ptr();
                let base = memory.cast_mut().cast::<c_void>();
                // SAFETY: Handles, see the module's documentation.
                let code = unsafe { ffi::MPI_Win_create_dynamic(no_info(), comm.raw, &mut raw) };
                check(code, "MPI_Win_create_dynamic");
                // SAFETY: Memory and Handles, see the module's documentation; `len_bytes` is the buffer's length.
                let code = unsafe { ffi::MPI_Win_attach(raw, base, len_bytes as ffi::MPI_Aint) };
                check(code, "MPI_Win_attach");
                let mine = memory.expose_provenance() as u64;
                let mut all = vec![0u64; comm.size()];
                comm.rsmpi().all_gather_into(&mine, &mut all[..]);
                peer_base = all[peer] as ffi::MPI_Aint;
            }
        }
        let peer = c_int::try_from(peer).expect("ranks fit into an int");
        let window = Self { raw, memory, len_bytes, peer_base, peer, group: comm.rsmpi().group().include(&[peer]) };
        // Touches the memory that MPI made.
        window.bytes().iter().for_each(|byte| byte.store(0, std::sync::atomic::Ordering::Relaxed));
        window
    }

    /// This rank's part.
    pub(crate) fn bytes(&self) -> &[AtomicU8] {
        // SAFETY: `memory` starts `len_bytes` bytes that live as long as the window; they are atomics to us, since
        // peers write them.
        unsafe { std::slice::from_raw_parts(self.memory, self.len_bytes) }
    }

    /// `count` elements, `offset_bytes` into the peer's part.
    ///
    /// # Panics
    /// If they do not fit: the benchmark sized its window wrongly.
    pub(crate) fn target(&self, offset_bytes: usize, count: usize, element: Element) -> Target {
        assert!(offset_bytes + count * element.size_bytes() <= self.len_bytes, "a target lies inside its window");
        Target {
            displacement: self.peer_base + offset_bytes as ffi::MPI_Aint,
            count: c_int::try_from(count).expect("message sizes are limited to what MPI can count"),
            datatype: element.raw(),
        }
    }

    /// `MPI_Put`.
    #[inline]
    pub(crate) fn put(&self, from: Elements, to: Target) {
        let Elements { address, count, datatype } = from;
        // SAFETY: Memory and Handles, see the module's documentation; the target lies in the peer's window.
        let code = unsafe {
            ffi::MPI_Put(address, count, datatype, self.peer, to.displacement, to.count, to.datatype, self.raw)
        };
        check(code, "MPI_Put");
    }

    /// `MPI_Get`.
    #[inline]
    pub(crate) fn get(&self, into: Elements, from: Target) {
        let Elements { address, count, datatype } = into;
        // SAFETY: Memory and Handles, see the module's documentation; the target lies in the peer's window.
        let code = unsafe {
            ffi::MPI_Get(address, count, datatype, self.peer, from.displacement, from.count, from.datatype, self.raw)
        };
        check(code, "MPI_Get");
    }

    /// `MPI_Accumulate`.
    #[inline]
    pub(crate) fn accumulate(&self, from: Elements, to: Target, operation: Reduction) {
        let Elements { address, count, datatype } = from;
        let operation = operation.raw();
        // SAFETY: Memory and Handles, see the module's documentation; the target lies in the peer's window.
        let code = unsafe {
            ffi::MPI_Accumulate(
                address,
                count,
                datatype,
                self.peer,
                to.displacement,
                to.count,
                to.datatype,
                operation,
                self.raw,
            )
        };
        check(code, "MPI_Accumulate");
    }

    /// `MPI_Get_accumulate`: `result` gets what was at the target before.
    #[inline]
    pub(crate) fn get_accumulate(&self, from: Elements, result: Elements, target: Target, operation: Reduction) {
        let operation = operation.raw();
        // SAFETY: Memory and Handles, see the module's documentation; the target lies in the peer's window.
        let code = unsafe {
            ffi::MPI_Get_accumulate(
                from.address,
                from.count,
                from.datatype,
                result.address,
                result.count,
                result.datatype,
                self.peer,
                target.displacement,
                target.count,
                target.datatype,
                operation,
                self.raw,
            )
        };
        check(code, "MPI_Get_accumulate");
    }

    /// `MPI_Fetch_and_op` of one element.
    #[inline]
    pub(crate) fn fetch_and_op(&self, from: Elements, result: Elements, target: Target, operation: Reduction) {
        assert!(from.count == 1 && result.count == 1 && target.count == 1);
        let (datatype, operation) = (from.datatype, operation.raw());
        // SAFETY: Memory and Handles, see the module's documentation; one element each, and the target lies in the
        // peer's window.
        let code = unsafe {
            ffi::MPI_Fetch_and_op(
                from.address,
                result.address,
                datatype,
                self.peer,
                target.displacement,
                operation,
                self.raw,
            )
        };
        check(code, "MPI_Fetch_and_op");
    }

    /// `MPI_Compare_and_swap` of one element.
    #[inline]
    pub(crate) fn compare_and_swap(&self, from: Elements, compare: Elements, result: Elements, target: Target) {
        assert!(from.count == 1 && compare.count == 1 && result.count == 1 && target.count == 1);
        let (swap, expected, found) = (from.address, compare.address, result.address);
        // SAFETY: Memory and Handles, see the module's documentation; one element each, and the target lies in the
        // peer's window.
        let code = unsafe {
            ffi::MPI_Compare_and_swap(swap, expected, found, from.datatype, self.peer, target.displacement, self.raw)
        };
        check(code, "MPI_Compare_and_swap");
    }

    /// `MPI_Win_lock` of the peer's part, shared.
    #[inline]
    pub(crate) fn lock(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_lock(ffi::MPI_LOCK_SHARED as c_int, self.peer, 0, self.raw) };
        check(code, "MPI_Win_lock");
    }

    /// `MPI_Win_unlock`.
    #[inline]
    pub(crate) fn unlock(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_unlock(self.peer, self.raw) };
        check(code, "MPI_Win_unlock");
    }

    /// `MPI_Win_lock_all`.
    #[inline]
    pub(crate) fn lock_all(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_lock_all(0, self.raw) };
        check(code, "MPI_Win_lock_all");
    }

    /// `MPI_Win_unlock_all`.
    #[inline]
    pub(crate) fn unlock_all(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_unlock_all(self.raw) };
        check(code, "MPI_Win_unlock_all");
    }

    /// `MPI_Win_flush`: complete at the peer.
    #[inline]
    pub(crate) fn flush(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_flush(self.peer, self.raw) };
        check(code, "MPI_Win_flush");
    }

    /// `MPI_Win_flush_local`: complete here.
    #[inline]
    pub(crate) fn flush_local(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_flush_local(self.peer, self.raw) };
        check(code, "MPI_Win_flush_local");
    }

    /// `MPI_Win_fence`.
    #[inline]
    pub(crate) fn fence(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_fence(0, self.raw) };
        check(code, "MPI_Win_fence");
    }

    /// `MPI_Win_start`: an access epoch to the peer.
    #[inline]
    pub(crate) fn start(&self) {
        // SAFETY: Handles, see the module's documentation; the group lives as long as the window.
        let code = unsafe { ffi::MPI_Win_start(self.group.as_raw(), 0, self.raw) };
        check(code, "MPI_Win_start");
    }

    /// `MPI_Win_complete`: ends it.
    #[inline]
    pub(crate) fn complete(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_complete(self.raw) };
        check(code, "MPI_Win_complete");
    }

    /// `MPI_Win_post`: an exposure epoch for the peer.
    #[inline]
    pub(crate) fn post(&self) {
        // SAFETY: Handles, see the module's documentation; the group lives as long as the window.
        let code = unsafe { ffi::MPI_Win_post(self.group.as_raw(), 0, self.raw) };
        check(code, "MPI_Win_post");
    }

    /// `MPI_Win_wait`: waits until the peer has ended its access epoch.
    #[inline]
    pub(crate) fn wait(&self) {
        // SAFETY: Handles, see the module's documentation.
        let code = unsafe { ffi::MPI_Win_wait(self.raw) };
        check(code, "MPI_Win_wait");
    }
}

impl Drop for Window {
    /// Frees the window; all ranks do so together.
    fn drop(&mut self) {
        // SAFETY: Handles, see the module's documentation; no reference to the window's memory outlives it.
        let code = unsafe { ffi::MPI_Win_free(&mut self.raw) };
        check(code, "MPI_Win_free");
    }
}

fn null() -> ffi::MPI_Win {
    // SAFETY: a constant of rsmpi's C part, written before main and never again.
    unsafe { ffi::RSMPI_WIN_NULL }
}

fn no_info() -> ffi::MPI_Info {
    // SAFETY: a constant of rsmpi's C part, written before main and never again.
    unsafe { ffi::RSMPI_INFO_NULL }
}
