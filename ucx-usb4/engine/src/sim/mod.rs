//! Engines in virtual time, over rails that fail by plan.
//!
//! A [`Plan`] says which nodes, cables and processes there are, what the processes do, and what goes wrong when; [`Plan::random`] draws
//! one from a seed. [`run`] plays it: time jumps from one event to the next, nothing depends on the machine, and the same plan always gives
//! the same [`Report`]. While it runs, an oracle checks that
//!
//! - every active message arrives once, in order, at the right incarnation, with its bytes;
//! - a put that completed has its bytes in place, what was sent behind a fence finds them there, and nothing else was written;
//! - a get returns the bytes of the target, an atomic operation is applied once;
//! - what was refused is reported with its reason and touched nothing;
//! - each operation completes once, each connection fails or closes at most once;
//! - queues stay within their bounds, and at the end every frame and credit has been given back.
//!
//! A fault may cost time, or, where a peer is really gone, a connection. It never costs more.

mod app;
pub mod fuzz;
pub mod loss;
mod network;
mod oracle;
mod plan;
mod process;
mod world;

pub use network::{Cable, Faults};
pub use plan::{Incident, Plan, Work};
pub use world::{Report, run};

/// What the oracle found, or how a run failed to end. The text says what happened, where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation(pub String);

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Violation {}

/// Returns from the calling function with a [`Violation`] unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err($crate::sim::Violation(format!($($message)*)));
        }
    };
}
pub(crate) use ensure;
