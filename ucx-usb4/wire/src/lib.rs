//! Frame headers of the ucx-usb4 protocol: what travels over a USB4 rail, and nothing about how.
//!
//! A frame is at most [`FRAME_MAX`] bytes: [`HEADER_LEN`] bytes of header and up to [`PAYLOAD_MAX`] bytes of payload. Everything is
//! little endian. The header is parsed once, into a [`Header`] that cannot be invalid; nothing after [`Header::parse`] validates again.
//!
//! ```text
//!  0 version u8   1 kind u8      2 flags u8         3 hop limit u8
//!  4 payload length u16          6 check u16 (all other header bytes except the hop limit)
//!  8 destination node u32                      12 source node u32
//! 16 destination channel u16    18 source channel u16
//! 20 window u16                 22 word u16 (by kind: active message id, probe number, close number)
//! 24 connection token u64
//! 32 PSN u32                                   36 cumulative acknowledgement u32
//! ```
//!
//! The kinds fall into two groups. *Control* kinds have no PSN, carry at most [`CONTROL_MAX`] bytes and are typed in [`control`].
//! *Sequenced* kinds have a PSN and arrive once; those of remote memory access start their payload with an extension of
//! [`extension`]. Header, control payloads and extensions each carry a check that refuses bit flips which the frame CRC missed, since a
//! flip there would misdirect data; the user's bytes behind them are guarded by the NHI's CRC alone.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

mod address;
mod body;
mod check;
pub mod control;
pub mod extension;
mod header;
mod kind;
mod psn;
mod rail;

pub use address::{Address, ChannelId, NodeId, Token};
pub use header::{Form, Header, HeaderError};
pub use kind::{Flags, Kind};
pub use psn::Psn;
pub use rail::{RailId, RailSet};

/// The protocol version of this crate. A frame of another version is refused, never guessed at.
pub const VERSION: u8 = 1;
/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = 40;
/// Longest frame in bytes, header included: what one NHI descriptor carries.
pub const FRAME_MAX: usize = 4096;
/// Longest payload of a frame in bytes.
pub const PAYLOAD_MAX: usize = FRAME_MAX - HEADER_LEN;
/// Longest payload of a control frame, and an upper bound of every extension, in bytes.
pub const CONTROL_MAX: usize = 64;
/// Frames that one acknowledgement bitmap can name, and so the largest window of a connection.
pub const WINDOW_MAX: u16 = (CONTROL_MAX * 8) as u16;
/// Hop limit of a frame that leaves its source. Relaying nodes count it down; it is the one header byte outside the check.
pub const HOP_LIMIT: u8 = 16;
