//! The readable spine of one request: a [`Tier`] takes it, its pool finds a connection, the wire
//! runs it, the [`Answer`] hears of it.
//!
//! A tier is a pool of connections to one place, under one name. A plain `new Pool()` is a tier
//! without a name; the tiers of `getPool` are several, each with settings of its own, so that none
//! can take a connection from another.

mod adaptive;
mod answer;
mod breakers;
mod checkout;
mod classify;
mod connect;
mod connector;
mod host_watch;
mod hosts;
mod instrument;
mod internal_query;
mod observer;
mod policy;
mod query;
mod request_options;
mod retry;
mod retry_state;
mod session_attrs;
mod settings;
mod settings_json;
mod shared_quotas;
#[cfg(test)]
mod tests;
mod tier_context;
mod transaction;

use std::{sync::Arc, time::Duration};

use tokio::runtime::Handle;

use self::answer::AnswerOnce;
pub use self::{
    adaptive::Adaptive,
    answer::{Answer, Failure},
    checkout::{Borrower, Direct},
    classify::Phase,
    connector::{Lease, PgConnector},
    instrument::Instrumented,
    observer::{BreakerNotice, Observer, RetryNotice},
    request_options::{CancelFlag, RequestOptions},
    settings::{Settings, SettingsError},
    settings_json::Changes,
    transaction::{FailedRun, RunStage},
};
use self::{
    retry::{Repeatable, Tries},
    retry_state::RetryState,
    tier_context::TierContext,
};
use crate::{
    pool::{AcquireError, Claim, CloseReason, Counts, Pool, Ticket},
    postgres::Statement,
    resilience::NoRetry,
    telemetry::{PoolMetrics, registry},
};

/// Connections to one place, under one name.
pub struct Tier {
    pool: Pool<PgConnector>,
    metrics: Option<Arc<PoolMetrics>>,
    retry_state: Arc<RetryState>,
}

impl Tier {
    /// A tier whose connections report to `observer`. Its tasks run on `runtime`.
    pub fn new(settings: Settings, observer: Arc<dyn Observer>, runtime: Handle) -> Self {
        let metrics = instrument::open(&settings);
        let Settings { config, hosts, mut pool, budget, policy, .. } = settings;
        let member = budget.map(|part| shared_quotas::join(&part, &mut pool, &runtime));
        let hosts = Arc::new(hosts);
        let watched = Arc::clone(&hosts);
        let context = Arc::new(TierContext {
            observer,
            runtime: runtime.clone(),
            metrics: metrics.clone(),
            adaptive: Arc::new(Adaptive::new(policy.adaptive.place, &hosts, &runtime)),
        });
        let retry_state = Arc::new(RetryState::new(&policy, &hosts, &context));
        let breakers = Arc::clone(&retry_state.breakers);
        let connector = PgConnector::new(config, hosts, &context, breakers, &policy);
        let events = connector.events();
        let pool = Pool::new(connector, pool, runtime);
        events.attach(&pool);
        retry_state.attach(&pool);
        retry_state.breakers.attach(pool.downgrade());
        host_watch::start(&pool, &watched, &retry_state.breakers, &context);
        context.adaptive.attach(pool.downgrade(), metrics.as_ref());
        context.adaptive.switch(policy.adaptive.is_on);
        if let Some(member) = member {
            shared_quotas::attach(&member, &pool);
        }
        if let Some(metrics) = &metrics {
            instrument::attach(metrics, &pool);
        }
        Self { pool, metrics, retry_state }
    }

    /// Runs a statement on any connection. An idle one is taken before this returns. No ticket: it
    /// does not wait for a connection.
    pub fn query(
        &self,
        id: u32,
        statement: Arc<Statement>,
        options: RequestOptions,
        answer: impl Answer,
    ) -> Option<Ticket> {
        let answer = Instrumented::begin(self.metrics.as_ref(), &statement, answer);
        let tries = Tries::new(id, options, Arc::clone(&self.retry_state));
        self.acquire(query::QueryAttempt::new(statement, answer, tries))
    }

