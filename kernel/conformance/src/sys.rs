//! System calls as the kernel sees them, arguments wrong on purpose included, and memory that it shares. All unsafe code is here.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use usb4_dma_sys as uapi;

/// Where the module puts its device.
pub(crate) const DEVICE: &str = "/dev/usb4dma";

/// Structures of the header: integers without padding, so any bytes are one, and each is bytes.
pub(crate) trait Pod: Copy + Default {}
impl Pod for uapi::usb4_dma_query {}
impl Pod for uapi::usb4_dma_setup {}
impl Pod for uapi::usb4_dma_rails {}
impl Pod for uapi::usb4_dma_rail {}
impl Pod for uapi::usb4_dma_kick {}
impl Pod for uapi::usb4_dma_header {}
impl Pod for uapi::usb4_dma_tx {}
impl Pod for uapi::usb4_dma_tx_done {}
impl Pod for uapi::usb4_dma_rx {}
impl Pod for uapi::usb4_dma_counters {}
impl Pod for u32 {}

/// The bytes of a structure.
pub(crate) fn bytes_of<T: Pod>(value: &T) -> &[u8] {
    let start = ptr::from_ref(value).cast::<u8>();
    // SAFETY: `Pod` types have no padding, so all of these bytes are initialised, and the borrow keeps them alive and unchanged.
    unsafe { std::slice::from_raw_parts(start, size_of::<T>()) }
}

/// The structure that bytes are.
pub(crate) fn from_bytes<T: Pod>(bytes: &[u8]) -> T {
    assert!(bytes.len() >= size_of::<T>(), "too few bytes for the structure");
    let start = bytes.as_ptr().cast::<T>();
    // SAFETY: there are enough bytes, any bytes make a `Pod` type, and no alignment is asked for.
    unsafe { start.read_unaligned() }
}

/// Opens the device.
pub(crate) fn open(flags: OFlags) -> Result<OwnedFd, Errno> {
    rustix::fs::open(Path::new(DEVICE), flags | OFlags::CLOEXEC, Mode::empty())
}

/// A place for arguments of ioctls, at whose end user space ends: whatever the kernel reads or writes beyond an argument is a fault
/// and no damage. Pages that may be read only and not at all are here, too.
pub(crate) struct Arena {
    base: NonNull<u8>,
    /// Held while the memory is accessed.
    lock: Mutex<()>,
}

// SAFETY: the memory belongs to this value alone; the pointer is nothing that a thread owns.
unsafe impl Send for Arena {}
// SAFETY: each access to the memory holds the lock.
unsafe impl Sync for Arena {}

impl Arena {
    /// Bytes that an argument may have.
    pub(crate) const ROOM: usize = 64 << 10;
    /// 31 rails, each up to 4 GiB from the next.
    const RESERVED: usize = 1 << 38;

    /// Reserves addresses; memory behind them is used as far as it is touched.
    pub(crate) fn new() -> io::Result<Arena> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: no address is asked for, so nothing that exists is replaced.
        let base = unsafe { libc::mmap(ptr::null_mut(), Self::RESERVED, libc::PROT_NONE, flags, -1, 0) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(io::Error::last_os_error)?;
        let arena = Arena { base, lock: Mutex::new(()) };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the range is the start of our own reservation, and nothing refers to it yet.
        let result = unsafe { libc::mprotect(base.as_ptr().cast(), Self::ROOM, protection) };
        if result != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(arena)
    }

    /// Puts an argument right before the end. Gives its address.
    pub(crate) fn put(&self, argument: &[u8]) -> u64 {
        assert!(argument.len() <= Self::ROOM, "the argument is too long for the arena");
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the offset is within the writable part.
        let place = unsafe { self.base.add(Self::ROOM - argument.len()) };
        // SAFETY: as many bytes are writable there, and the source is not in the arena.
        unsafe { ptr::copy_nonoverlapping(argument.as_ptr(), place.as_ptr(), argument.len()) };
        place.as_ptr() as u64
    }

    /// Reads back what is in the arena's last `bytes`.
    pub(crate) fn take(&self, bytes: usize) -> Vec<u8> {
        assert!(bytes <= Self::ROOM, "the arena is not that long");
        let mut copy = vec![0; bytes];
        let _lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the offset is within the readable part.
        let place = unsafe { self.base.add(Self::ROOM - bytes) };
        // SAFETY: as many bytes are readable there, and the copy is not in the arena.
        unsafe { ptr::copy_nonoverlapping(place.as_ptr(), copy.as_mut_ptr(), bytes) };
        copy
    }

    /// An address where nothing is: the arena's end.
    pub(crate) fn nowhere(&self) -> u64 {
        self.base.as_ptr() as u64 + Self::ROOM as u64
    }

    /// The arena's first address.
    pub(crate) fn start(&self) -> u64 {
        self.base.as_ptr() as u64
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // SAFETY: the reservation is ours, and nobody holds a reference into it.
        unsafe { libc::munmap(self.base.as_ptr().cast(), Self::RESERVED) };
    }
}

/// An ioctl whose argument is that many bytes, which are put before the end of user space. They are read back, whatever the outcome.
pub(crate) fn ioctl_bytes(fd: BorrowedFd<'_>, arena: &Arena, request: u32, argument: &mut [u8]) -> Result<(), Errno> {
    let address = arena.put(argument);
    let result = ioctl_at(fd, arena, request, address);
    argument.copy_from_slice(&arena.take(argument.len()));
    result
}

