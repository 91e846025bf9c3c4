//! Why the running UCX is not served.

use std::ffi::CStr;

use super::Version;

/// Why the transport does not join the running UCX. Each message is one line and says what to do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The version is none that this library knows.
    #[error("UCX {found} is not supported; use UCX {}, or a newer ucx-usb4", super::supported())]
    UnknownVersion {
        /// What `ucp_get_version` says.
        found: Version,
    },
    /// libuct is not built as the release's own sources build it.
    #[error(
        "UCX says it is {found}, but {difference} in {library}; supported are unmodified builds of UCX {}",
        super::supported()
    )]
    WrongFingerprint {
        /// What `ucp_get_version` says.
        found: Version,
        /// The first difference.
        difference: String,
        /// The library's file.
        library: String,
    },
    /// UCX was configured so that its structs are longer.
    #[error("UCX {found} was built with statistics (--enable-stats), which changes its structs; use a build without")]
    Statistics {
        /// What `ucp_get_version` says.
        found: Version,
    },
    /// Without libucp nobody says which release it is.
    #[error(
        "no libucp.so.0 belongs to {library}, so its release is unknown; install UCX whole (libucx0), {}",
        super::supported()
    )]
    NoVersion {
        /// libuct's file.
        library: String,
    },
    /// The dynamic linker does not tell which file a library is.
    #[error("the dynamic linker gives no handle of {library}: {reason}; is ucx-usb4 linked to it?")]
    NoLibrary {
        /// Which library.
        library: String,
        /// The linker's words.
        reason: String,
    },
    /// A second copy of the transport.
    #[error("{} is registered already; load the transport once", name.to_string_lossy())]
    Twice {
        /// The transport.
        name: &'static CStr,
    },
}
