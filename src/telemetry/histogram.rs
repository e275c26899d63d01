//! A distribution of fixed size that any thread adds to without waiting.
//!
//! Buckets are log-linear: 32 per power of two, so a value is known to 1/32 of itself, from
//! [`LEAST`] on; what is smaller shares the first bucket, what is larger than the range the last.
//! Recording is two relaxed additions. A reading may miss what is being recorded at that moment,
//! never what was recorded before.

use std::sync::atomic::{AtomicU64, Ordering};

/// log2 of the buckets per power of two.
const FINENESS: u32 = 5;
/// log2 of the smallest value told apart: 1024, about a microsecond in nanoseconds.
const LEAST: u32 = 10;
/// log2 of the end of the range: 2^42 nanoseconds are 73 minutes.
const END: u32 = 42;
const BUCKETS: usize = (((END - LEAST) << FINENESS) + 1) as usize;

/// Counts by size.
pub struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    /// What one unit of a recorded value is worth on the inner scale, as a shift.
    shift: u32,
}

impl Histogram {
    /// For durations, in nanoseconds.
    pub fn of_durations() -> Self {
        Self::with_shift(0)
    }

    /// For counts of things: every number to 32 has a bucket of its own.
    pub fn of_counts() -> Self {
        Self::with_shift(LEAST)
    }

    fn with_shift(shift: u32) -> Self {
        let buckets = (0..BUCKETS).map(|_| AtomicU64::new(0)).collect();
        Self { buckets, sum: AtomicU64::new(0), shift }
    }

    /// Adds one value.
    pub fn record(&self, value: u64) {
        let scaled = value.saturating_mul(1 << self.shift);
        self.buckets[bucket_of(scaled)].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Adds a duration.
    pub fn record_duration(&self, duration: std::time::Duration) {
        self.record(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX));
    }

    /// What was recorded so far.
    pub fn read(&self) -> Distribution {
        let counts: Box<[u64]> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let count = counts.iter().sum();
        Distribution { counts, count, sum: self.sum.load(Ordering::Relaxed), shift: self.shift }
    }
}

/// A reading of a histogram, or the difference of two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    counts: Box<[u64]>,
    /// How many values.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    shift: u32,
}

impl Distribution {
    /// What was recorded after `earlier` was read.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts: Box<[u64]> =
            self.counts.iter().zip(&earlier.counts).map(|(now, then)| now.saturating_sub(*then)).collect();
        let count = counts.iter().sum();
        Self { counts, count, sum: self.sum.wrapping_sub(earlier.sum), shift: self.shift }
    }

    /// Adds the values of another one.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// The value below which this share of all values lies; none without values.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among fewer than 2^53 values"
        )]
        let rank = ((self.count as f64 * share).ceil() as u64).clamp(1, self.count);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(self.middle(index))
    }

    /// For each of the growing `bounds`, how many values are at most that.
    pub fn cumulative(&self, bounds: &[f64]) -> Vec<u64> {
        let mut counts = Vec::with_capacity(bounds.len());
        let (mut index, mut seen) = (0, 0);
        for bound in bounds {
            while index < BUCKETS && self.middle(index) <= *bound {
                seen += self.counts[index];
                index += 1;
            }
            counts.push(seen);
        }
        counts
    }

    fn middle(&self, index: usize) -> f64 {
        let (start, end) = (self.start(index), self.end(index));
        // Of counts, each small number is a bucket: it is its start.
        if self.shift > 0 && end - start <= 1.0 { start } else { f64::midpoint(start, end) }
    }

    fn start(&self, index: usize) -> f64 {
        unscaled(if index == 0 { 0 } else { start_of(index) }, self.shift)
    }

    fn end(&self, index: usize) -> f64 {
        if index + 1 == BUCKETS { f64::INFINITY } else { unscaled(start_of(index + 1), self.shift) }
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds of buckets have few significant bits")]
fn unscaled(value: u64, shift: u32) -> f64 {
    value as f64 / (1_u64 << shift) as f64
}

/// Bucket 0 is below 2^LEAST; bucket 1 begins there.
fn bucket_of(value: u64) -> usize {
    if value < 1 << LEAST {
        return 0;
    }
    let power = value.ilog2();
    if power >= END {
        return BUCKETS - 1;
    }
    let step = (value >> (power - FINENESS)) & ((1 << FINENESS) - 1);
    1 + (((power - LEAST) << FINENESS) as usize) + usize::try_from(step).unwrap_or(0)
}

fn start_of(index: usize) -> u64 {
    let place = u64::try_from(index - 1).unwrap_or(0);
    let power = (place >> FINENESS) + u64::from(LEAST);
    let step = place & ((1 << FINENESS) - 1);
    ((1 << FINENESS) + step) << (power - u64::from(FINENESS))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gaps() {
        for index in 1..BUCKETS - 1 {
            assert_eq!(bucket_of(start_of(index)), index);
            assert_eq!(bucket_of(start_of(index + 1) - 1), index);
        }
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn small_counts_are_exact() {
        let rows = Histogram::of_counts();
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
        let rows = Histogram::of_counts();
        for count in [0, 1, 1, 7, 32, 5000] {
            rows.record(count);
        }
        assert_eq!(rows.read().cumulative(&[0.0, 1.0, 10.0, 32.0, 1e6]), [1, 3, 4, 5, 6]);
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert_eq!(Histogram::of_durations().read().quantile(0.99), None);
    }

    #[test]
    fn a_difference_holds_what_came_between() {
        let times = Histogram::of_durations();
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
            let histogram = Histogram::of_durations();
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
