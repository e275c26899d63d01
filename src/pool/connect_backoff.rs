//! The backoff of connects that fail: when the next attempt may begin, and how many at a time.
//!
//! After a failure there is one attempt at a time; each success doubles their number, up to four, until all
//! claims are served and the pool is full. Delays double with full jitter, so that the pools of many
//! processes do not connect in step. While claims wait, the next attempt is never far
//! away.

use std::time::Duration;

use tokio::time::Instant;

use super::Outlook;
use crate::resilience::{Backoff, Jitter};

/// For claims. Little for a server, and short enough that a pool serves soon after its return.
const FOR_CLAIMS: Backoff = Backoff { base: Duration::from_millis(50), cap: Duration::from_millis(400) };
/// For failures that last, where no claim waits. A wrong password does not pass by itself, and servers lock
/// out who repeats it.
const LASTING: Backoff = Backoff { cap: Duration::from_secs(5), ..FOR_CLAIMS };
/// For a server that is full, where connections are there that serve.
const FULL: Backoff = Backoff { base: Duration::from_millis(200), cap: Duration::from_secs(2) };
/// The most attempts at a time while not everything is back.
const WIDEST: usize = 4;

pub(super) struct ConnectBackoff<E> {
    /// Rounds of failures in a row. Attempts under way at the same time are one round.
    failures: u32,
    round_over: Option<Instant>,
    /// When an attempt for a claim may begin.
    claims_at: Option<Instant>,
    /// When an attempt that fills the pool may begin.
    filling_at: Option<Instant>,
    width: usize,
    /// Whether attempts for claims, too, are limited to `width`.
    is_recovering: bool,
    last_error: Option<E>,
}

impl<E: Clone> ConnectBackoff<E> {
    pub(super) fn new() -> Self {
        Self {
            failures: 0,
            round_over: None,
            claims_at: None,
            filling_at: None,
            width: WIDEST,
            is_recovering: false,
            last_error: None,
        }
    }

    /// Counts the failure of an attempt that began at `begun`. `error` is absent when it was lost or not tried.
    pub(super) fn failed(
        &mut self,
        begun: Instant,
        now: Instant,
        error: Option<E>,
        outlook: Outlook,
        has_connections: bool,
        jitter: &mut Jitter,
    ) {
        if error.is_some() {
            self.last_error = error;
        }
        if self.round_over.replace(now).is_some_and(|over| begun < over) && self.failures > 0 {
            return;
        }
        let share = jitter.share();
        let after = |backoff: Backoff| now.checked_add(backoff.longest(self.failures).mul_f64(share));
        let (for_claims, for_filling) = match outlook {
            Outlook::Full | Outlook::Shortage if has_connections => (FULL, FULL),
            Outlook::Lasts => (FOR_CLAIMS, LASTING),
            Outlook::Passes | Outlook::Full | Outlook::Shortage | Outlook::NotTried | Outlook::Failover => {
                (FOR_CLAIMS, FOR_CLAIMS)
            }
        };
        (self.claims_at, self.filling_at) = (after(for_claims), after(for_filling));
        self.failures = self.failures.saturating_add(1);
        self.width = 1;
        self.is_recovering = true;
    }

    pub(super) fn succeeded(&mut self) {
        self.width = (self.width * 2).min(WIDEST);
        self.failures = 0;
        self.forget_delay();
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
        self.claims_at = None;
        self.filling_at = None;
    }

    /// Whether an attempt for a claim may begin.
    pub(super) fn allows_attempt(&self, now: Instant, under_way: usize) -> bool {
        is_due(self.claims_at, now) && (!self.is_recovering || under_way < self.width)
    }

    /// Whether an attempt that fills the pool may begin.
    pub(super) fn allows_filling(&self, now: Instant, under_way: usize) -> bool {
        is_due(self.filling_at, now) && under_way < self.width
    }

    /// Whether a further attempt may take the place of one that is not answered.
    pub(super) fn spares(&self, under_way: usize) -> bool {
        self.is_recovering && under_way < WIDEST
    }

