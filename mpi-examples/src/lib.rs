//! What the examples share: how a run is measured and reported, and what rsmpi does not offer (one-sided windows);
//! and the transformer of `tp_infer`.

mod report;
pub mod transformer;
mod window;

pub use report::{Argument, Digest, Meter, finish};
pub use window::Window;
