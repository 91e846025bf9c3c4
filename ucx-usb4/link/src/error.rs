//! What can go wrong, and what the user does about it.

use std::path::PathBuf;

use crate::kernel::DeviceError;
use crate::{NodeId, sim};

/// Why a channel could not be opened. Each message ends with what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// `auto` or `kernel`, and the kernel module is not there.
    #[error(
        "there is no /dev/usb4dma and UCX_USB4_LINKS names no simulated cable; load the kernel module \
         (modprobe usb4_dma), or choose a simulated cable with UCX_USB4_LINKS=sim:PROFILE (one of {profiles})",
        profiles = sim::Profile::names()
    )]
    NoDevice,
    /// The device gives no channel.
    #[error("{0}")]
    Device(#[from] DeviceError),
    /// The links setting is none of the known forms.
    #[error(
        "UCX_USB4_LINKS={0} is not understood; use auto, kernel, sim:PROFILE (one of {profiles}), or sim:/path/to/fabric.toml",
        profiles = sim::Profile::names()
    )]
    BadSpec(String),
    /// A profile of that name does not exist.
    #[error("there is no simulated cable profile {0:?}; the profiles are {profiles}", profiles = sim::Profile::names())]
    UnknownProfile(String),
    /// The fabric file cannot be read.
    #[error("cannot read the fabric description {path}: {source}; check the path in UCX_USB4_LINKS=sim:{path}")]
    ReadConfig {
        /// The file named by the user.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The fabric file says something that cannot be.
    #[error("{0}")]
    Config(#[from] sim::ConfigError),
    /// The process cannot be placed on a simulated node.
    #[error("{0}")]
    Placement(#[from] PlacementError),
    /// Shared memory is too small.
    #[error(
        "{path} has {available_mib} MiB free and this channel needs {needed_mib} MiB; enlarge it with \
         `mount -o remount,size=2G {path}` or, in a container, `docker run --shm-size=2g`; \
         `usb4ctl sim clean` frees what crashed jobs left"
    )]
    NoSpace {
        /// The file system in question.
        path: PathBuf,
        /// What the channel needs, in MiB, rounded up.
        needed_mib: u64,
        /// What is free, in MiB, rounded down.
        available_mib: u64,
    },
    /// A running fabric was made by another release.
    #[error(
        "the simulated fabric in {path} was made by another version (format {found}, this is {expected}); \
         end the jobs that use it, or run them all with the same release"
    )]
    Version {
        /// The fabric's folder.
        path: PathBuf,
        /// The format that its file names.
        found: u32,
        /// The format of this release.
        expected: u32,
    },
    /// The folder belongs to somebody else.
    #[error("{path} belongs to user {owner}, not to you (user {user}); ask its owner or root to remove it")]
    ForeignOwner {
        /// The folder in question.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// All numbers for channels of the node are taken.
    #[error("node {node} has no free channel number; end some processes, or place them on more nodes", node = .0.0)]
    NoChannel(NodeId),
    /// The system refused something.
    #[error("cannot {action} {path}: {source}; check permissions and limits there, or run `usb4ctl doctor`")]
    System {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Why a process cannot be placed on a simulated node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// A variable holds something other than a number.
    #[error("{variable}={value:?} is not a number; set it to a node number or unset it")]
    NotANumber {
        /// The variable's name.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// The node does not exist in this fabric.
    #[error("UCX_USB4_SIM_NODE={node}, but the fabric has the nodes 0 to {last}; choose one of them or unset it", last = .nodes - 1)]
    NoSuchNode {
        /// The node asked for.
        node: u32,
        /// How many the fabric has.
        nodes: u32,
    },
}

/// Why a frame was not taken. The caller still owns the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// The rail is down, or does not lead to that node: take another.
    #[error("the rail is down or does not lead there; send over another")]
    RailDown,
    /// The rail's transmit ring is full: come again.
    #[error("the rail's transmit ring is full; try again after other frames have gone out")]
    RingFull,
    /// The destination channel does not exist or has ended.
    #[error("the destination channel is gone; close the connection")]
    PeerGone,
    /// The memory for rings to a further peer is used up (see `Carrier::limits`).
    #[error("no memory for a ring to this peer; enlarge /dev/shm or use fewer processes per node")]
    NoSpace,
}
