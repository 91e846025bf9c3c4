//! What UCX's headers say, public and internal, for each supported release, and how a transport joins the running UCX.
//!
//! One binary serves UCX 1.13 to 1.22. UCX's internal structs change with almost each minor release, so this crate declares
//! them release by release, finds out at load time which release it was loaded into, and refuses what it does not know.
//! A transport is written once, against terms that know no release:
//!
//! 1. It implements [`Transport`]: names, settings, and functions for memory domain, devices, interface, reachability and
//!    memory registration. Its table of operations is a plain [`uct_iface_ops_t`](public::uct_iface_ops_t), typed by UCX's
//!    public headers; start from [`NO_IFACE_OPS`] and fill in what is there:
//!    `uct_iface_ops_t { ep_am_short: Some(am_short), ..NO_IFACE_OPS }`. A `None` answers `UCS_ERR_UNSUPPORTED`.
//! 2. The library's constructor calls [`log::install`], then [`register`]. On an error it calls [`log::report_refusal`] and
//!    returns: UCX goes on without the transport.
//! 3. From then on UCX calls. `md_open` uses [`Registered::init_md`], `iface_open` [`Registered::init_iface`], `ep_create`
//!    [`Registered::init_ep`], each on the base object at the start of the transport's own; the `cleanup_*` functions undo
//!    them. [`registered`] gives the `Registered` anywhere.
//! 4. [`invoke_am`] delivers an active message, [`complete`] ends an operation, and
//!    [`uct_iface_handle_ep_err`](public::uct_iface_handle_ep_err) reports a failed peer.
//! 5. Settings are members of a `#[repr(C)]` struct, listed with [`field!`]; see [`config`].
//! 6. What UCX's virtual file system shows of an interface are [`Transport::VFS_FILES`].
//! 7. Log lines go through the `log` crate's macros: [`log`] hands them to UCX.
//!
//! Nothing in a transport may depend on how UCX was configured (`ucs_arbiter_t`, `UCS_ASYNC_BLOCK`, statistics), nor read
//! fields of UCX's structs that are not in [`public`].

mod abi;
mod adapt;
pub mod config;
mod detect;
pub mod log;
pub mod public;
mod registered;
#[cfg(test)]
mod testing;
mod topology;
mod transport;

pub use adapt::NO_IFACE_OPS;
pub use detect::{Refusal, Version, supported};
pub use registered::{Registered, complete, invoke_am, register, registered};
pub use topology::sys_device;
pub use transport::{
    DeregMode, Device, HOST_MEMORY, IfaceId, MdCaps, MdFlags, MemFlags, MemRegion, MkeyFlags, PeerAddress, Rkey,
    Transport, Unreachable, VfsFile,
};
