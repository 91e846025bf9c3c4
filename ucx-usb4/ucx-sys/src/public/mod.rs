//! UCX's public API, and the internal types which are alike in all supported releases.
//!
//! The names are UCX's own, so that its documentation can be read beside the code. What `headers` holds comes from the headers
//! of the machine that builds; what depends on their release is not in it, or is pinned by the assertions of `layout`.

mod base;
mod flags;
#[allow(unreachable_pub, dead_code)] // newer headers name what this module declares itself for older ones
#[allow(missing_docs, non_camel_case_types, non_upper_case_globals, rustdoc::all)]
// These names and their documentation are UCX's; bindgen's own code is not ours to polish.
#[allow(clippy::all, clippy::undocumented_unsafe_blocks, clippy::multiple_unsafe_ops_per_block, unsafe_op_in_unsafe_fn)]
mod headers {
    use super::base::uct_md;
    include!(concat!(env!("OUT_DIR"), "/headers.rs"));
}
pub(crate) mod layout;

use std::ffi::CStr;
use std::fmt;

pub use base::*;
pub use flags::*;
pub use headers::*;

/// No remote key (`UCT_INVALID_RKEY`).
pub const UCT_INVALID_RKEY: uct_rkey_t = usize::MAX;
/// No memory handle (`UCT_MEM_HANDLE_NULL`).
pub const UCT_MEM_HANDLE_NULL: uct_mem_h = std::ptr::null_mut();
/// A device whose place in the machine's topology is not known (`UCS_SYS_DEVICE_ID_UNKNOWN`).
pub const UCS_SYS_DEVICE_ID_UNKNOWN: u8 = u8::MAX;
/// Active message ids are smaller than this (`UCT_AM_ID_MAX`).
pub const UCT_AM_ID_MAX: usize = 32;
/// `uct_ep_flush`'s flag for remote completion, which UCX has since 1.14 (`UCT_FLUSH_FLAG_REMOTE`).
pub const UCT_FLUSH_FLAG_REMOTE: u32 = 1 << 1;

impl ucs_status_t {
    /// `Ok` for `UCS_OK`; every other status, `UCS_INPROGRESS` too, is an `Err`.
    ///
    /// # Errors
    /// The status itself.
    pub fn ok(self) -> Result<(), Self> {
        if self == UCS_OK { Ok(()) } else { Err(self) }
    }

    /// True for the negative values, which are errors.
    #[must_use]
    pub fn is_err(self) -> bool {
        self.0 < 0
    }

    /// The status as the functions return it that answer with a length (`am_bcopy`): a negative `ssize_t`.
    #[must_use]
    pub fn as_ssize(self) -> isize {
        isize::from(self.0)
    }

    /// UCX's words for the status.
    #[must_use]
    pub fn message(self) -> &'static str {
        // For any other value UCX answers with a buffer that all threads share and write.
        if !matches!(self.0, -25..=1 | -80) {
            return "unknown UCX status";
        }
        // SAFETY: takes any value.
        let text = unsafe { ucs_status_string(self) };
        // SAFETY: for the values let through above, UCX returns a constant, terminated string.
        let text = unsafe { CStr::from_ptr(text) };
        text.to_str().unwrap_or("unknown UCX status")
    }
}

impl From<Result<(), Self>> for ucs_status_t {
    fn from(result: Result<(), Self>) -> Self {
        result.err().unwrap_or(UCS_OK)
    }
}

impl fmt::Display for ucs_status_t {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}
