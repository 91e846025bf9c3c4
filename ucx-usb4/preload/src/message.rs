//! One line for the user, written in one piece so that the lines of several processes do not mix.

use core::ffi::{CStr, c_char};

use crate::libc;

const CAPACITY: usize = 1024;

/// A line that is being put together; what does not fit is cut off.
pub(crate) struct Message {
    bytes: [u8; CAPACITY],
    len: usize,
}

impl Message {
    pub(crate) fn new() -> Self {
        Self { bytes: [0; CAPACITY], len: 0 }
    }

    pub(crate) fn text(mut self, text: &CStr) -> Self {
        let free = self.bytes.iter_mut().skip(self.len);
        for (to, from) in free.zip(text.to_bytes()) {
            *to = *from;
            self.len += 1;
        }
        self
    }

    /// A string of libc, or nothing for null.
    pub(crate) fn pointer(self, text: *const c_char) -> Self {
        if text.is_null() {
            return self;
        }
        // SAFETY: libc's strings are terminated and stay until the next call.
        self.text(unsafe { CStr::from_ptr(text) })
    }

    pub(crate) fn print(self) {
        // Nothing is left to do when standard error is closed.
        // SAFETY: `len` bytes are there.
        unsafe { libc::write(libc::STDERR, self.bytes.as_ptr().cast(), self.len) };
    }
}
