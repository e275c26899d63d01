//! How to count: successes and failures of the last 30 seconds, in buckets of three.

use std::time::Duration;

use tokio::time::Instant;

const BUCKETS: usize = 10;

/// What a window holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) successes: u32,
    pub(super) failures: u32,
}

#[derive(Debug)]
pub(super) struct Window {
    bucket: Duration,
    buckets: [Tally; BUCKETS],
    current: usize,
    /// When the current bucket began.
    since: Instant,
}

impl Window {
    pub(super) fn new(length: Duration, now: Instant) -> Self {
        let bucket = (length / u32::try_from(BUCKETS).unwrap_or(1)).max(Duration::from_millis(1));
        Self { bucket, buckets: [Tally::default(); BUCKETS], current: 0, since: now }
    }

    pub(super) fn record(&mut self, succeeded: bool, now: Instant) {
        self.advance(now);
        let tally = &mut self.buckets[self.current];
        let count = if succeeded { &mut tally.successes } else { &mut tally.failures };
        *count = count.saturating_add(1);
    }

    pub(super) fn tally(&mut self, now: Instant) -> Tally {
        self.advance(now);
        self.buckets.iter().fold(Tally::default(), |sum, tally| Tally {
            successes: sum.successes.saturating_add(tally.successes),
            failures: sum.failures.saturating_add(tally.failures),
        })
    }

    pub(super) fn clear(&mut self, now: Instant) {
        self.buckets = [Tally::default(); BUCKETS];
        self.since = now;
    }

    fn advance(&mut self, now: Instant) {
        for _ in 0..BUCKETS {
            if now.saturating_duration_since(self.since) < self.bucket {
                return;
            }
            self.current = (self.current + 1) % BUCKETS;
            self.buckets[self.current] = Tally::default();
            self.since += self.bucket;
        }
        // All are empty: a longer pause changes nothing.
        if now.saturating_duration_since(self.since) >= self.bucket {
            self.since = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(30);

    proptest! {
        #[test]
        fn a_window_holds_what_happened_within_its_length_to_one_bucket(
            events in proptest::collection::vec((0_u64..20_000, any::<bool>()), 1..80),
        ) {
            let mut now = Instant::now();
            let mut window = Window::new(LENGTH, now);
            let mut history = Vec::new();
            for (pause, succeeded) in events {
                now += Duration::from_millis(pause);
                window.record(succeeded, now);
                history.push((now, succeeded));
                let tally = window.tally(now);
                let held = tally.successes + tally.failures;
                let within = |length: Duration| {
                    history.iter().filter(|(at, _)| now.duration_since(*at) < length).count()
                };
                prop_assert!(held as usize <= within(LENGTH));
                prop_assert!(held as usize >= within(LENGTH * 9 / 10));
            }
        }
    }

    #[test]
    fn a_long_pause_empties_it() {
        let now = Instant::now();
        let mut window = Window::new(LENGTH, now);
        window.record(false, now);
        assert_eq!(window.tally(now + 100 * LENGTH), Tally::default());
    }
}
