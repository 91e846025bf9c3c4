//! What the MPI tests share: a fabric of their own, jobs that cannot hang a test, and the counters that prove which transport
//! carried the bytes.
#![forbid(unsafe_code)]

mod fabric;
mod job;
mod prefix;
mod processes;
mod stats;
mod ucx;

pub use fabric::Fabric;
pub use job::{Job, Mpi, Outcome, Running};
pub use prefix::Prefix;
pub use processes::{cpu_time, descendants, go_on, kill, stop};
pub use stats::{ChannelStats, RailStats, Requested, Tally, Traffic};

/// Tests that run under each MPI: `open_mpi::NAME` and `mpich::NAME` call the function of that name with it.
#[macro_export]
macro_rules! under_each_mpi {
    ($($test:ident),+ $(,)?) => {
        mod open_mpi {
            $(#[test] fn $test() { super::$test($crate::Mpi::OpenMpi); })+
        }
        mod mpich {
            $(#[test] fn $test() { super::$test($crate::Mpi::Mpich); })+
        }
    };
}
