//! When to break, and for how long.

use std::time::Duration;

use super::{super::Backoff, window::Tally};

/// The limits of a breaker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Thresholds {
    /// Opens at this share of failures among the calls of a window. Default 0.5.
    pub failure_share: f64,
    /// With fewer calls than this the share says nothing. Default 20.
    pub least_calls: u32,
    /// The length of the window. Default 30 s.
    pub window: Duration,
    /// Opens after so many failed connects in a row. Default 5.
    pub connects_in_a_row: u32,
    /// How long it stays open the first time. Default 5 s.
    pub open: Duration,
    /// Doubling ends here. Default 60 s.
    pub longest_open: Duration,
    /// Successes of the probe that close it. Default 3.
    pub successes: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            failure_share: 0.5,
            least_calls: 20,
            window: Duration::from_secs(30),
            connects_in_a_row: 5,
            open: Duration::from_secs(5),
            longest_open: Duration::from_secs(60),
            successes: 3,
        }
    }
}

impl Thresholds {
    pub(super) fn is_exceeded(&self, tally: Tally, connects_in_a_row: u32) -> bool {
        let calls = tally.successes.saturating_add(tally.failures);
        let share_is_exceeded =
            calls >= self.least_calls && f64::from(tally.failures) >= f64::from(calls) * self.failure_share;
        share_is_exceeded && tally.failures > 0 || connects_in_a_row >= self.connects_in_a_row
    }

    /// How long it stays open the n-th time in a row, counted from 0.
    pub(super) fn open_for(&self, n: u32) -> Duration {
        Backoff { base: self.open, cap: self.longest_open.max(self.open) }.longest(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(successes: u32, failures: u32) -> Tally {
        Tally { successes, failures }
    }

    #[test]
    fn half_of_twenty_calls_break_and_half_of_nineteen_do_not() {
        let limits = Thresholds::default();
        assert!(limits.is_exceeded(tally(10, 10), 0));
        assert!(!limits.is_exceeded(tally(11, 10), 0));
        assert!(!limits.is_exceeded(tally(9, 10), 0));
        assert!(!limits.is_exceeded(tally(0, 19), 0));
        assert!(limits.is_exceeded(tally(0, 20), 0));
    }

    #[test]
    fn five_failed_connects_in_a_row_break() {
        let limits = Thresholds::default();
        assert!(!limits.is_exceeded(tally(1000, 4), 4));
        assert!(limits.is_exceeded(tally(1000, 5), 5));
    }

    #[test]
    fn it_stays_open_for_five_seconds_doubling_to_sixty() {
        let limits = Thresholds::default();
        let seconds: Vec<_> = [0, 1, 2, 3, 4, 40].map(|n| limits.open_for(n).as_secs()).to_vec();
        assert_eq!(seconds, [5, 10, 20, 40, 60, 60]);
    }
}