    /// When the next attempt may begin, for a claim or to fill the pool.
    pub(super) fn retry_at(&self, for_claim: bool) -> Option<Instant> {
        if for_claim { self.claims_at } else { self.filling_at }
    }

    pub(super) fn last_error(&self) -> Option<&E> {
        self.last_error.as_ref()
    }
}

fn is_due(at: Option<Instant>, now: Instant) -> bool {
    at.is_none_or(|at| at <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed<E: Clone>(backoff: &mut ConnectBackoff<E>, at: Instant, error: Option<E>) {
        backoff.failed(at, at, error, Outlook::Passes, false, &mut Jitter::new());
    }

    #[test]
    fn filling_widens_from_one_to_four_after_an_outage() {
        let now = Instant::now();
        let mut backoff = ConnectBackoff::<()>::new();
        assert!(backoff.allows_filling(now, 3));
        failed(&mut backoff, now, None);
        let later = now + FOR_CLAIMS.cap;
        for width in [1, 2, 4, 4] {
            assert!(backoff.allows_filling(later, width - 1));
            assert!(!backoff.allows_filling(later, width));
            assert!(backoff.allows_attempt(later, width - 1));
            assert!(!backoff.allows_attempt(later, width));
            backoff.succeeded();
        }
        backoff.recovered();
        assert!(backoff.allows_attempt(later, 50));
    }

    #[test]
    fn an_outage_allows_one_attempt_at_a_time_and_not_before_its_delay() {
        let now = Instant::now();
        let mut backoff = ConnectBackoff::new();
        assert!(backoff.allows_attempt(now, 7));
        failed(&mut backoff, now, Some("refused"));
        assert!(backoff.retry_at(true).is_some_and(|at| at < now + FOR_CLAIMS.base));
        assert!(backoff.allows_attempt(now + FOR_CLAIMS.base, 0));
        assert!(!backoff.allows_attempt(now + FOR_CLAIMS.base, 1));
        assert_eq!(backoff.last_error(), Some(&"refused"));
        backoff.succeeded();
        assert_eq!(backoff.last_error(), None);
    }

    #[test]
    fn attempts_that_fail_together_double_the_delay_once() {
        let begun = Instant::now();
        let mut backoff = ConnectBackoff::<()>::new();
        for millis in 1..=30 {
            let now = begun + Duration::from_millis(millis);
            backoff.failed(begun, now, None, Outlook::Passes, false, &mut Jitter::new());
        }
        assert_eq!(backoff.failures, 1);
        failed(&mut backoff, begun + Duration::from_secs(1), None);
        assert_eq!(backoff.failures, 2);
    }

    #[test]
    fn a_full_server_is_asked_less_where_connections_serve() {
        let now = Instant::now();
        let longest = |has_connections| {
            let mut backoff = ConnectBackoff::new();
            let mut jitter = Jitter::seeded(1);
            let delays = (0..30).map(|second| {
                let at = now + second * Duration::from_secs(10);
                backoff.failed(at, at, Some("full"), Outlook::Full, has_connections, &mut jitter);
                backoff.retry_at(true).map(|next| next - at)
            });
            delays.max().flatten().unwrap()
        };
        assert!(longest(true) > Duration::from_secs(1) && longest(true) <= FULL.cap);
        assert!(longest(false) <= FOR_CLAIMS.cap);
    }

    #[test]
    fn what_does_not_pass_delays_filling_and_never_a_claim() {
        let now = Instant::now();
        let mut backoff = ConnectBackoff::new();
        for second in 0..30 {
            let at = now + second * Duration::from_secs(1);
            backoff.failed(
                at,
                at,
                Some("wrong password"),
                Outlook::Lasts,
                false,
                &mut Jitter::seeded(second.into()),
            );
            assert!(backoff.retry_at(true).is_some_and(|next| next < at + FOR_CLAIMS.cap));
        }
        assert!(backoff.retry_at(false) > backoff.retry_at(true));
    }
}
