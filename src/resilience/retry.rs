//! Whether what failed runs again, and after which delay. The whole policy is [`judge`].
//!
//! A write is never doubled: what may have run already runs again only if the caller said that this
//! does no harm.

use std::time::Duration;

use tokio::time::Instant;

use super::{Backoff, Budget, Deadline, Dice};

/// How often something that never left is handed on at once, before it is treated as an outage.
const AT_ONCE: u32 = 3;

/// What a failure means for another attempt.
pub trait Fault {
    /// Whether the same may run again.
    fn repeat(&self) -> Repeat;
    /// How soon.
    fn pace(&self) -> Pace;
}

/// Whether what failed may run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing of it was sent: always, and for as long as the deadline lasts.
    Unsent,
    /// It left no trace.
    Safe,
    /// It may have run.
    Ambiguous,
    /// It would fail again, or must not be repeated.
    Never,
}

/// How soon it may run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Another connection may serve it this moment.
    AtOnce,
    /// After the backoff of statements.
    Statement,
    /// After the backoff of servers that refuse connections.
    Slow,
    /// Not before this moment; only a caller with a deadline waits for it.
    NotBefore(Instant),
}

/// What the caller allows.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    /// Whether retries are on at all. Off, only what was never sent moves to another connection.
    pub enabled: bool,
    /// Retries after the first attempt.
    pub attempts: u32,
    /// Covers everything.
    pub deadline: Deadline,
    /// Running it twice does no harm.
    pub idempotent: bool,
    /// The delays of statements.
    pub statement: Backoff,
    /// The delays of servers that refuse connections.
    pub slow: Backoff,
}

impl Terms {
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
    /// At once, to another connection.
    pub moved: u32,
    /// After a delay.
    pub delayed: u32,
}

impl Retries {
    /// One more, after that delay.
    pub fn count(&mut self, delay: Duration) {
        if delay.is_zero() {
            self.moved += 1;
        } else {
            self.delayed += 1;
        }
    }

    /// All of them.
    pub fn total(self) -> u32 {
        self.moved.saturating_add(self.delayed)
    }
}

/// What becomes of a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It runs again after this delay.
    Retry(Duration),
    /// It has failed.
    Fail(Why),
}

/// Why it is not run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It would fail again.
    Final,
    /// It may have run.
    Ambiguous,
    /// Retries are off.
    Off,
    /// As often as it may.
    Attempts,
    /// It could not be over in time.
    Deadline,
    /// The pool has spent its retries.
    Budget,
}

impl Why {
    /// The name JavaScript knows it by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Final => "final",
            Self::Ambiguous => "ambiguous",
            Self::Off => "off",
            Self::Attempts => "attempts",
            Self::Deadline => "deadline",
            Self::Budget => "budget",
        }
    }
}

