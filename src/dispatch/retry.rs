//! Retry of a failed request: asks for the decision, reports it, sleeps, waits for a connection.
//!
//! The first attempt of a request is a callback without a task. Only a request that failed and may
//! run again gets one, in which it sleeps and waits; there it can be withdrawn.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep},
};
use tracing::warn;

use super::{
    Failure, Lease, RequestOptions, RetryNotice,
    classify::{ClassifiedFailure, code_of},
    instrument,
    retry_state::{RetryState, Woken},
};
use crate::{
    pool::{AcquireError, Patience},
    postgres::Error,
    resilience::{Deadline, Delay, Fault as _, NoRetry, Repeat, Retries, RetryDecision},
};

/// The history of a request, and what it may still do.
pub(super) struct Tries {
    pub(super) id: u32,
    pub(super) retry_state: Arc<RetryState>,
    pub(super) options: RequestOptions,
    pub(super) deadline: Deadline,
    begun: Instant,
    /// How its claim takes it that connects fail.
    pub(super) patience: Patience,
    /// How long it has waited for connections so far.
    waited: Duration,
    /// When it first met nobody who serves.
    outage_since: Option<Instant>,
    retries: Retries,
    /// The failure of the first attempt, once there was a second one.
    first: Option<Box<Failure>>,
    first_is_ambiguous: bool,
    /// The failure of the first attempt that may have taken effect, where that is a later one.
    ambiguous: Option<Box<Failure>>,
}

impl Tries {
    pub(super) fn new(id: u32, options: RequestOptions, retry_state: Arc<RetryState>) -> Self {
        let begun = Instant::now();
        let deadline = retry_state.begin(&options, begun);
        Self {
            id,
            retry_state,
            options,
            deadline,
            begun,
            patience: Patience::AsPool,
            waited: Duration::ZERO,
            outage_since: None,
            retries: Retries::default(),
            first: None,
            first_is_ambiguous: false,
            ambiguous: None,
        }
    }

    /// Whether it may go to the pool, and how it takes it there that connects fail.
    pub(super) fn admit(&self) -> Result<Patience, Error> {
        self.retry_state.breakers.admit(self.retry_state.patience(&self.options, self.deadline))
    }

    /// Whether it may run again although it may have run, and has the time.
    pub(super) fn may_repeat_sent(&self) -> bool {
        self.options.idempotent
            && self.retry_state.retry_policy(&self.options, self.deadline).enabled
            && self.deadline.allows(Instant::now(), Duration::ZERO)
    }

    /// Until when it may wait for a connection from now on; none: as long as it takes.
    pub(super) fn wait_until(&self, now: Instant) -> Option<Instant> {
        self.deadline.at().or_else(|| {
            let policy = self.retry_state.retry_policy(&self.options, self.deadline);
            now.checked_add(self.retry_state.longest_wait(&policy)?.saturating_sub(self.waited))
        })
    }

    /// The same for its first attempt; none: as long as the pool lets it. Seldom looks at the clock.
    pub(super) fn first_wait_until(&self) -> Option<Instant> {
        let is_usual = self.deadline.is_set() || self.retry_state.pool_knows_longest_wait();
        if is_usual { self.deadline.at() } else { self.wait_until(Instant::now()) }
    }

    /// It got a connection, after this time.
    pub(super) fn waited(&mut self, time: Duration) {
        self.waited = self.waited.saturating_add(time);
    }

    /// The failure that the caller gets when there will be no further attempt. It says so where an attempt may
    /// have taken effect.
    fn last_word(&mut self, failure: Failure, why: NoRetry, is_ambiguous: bool) -> Failure {
        let metrics = self.retry_state.tier.metrics.as_ref();
        instrument::gave_up(metrics, self.retries.total(), self.begun.elapsed(), &failure, why);
        let is_over_budget = why == NoRetry::Budget;
        if is_over_budget && let Some(metrics) = &self.retry_state.tier.metrics {
            metrics.retry_denied();
            warn!(target: "retry", pool = metrics.name, "denied");
        }
        // The pool ended meanwhile: what made the request wait says more.
        let is_first_told =
            is_over_budget || matches!(failure, Failure::Refused(AcquireError::Closed { .. }));
        let (last, is_ambiguous) = match self.first.take() {
            Some(first) if is_first_told => {
                if is_ambiguous && !self.first_is_ambiguous {
                    self.ambiguous.get_or_insert_with(|| Box::new(failure));
                }
                (first, self.first_is_ambiguous)
            }
            first => {
                self.ambiguous = if self.first_is_ambiguous { first } else { self.ambiguous.take() };
                (Box::new(failure), is_ambiguous)
            }
        };
        let last = if is_over_budget { Box::new(Failure::OverBudget(last)) } else { last };
        match self.ambiguous.take() {
            None if !is_ambiguous => *last,
            earlier => Failure::Ambiguous { last, earlier },
        }
    }