/// An ioctl with an address as its argument: one in the arena, or one where nothing of this process is.
pub(crate) fn ioctl_at(fd: BorrowedFd<'_>, arena: &Arena, request: u32, address: u64) -> Result<(), Errno> {
    // Half of all addresses belong to the kernel, and below 64 KiB nothing is ever mapped.
    let harmless = !(1 << 16..1 << 47).contains(&address);
    let in_arena = (arena.start()..=arena.nowhere()).contains(&address);
    assert!(harmless || in_arena, "the kernel would write into this program");
    // SAFETY: what the kernel writes is in the arena, or beyond it, where it faults.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), request.into(), address) };
    if result == 0 { Ok(()) } else { Err(last_error()) }
}

/// An ioctl with a structure as its argument, whose size field is set.
pub(crate) fn call<T: Pod>(fd: BorrowedFd<'_>, arena: &Arena, request: u32, argument: &mut T) -> Result<(), Errno> {
    let mut bytes = bytes_of(argument).to_vec();
    bytes[..4].copy_from_slice(&(size_of::<T>() as u32).to_ne_bytes());
    let result = ioctl_bytes(fd, arena, request, &mut bytes);
    *argument = from_bytes(&bytes);
    result
}

/// Memory that the kernel shares with this process. Never a Rust reference, as the kernel and other threads write it.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    bytes: usize,
}

// SAFETY: all accesses are atomic or volatile, and the mapping stays until the value is dropped.
unsafe impl Send for Mapping {}
// SAFETY: as above; data races on the memory are what this program is for, and no access makes a reference to it.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps with protection and flags as given, wherever the kernel likes.
    pub(crate) fn new(fd: impl AsFd, offset: u64, bytes: usize, protection: i32, flags: i32) -> Result<Mapping, Errno> {
        assert!(flags & libc::MAP_FIXED == 0, "nothing may be replaced");
        let fd = fd.as_fd().as_raw_fd();
        // SAFETY: no address is asked for, so nothing that exists is replaced.
        let base = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, fd, offset.cast_signed()) };
        if base == libc::MAP_FAILED {
            return Err(last_error());
        }
        let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
        Ok(Mapping { base, bytes })
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Its address, to be found in /proc/self/smaps.
    pub(crate) fn address(&self) -> usize {
        self.base.as_ptr() as usize
    }

    fn at(&self, offset: usize, bytes: usize) -> *mut u8 {
        assert!(offset.checked_add(bytes).is_some_and(|end| end <= self.bytes), "beyond the mapping");
        // SAFETY: the offset is within the mapping.
        unsafe { self.base.as_ptr().add(offset) }
    }

    fn word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "words are aligned");
        let place = self.at(offset, 4).cast();
        // SAFETY: the word is mapped as long as `self` lives and is aligned, and this program accesses it atomically only.
        unsafe { AtomicU32::from_ptr(place) }
    }

    /// Reads a word, before whatever follows.
    pub(crate) fn load(&self, offset: usize) -> u32 {
        self.word(offset).load(Ordering::Acquire)
    }

    /// Writes a word, after whatever was written before.
    pub(crate) fn store(&self, offset: usize, value: u32) {
        self.word(offset).store(value, Ordering::Release);
    }

    /// Copies a structure out.
    pub(crate) fn read<T: Pod>(&self, offset: usize) -> T {
        from_bytes(&self.copy_out(offset, size_of::<T>()))
    }

    /// Copies a structure in.
    pub(crate) fn write<T: Pod>(&self, offset: usize, value: &T) {
        self.copy_in(offset, bytes_of(value));
    }

    /// Copies bytes out.
    pub(crate) fn copy_out(&self, offset: usize, bytes: usize) -> Vec<u8> {
        let start = self.at(offset, bytes);
        (0..bytes)
            .map(|index| {
                // SAFETY: the byte is within the range that `at` has checked.
                let place = unsafe { start.add(index) };
                // SAFETY: it is mapped for reading, and volatile, since others write it.
                unsafe { place.read_volatile() }
            })
            .collect()
    }

    /// Copies bytes in.
    pub(crate) fn copy_in(&self, offset: usize, bytes: &[u8]) {
        let start = self.at(offset, bytes.len());
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: the byte is within the range that `at` has checked.
            let place = unsafe { start.add(index) };
            // SAFETY: it is mapped for writing, and volatile, since others read it.
            unsafe { place.write_volatile(*byte) };
        }
    }

    /// Asks for another protection.
    pub(crate) fn protect(&self, protection: i32) -> Result<(), Errno> {
        // SAFETY: the range is this mapping's; whoever reads it after the right is gone is a fault of this program, and seen.
        let result = unsafe { libc::mprotect(self.base.as_ptr().cast(), self.bytes, protection) };
        if result == 0 { Ok(()) } else { Err(last_error()) }
    }

    /// Asks for twice the length, wherever there is room.
    pub(crate) fn grow(self) -> Result<Mapping, Errno> {
        let (old, doubled) = (self.base.as_ptr().cast(), self.bytes * 2);
        // SAFETY: `self` is given up, so nobody uses the old address if the mapping moves.
        let base = unsafe { libc::mremap(old, self.bytes, doubled, libc::MREMAP_MAYMOVE) };
        if base == libc::MAP_FAILED {
            return Err(last_error());
        }
        std::mem::forget(self);
        Ok(Mapping { base: NonNull::new(base.cast()).ok_or(Errno::NOMEM)?, bytes: doubled })
    }

    /// Unmaps the first `bytes`, whole pages, and then the rest.
    pub(crate) fn unmap_in_parts(self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        let rest = self.at(bytes, 0);
        // SAFETY: `self` is given up, so nobody uses the memory afterwards.
        unsafe { libc::munmap(self.base.as_ptr().cast(), bytes) };
        // SAFETY: as above; each part is unmapped once, since others may map something there at once.
        unsafe { libc::munmap(rest.cast(), self.bytes - bytes) };
        std::mem::forget(self);
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours and no reference into it outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// What the last system call of this thread ended with.
fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
