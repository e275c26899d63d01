//! A histogram of fixed size, to which any thread adds without waiting.
//!
//! The buckets are those of the `histogram` crate: 32 per power of two, so a value is known to 1/32 of
//! itself, and each number below 64 has a bucket of its own. Beside them stands the sum, which Prometheus
//! wants. Recording is two relaxed additions. A reading may miss what is being recorded at that moment, never
//! what was recorded before.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use ::histogram::{AtomicHistogram, Bucket, Config, Histogram as Buckets};

/// log2 of the buckets per power of two.
const FINENESS: u8 = 5;
/// log2 of the end of the range: 2^42 nanoseconds are 73 minutes.
const END: u8 = 42;
const LARGEST: u64 = (1 << END) - 1;
const CONFIG: Config = match Config::new(FINENESS, END) {
    Ok(config) => config,
    Err(_) => panic!("the end of the range is above its fineness"),
};

/// Counts by size: of durations in nanoseconds, or of rows.
pub struct Histogram {
    buckets: AtomicHistogram,
    sum: AtomicU64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new() -> Self {
        Self { buckets: AtomicHistogram::with_config(&CONFIG), sum: AtomicU64::new(0) }
    }

    /// Adds one value. A larger one than the range counts as its end.
    pub fn record(&self, value: u64) {
        let _ = self.buckets.increment(value.min(LARGEST));
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Adds a duration.
    pub fn record_duration(&self, duration: Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// The values recorded so far.
    pub fn read(&self) -> Distribution {
        Distribution::new(self.buckets.load(), self.sum.load(Ordering::Relaxed))
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// A reading of a histogram, or the difference of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    buckets: Buckets,
    /// The number of values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
}

impl Distribution {
    fn new(buckets: Buckets, sum: u64) -> Self {
        let count = buckets.as_slice().iter().sum();
        Self { buckets, count, sum }
    }

    /// The values recorded after `earlier` was read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut buckets = self.buckets.clone();
        for (now, then) in buckets.as_mut_slice().iter_mut().zip(earlier.buckets.as_slice()) {
            *now = now.saturating_sub(*then);
        }
        Self::new(buckets, self.sum.wrapping_sub(earlier.sum))
    }

    /// Adds the values of another one.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.buckets.as_mut_slice().iter_mut().zip(other.buckets.as_slice()) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The value below which this share of all values lies; none without values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        self.buckets.quantile_bucket(share).ok().flatten().as_ref().map(middle)
    }

    /// For each of the growing `bounds` the number of values up to it.
    pub fn cumulative(&self, bounds: &[f64]) -> Vec<u64> {
        let mut buckets = self.buckets.iter().peekable();
        let mut seen = 0;
        let up_to = bounds.iter().map(|bound| {
            while let Some(bucket) = buckets.next_if(|bucket| middle(bucket) <= *bound) {
                seen += bucket.count();
            }
            seen
        });
        up_to.collect()
    }
}

/// The value that stands for all values of a bucket.
#[expect(clippy::cast_precision_loss, reason = "bounds of buckets have few significant bits")]
fn middle(bucket: &Bucket) -> f64 {
    f64::midpoint(bucket.start() as f64, bucket.end() as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_value_beyond_the_range_counts_as_its_end() {
        let times = Histogram::new();
        times.record_duration(Duration::MAX);
        assert!(times.read().quantile(0.5).is_some_and(|value| value > 2_f64.powi(41)));
    }

    #[test]
    fn small_counts_are_exact() {
        let rows = Histogram::new();
        for count in [0, 1, 1, 7, 32] {
            rows.record(count);
        }
        let read = rows.read();
        assert_eq!((read.count, read.sum), (5, 41));
        assert_eq!(read.quantile(0.5), Some(1.0));
        assert_eq!(read.quantile(0.8), Some(7.0));
        assert_eq!(read.quantile(1.0), Some(32.0));
    }

    #[test]
    fn cumulative_counts_grow_with_their_bounds() {
        let rows = Histogram::new();
        for count in [0, 1, 1, 7, 32, 5000] {
            rows.record(count);
        }
        assert_eq!(rows.read().cumulative(&[0.0, 1.0, 10.0, 32.0, 1e6]), [1, 3, 4, 5, 6]);
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(Histogram::new().read().quantile(0.99), None);
    }

    #[test]
    fn a_difference_holds_what_came_between() {
        let times = Histogram::new();
        times.record(1 << 20);
        let earlier = times.read();
        times.record(1 << 30);
        let later = times.read().since(&earlier);
        assert_eq!((later.count, later.sum), (1, 1 << 30));
        assert!(later.quantile(0.5).is_some_and(|median| median >= f64::from(1 << 30)));
    }

    proptest! {
        #[test]
        fn quantiles_are_known_to_a_thirtysecond(mut values in prop::collection::vec(1024_u64..1 << 40, 1..200), share in 0.01..1.0_f64) {
            let histogram = Histogram::new();
            for value in &values {
                histogram.record(*value);
            }
            values.sort_unstable();
            let read = histogram.read();
            let told = read.quantile(share).map(Duration::from_secs_f64).unwrap_or_default().as_secs();
            let below = values.iter().filter(|value| **value < told - told / 32).count();
            let up_to = values.iter().filter(|value| **value <= told + told / 32).count();
            let rank = Duration::from_secs(values.len().try_into().unwrap_or(0)).mul_f64(share).as_secs_f64().ceil();
            prop_assert!(f64::from(u32::try_from(below).unwrap_or(0)) < rank, "{told} is too large");
            prop_assert!(f64::from(u32::try_from(up_to).unwrap_or(0)) >= rank, "{told} is too small");
        }
    }
}
