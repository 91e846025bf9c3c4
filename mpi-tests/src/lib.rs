//! What the MPI tests share: a fabric of their own, jobs that cannot hang a test, and the counters that prove which transport
//! carried the bytes.
#![forbid(unsafe_code)]

mod fabric;
mod job;
mod prefix;
mod processes;
mod stats;

pub use fabric::Fabric;
pub use job::{Job, Mpi, Outcome, Running};
pub use prefix::Prefix;
pub use processes::{cpu_time, descendants, go_on, kill, stop};
pub use stats::{ChannelStats, RailStats, Requested, Tally, Traffic};
