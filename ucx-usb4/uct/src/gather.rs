//! Reads the pieces of a message, a header and an array of `uct_iov_t`, as one run of bytes.

use ucx_sys::public::{UCS_ERR_INVALID_PARAM, ucs_status_t, uct_iov_t};

use crate::am::MAX_IOV;
use crate::status::report;
use usb4_port::Filler;

/// A run of readable bytes of the caller.
#[derive(Clone, Copy)]
pub(crate) struct Piece {
    start: *const u8,
    len: usize,
}

impl Piece {
    /// No bytes.
    pub(crate) const EMPTY: Self = Self { start: std::ptr::null(), len: 0 };

    /// `len` bytes from `start` on. Nothing is read before [`Gather::copy_to`].
    pub(crate) fn new(start: *const u8, len: usize) -> Self {
        Self { start, len }
    }

    /// Bytes.
    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

/// The bytes of a message that are still to be sent.
pub(crate) struct Gather {
    current: Piece,
    iov: *const uct_iov_t,
    iov_left: usize,
    remaining: usize,
}

impl Gather {
    /// First `header`, then the entries of `iov`. An entry stands for `length` bytes, `count` times, `stride` apart; UCX uses a
    /// count of one, and so does this.
    ///
    /// # Safety
    /// `header` and the memory behind each entry are readable, and stay unchanged until the last `copy_to`.
    pub(crate) unsafe fn new(header: Piece, iov: *const uct_iov_t, iovcnt: usize) -> Result<Self, ucs_status_t> {
        if iovcnt > MAX_IOV {
            let what = format_args!("iovcnt({iovcnt}) should be limited by {MAX_IOV}");
            return Err(report(UCS_ERR_INVALID_PARAM, what));
        }
        let mut gather = Self { current: header, iov, iov_left: iovcnt, remaining: header.len };
        for index in 0..iovcnt {
            gather.remaining += gather.entry(index).len;
        }
        Ok(gather)
    }

    /// Bytes not yet copied.
    pub(crate) fn remaining(&self) -> usize {
        self.remaining
    }

    /// Copies as much as fits into the frame; returns how much.
    pub(crate) fn copy_to(&mut self, frame: &mut Filler) -> usize {
        let before = self.remaining;
        while self.remaining > 0 && frame.room() > 0 {
            if self.current.len == 0 {
                self.current = self.entry(0);
                self.iov = self.iov.wrapping_add(1);
                self.iov_left -= 1;
                continue;
            }
            let len = self.current.len.min(frame.room());
            // SAFETY: `new` was promised that the memory is readable.
            unsafe { frame.put(self.current.start, len) };
            self.current = Piece::new(self.current.start.wrapping_add(len), self.current.len - len);
            self.remaining -= len;
        }
        before - self.remaining
    }

    fn entry(&self, index: usize) -> Piece {
        debug_assert!(index < self.iov_left);
        let entry = self.iov.wrapping_add(index);
        // SAFETY: `new` was given `iov_left` entries from `iov` on, and `index` is below that.
        let entry = unsafe { &*entry };
        Piece::new(entry.buffer.cast(), entry.length * entry.count as usize)
    }
}
