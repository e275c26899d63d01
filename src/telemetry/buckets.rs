//! The bounds of histograms, as Prometheus and OpenTelemetry get them.

use super::{Distribution, metrics::Metric};

/// Bounds for times, in seconds. A lookup on the same machine takes a tenth of a millisecond.
const TIMES: [f64; 17] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
    30.0,
];
/// Bounds for numbers of rows.
const COUNTS: [f64; 10] = [0.0, 1.0, 2.0, 5.0, 10.0, 50.0, 100.0, 1000.0, 10_000.0, 100_000.0];

/// Each bound of a histogram, with the number of values up to it.
pub(super) fn buckets(metric: &Metric, read: &Distribution) -> Vec<(f64, u64)> {
    let scale = metric.scale();
    let bounds: &[f64] = if metric.unit == "s" { &TIMES } else { &COUNTS };
    let inner: Vec<_> = bounds.iter().map(|bound| bound / scale).collect();
    bounds.iter().copied().zip(read.cumulative(&inner)).collect()
}
