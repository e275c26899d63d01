//! The backoff of connects that fail: when the next attempt may begin, and how many at a time.
//!
//! After a failure there is one attempt at a time; each success doubles their number, up to four, until all
//! claims are served and the pool is full. Delays double with full jitter, so that the pools of many
//! processes do not connect in step.

use std::time::Duration;

use tokio::time::Instant;

use crate::resilience::{Backoff, Jitter};

/// For failures that pass. An attempt a second does not burden a server, and a pool is back soon after its
/// server.
const PASSING: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_secs(1) };
/// For failures that last. A wrong password does not pass by itself, and servers lock out who repeats it.
const LASTING: Backoff = Backoff { cap: Duration::from_secs(5), ..PASSING };
/// The most attempts at a time while not everything is back.
const WIDEST: usize = 4;

pub(super) struct ConnectBackoff<E> {
    failures: u32,
    retry_at: Option<Instant>,
    width: usize,
    /// Whether attempts for claims, too, are limited to `width`.
    is_recovering: bool,
    last_error: Option<E>,
}

impl<E: Clone> ConnectBackoff<E> {
    pub(super) fn new() -> Self {
        Self { failures: 0, retry_at: None, width: WIDEST, is_recovering: false, last_error: None }
    }

    /// Counts a failure. `error` is absent when the attempt timed out or was lost.
    pub(super) fn failed(&mut self, now: Instant, error: Option<E>, is_passing: bool, jitter: &mut Jitter) {
        let backoff = if is_passing { PASSING } else { LASTING };
        self.retry_at = now.checked_add(backoff.delay(self.failures, jitter));
        self.failures = self.failures.saturating_add(1);
        self.width = 1;
        self.is_recovering = true;
        if error.is_some() {
            self.last_error = error;
        }
    }

    pub(super) fn succeeded(&mut self) {
        self.width = (self.width * 2).min(WIDEST);
        self.failures = 0;
        self.retry_at = None;
        self.last_error = None;
    }

    /// Whether a connect has failed since all claims were served and the pool was full.
    pub(super) fn is_recovering(&self) -> bool {
        self.is_recovering
    }

    /// Ends the recovery: all claims are served and the pool is full.
    pub(super) fn recovered(&mut self) {
        if self.failures == 0 {
            self.is_recovering = false;
        }
    }

    /// Drops the delay: the next attempt may begin at once.
    pub(super) fn forget_delay(&mut self) {
        self.retry_at = None;
    }

    /// Whether an attempt for a claim may begin.
    pub(super) fn allows_attempt(&self, now: Instant, under_way: usize) -> bool {
        self.is_due(now) && (!self.is_recovering || under_way < self.width)
    }

    /// Whether an attempt that fills the pool may begin.
    pub(super) fn allows_filling(&self, now: Instant, under_way: usize) -> bool {
        self.is_due(now) && under_way < self.width
    }

    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    pub(super) fn last_error(&self) -> Option<&E> {
        self.last_error.as_ref()
    }

    fn is_due(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filling_widens_from_one_to_four_after_an_outage() {
        let now = Instant::now();
        let mut connect_backoff = ConnectBackoff::<()>::new();
        assert!(connect_backoff.allows_filling(now, 3));
        connect_backoff.failed(now, None, true, &mut Jitter::new());
        let later = now + PASSING.cap;
        for width in [1, 2, 4, 4] {
            assert!(connect_backoff.allows_filling(later, width - 1));
            assert!(!connect_backoff.allows_filling(later, width));
            assert!(connect_backoff.allows_attempt(later, width - 1));
            assert!(!connect_backoff.allows_attempt(later, width));
            connect_backoff.succeeded();
        }
        connect_backoff.recovered();
        assert!(connect_backoff.allows_attempt(later, 50));
    }

    #[test]
    fn an_outage_allows_one_attempt_at_a_time_and_not_before_its_delay() {
        let now = Instant::now();
        let mut connect_backoff = ConnectBackoff::new();
        assert!(connect_backoff.allows_attempt(now, 7));
        connect_backoff.failed(now, Some("refused"), true, &mut Jitter::new());
        assert!(connect_backoff.retry_at().is_some_and(|at| at < now + PASSING.base));
        assert!(connect_backoff.allows_attempt(now + PASSING.base, 0));
        assert!(!connect_backoff.allows_attempt(now + PASSING.base, 1));
        assert_eq!(connect_backoff.last_error(), Some(&"refused"));
        connect_backoff.succeeded();
        assert_eq!(connect_backoff.last_error(), None);
    }
}
