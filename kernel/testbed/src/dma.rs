//! Guest memory for real: what QEMU maps over vfio-user.
//!
//! The only module that touches memory shared with a guest. `vm-memory` owns the mappings and copies through volatile accesses, so no
//! reference to shared memory is ever formed here. Each file is mapped once and whole: behind a virtual IOMMU, QEMU sends tens of
//! thousands of windows of 4 KiB, which would otherwise exhaust the kernel's count of mappings per process.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use thiserror::Error;
use vm_memory::{Bytes, FileOffset, MmapRegion, VolatileMemory};

use crate::memory::{DmaFault, GuestMemory};

/// Why a mapping was refused.
#[derive(Debug, Error)]
pub enum MapError {
    /// The window lies outside its file, or its end does not fit 64 bits.
    #[error(
        "a DMA window of {size_bytes} bytes at offset {offset} does not fit its file of {file_bytes} bytes: the client is at fault"
    )]
    OutsideFile {
        /// Offset into the file.
        offset: u64,
        /// Size of the window.
        size_bytes: u64,
        /// Size of the file.
        file_bytes: u64,
    },
    /// The file cannot be examined.
    #[error("the file behind a DMA window cannot be examined: {0}")]
    Examine(#[source] io::Error),
    /// The file cannot be mapped.
    #[error(
        "the guest's memory cannot be mapped ({0}): give the guest a memory-backend-memfd with share=on, and this machine enough memory"
    )]
    Map(#[source] vm_memory::mmap::MmapRegionError),
}

/// The part of one file that a range of bus addresses shows.
#[derive(Debug)]
struct Window {
    size_bytes: u64,
    offset: usize,
    region: Arc<MmapRegion>,
}

/// All windows of one guest, by bus address.
#[derive(Debug, Default)]
pub struct Mappings {
    windows: BTreeMap<u64, Window>,
    files: HashMap<(u64, u64), Arc<MmapRegion>>,
}

impl Mappings {
    /// Shows `size_bytes` of `file` from `offset` on at bus address `address`.
    ///
    /// # Errors
    /// [`MapError`]; nothing is then mapped.
    pub fn map(&mut self, address: u64, size_bytes: u64, file: File, offset: u64) -> Result<(), MapError> {
        let metadata = file.metadata().map_err(MapError::Examine)?;
        let file_bytes = metadata.len();
        let refusal = MapError::OutsideFile { offset, size_bytes, file_bytes };
        let in_file = offset.checked_add(size_bytes).is_some_and(|end| end <= file_bytes);
        if !in_file || size_bytes == 0 || address.checked_add(size_bytes).is_none() {
            return Err(refusal);
        }
        let (Ok(offset), Ok(len_bytes)) = (usize::try_from(offset), usize::try_from(file_bytes)) else {
            return Err(refusal);
        };
        let key = (metadata.dev(), metadata.ino());
        let region = match self.files.get(&key).filter(|region| region.size() >= len_bytes) {
            Some(region) => Arc::clone(region),
            None => {
                let region = MmapRegion::from_file(FileOffset::new(file, 0), len_bytes).map_err(MapError::Map)?;
                let region = Arc::new(region);
                self.files.insert(key, Arc::clone(&region));
                region
            }
        };
        self.unmap(address, size_bytes);
        self.windows.insert(address, Window { size_bytes, offset, region });
        Ok(())
    }

    /// Removes every window that overlaps the range.
    pub fn unmap(&mut self, address: u64, size_bytes: u64) {
        let end = address.saturating_add(size_bytes);
        let below =
            self.windows.range(..address).next_back().filter(|(start, window)| *start + window.size_bytes > address);
        let below = below.map(|(&start, _)| start);
        let inside: Vec<u64> = self.windows.range(address..end).map(|(&start, _)| start).chain(below).collect();
        for start in inside {
            self.windows.remove(&start);
        }
        if self.windows.is_empty() {
            self.files.clear();
        }
    }

    /// Removes all windows.
    pub fn clear(&mut self) {
        *self = Mappings::default();
    }

    /// The window at `address`, where in its file that is, and how many bytes are left in it.
    fn find(&self, address: u64) -> Option<(&Window, usize, usize)> {
        let (&start, window) = self.windows.range(..=address).next_back()?;
        let inside = address - start;
        let left_bytes = window.size_bytes.checked_sub(inside).filter(|&left_bytes| left_bytes > 0)?;
        let inside = usize::try_from(inside).ok()?;
        Some((window, window.offset + inside, usize::try_from(left_bytes).ok()?))
    }

    /// Cuts a range of bus addresses into pieces that lie in one window each: (window, offset in its file, bytes before the piece,
    /// bytes in the piece).
    fn pieces(&self, address: u64, len_bytes: usize) -> Result<Vec<(&Window, usize, usize, usize)>, DmaFault> {
        let fault = DmaFault { address, len_bytes };
        let (mut pieces, mut done_bytes) = (Vec::new(), 0);
        while done_bytes < len_bytes {
            let at = address.checked_add(done_bytes as u64).ok_or(fault)?;
            let (window, offset, left_bytes) = self.find(at).ok_or(fault)?;
            let piece_bytes = left_bytes.min(len_bytes - done_bytes);
            pieces.push((window, offset, done_bytes, piece_bytes));
            done_bytes += piece_bytes;
        }
        Ok(pieces)
    }
}

