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
/// More attempts than this make no difference to how long connecting is worth waiting for: half an hour.
const LONGEST_LOOP: u32 = 100;

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
    /// After a backoff.
    Backoff,
    /// After a backoff, for as long as requests wait for a connection: nobody serves at the moment.
    Outage,
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
    /// The end of waiting for a connection, all attempts together; none: the deadline is.
    pub wait: Deadline,
    /// Whether the request may run twice without harm.
    pub idempotent: bool,
    /// The delays of statements.
    pub statement: Backoff,
    /// The delays of a loop that connects again and again.
    pub connect: Backoff,
}

impl RetryPolicy {
    /// Without retries, as pg has none.
    pub const OFF: Self = Self {
        enabled: false,
        attempts: 0,
        deadline: Deadline::NONE,
        wait: Deadline::NONE,
        idempotent: false,
        statement: Backoff::STATEMENT,
        connect: Backoff::CONNECT,
    };

    /// Sets the base of all delays.
    pub fn set_base(&mut self, base: Duration) {
        self.statement = self.statement.with_base(base);
        self.connect = self.connect.with_base(base);
    }

    /// How long a loop of its attempts would go on connecting: the delays of all of them, at their longest.
    pub fn connect_patience(&self) -> Duration {
        (0..self.attempts.min(LONGEST_LOOP))
            .fold(Duration::ZERO, |sum, n| sum.saturating_add(self.connect.longest(n)))
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

/// Decides about an attempt that failed. What was never sent, or met nobody who serves, is bounded by time where there is
/// a bound, else by the number of attempts. What was sent is taken out of the budget: it is work for the server.
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
    // Nothing has worked for it: a pooler that has no server takes a statement as well.
    let waits = repeat == Repeat::Unsent || fault.delay() == Delay::Outage;
    let bound = if waits && policy.wait.is_set() { policy.wait } else { policy.deadline };
    if fault.delay() == Delay::AtOnce && so_far.moved < AT_ONCE {
        let allowed = bound.allows(now, Duration::ZERO);
        return if allowed {
            RetryDecision::Retry(Duration::ZERO)
        } else {
            RetryDecision::Fail(NoRetry::Deadline)
        };
    }
    if !policy.enabled {
        return RetryDecision::Fail(NoRetry::Off);
    }
    let is_bounded_by_time = waits && bound.is_set();
    if !is_bounded_by_time && so_far.delayed >= policy.attempts {
        return RetryDecision::Fail(NoRetry::Attempts);
    }
    // Zero would mean "at once".
    let delay = policy.statement.delay(so_far.delayed, jitter).max(Duration::from_micros(1));
    if !bound.allows(now, delay) {
        return RetryDecision::Fail(NoRetry::Deadline);
    }
    if !waits && !budget.withdraw(now) {
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
        let lost = Sample(Repeat::Ambiguous, Delay::Backoff);
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
        let conflict = Sample(Repeat::Safe, Delay::Backoff);
        assert!(matches!(ask(conflict, delayed(2), &policy()), RetryDecision::Retry(_)));
        assert_eq!(ask(conflict, delayed(3), &policy()), RetryDecision::Fail(NoRetry::Attempts));
        assert_eq!(ask(conflict, delayed(0), &RetryPolicy::OFF), RetryDecision::Fail(NoRetry::Off));
    }

    #[test]
    fn what_was_never_sent_is_bounded_by_time_where_there_is_a_bound() {
        let unsent = Sample(Repeat::Unsent, Delay::Backoff);
        assert_eq!(ask(unsent, delayed(3), &policy()), RetryDecision::Fail(NoRetry::Attempts));
        let now = Instant::now();
        let within = |seconds| Deadline::after(now, Some(Duration::from_secs(seconds)));
        for patient in
            [RetryPolicy { deadline: within(100), ..policy() }, RetryPolicy { wait: within(100), ..policy() }]
        {
            assert!(matches!(ask(unsent, delayed(30), &patient), RetryDecision::Retry(_)));
        }
        for late in
            [RetryPolicy { deadline: within(0), ..policy() }, RetryPolicy { wait: within(0), ..policy() }]
        {
            assert_eq!(ask(unsent, delayed(0), &late), RetryDecision::Fail(NoRetry::Deadline));
        }
    }

    #[test]
    fn what_met_nobody_who_serves_waits_as_what_was_never_sent_if_it_may_run_twice() {
        let away = Sample(Repeat::Ambiguous, Delay::Outage);
        let now = Instant::now();
        let wait = Deadline::after(now, Some(Duration::from_secs(100)));
        let patient = RetryPolicy { wait, idempotent: true, ..policy() };
        let budget = Budget::new(now);
        while budget.withdraw(now) {}
        let decision = |policy| decide(&away, delayed(30), policy, &budget, now, &mut Jitter::seeded(1));
        assert!(matches!(decision(&patient), RetryDecision::Retry(_)));
        let write = RetryPolicy { idempotent: false, ..patient };
        assert_eq!(decision(&write), RetryDecision::Fail(NoRetry::Ambiguous));
        let unbounded = RetryPolicy { wait: Deadline::NONE, ..patient };
        assert_eq!(decision(&unbounded), RetryDecision::Fail(NoRetry::Attempts));
    }

    #[test]
    fn the_patience_of_a_loop_is_the_sum_of_its_delays() {
        let seconds = |attempts| RetryPolicy { attempts, ..policy() }.connect_patience().as_secs();
        assert_eq!([0, 1, 3, 5, 6].map(seconds), [0, 1, 7, 31, 51]);
        assert!(seconds(u32::MAX) > 1_000);
    }

    #[test]
    fn a_spent_budget_fails_what_was_sent() {
        let now = Instant::now();
        let budget = Budget::new(now);
        while budget.withdraw(now) {}
        let conflict = Sample(Repeat::Safe, Delay::Backoff);
        let decision = |sample| decide(&sample, delayed(0), &policy(), &budget, now, &mut Jitter::seeded(1));
        assert_eq!(decision(conflict), RetryDecision::Fail(NoRetry::Budget));
        // No work for the server.
        assert!(matches!(decision(Sample(Repeat::Unsent, Delay::Backoff)), RetryDecision::Retry(_)));
    }

    fn samples() -> impl Strategy<Value = Sample> {
        let repeats = prop_oneof![
            Just(Repeat::Unsent),
            Just(Repeat::Safe),
            Just(Repeat::Ambiguous),
            Just(Repeat::Never)
        ];
        let delays = prop_oneof![Just(Delay::AtOnce), Just(Delay::Backoff), Just(Delay::Outage)];
        (repeats, delays).prop_map(|(repeat, delay)| Sample(repeat, delay))
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
