//! What the jobs measured, and the statistics over the rounds.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::bench::Benchmark;

/// All results of a comparison.
pub(super) struct Results {
    benchmarks: Vec<Measured>,
    /// What jobs said of where their ranks ran, each line once.
    pub(super) warnings: BTreeSet<String>,
}

/// All results of one benchmark.
pub(super) struct Measured {
    /// Which.
    pub(super) benchmark: &'static Benchmark,
    /// Heading of the compared value, with its unit.
    pub(super) heading: String,
    /// Whether more is better.
    pub(super) higher_is_better: bool,
    /// By message size (`None`: it has none), the values of each variant over the rounds.
    pub(super) sizes: BTreeMap<Option<u64>, Vec<Vec<f64>>>,
}

/// Middle and spread of some rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Summary {
    /// Median.
    pub(super) median: f64,
    /// Half of the range, in per cent of the median.
    pub(super) spread_percent: f64,
}

impl Results {
    /// No results yet.
    pub(super) fn new(benchmarks: &[&'static Benchmark]) -> Self {
        let empty = |&benchmark: &&'static Benchmark| Measured {
            benchmark,
            heading: String::new(),
            higher_is_better: false,
            sizes: BTreeMap::new(),
        };
        Self { benchmarks: benchmarks.iter().map(empty).collect(), warnings: BTreeSet::new() }
    }

    /// Adds what one job printed: the first value of each row.
    ///
    /// # Errors
    /// If the document is not what a benchmark prints.
    pub(super) fn add(&mut self, benchmark: usize, variant: usize, document: &Value) -> anyhow::Result<()> {
        let warnings = document["warnings"].as_array().into_iter().flatten();
        self.warnings.extend(warnings.filter_map(|warning| warning.as_str().map(str::to_owned)));
        let measured = &mut self.benchmarks[benchmark];
        measured
            .add(variant, document)
            .with_context(|| format!("the result of {} is not understood", measured.benchmark.name))
    }

    /// Adds what a C OSU benchmark printed: lines of size and value (or a value alone), and comments.
    ///
    /// # Errors
    /// If there is no such line.
    pub(super) fn add_text(&mut self, benchmark: usize, variant: usize, text: &str) -> anyhow::Result<()> {
        let measured = &mut self.benchmarks[benchmark];
        let rows = osu_rows(text);
        ensure!(!rows.is_empty(), "{} printed no lines of numbers", measured.benchmark.name);
        for (size_bytes, value) in rows {
            measured.put(size_bytes, variant, value);
        }
        Ok(())
    }

    /// By benchmark.
    pub(super) fn benchmarks(&self) -> &[Measured] {
        &self.benchmarks
    }
}

impl Measured {
    fn add(&mut self, variant: usize, document: &Value) -> anyhow::Result<()> {
        let table = document["tables"].get(0).context("it has no table")?;
        let column = table["columns"].get(0).context("its table has no column")?;
        let key = column["key"].as_str().context("its column has no key")?;
        self.heading = column["heading"].as_str().unwrap_or(key).to_owned();
        self.higher_is_better = key.starts_with("bandwidth");
        for row in table["rows"].as_array().context("its table has no rows")? {
            let value = row[key].as_f64().with_context(|| format!("a row has no {key}"))?;
            self.put(row["size_bytes"].as_u64(), variant, value);
        }
        Ok(())
    }

    fn put(&mut self, size_bytes: Option<u64>, variant: usize, value: f64) {
        let variants = self.sizes.entry(size_bytes).or_default();
        if variants.len() <= variant {
            variants.resize_with(variant + 1, Vec::new);
        }
        variants[variant].push(value);
    }

    /// Statistics of one variant at one size.
    pub(super) fn summary(&self, size_bytes: Option<u64>, variant: usize) -> Option<Summary> {
        Summary::of(self.sizes.get(&size_bytes)?.get(variant)?)
    }
}

/// What scripts read from OSU's text: comments start with #, the size comes first, the value second.
fn osu_rows(text: &str) -> Vec<(Option<u64>, f64)> {
    let row = |line: &str| {
        let mut words = line.split_whitespace();
        let (first, second) = (words.next()?, words.next());
        match second {
            Some(value) => Some((Some(first.parse().ok()?), value.parse().ok()?)),
            None => Some((None, first.parse().ok()?)),
        }
    };
    text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect()
}

impl Summary {
    /// Of at least one value.
    pub(super) fn of(values: &[f64]) -> Option<Summary> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (first, last) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
        let spread_percent = if median == 0.0 { 0.0 } else { (last - first) / 2.0 / median * 100.0 };
        Some(Summary { median, spread_percent })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::bench;

    #[test]
    fn the_spread_is_half_of_the_range() {
        assert_eq!(Summary::of(&[3.0, 1.0, 2.0]), Some(Summary { median: 2.0, spread_percent: 50.0 }));
        assert_eq!(Summary::of(&[4.0, 2.0]).map(|summary| summary.median), Some(3.0));
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn text_of_the_c_benchmarks_is_read() {
        let text = "\n# OSU MPI Latency Test v7.3\n# Size          Latency (us)\n# Datatype: MPI_CHAR.\n1      0.21\n8      0.22 Pass\n";
        assert_eq!(osu_rows(text), [(Some(1), 0.21), (Some(8), 0.22)]);
        assert_eq!(
            osu_rows("# OSU MPI Barrier Latency Test v7.3\n# Avg Latency(us)\n             0.57\n"),
            [(None, 0.57)]
        );
    }

    #[test]
    fn rounds_of_a_job_are_collected_by_size_and_variant() {
        let latency = bench::find("latency").expect("it exists");
        let mut results = Results::new(&[latency]);
        let document = |value: f64| {
            json!({ "warnings": ["slow"], "tables": [{
                "columns": [{ "key": "latency_us", "heading": "Avg Latency(us)" }],
                "rows": [{ "size_bytes": 8, "latency_us": value }],
            }] })
        };
        for (variant, value) in [(0, 1.0), (1, 4.0), (0, 3.0)] {
            results.add(0, variant, &document(value)).expect("it is a result");
        }
        let measured = &results.benchmarks()[0];
        assert_eq!(measured.summary(Some(8), 0).map(|summary| summary.median), Some(2.0));
        assert_eq!(measured.summary(Some(8), 1).map(|summary| summary.median), Some(4.0));
        assert!(!measured.higher_is_better);
        assert_eq!(results.warnings.iter().collect::<Vec<_>>(), ["slow"]);
        assert!(results.add(0, 0, &json!({})).is_err());
    }
}
