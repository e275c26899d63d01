//! A sliding window: what has happened since the last sample, and in the last minute.
//!
//! Everything is recorded as totals; a window is the difference of two marks. Marks are kept at least five
//! seconds apart, so their number is bounded however often samples are taken.

use std::{collections::VecDeque, time::Duration};

use super::{Distribution, FailureClass, PoolMetrics};

const MINUTE: Duration = Duration::from_secs(60);
const SPACING: Duration = Duration::from_secs(5);

/// Totals at one moment.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    pub(super) at: Duration,
    pub(super) operations: u64,
    pub(super) faults: u64,
    pub(super) by_class: [u64; FailureClass::ALL.len()],
    /// Durations, which only our own pools know.
    pub(super) times: Option<Times>,
}

#[derive(Clone, Debug)]
pub(super) struct Times {
    pub(super) operation: Distribution,
    pub(super) wait: Distribution,
    pub(super) rows: u64,
}

impl Mark {
    pub(super) fn of(metrics: &PoolMetrics, at: Duration) -> Self {
        let mut operation = metrics.successes().read();
        let mut faults = 0;
        let mut by_class = [0; FailureClass::ALL.len()];
        for (class, times) in metrics.failures() {
            let times = times.read();
            by_class[class as usize] = times.count;
            faults += if class.is_fault() { times.count } else { 0 };
            operation.add(&times);
        }
        let rows = metrics.rows.read().sum;
        let operations = operation.count;
        let times = Some(Times { operation, wait: metrics.wait_time.read(), rows });
        Self { at, operations, faults, by_class, times }
    }

    /// The difference to `earlier`. Totals that shrank belong to another pool of that name: they count as
    /// nothing.
    pub(super) fn since(&self, earlier: &Self) -> Self {
        let times = self.times.as_ref().zip(earlier.times.as_ref()).map(|(now, then)| Times {
            operation: now.operation.since(&then.operation),
            wait: now.wait.since(&then.wait),
            rows: now.rows.saturating_sub(then.rows),
        });
        let mut by_class = self.by_class;
        for (now, then) in by_class.iter_mut().zip(earlier.by_class) {
            *now = now.saturating_sub(then);
        }
        Self {
            at: self.at.saturating_sub(earlier.at),
            operations: self.operations.saturating_sub(earlier.operations),
            faults: self.faults.saturating_sub(earlier.faults),
            by_class,
            times,
        }
    }
}

/// The marks of the last minute.
#[derive(Default)]
pub(super) struct SlidingWindow {
    marks: VecDeque<Mark>,
    last: Option<Mark>,
}

/// The two windows; none at the first sample.
pub(super) struct Windows {
    pub(super) interval: Option<Mark>,
    pub(super) minute: Option<Mark>,
}

impl SlidingWindow {
    pub(super) fn sample(&mut self, now: Mark) -> Windows {
        let interval = self.last.as_ref().map(|last| now.since(last));
        while self.marks.get(1).is_some_and(|next| next.at + MINUTE <= now.at) {
            self.marks.pop_front();
        }
        let minute = self.marks.front().map(|first| now.since(first));
        if self.marks.back().is_none_or(|last| last.at + SPACING <= now.at) {
            self.marks.push_back(now.clone());
        }
        self.last = Some(now);
        Windows { interval, minute }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(seconds: u64, operations: u64) -> Mark {
        let at = Duration::from_secs(seconds);
        Mark { at, operations, faults: 0, by_class: [0; FailureClass::ALL.len()], times: None }
    }

    #[test]
    fn an_interval_begins_at_the_last_look_and_a_minute_a_minute_ago() {
        let mut window = SlidingWindow::default();
        assert!(window.sample(mark(0, 100)).minute.is_none());
        for second in 1..=200 {
            let windows = window.sample(mark(second, 100 + second * 10));
            assert_eq!(windows.interval.map(|interval| interval.operations), Some(10));
            let minute = windows.minute.map_or(0, |minute| minute.operations / 10);
            assert!(minute == second.min(60) || (60..65).contains(&minute), "{minute} at {second}");
        }
        assert!(window.marks.len() <= 14);
    }

    #[test]
    fn totals_that_shrank_count_as_nothing() {
        let mut window = SlidingWindow::default();
        window.sample(mark(0, 100));
        assert_eq!(window.sample(mark(5, 3)).interval.map(|interval| interval.operations), Some(0));
    }
}
