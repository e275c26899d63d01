//! The retry of a request: whether it runs again, and after which delay. [`decide`] is the whole rule.
//!
//! A write is never doubled: a statement that may have run already runs again only if the caller has called
//! it idempotent.

use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{Backoff, Budget, Deadline, Jitter};

/// The most immediate retries of a request that was not sent. After them it is treated as in an outage.
const AT_ONCE: u32 = 3;

/// A failure, as the decision about a retry sees it.
pub trait Fault {
    /// Whether the request may run again.
    fn repeat(&self) -> Repeat;
    /// How soon a request may run again.
    fn delay(&self) -> Delay;
}

/// Whether a request that failed may run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Always, until the deadline: nothing of it was sent.
    Unsent,
    /// Without harm: it left no trace.
    Safe,
    /// Only if it is idempotent: it may have run.
    Ambiguous,
    /// Never: it would fail again, or must not be repeated.
    Never,
}

/// How soon a request may run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// At once, on another connection.
    AtOnce,
    /// After the backoff of statements.
    Statement,
    /// After the backoff of servers that refuse connections.
    Slow,
    /// Not before this moment; only a caller with a deadline waits for it.
    NotBefore(Instant),
}

/// The policy: what the caller allows.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// Whether retries are on. If not, only a request that was never sent moves to another connection.
    pub enabled: bool,
    /// Retries after the first attempt.
    pub attempts: u32,
    /// The deadline of the request, retries included.
    pub deadline: Deadline,
    /// Whether the request may run twice without harm.
    pub idempotent: bool,
    /// The delays of statements.
    pub statement: Backoff,
    /// The delays of servers that refuse connections.
    pub slow: Backoff,
}

impl RetryPolicy {
    /// Without retries, as pg has none.
    pub const OFF: Self = Self {
        enabled: false,
        attempts: 0,
        deadline: Deadline::NONE,
        idempotent: false,
        statement: Backoff::STATEMENT,
        slow: Backoff::SLOW,
    };

    /// Sets the base of all delays.
    pub fn set_base(&mut self, base: Duration) {
        self.statement = self.statement.with_base(base);
        self.slow = self.slow.with_base(base);
    }
}

/// The retries of one request so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retries {
    /// Retries at once, on another connection.
    pub moved: u32,
    /// Retries after a delay.
    pub delayed: u32,
}

impl Retries {
    /// Counts one more, after that delay.
    pub fn count(&mut self, delay: Duration) {
        if delay.is_zero() {
            self.moved += 1;
        } else {
            self.delayed += 1;
        }
    }

    /// All retries.
    pub fn total(self) -> u32 {
        self.moved.saturating_add(self.delayed)
    }
}

/// The decision about an attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// The request runs again after this delay.
    Retry(Duration),
    /// The request has failed.
    Fail(NoRetry),
}

/// Why it is not run again, by the name JavaScript knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum NoRetry {
    /// It would fail again.
    Final,
    /// It may have run.
    Ambiguous,
    /// Retries are off.
    Off,
    /// The attempts are used up.
    Attempts,
    /// The deadline does not allow another attempt.
    Deadline,
    /// The retry budget of the pool is spent.
    Budget,
}

impl NoRetry {
    /// Every reason.
    pub const ALL: &[Self] =
        &[Self::Final, Self::Ambiguous, Self::Off, Self::Attempts, Self::Deadline, Self::Budget];
}

