//! Gaps in the process's own clock: a frozen container, a laptop asleep, a function thawed. What was idle
//! then may be dead without having said so.
//!
//! The pool looks once per [`ClockGap::TICK`] while a connection is idle. A frozen process misses looks; a
//! suspended machine stops the monotonic clock, so the wall clock is compared with it. A wall clock that is
//! set forward costs one needless check.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

#[derive(Default)]
pub(super) struct ClockGap {
    last: Option<(Instant, SystemTime)>,
}

impl ClockGap {
    /// Between two looks.
    pub(super) const TICK: Duration = Duration::from_secs(1);
    /// A busy machine delays a look, but not by this much.
    const LEAST: Duration = Duration::from_secs(5);

    /// Whether the process stood still since the last look.
    pub(super) fn look(&mut self, now: Instant, wall: SystemTime) -> bool {
        let last = self.last.replace((now, wall));
        last.is_some_and(|last| Self::is_between(last, now, wall))
    }

    /// As [`Self::look`], without being one.
    pub(super) fn is_open(&self, now: Instant, wall: SystemTime) -> bool {
        self.last.is_some_and(|last| Self::is_between(last, now, wall))
    }

    fn is_between(last: (Instant, SystemTime), now: Instant, wall: SystemTime) -> bool {
        let passed = now.saturating_duration_since(last.0);
        let by_wall = wall.duration_since(last.1).unwrap_or_default();
        passed > Self::TICK + Self::LEAST || by_wall > passed + Self::LEAST
    }

    /// Begins to look; nothing where it has begun.
    pub(super) fn begin(&mut self, now: Instant) {
        if self.last.is_none() {
            self.last = Some((now, SystemTime::now()));
        }
    }

    /// Stops looking: nothing is idle.
    pub(super) fn stop(&mut self) {
        self.last = None;
    }

    /// When to look next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.last.map(|(at, _)| at + Self::TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_process_that_looks_in_time_has_no_gap() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut gap = ClockGap::default();
        for second in 0..60 {
            assert!(!gap.look(now + SECOND * second, wall + SECOND * second));
        }
        assert!(!gap.look(now + SECOND * 64, wall + SECOND * 64));
    }

    #[test]
    fn missed_looks_are_a_gap_once() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut gap = ClockGap::default();
        gap.look(now, wall);
        let thawed = (now + SECOND * 7, wall + SECOND * 7);
        assert!(gap.is_open(thawed.0, thawed.1));
        assert!(gap.look(thawed.0, thawed.1));
        assert!(!gap.look(thawed.0 + SECOND, thawed.1 + SECOND));
    }

    #[test]
    fn a_wall_clock_ahead_of_the_monotonic_one_is_a_gap_and_one_set_back_is_none() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut gap = ClockGap::default();
        gap.look(now, wall);
        assert!(gap.look(now + SECOND, wall + SECOND * 3600));
        assert!(!gap.look(now + SECOND * 2, wall));
    }

    #[test]
    fn without_idle_connections_nothing_is_a_gap() {
        let (now, wall) = (Instant::now(), SystemTime::now());
        let mut gap = ClockGap::default();
        gap.look(now, wall);
        gap.stop();
        assert_eq!(gap.due(), None);
        assert!(!gap.look(now + SECOND * 100, wall + SECOND * 100));
    }
}