/// Decides on a failed attempt. A retry is taken out of the budget, unless nothing was sent and the
/// caller's deadline bounds it: then the server has no work with it.
pub fn judge(
    fault: &impl Fault,
    so_far: Retries,
    terms: &Terms,
    budget: &Budget,
    now: Instant,
    dice: &mut Dice,
) -> Verdict {
    let repeat = fault.repeat();
    match repeat {
        Repeat::Never => return Verdict::Fail(Why::Final),
        Repeat::Ambiguous if !terms.idempotent => return Verdict::Fail(Why::Ambiguous),
        Repeat::Ambiguous | Repeat::Safe | Repeat::Unsent => {}
    }
    let pace = fault.pace();
    if pace == Pace::AtOnce && so_far.moved < AT_ONCE {
        let allowed = terms.deadline.allows(now, Duration::ZERO);
        return if allowed { Verdict::Retry(Duration::ZERO) } else { Verdict::Fail(Why::Deadline) };
    }
    if !terms.enabled {
        return Verdict::Fail(Why::Off);
    }
    let bounded_by_deadline = repeat == Repeat::Unsent && terms.deadline.is_set();
    if !bounded_by_deadline && so_far.delayed >= terms.attempts {
        return Verdict::Fail(Why::Attempts);
    }
    let delay = match pace {
        Pace::AtOnce | Pace::Statement => terms.statement.delay(so_far.delayed, dice),
        Pace::Slow => terms.slow.delay(so_far.delayed, dice),
        // Everybody waits for the same moment: spread out what comes after it.
        Pace::NotBefore(at) if bounded_by_deadline => {
            at.saturating_duration_since(now) + terms.statement.delay(so_far.delayed, dice)
        }
        Pace::NotBefore(_) => return Verdict::Fail(Why::Final),
    };
    // Zero is how "at once" is told apart.
    let delay = delay.max(Duration::from_micros(1));
    if !terms.deadline.allows(now, delay) {
        return Verdict::Fail(Why::Deadline);
    }
    if !bounded_by_deadline && !budget.withdraw(now) {
        return Verdict::Fail(Why::Budget);
    }
    Verdict::Retry(delay)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone, Copy)]
    struct Sample(Repeat, Pace);

    impl Fault for Sample {
        fn repeat(&self) -> Repeat {
            self.0
        }
        fn pace(&self) -> Pace {
            self.1
        }
    }

    fn terms() -> Terms {
        Terms { enabled: true, attempts: 3, ..Terms::OFF }
    }

    fn ask(sample: Sample, so_far: Retries, terms: &Terms) -> Verdict {
        let now = Instant::now();
        judge(&sample, so_far, terms, &Budget::new(now), now, &mut Dice::seeded(1))
    }

    fn delayed(delayed: u32) -> Retries {
        Retries { moved: 0, delayed }
    }

    #[test]
    fn what_may_have_run_runs_again_only_if_that_does_no_harm() {
        let lost = Sample(Repeat::Ambiguous, Pace::Statement);
        assert_eq!(ask(lost, delayed(0), &terms()), Verdict::Fail(Why::Ambiguous));
        let harmless = Terms { idempotent: true, ..terms() };
        assert!(matches!(ask(lost, delayed(0), &harmless), Verdict::Retry(_)));
    }

    #[test]
    fn what_was_never_sent_moves_at_once_even_when_retries_are_off() {
        let unsent = Sample(Repeat::Unsent, Pace::AtOnce);
        assert_eq!(ask(unsent, Retries::default(), &Terms::OFF), Verdict::Retry(Duration::ZERO));
        let often = Retries { moved: AT_ONCE, delayed: 0 };
        assert_eq!(ask(unsent, often, &Terms::OFF), Verdict::Fail(Why::Off));
        assert!(matches!(ask(unsent, often, &terms()), Verdict::Retry(delay) if !delay.is_zero()));
    }

    #[test]
    fn attempts_are_counted_and_off_is_off() {
        let conflict = Sample(Repeat::Safe, Pace::Statement);
        assert!(matches!(ask(conflict, delayed(2), &terms()), Verdict::Retry(_)));
        assert_eq!(ask(conflict, delayed(3), &terms()), Verdict::Fail(Why::Attempts));
        assert_eq!(ask(conflict, delayed(0), &Terms::OFF), Verdict::Fail(Why::Off));
    }

    #[test]
    fn connecting_is_retried_to_the_deadline() {
        let refused = Sample(Repeat::Unsent, Pace::Slow);
        assert_eq!(ask(refused, delayed(3), &terms()), Verdict::Fail(Why::Attempts));
        let deadline = Deadline::after(Instant::now(), Some(Duration::from_secs(100)));
        assert!(matches!(ask(refused, delayed(30), &Terms { deadline, ..terms() }), Verdict::Retry(_)));
        let passed = Deadline::after(Instant::now(), Some(Duration::ZERO));
        assert_eq!(
            ask(refused, delayed(0), &Terms { deadline: passed, ..terms() }),
            Verdict::Fail(Why::Deadline)
        );
    }

    #[test]
    fn only_a_caller_with_a_deadline_waits_for_a_moment() {
        let now = Instant::now();
        let later = Sample(Repeat::Unsent, Pace::NotBefore(now + Duration::from_secs(5)));
        assert_eq!(ask(later, delayed(0), &terms()), Verdict::Fail(Why::Final));
        let patient = Terms { deadline: Deadline::after(now, Some(Duration::from_secs(10))), ..terms() };
        assert!(
            matches!(ask(later, delayed(9), &patient), Verdict::Retry(delay) if delay > Duration::from_secs(4))
        );
        let hasty = Terms { deadline: Deadline::after(now, Some(Duration::from_secs(1))), ..terms() };
        assert_eq!(ask(later, delayed(0), &hasty), Verdict::Fail(Why::Deadline));
    }

    #[test]
    fn a_spent_budget_fails() {
        let now = Instant::now();
        let budget = Budget::new(now);
        while budget.withdraw(now) {}
        let conflict = Sample(Repeat::Safe, Pace::Statement);
        let verdict = judge(&conflict, delayed(0), &terms(), &budget, now, &mut Dice::seeded(1));
        assert_eq!(verdict, Verdict::Fail(Why::Budget));
    }

    fn samples() -> impl Strategy<Value = Sample> {
        let repeats = prop_oneof![
            Just(Repeat::Unsent),
            Just(Repeat::Safe),
            Just(Repeat::Ambiguous),
            Just(Repeat::Never)
        ];
        let paces = prop_oneof![Just(Pace::AtOnce), Just(Pace::Statement), Just(Pace::Slow)];
        (repeats, paces).prop_map(|(repeat, pace)| Sample(repeat, pace))
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
            let terms = Terms { deadline: Deadline::after(now, Some(left)), idempotent, ..terms() };
            let verdict = judge(&sample, delayed(done), &terms, &Budget::new(now), now, &mut Dice::seeded(seed));
            if let Verdict::Retry(delay) = verdict {
                prop_assert!(delay < left);
                prop_assert!(sample.0 != Repeat::Never);
                prop_assert!(sample.0 != Repeat::Ambiguous || idempotent);
            }
        }
    }
}