/// Decides about an attempt that failed. A retry is taken out of the budget, unless nothing was sent and a
/// deadline bounds it: then it costs the server nothing.
pub fn decide(
    fault: &impl Fault,
    so_far: Retries,
    policy: &RetryPolicy,
    budget: &Budget,
    now: Instant,
    jitter: &mut Jitter,
) -> RetryDecision {
    let repeat = fault.repeat();
    match repeat {
        Repeat::Never => return RetryDecision::Fail(NoRetry::Final),
        Repeat::Ambiguous if !policy.idempotent => return RetryDecision::Fail(NoRetry::Ambiguous),
        Repeat::Ambiguous | Repeat::Safe | Repeat::Unsent => {}
    }
    let delay = fault.delay();
    if delay == Delay::AtOnce && so_far.moved < AT_ONCE {
        let allowed = policy.deadline.allows(now, Duration::ZERO);
        return if allowed {
            RetryDecision::Retry(Duration::ZERO)
        } else {
            RetryDecision::Fail(NoRetry::Deadline)
        };
    }
    if !policy.enabled {
        return RetryDecision::Fail(NoRetry::Off);
    }
    let bounded_by_deadline = repeat == Repeat::Unsent && policy.deadline.is_set();
    if !bounded_by_deadline && so_far.delayed >= policy.attempts {
        return RetryDecision::Fail(NoRetry::Attempts);
    }
    let delay = match delay {
        Delay::AtOnce | Delay::Statement => policy.statement.delay(so_far.delayed, jitter),
        Delay::Slow => policy.slow.delay(so_far.delayed, jitter),
        // All callers wait for the same moment: the delay after it spreads them out.
        Delay::NotBefore(at) if bounded_by_deadline => {
            at.saturating_duration_since(now) + policy.statement.delay(so_far.delayed, jitter)
        }
        Delay::NotBefore(_) => return RetryDecision::Fail(NoRetry::Final),
    };
    // Zero would mean "at once".
    let delay = delay.max(Duration::from_micros(1));
    if !policy.deadline.allows(now, delay) {
        return RetryDecision::Fail(NoRetry::Deadline);
    }
    if !bounded_by_deadline && !budget.withdraw(now) {
        return RetryDecision::Fail(NoRetry::Budget);
    }
    RetryDecision::Retry(delay)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Sample(Repeat, Delay);

    impl Fault for Sample {
        fn repeat(&self) -> Repeat {
            self.0
        }
        fn delay(&self) -> Delay {
            self.1
        }
    }

    fn policy() -> RetryPolicy {
        RetryPolicy { enabled: true, attempts: 3, ..RetryPolicy::OFF }
    }

    fn ask(sample: Sample, so_far: Retries, policy: &RetryPolicy) -> RetryDecision {
        let now = Instant::now();
        decide(&sample, so_far, policy, &Budget::new(now), now, &mut Jitter::seeded(1))
    }

    fn delayed(delayed: u32) -> Retries {
        Retries { moved: 0, delayed }
    }

    #[test]
    fn what_may_have_run_runs_again_only_if_that_does_no_harm() {
        let lost = Sample(Repeat::Ambiguous, Delay::Statement);
        assert_eq!(ask(lost, delayed(0), &policy()), RetryDecision::Fail(NoRetry::Ambiguous));
        let harmless = RetryPolicy { idempotent: true, ..policy() };
        assert!(matches!(ask(lost, delayed(0), &harmless), RetryDecision::Retry(_)));
    }

    #[test]
    fn what_was_never_sent_moves_at_once_even_when_retries_are_off() {
        let unsent = Sample(Repeat::Unsent, Delay::AtOnce);
        assert_eq!(ask(unsent, Retries::default(), &RetryPolicy::OFF), RetryDecision::Retry(Duration::ZERO));
        let often = Retries { moved: AT_ONCE, delayed: 0 };
        assert_eq!(ask(unsent, often, &RetryPolicy::OFF), RetryDecision::Fail(NoRetry::Off));
        assert!(matches!(ask(unsent, often, &policy()), RetryDecision::Retry(delay) if !delay.is_zero()));
    }

    #[test]
    fn attempts_are_counted_and_off_is_off() {
        let conflict = Sample(Repeat::Safe, Delay::Statement);
        assert!(matches!(ask(conflict, delayed(2), &policy()), RetryDecision::Retry(_)));
        assert_eq!(ask(conflict, delayed(3), &policy()), RetryDecision::Fail(NoRetry::Attempts));
        assert_eq!(ask(conflict, delayed(0), &RetryPolicy::OFF), RetryDecision::Fail(NoRetry::Off));
    }

    #[test]
    fn connecting_is_retried_to_the_deadline() {
        let refused = Sample(Repeat::Unsent, Delay::Slow);
        assert_eq!(ask(refused, delayed(3), &policy()), RetryDecision::Fail(NoRetry::Attempts));
        let deadline = Deadline::after(Instant::now(), Some(Duration::from_secs(100)));
        assert!(matches!(
            ask(refused, delayed(30), &RetryPolicy { deadline, ..policy() }),
            RetryDecision::Retry(_)
        ));
        let passed = Deadline::after(Instant::now(), Some(Duration::ZERO));
        assert_eq!(
            ask(refused, delayed(0), &RetryPolicy { deadline: passed, ..policy() }),
            RetryDecision::Fail(NoRetry::Deadline)
        );
    }

    #[test]
    fn only_a_caller_with_a_deadline_waits_for_a_moment() {
        let now = Instant::now();
        let later = Sample(Repeat::Unsent, Delay::NotBefore(now + Duration::from_secs(5)));
        assert_eq!(ask(later, delayed(0), &policy()), RetryDecision::Fail(NoRetry::Final));
        let patient =
            RetryPolicy { deadline: Deadline::after(now, Some(Duration::from_secs(10))), ..policy() };
        assert!(
            matches!(ask(later, delayed(9), &patient), RetryDecision::Retry(delay) if delay > Duration::from_secs(4))
        );
        let hasty = RetryPolicy { deadline: Deadline::after(now, Some(Duration::from_secs(1))), ..policy() };
        assert_eq!(ask(later, delayed(0), &hasty), RetryDecision::Fail(NoRetry::Deadline));
    }

    #[test]
    fn a_spent_budget_fails() {
        let now = Instant::now();
        let budget = Budget::new(now);
        while budget.withdraw(now) {}
        let conflict = Sample(Repeat::Safe, Delay::Statement);
        let decision = decide(&conflict, delayed(0), &policy(), &budget, now, &mut Jitter::seeded(1));
        assert_eq!(decision, RetryDecision::Fail(NoRetry::Budget));
    }

    fn samples() -> impl Strategy<Value = Sample> {
        let repeats = prop_oneof![
            Just(Repeat::Unsent),
            Just(Repeat::Safe),
            Just(Repeat::Ambiguous),
            Just(Repeat::Never)
        ];
        let paces = prop_oneof![Just(Delay::AtOnce), Just(Delay::Statement), Just(Delay::Slow)];
        (repeats, paces).prop_map(|(repeat, delay)| Sample(repeat, delay))
    }

    proptest! {
        #[test]
        fn no_retry_begins_past_the_deadline_and_no_write_is_doubled(
            sample in samples(),
            done in 0_u32..10,
            seed: u64,
            left in 0_u64..5_000,
            idempotent: bool,
        ) {
            let now = Instant::now();
            let left = Duration::from_millis(left);
            let policy = RetryPolicy { deadline: Deadline::after(now, Some(left)), idempotent, ..policy() };
            let decision = decide(&sample, delayed(done), &policy, &Budget::new(now), now, &mut Jitter::seeded(seed));
            if let RetryDecision::Retry(delay) = decision {
                prop_assert!(delay < left);
                prop_assert!(sample.0 != Repeat::Never);
                prop_assert!(sample.0 != Repeat::Ambiguous || idempotent);
            }
        }
    }
}
