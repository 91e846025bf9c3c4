//! Writes the payload of a frame that is about to leave.

use usb4_wire::PAYLOAD_MAX;

/// A cursor over the payload of one transmit frame. It never writes past the frame's end.
#[derive(Debug)]
pub struct Filler {
    next: *mut u8,
    room: usize,
}

impl Filler {
    /// # Safety
    /// `start` points to the `PAYLOAD_MAX` writable bytes of a frame that is not in flight, and nobody else writes there
    /// until the filler is gone.
    pub(super) unsafe fn new(start: *mut u8) -> Self {
        Self { next: start, room: PAYLOAD_MAX }
    }

    /// Bytes that still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.room
    }

    /// Where the next byte goes: [`room`](Self::room) writable bytes.
    #[must_use]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.next
    }

    /// Appends the bytes of `value` as they lie in memory.
    pub fn put_u64(&mut self, value: u64) {
        self.put_bytes(&value.to_ne_bytes());
    }

    /// Appends bytes of our own.
    pub fn put_bytes(&mut self, bytes: &[u8]) {
        // SAFETY: a slice is readable.
        unsafe { self.put(bytes.as_ptr(), bytes.len()) };
    }

    /// Appends `len` bytes from `source`.
    ///
    /// # Panics
    /// If they do not fit.
    ///
    /// # Safety
    /// `source` has `len` readable bytes.
    pub unsafe fn put(&mut self, source: *const u8, len: usize) {
        assert!(len <= self.room, "a frame has room for {} more bytes, not for {len}", self.room);
        if len == 0 {
            // An empty message may come with a null pointer.
            return;
        }
        // SAFETY: the source is readable, the target has `room` writable bytes, and a frame of the link's pool does not overlap
        // with memory of the caller.
        unsafe { std::ptr::copy_nonoverlapping(source, self.next, len) };
        self.next = self.next.wrapping_add(len);
        self.room -= len;
    }
}
