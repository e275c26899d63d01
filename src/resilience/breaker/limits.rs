//! The limits of a breaker: when it opens, and how often it probes.

use std::time::Duration;

use tokio::time::Instant;

use super::{super::Jitter, window::Tally};

/// Probes come often for so long after an opening.
const FIRST_MINUTE: Duration = Duration::from_secs(60);
/// Calls decide only where nothing was answered for so long.
const SILENCE: Duration = Duration::from_secs(1);

/// The limits of a breaker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Opens at this share of failures among the calls of a window. Default 0.5.
    pub failure_share: f64,
    /// With fewer calls than this the share says nothing. Default 20.
    pub least_calls: u32,
    /// The length of the window. Default 30 s.
    pub window: Duration,
    /// Opens after so many rounds of failed connects in a row; connects under way at the same time are
    /// one round. Default 5.
    pub failed_rounds: u32,
    /// Connects have to fail for so long as well. Default 5 s.
    pub failing_for: Duration,
    /// The first probe begins within this time after an opening. Default 0.5 s.
    pub first_probe: Duration,
    /// The longest time between probes in the first minute. Default 0.5 s.
    pub probe_interval: Duration,
    /// The longest time between probes after that. Default 5 s.
    pub long_probe_interval: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            failure_share: 0.5,
            least_calls: 20,
            window: Duration::from_secs(30),
            failed_rounds: 5,
            failing_for: Duration::from_secs(5),
            first_probe: Duration::from_millis(500),
            probe_interval: Duration::from_millis(500),
            long_probe_interval: Duration::from_secs(5),
        }
    }
}

impl Limits {
    pub(super) fn share_is_exceeded(&self, tally: Tally) -> bool {
        let calls = tally.successes.saturating_add(tally.failures);
        calls >= self.least_calls.max(1) && f64::from(tally.failures) >= f64::from(calls) * self.failure_share
    }

    pub(super) fn rounds_are_exceeded(&self, rounds: u32, failing: Duration) -> bool {
        rounds >= self.failed_rounds && failing >= self.failing_for
    }

    pub(super) fn is_silent(last_answer: Option<Instant>, now: Instant) -> bool {
        last_answer.is_none_or(|at| now.saturating_duration_since(at) >= SILENCE)
    }

    pub(super) fn first_probe(&self, jitter: &mut Jitter) -> Duration {
        shortened(self.first_probe, jitter)
    }

    /// The time from one probe to the next, `open` after the breaker opened.
    pub(super) fn between_probes(&self, open: Duration, jitter: &mut Jitter) -> Duration {
        shortened(if open < FIRST_MINUTE { self.probe_interval } else { self.long_probe_interval }, jitter)
    }
}

/// Shortens a time by up to three tenths, so that many processes do not probe in step. Never lengthens it:
/// service is to be back within the interval.
fn shortened(time: Duration, jitter: &mut Jitter) -> Duration {
    time.mul_f64(1.0 - 0.3 * jitter.share())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(successes: u32, failures: u32) -> Tally {
        Tally { successes, failures }
    }

    #[test]
    fn half_of_twenty_calls_are_too_many_failures_and_half_of_nineteen_are_not() {
        let limits = Limits::default();
        assert!(limits.share_is_exceeded(tally(10, 10)));
        assert!(!limits.share_is_exceeded(tally(11, 10)));
        assert!(!limits.share_is_exceeded(tally(9, 10)));
        assert!(!limits.share_is_exceeded(tally(0, 19)));
        assert!(limits.share_is_exceeded(tally(0, 20)));
    }

    #[test]
    fn five_rounds_are_too_many_only_after_five_seconds() {
        let limits = Limits::default();
        let seconds = Duration::from_secs;
        assert!(!limits.rounds_are_exceeded(50, Duration::from_millis(4999)));
        assert!(!limits.rounds_are_exceeded(4, seconds(60)));
        assert!(limits.rounds_are_exceeded(5, seconds(5)));
    }

    #[test]
    fn probes_follow_within_half_a_second_in_the_first_minute_and_within_five_seconds_later() {
        let limits = Limits::default();
        let mut jitter = Jitter::seeded(1);
        for _ in 0..100 {
            assert!(limits.first_probe(&mut jitter) <= Duration::from_millis(500));
            let early = limits.between_probes(Duration::from_secs(59), &mut jitter);
            assert!(early > Duration::from_millis(349) && early <= Duration::from_millis(500));
            let late = limits.between_probes(FIRST_MINUTE, &mut jitter);
            assert!(late > Duration::from_secs(3) && late <= Duration::from_secs(5));
        }
    }
}
