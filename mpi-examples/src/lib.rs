//! What the examples share: how a run is measured and reported, and what rsmpi does not offer (one-sided windows).

mod report;
mod window;

pub use report::{Argument, Digest, Meter, finish};
pub use window::Window;