    /// Decides on a failure; a retry is counted and told.
    fn decide(&mut self, failure: Failure, fault: ClassifiedFailure) -> Result<Duration, Failure> {
        let mut retry_policy = self.retry_state.retry_policy(&self.options, self.deadline);
        let now = Instant::now();
        let is_outage = fault.delay() == Delay::Outage;
        retry_policy.wait = Deadline::at_moment(if is_outage {
            // What its attempts take counts as well: a pooler may keep each of them waiting.
            let since = *self.outage_since.get_or_insert(now);
            let longest = self.retry_state.longest_wait(&retry_policy);
            self.deadline.at().or_else(|| since.checked_add(longest?))
        } else {
            self.wait_until(now)
        });
        let is_ambiguous = fault.repeat() == Repeat::Ambiguous;
        let delay = match self.retry_state.decide(&fault, self.retries, &retry_policy) {
            RetryDecision::Retry(delay) => delay,
            RetryDecision::Fail(why) => return Err(self.last_word(failure, why, is_ambiguous)),
        };
        self.retries.count(delay);
        let is_unsent = fault.repeat() == Repeat::Unsent;
        if is_unsent {
            self.waited(delay);
        }
        // What never left, or met nobody who serves, is bounded by time where there is a bound.
        let is_bounded_by_time = (is_unsent || is_outage) && retry_policy.wait.is_set();
        let bounded = !delay.is_zero() && !is_bounded_by_time;
        self.retry_state.tell(&RetryNotice {
            attempt: self.retries.total(),
            of: bounded.then_some(retry_policy.attempts),
            delay,
            code: code_of(&failure),
            phase: fault.phase,
        });
        if self.first.is_none() {
            self.first = Some(Box::new(failure));
            self.first_is_ambiguous = is_ambiguous;
        } else if is_ambiguous && !self.first_is_ambiguous {
            self.ambiguous.get_or_insert_with(|| Box::new(failure));
        }
        Ok(delay)
    }

    /// The failure of a request that is stopped between two attempts.
    fn stopped(&mut self, woken: Woken) -> Failure {
        match woken {
            Woken::Ending if self.first.is_some() => self.last_word(
                Failure::Refused(AcquireError::Closed { last_connect_error: None }),
                NoRetry::Final,
                false,
            ),
            Woken::Ending | Woken::Withdrawn => Failure::Wire(Error::Withdrawn),
        }
    }
}

/// What can run again.
pub(super) trait Repeatable: Send + 'static {
    fn tries(&mut self) -> &mut Tries;
    /// What it delivered so far is void.
    fn restart(&mut self);
    fn begin(self: Box<Self>, lease: Lease);
    fn refuse(self: Box<Self>, refusal: AcquireError<Error>);
    /// It is over.
    fn fail(self: Box<Self>, failure: Failure);
}

/// Ends a request that got no connection.
pub(super) fn refused<R: Repeatable>(request: Box<R>, error: AcquireError<Error>) {
    let fault = ClassifiedFailure::of_refusal(&error);
    failed(request, Failure::Refused(error), fault);
}

fn is_breaker_open(failure: &Failure) -> bool {
    match failure {
        Failure::Wire(error) | Failure::Refused(AcquireError::Connect(error)) => {
            matches!(error.own(), Error::BreakerOpen(_))
        }
        _ => false,
    }
}

/// A wake that comes in the moment the request is ready counts: its sender was told so.
fn last_word<T>(outcome: Result<T, Woken>, woken: &mut oneshot::Receiver<Woken>) -> Result<T, Woken> {
    woken.try_recv().map_or(outcome, Err)
}

/// Ends a failed request, or runs it again.
pub(super) fn failed<R: Repeatable>(mut request: Box<R>, failure: Failure, fault: ClassifiedFailure) {
    if is_breaker_open(&failure)
        && let Some(metrics) = &request.tries().retry_state.tier.metrics
    {
        metrics.breaker_rejected();
    }
    let delay = match request.tries().decide(failure, fault) {
        Ok(delay) => delay,
        Err(failure) => return request.fail(failure),
    };
    request.restart();
    let tries = request.tries();
    let id = tries.id;
    let retry_state = Arc::clone(&tries.retry_state);
    let mut woken = retry_state.falls_asleep(id);
    if tries.options.is_withdrawn() {
        retry_state.wake(id, Woken::Withdrawn);
    }
    let runtime = retry_state.tier.runtime.clone();
    runtime.spawn(async move {
        let outcome = tokio::select! {
            biased;
            Ok(why) = &mut woken => Err(why),
            outcome = lease_after(delay, request.tries()) => Ok(outcome),
        };
        retry_state.wakes(id);
        match last_word(outcome, &mut woken) {
            Ok(Ok(lease)) => request.begin(lease),
            Ok(Err(error)) => request.refuse(error),
            Err(why) => {
                let failure = request.tries().stopped(why);
                request.fail(failure);
            }
        }
    });
}

/// Sleeps, then waits for a connection.
async fn lease_after(delay: Duration, tries: &Tries) -> Result<Lease, AcquireError<Error>> {
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let patience = tries.admit().map_err(AcquireError::Connect)?;
    match tries.retry_state.pool() {
        Some(pool) => pool.lease(tries.wait_until(Instant::now()), patience).await,
        None => Err(AcquireError::Closed { last_connect_error: None }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_withdrawn_in_the_moment_it_is_ready_is_withdrawn() {
        let (wake, mut woken) = oneshot::channel();
        assert_eq!(last_word(Ok(1), &mut woken), Ok(1));
        assert!(wake.send(Woken::Withdrawn).is_ok());
        assert_eq!(last_word(Ok(1), &mut woken), Err(Woken::Withdrawn));
        assert_eq!(last_word(Err::<u8, _>(Woken::Ending), &mut woken), Err(Woken::Ending));
    }
}
