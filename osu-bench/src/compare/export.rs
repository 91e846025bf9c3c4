//! Results for programs: every round, and the statistics.

use serde_json::{Value, json};

use super::limit;
use super::results::{Measured, Results};
use super::variant::Variant;

/// All results as one document.
pub(super) fn json(results: &Results, variants: &[Variant], rounds: usize) -> Value {
    let benchmarks: Vec<Value> = results.benchmarks().iter().map(|measured| benchmark(measured, variants)).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "rounds": rounds,
        "warnings": results.warnings,
        "benchmarks": benchmarks,
    })
}

fn benchmark(measured: &Measured, variants: &[Variant]) -> Value {
    let transports: Vec<Value> = variants
        .iter()
        .enumerate()
        .map(|(at, variant)| {
            let sizes: Vec<Value> = measured
                .sizes
                .iter()
                .filter_map(|(&size_bytes, values)| {
                    let summary = measured.summary(size_bytes, at)?;
                    Some(json!({
                        "size_bytes": size_bytes,
                        "median": summary.median,
                        "spread_percent": summary.spread_percent,
                        "rounds": values.get(at),
                    }))
                })
                .collect();
            json!({ "label": variant.label, "limit": limit::of(measured, variant), "sizes": sizes })
        })
        .collect();
    json!({
        "benchmark": measured.benchmark.name,
        "value": measured.heading,
        "higher_is_better": measured.higher_is_better,
        "transports": transports,
    })
}

/// One line for each benchmark, transport and size.
pub(super) fn csv(results: &Results, variants: &[Variant]) -> String {
    let mut text = "benchmark,transport,size_bytes,median,spread_percent,limit\n".to_owned();
    for measured in results.benchmarks() {
        for (at, variant) in variants.iter().enumerate() {
            let limit = limit::of(measured, variant).map_or_else(String::new, |limit| limit.to_string());
            for &size in measured.sizes.keys() {
                let Some(summary) = measured.summary(size, at) else { continue };
                let size = size.map_or_else(String::new, |bytes| bytes.to_string());
                let (name, label) = (measured.benchmark.name, &variant.label);
                text += &format!("{name},{label},{size},{},{},{limit}\n", summary.median, summary.spread_percent);
            }
        }
    }
    text
}