impl GuestMemory for Mappings {
    fn read(&self, address: u64, into: &mut [u8]) -> Result<(), DmaFault> {
        let fault = DmaFault { address, len_bytes: into.len() };
        for (window, offset, before, piece_bytes) in self.pieces(address, into.len())? {
            let slice = window.region.get_slice(offset, piece_bytes).map_err(|_| fault)?;
            slice.copy_to(&mut into[before..before + piece_bytes]);
        }
        Ok(())
    }

    fn write(&mut self, address: u64, from: &[u8]) -> Result<(), DmaFault> {
        let fault = DmaFault { address, len_bytes: from.len() };
        for (window, offset, before, piece_bytes) in self.pieces(address, from.len())? {
            let slice = window.region.get_slice(offset, piece_bytes).map_err(|_| fault)?;
            slice.copy_from(&from[before..before + piece_bytes]);
        }
        Ok(())
    }

    fn publish_u32(&mut self, address: u64, value: u32) -> Result<(), DmaFault> {
        let fault = DmaFault { address, len_bytes: 4 };
        let (window, offset, left_bytes) = self.find(address).ok_or(fault)?;
        if left_bytes < 4 {
            return Err(fault);
        }
        let slice = window.region.get_slice(offset, 4).map_err(|_| fault)?;
        // (A) Release: the frame's bytes are in guest memory before the descriptor says so. Its partner is the driver, which looks at
        // the descriptor's flags before it touches the buffer (nhi.c, ring_work and tb_ring_poll); without it a guest on another core
        // could read a buffer that is not filled yet.
        slice.store(value.to_le(), 0, Ordering::Release).map_err(|_| fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    fn file(len_bytes: u64) -> File {
        let file = tempfile::tempfile().expect("a temporary file");
        file.set_len(len_bytes).expect("room for it");
        file
    }

    fn mapped(windows: &[(u64, u64, u64)]) -> (Mappings, File) {
        let file = file(0x4000);
        let mut mappings = Mappings::default();
        for &(address, size_bytes, offset) in windows {
            mappings.map(address, size_bytes, file.try_clone().expect("a copy"), offset).expect("inside the file");
        }
        (mappings, file)
    }

    #[test]
    fn an_access_may_span_windows_that_lie_apart_in_the_file() {
        let (mut mappings, file) = mapped(&[(0x10000, 0x1000, 0x3000), (0x11000, 0x1000, 0)]);
        mappings.write(0x10ffe, &[1, 2, 3, 4]).expect("mapped");
        let (mut high, mut low) = ([0; 2], [0; 2]);
        file.read_exact_at(&mut high, 0x3ffe).expect("inside");
        file.read_exact_at(&mut low, 0).expect("inside");
        assert_eq!((high, low), ([1, 2], [3, 4]));
        let mut back = [0; 4];
        mappings.read(0x10ffe, &mut back).expect("mapped");
        assert_eq!(back, [1, 2, 3, 4]);
        assert_eq!(mappings.files.len(), 1, "the file is mapped once");
    }

    #[test]
    fn nothing_outside_a_window_is_touched() {
        let (mut mappings, file) = mapped(&[(0x10000, 0x1000, 0x1000)]);
        for (address, len_bytes) in [(0xffff, 2), (0x10fff, 2), (0x11000, 1), (u64::MAX, 2), (0, 1)] {
            assert!(mappings.read(address, &mut vec![0; len_bytes]).is_err(), "{address:#x}");
            assert!(mappings.write(address, &vec![1; len_bytes]).is_err(), "{address:#x}");
        }
        assert!(mappings.publish_u32(0x10ffe, 1).is_err(), "not inside");
        assert!(mappings.publish_u32(0x10001, 1).is_err(), "not aligned");
        assert!(mappings.publish_u32(0x10ffc, 1).is_ok());
        let mut all = vec![0; 0x4000];
        file.read_exact_at(&mut all, 0).expect("inside");
        assert_eq!(all.iter().filter(|&&byte| byte != 0).count(), 1);
    }

    #[test]
    fn unmapped_windows_fault() {
        let (mut mappings, _file) =
            mapped(&[(0x10000, 0x1000, 0), (0x11000, 0x1000, 0x1000), (0x12000, 0x1000, 0x2000)]);
        mappings.unmap(0x10800, 0x1000);
        assert!(mappings.read(0x10000, &mut [0]).is_err());
        assert!(mappings.read(0x11000, &mut [0]).is_err());
        assert!(mappings.read(0x12000, &mut [0]).is_ok());
        mappings.unmap(0, u64::MAX);
        assert!(mappings.read(0x12000, &mut [0]).is_err());
        assert!(mappings.files.is_empty(), "the guest's memory is given back");
    }

    #[test]
    fn a_window_outside_its_file_is_refused() {
        let mut mappings = Mappings::default();
        for (address, size_bytes, offset) in
            [(0, 0x2000, 0), (0, 0x1000, 1), (0, 0, 0), (0, 1, u64::MAX), (u64::MAX, 0x1000, 0)]
        {
            let refused = mappings.map(address, size_bytes, file(0x1000), offset);
            assert!(matches!(refused, Err(MapError::OutsideFile { .. })), "{address:#x} {size_bytes:#x} {offset:#x}");
        }
    }
}
