//! The kernel's rings: a channel of `/dev/usb4dma`, the device of `usb4_dma.ko`.
//!
//! The kernel gives a channel a pool of frames and four rings ([`ring`]): *submit* and *complete* for what is sent
//! ([`transmit`]), *fill* and *ready* for what is received ([`receive`]). A frame is sent from the pool as it lies there; what
//! arrives the kernel copies into the pool, so no process maps what another one receives. Rails come and go while the
//! channel is open ([`rails`]). The header of the module, `kernel/include/uapi/linux/usb4_dma.h`, documents the rest.
//!
//! # Ways to receive
//!
//! | mode | a look at an idle rail | a frame's way to a waiting process | costs others |
//! |---|---|---|---|
//! | [`ReceiveMode::Poll`] | a system call, which looks at the hardware's rings | that call | nothing: no interrupts while somebody polls |
//! | [`ReceiveMode::Ring`] | one load from memory | interrupt (after its moderation), the kernel's worker | a context switch per batch of frames |
//! | [`ReceiveMode::Auto`] | as `Poll` in a conversation, as `Ring` in silence | either | |
//! | asleep (`arm`) | nothing | interrupt, worker, wake-up of the process | as `Ring` |

mod board;
mod channel;
mod device;
mod error;
mod mapped;
#[cfg(any(test, feature = "mock"))]
pub mod mock;
mod observe;
mod rails;
mod receive;
mod ring;
#[cfg(test)]
mod tests;
mod transmit;

use std::str::FromStr;

use crate::FabricId;

pub use channel::KernelChannel;
pub use error::DeviceError;
pub use observe::{NodeView, ProcessView, RailState, RailView, controller, inspect};

/// The kernel module's device.
pub(crate) const DEVICE: &str = "/dev/usb4dma";

/// All real cables are one fabric: what a node reaches its rails say.
pub(crate) const FABRIC: FabricId = FabricId(u64::from_be_bytes(*b"usb4_dma"));

/// How a channel of the kernel's learns of frames while its process is awake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReceiveMode {
    /// Poll while frames come and go, look at the ring after a silence.
    #[default]
    Auto,
    /// The process has the kernel look at the hardware's rings, by a system call each time.
    Poll,
    /// The process looks at its ready ring, which the kernel's worker fills after an interrupt.
    Ring,
}

/// Names no mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no way to receive; use auto, poll or ring")]
pub struct UnknownReceiveMode(String);

impl FromStr for ReceiveMode {
    type Err = UnknownReceiveMode;

    fn from_str(text: &str) -> Result<Self, UnknownReceiveMode> {
        match text.trim() {
            "auto" => Ok(ReceiveMode::Auto),
            "poll" => Ok(ReceiveMode::Poll),
            "ring" => Ok(ReceiveMode::Ring),
            other => Err(UnknownReceiveMode(other.to_owned())),
        }
    }
}
