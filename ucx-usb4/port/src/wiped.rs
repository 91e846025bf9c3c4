//! Words that are zero in a forked child, whatever they are here: the kernel wipes their page (`MADV_WIPEONFORK`, Linux 4.14). So a look at
//! them tells a process from its children, and costs no more than any other.

use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous, munmap};

const PAGE_BYTES: usize = 4096;

/// A page of this process alone.
#[derive(Debug)]
struct Page(NonNull<AtomicU32>);

impl Page {
    fn new() -> io::Result<Self> {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the address, so nothing that exists is replaced.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), PAGE_BYTES, access, MapFlags::PRIVATE) }?;
        let page = Self(NonNull::new(start.cast()).ok_or(io::ErrorKind::OutOfMemory)?);
        // SAFETY: the page mapped above, which has nothing to lose.
        unsafe { madvise(start, PAGE_BYTES, Advice::LinuxWipeOnFork) }?;
        Ok(page)
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and the words that lie there are gone.
        let _ = unsafe { munmap(self.0.as_ptr().cast(), PAGE_BYTES) };
    }
}

// SAFETY: a page belongs to the process, not to a thread, and only atomics lie in it.
unsafe impl Send for Page {}
// SAFETY: as above.
unsafe impl Sync for Page {}

/// One of them.
#[derive(Debug)]
pub(crate) struct WipedWord {
    word: NonNull<AtomicU32>,
    _page: Arc<Page>,
}

impl WipedWord {
    /// Two, side by side, both zero.
    pub(crate) fn pair() -> io::Result<[Self; 2]> {
        let page = Arc::new(Page::new()?);
        Ok([0, 1].map(|index| {
            // SAFETY: the page has room for a thousand.
            let word = unsafe { page.0.add(index) };
            Self { word, _page: Arc::clone(&page) }
        }))
    }

    #[inline]
    pub(crate) fn atomic(&self) -> &AtomicU32 {
        // SAFETY: it lies in the page, which lives as long as this, is aligned, and was zeroed by the kernel, which is a valid value.
        unsafe { self.word.as_ref() }
    }
}

// SAFETY: the word is an atomic, in a page that it shares the ownership of.
unsafe impl Send for WipedWord {}
// SAFETY: as above.
unsafe impl Sync for WipedWord {}
