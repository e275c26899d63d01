//! What the requests of one tier share for the time when something fails: the policy of their
//! retries, the budget, the breakers of its hosts, and which of them sleep before they run again.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::Instant};
use tracing::warn;

use super::{
    PgConnector, RequestOptions, RetryNotice, breakers::HostBreakers, hosts::Hosts, policy::Policy,
    tier_context::TierContext,
};
use crate::{
    pool::{Patience, Pool, WeakPool},
    resilience::{self, Budget, Deadline, Jitter, Retries, RetryDecision, RetryPolicy},
};

/// Why a request that sleeps is woken early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    Withdrawn,
    Ending,
}

pub(super) struct RetryState {
    pub(super) tier: Arc<TierContext>,
    pub(super) breakers: Arc<HostBreakers>,
    pub(super) has_other_hosts: bool,
    pub(super) keeps_transactions: bool,
    retries_are_on: AtomicBool,
    retry_policy: RetryPolicy,
    /// The patience of requests without options of their own.
    usual_patience: Patience,
    deadline: Option<Duration>,
    acquire_timeout: Option<Duration>,
    connect_timeout: Option<Duration>,
    budget: Budget,
    jitter: Mutex<Jitter>,
    asleep: Mutex<HashMap<u32, oneshot::Sender<Woken>>>,
    ending: AtomicBool,
    /// Weak: the pool owns the requests that hold this.
    pool: OnceLock<WeakPool<PgConnector>>,
}

impl RetryState {
    pub(super) fn new(policy: &Policy, hosts: &Arc<Hosts>, tier: &Arc<TierContext>) -> Self {
        Self {
            tier: Arc::clone(tier),
            breakers: Arc::new(HostBreakers::new(policy, hosts, tier)),
            has_other_hosts: hosts.has_choice(),
            keeps_transactions: policy.keeps_transactions,
            retries_are_on: AtomicBool::new(policy.retries_are_on),
            retry_policy: policy.retry,
            usual_patience: Patience::For(policy.retry.connect_patience()),
            deadline: policy.deadline,
            acquire_timeout: policy.acquire_timeout,
            connect_timeout: policy.connect_timeout,
            budget: Budget::new(Instant::now()),
            jitter: Mutex::new(Jitter::new()),
            asleep: Mutex::default(),
            ending: AtomicBool::new(false),
            pool: OnceLock::new(),
        }
    }

    pub(super) fn attach(&self, pool: &Pool<PgConnector>) {
        let _ = self.pool.set(pool.downgrade());
    }

    /// The pool of the tier, if it is still there.
    pub(super) fn pool(&self) -> Option<Pool<PgConnector>> {
        self.pool.get().and_then(WeakPool::upgrade)
    }

    /// A request has come in; its deadline, if it has one.
    pub(super) fn begin(&self, options: &RequestOptions, now: Instant) -> Deadline {
        self.budget.deposit();
        Deadline::after(now, options.deadline.or(self.deadline))
    }

    pub(super) fn retry_policy(&self, options: &RequestOptions, deadline: Deadline) -> RetryPolicy {
        let mut retry_policy =
            RetryPolicy { deadline, wait: deadline, idempotent: options.idempotent, ..self.retry_policy };
        retry_policy.attempts = options.attempts.unwrap_or(retry_policy.attempts);
        retry_policy.enabled = self.has_retries(options);
        if let Some(base) = options.base {
            retry_policy.set_base(base);
        }
        retry_policy
    }

    /// How long a request without a deadline waits for a connection, all attempts together; none: as long
    /// as it takes. Where the time of one attempt is all that is given, a request with retries waits as long
    /// as a loop of its attempts would.
    pub(super) fn longest_wait(&self, policy: &RetryPolicy) -> Option<Duration> {
        self.acquire_timeout.or_else(|| {
            let once = self.connect_timeout?;
            let in_a_loop = once.saturating_mul(policy.attempts.saturating_add(1));
            Some(if policy.enabled { in_a_loop.saturating_add(policy.connect_patience()) } else { once })
        })
    }

    /// Whether the pool itself lets a claim wait as long.
    pub(super) fn pool_knows_longest_wait(&self) -> bool {
        self.acquire_timeout.is_some() || self.connect_timeout.is_none()
    }

    /// How a request takes it that connects fail.
    pub(super) fn patience(&self, options: &RequestOptions, deadline: Deadline) -> Patience {
        match (self.has_retries(options), deadline.is_set()) {
            (true, true) => Patience::ToDeadline,
            // A breaker that is open will be closed by a probe.
            (false, true) if self.breakers.is_any_open() => Patience::ToDeadline,
            (true, false) if options.attempts.is_none() && options.base.is_none() => self.usual_patience,
            (true, false) => Patience::For(self.retry_policy(options, deadline).connect_patience()),
            (false, _) => Patience::AsPool,
        }
    }

    fn has_retries(&self, options: &RequestOptions) -> bool {
        let attempts = options.attempts.unwrap_or(self.retry_policy.attempts);
        attempts > 0 && self.retries_are_on.load(Ordering::Relaxed)
    }

    pub(super) fn decide(
        &self,
        fault: &impl resilience::Fault,
        so_far: Retries,
        retry_policy: &RetryPolicy,
    ) -> RetryDecision {
        let mut jitter = self.jitter.lock();
        resilience::decide(fault, so_far, retry_policy, &self.budget, Instant::now(), &mut jitter)
    }

    pub(super) fn set_retries(&self, on: bool) {
        self.retries_are_on.store(on, Ordering::Relaxed);
    }

    pub(super) fn set_breaker(&self, mode: resilience::Mode) {
        if !self.ending.load(Ordering::Acquire) {
            self.breakers.set_mode(mode);
        }
    }

    pub(super) fn set_breaker_limits(&self, limits: resilience::Limits) {
        self.breakers.set_limits(limits);
    }

    /// Tells of a retry.
    pub(super) fn tell(&self, notice: &RetryNotice) {
        if let Some(metrics) = &self.tier.metrics {
            metrics.retry();
            let (pool, phase) = (metrics.name.as_str(), notice.phase.name());
            let RetryNotice { attempt, of, delay, code, .. } = notice;
            let (delay, code) = ((delay.as_secs_f64() * 1e5).round() / 100.0, code.as_deref());
            warn!(target: "retry", pool, attempt, of, delayMillis = delay, code, phase, "retrying");
        }
        self.tier.observer.retrying(notice);
    }

    // Sleepers.

    /// Notes that the request sleeps; the receiver tells when it is woken early.
    pub(super) fn falls_asleep(&self, id: u32) -> oneshot::Receiver<Woken> {
        let (wake, woken) = oneshot::channel();
        self.asleep.lock().insert(id, wake);
        if self.ending.load(Ordering::Acquire) {
            self.wake(id, Woken::Ending);
        }
        woken
    }

    pub(super) fn wakes(&self, id: u32) {
        self.asleep.lock().remove(&id);
    }

    /// Wakes a request that sleeps or waits for its next attempt. False: it does neither.
    pub(super) fn wake(&self, id: u32, why: Woken) -> bool {
        let sleeper = self.asleep.lock().remove(&id);
        sleeper.is_some_and(|wake| wake.send(why).is_ok())
    }

    /// Nothing runs again from now on.
    pub(super) fn end(&self) {
        self.ending.store(true, Ordering::Release);
        let sleepers = std::mem::take(&mut *self.asleep.lock());
        for wake in sleepers.into_values() {
            let _ = wake.send(Woken::Ending);
        }
        self.breakers.end();
    }
}