    /// Leases a connection.
    pub fn connect(&self, id: u32, options: RequestOptions, borrower: impl Borrower) -> Option<Ticket> {
        let tries = Tries::new(id, options, Arc::clone(&self.retry_state));
        self.acquire(checkout::Checkout::new(borrower, tries))
    }

    fn acquire<R: Repeatable + Claim<PgConnector>>(&self, mut request: R) -> Option<Ticket> {
        let tries = request.tries();
        match tries.admit() {
            Ok(patience) => {
                tries.patience = patience;
                let deadline = tries.first_wait_until();
                Some(self.pool.acquire(Box::new(request), deadline))
            }
            Err(error) => {
                retry::refused(Box::new(request), AcquireError::Connect(error));
                None
            }
        }
    }

    /// Whether a transaction that JavaScript ran runs again: `answer` hears so when its time has come.
    pub fn decide_retry(
        &self,
        id: u32,
        run: FailedRun,
        answer: impl FnOnce(Result<(), NoRetry>, bool) + Send + 'static,
    ) {
        transaction::decide_retry(&self.retry_state, id, run, answer);
    }

    /// Answers after that time, or when it is woken.
    pub fn sleep(&self, id: u32, time: Duration, answer: impl FnOnce(Result<(), NoRetry>) + Send + 'static) {
        transaction::sleep(&self.retry_state, id, time, answer);
    }

    /// A COMMIT of which nobody knows what became of it.
    pub fn commit_unknown(&self) {
        instrument::commit_unknown(self.metrics.as_ref());
    }

    /// Takes back a request that waits to run again; false: it does not.
    pub fn wake(&self, id: u32) -> bool {
        self.retry_state.wake(id, retry_state::Woken::Withdrawn)
    }

    /// Switches what may be switched while it runs.
    pub fn configure(&self, changes: &Changes) {
        if let Some(on) = changes.retry {
            self.retry_state.set_retries(on);
        }
        if let Some(mode) = changes.breaker {
            self.retry_state.set_breaker(mode.into());
        }
        if let Some(limits) = &changes.breaker_limits {
            self.retry_state.set_breaker_limits(limits.into());
        }
        if let (Some(on), Some(metrics)) = (changes.measured, &self.metrics) {
            metrics.set_on(on);
        }
        if let Some(on) = changes.adaptive {
            self.adaptive().switch(on);
        }
        self.pool.configure(changes.of_pool());
        if changes.retire {
            self.pool.retire_generation();
        }
    }

    /// Takes back a request that still waits for a connection; false: it waits no longer.
    pub fn withdraw(&self, ticket: Ticket) -> bool {
        self.pool.withdraw(ticket)
    }

    /// Closes an idle connection; false: it is not idle.
    pub fn forget(&self, connection: u32) -> bool {
        self.pool.forget(|idle| idle.id == connection, CloseReason::Released) > 0
    }

    /// Refuses new work, drains, closes; then calls `done`, once.
    pub fn end(&self, done: impl FnOnce() + Send + 'static) {
        self.retry_state.end();
        self.adaptive().end();
        let metrics = self.metrics.clone();
        self.pool.end(move || {
            if let Some(metrics) = metrics {
                registry::close(&metrics);
            }
            done();
        });
    }

    /// The record of what happens here; none: monitoring is off.
    pub fn metrics(&self) -> Option<&Arc<PoolMetrics>> {
        self.metrics.as_ref()
    }

    /// The tier's part in adaptive limits.
    pub fn adaptive(&self) -> &Arc<Adaptive> {
        &self.retry_state.tier.adaptive
    }

    /// What the pool holds now.
    pub fn counts(&self) -> Counts {
        self.pool.counts()
    }

    /// See [`Pool::hold_idle_timeout`].
    pub fn hold_idle_timeout(&self, held: bool) {
        self.pool.hold_idle_timeout(held);
    }
}
