//! What the profile of a simulated cable allows for a benchmark.

use super::results::Measured;
use super::variant::Variant;

/// The limit of the compared value at all sizes: all rails less the frame headers, or the wire's one-way latency.
pub(super) fn of(measured: &Measured, variant: &Variant) -> Option<f64> {
    let profile = variant.profile.as_ref()?;
    match measured.benchmark.name {
        "bw" | "bw_persistent" | "mbw_mr" => profile.limit_mb_s(),
        "bibw" | "bibw_persistent" => profile.limit_mb_s().map(|limit| 2.0 * limit),
        "latency" | "latency_persistent" | "multi_lat" => (profile.latency_us > 0.0).then_some(profile.latency_us),
        _ => None,
    }
}
