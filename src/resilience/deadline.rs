//! The deadline of a request, which covers waiting, connecting, running and all retries.

use std::time::Duration;

use tokio::time::Instant;

/// An absolute deadline, or none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No deadline.
    pub const NONE: Self = Self(None);

    /// A deadline so long after `now`; none if the clock does not reach that far.
    pub fn after(now: Instant, time: Option<Duration>) -> Self {
        Self(time.and_then(|time| now.checked_add(time)))
    }

    /// That moment, or none.
    pub fn at_moment(at: Option<Instant>) -> Self {
        Self(at)
    }

    /// The moment of the deadline.
    pub fn at(self) -> Option<Instant> {
        self.0
    }

    /// Whether there is a deadline.
    pub fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// The time that is left; none: there is no deadline.
    pub fn remaining(self, now: Instant) -> Option<Duration> {
        self.0.map(|at| at.saturating_duration_since(now))
    }

    /// Whether something that begins after `delay` begins before it.
    pub fn allows(self, now: Instant, delay: Duration) -> bool {
        self.0.is_none_or(|at| now.checked_add(delay).is_some_and(|begin| begin < at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_would_begin_at_the_deadline_is_not_begun() {
        let now = Instant::now();
        let deadline = Deadline::after(now, Some(SECOND));
        assert!(deadline.allows(now, Duration::from_millis(999)));
        assert!(!deadline.allows(now, SECOND));
        assert!(!deadline.allows(now + SECOND, Duration::ZERO));
        assert_eq!(deadline.remaining(now + 2 * SECOND), Some(Duration::ZERO));
    }

    #[test]
    fn no_deadline_allows_everything() {
        let now = Instant::now();
        for deadline in
            [Deadline::NONE, Deadline::after(now, None), Deadline::after(now, Some(Duration::MAX))]
        {
            assert!(!deadline.is_set());
            assert!(deadline.allows(now, 1_000_000 * SECOND));
            assert_eq!(deadline.remaining(now), None);
        }
    }
}
