//! Times of iterations and their percentiles.

use hdrhistogram::Histogram;

use crate::report::Column;

/// Seconds that the timed iterations of one size took.
pub(crate) struct Samples {
    total_s: f64,
    count: usize,
    /// Each of them, when percentiles are wanted.
    each_s: Option<Vec<f64>>,
}

impl Samples {
    /// Room for `count` samples, kept one by one if `keep`.
    pub(crate) fn new(count: usize, keep: bool) -> Self {
        Self { total_s: 0.0, count: 0, each_s: keep.then(|| Vec::with_capacity(count)) }
    }

    /// Adds one.
    #[inline]
    pub(crate) fn add(&mut self, seconds: f64) {
        self.total_s += seconds;
        self.count += 1;
        if let Some(each_s) = &mut self.each_s {
            each_s.push(seconds);
        }
    }

    /// Adds those of another thread.
    pub(crate) fn append(&mut self, other: Samples) {
        self.total_s += other.total_s;
        self.count += other.count;
        if let (Some(mine), Some(theirs)) = (&mut self.each_s, other.each_s) {
            mine.extend(theirs);
        }
    }

    /// Mean of all.
    pub(crate) fn mean_s(&self) -> f64 {
        self.total_s / self.count.max(1) as f64
    }

    /// Number of samples.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Each sample; empty unless they were kept.
    pub(crate) fn each_s(&self) -> &[f64] {
        self.each_s.as_deref().unwrap_or_default()
    }
}

/// Percentiles of `values`, exact to three digits.
pub(crate) fn percentiles(values: impl IntoIterator<Item = f64>, wanted: &[u8]) -> Vec<f64> {
    // A thousandth of the printed unit (us, MB/s) is one step: a nanosecond, a kilobyte per second.
    const STEPS_PER_UNIT: f64 = 1000.0;
    let mut histogram = Histogram::<u64>::new(3).expect("three digits are in range");
    for value in values {
        histogram.record((value * STEPS_PER_UNIT) as u64).expect("the histogram grows as needed");
    }
    wanted
        .iter()
        .map(|&percentile| histogram.value_at_percentile(f64::from(percentile)) as f64 / STEPS_PER_UNIT)
        .collect()
}

/// Columns for the percentiles of a latency (`Lat(us)`) or a bandwidth (`BW(MB/s)`), with OSU's headings.
pub(crate) fn percentile_columns(wanted: &[u8], what: &str) -> Vec<Column> {
    wanted.iter().map(|p| Column::new(&format!("p{p}"), &format!("P{p} Tail {what}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_count_from_the_smallest() {
        let values = (1..=100).map(|value| f64::from(value) * 1e4);
        let found = percentiles(values, &[50, 90, 99]);
        for (found, exact) in found.iter().zip([50e4, 90e4, 99e4]) {
            assert!((found - exact).abs() / exact < 1e-3, "{found} is not {exact}");
        }
    }

    #[test]
    fn the_mean_needs_no_kept_samples() {
        let mut samples = Samples::new(2, false);
        samples.add(1.0);
        samples.add(3.0);
        assert_eq!((samples.mean_s(), samples.each_s().len()), (2.0, 0));
    }
}
