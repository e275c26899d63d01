//! The pool's connector: makes, judges and closes PostgreSQL connections, and reports their events.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    Observer,
    adaptive::{LimitedPool, Look},
    breakers::{GuardedPool, HostBreakers, Probing},
    connect::{CloseOnDrop, connect_to_any},
    hosts::{Consequence, Hosts},
    instrument, internal_query,
    policy::Policy,
    tier_context::TierContext,
};
use crate::{
    pool::{CloseReason, Condition, Connector, LeaseLimit, Outlook, Pool, WeakPool},
    postgres::{Action, Config, Connection, Error, Event, Host, Listener, Status, connect},
};

/// The right to use one connection of a tier.
pub type Lease = crate::pool::Lease<PgConnector>;

/// Makes, judges and closes PostgreSQL connections.
pub struct PgConnector {
    config: Config,
    events: Arc<ConnectionEvents>,
    breakers: Arc<HostBreakers>,
    keeps_transactions: bool,
    probe_timeout: Duration,
}

impl PgConnector {
    pub(super) fn new(
        config: Config,
        hosts: Arc<Hosts>,
        tier: &Arc<TierContext>,
        breakers: Arc<HostBreakers>,
        policy: &Policy,
    ) -> Self {
        let probe_timeout =
            policy.connect_timeout.map_or(PROBE_TIMEOUT, |timeout| timeout.min(PROBE_TIMEOUT));
        let events = Arc::new(ConnectionEvents { tier: Arc::clone(tier), hosts, pool: OnceLock::new() });
        Self { config, events, breakers, keeps_transactions: policy.keeps_transactions, probe_timeout }
    }

    /// Makes a connection to a host for its breaker, and asks it something: a pooler may answer for a
    /// server that does not.
    async fn probe(&self, host: usize) -> Result<(), Error> {
        let answered = tokio::time::timeout(self.probe_timeout, self.ask(host)).await;
        answered.unwrap_or_else(|_| Err(self.events.hosts.timed_out(host)))
    }

    /// As [`Self::probe`], for as long as it takes.
    pub(super) async fn ask(&self, host: usize) -> Result<(), Error> {
        let no_events: Arc<dyn Listener> = Arc::new(NoEvents);
        let connection = connect(self.events.hosts.get(host), &self.config, no_events).await?;
        let _close = CloseOnDrop(Some(Arc::clone(&connection)));
        internal_query::ask(&connection, "").await.map(drop)
    }

    /// Whether another host may soon serve, and no breaker says how long it takes.
    fn may_fail_over(&self) -> bool {
        self.events.hosts.all().count() > 1 && !self.breakers.is_any_open()
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn events(&self) -> Arc<ConnectionEvents> {
        Arc::clone(&self.events)
    }
}

/// How long a probe may take where no connect timeout is shorter.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Listener of a probe's connection: nobody is to hear of it.
pub(super) struct NoEvents;

impl Listener for NoEvents {
    fn event(&self, _: u32, _: Event) {}
    fn closed(&self, _: u32, _: Option<Error>, _: Option<Error>) {}
}

/// An intercepted connect; dropped before its outcome was reported it was given up.
struct InterceptedConnect<'a> {
    observer: &'a dyn Observer,
    attempt: Option<u32>,
}

impl InterceptedConnect<'_> {
    async fn refused(&mut self, error: Error) -> Error {
        match self.attempt.take() {
            Some(attempt) => self.observer.connect_failed(attempt, error).await,
            None => error,
        }
    }
}

impl Drop for InterceptedConnect<'_> {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt {
            self.observer.connect_given_up(attempt);
        }
    }
}

/// Events of the tier's connections: passes them on, and has the pool forget connections that died.
pub(super) struct ConnectionEvents {
    tier: Arc<TierContext>,
    hosts: Arc<Hosts>,
    /// Weak: the pool owns the connector, which owns this.
    pool: OnceLock<WeakPool<PgConnector>>,
}

impl ConnectionEvents {
    pub(super) fn attach(&self, pool: &Pool<PgConnector>) {
        let _ = self.pool.set(pool.downgrade());
    }

    fn follow(&self, consequence: Consequence, connection: &Connection) {
        let Some(pool) = self.pool.get().and_then(WeakPool::upgrade) else { return };
        match consequence {
            Consequence::None => {}
            Consequence::Evict => {
                pool.retire(|candidate| candidate.id == connection.id);
            }
            Consequence::EvictHost => {
                pool.retire(|candidate| Arc::ptr_eq(&candidate.host, &connection.host));
            }
        }
    }
}

impl Listener for ConnectionEvents {
    fn event(&self, connection: u32, event: Event) {
        self.tier.observer.event(connection, event);
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.tier.observer.poll_ready(cx)
    }

    fn closed(&self, connection: u32, error: Option<Error>, last_words: Option<Error>) {
        let pool = self.pool.get().and_then(WeakPool::upgrade);
        let idle = pool
            .as_ref()
            .is_some_and(|pool| pool.forget(|other| other.id == connection, CloseReason::Broken) > 0);
        if let Some(error) = &error {
            // What took this one may have taken the others.
            if let Some(pool) = &pool {
                pool.check_idle(|_| true);
            }
            instrument::lost(self.tier.metrics.as_ref(), connection, last_words.as_ref().unwrap_or(error));
        }
        self.tier.observer.closed(connection, error, idle);
    }

    /// Comes before the statement that was refused is answered: its retry finds another host.
    fn refused_write(&self, connection: &Connection, status: Status) {
        self.follow(self.hosts.refused_write(connection, status), connection);
    }

    fn name_taken(&self, connection: &Connection) {
        self.follow(Consequence::Evict, connection);
    }
}

impl GuardedPool for WeakPool<PgConnector> {
    fn has_connection(&self) -> bool {
        self.upgrade().is_some_and(|pool| {
            let counts = pool.counts();
            counts.idle + counts.used > 0
        })
    }

    fn resume(&self) {
        if let Some(pool) = self.upgrade() {
            pool.resume();
        }
    }

    fn retire(&self, is_meant: &dyn Fn(&Arc<Host>) -> bool) {
        if let Some(pool) = self.upgrade() {
            pool.retire(|connection| is_meant(&connection.host));
        }
    }

    fn probe(&self, host: usize) -> Option<Probing> {
        let pool = self.upgrade()?;
        Some(Box::pin(async move { pool.connector().probe(host).await }))
    }
}

impl LimitedPool for WeakPool<PgConnector> {
    fn look(&self) -> Option<Look> {
        let pool = self.upgrade()?;
        Some(Look { sizes: pool.sizes(), counts: pool.counts(), grants: pool.statistics().grants })
    }

    fn hosts(&self) -> Vec<Arc<Host>> {
        let connections = self.upgrade().map(|pool| pool.connections()).unwrap_or_default();
        connections.iter().map(|connection| Arc::clone(&connection.host)).collect()
    }

    fn limit_leases(&self, limit: LeaseLimit) {
        if let Some(pool) = self.upgrade() {
            pool.limit_leases(limit);
        }
    }
}

impl Connector for PgConnector {
    type Connection = Arc<Connection>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Connection, Error> {
        self.breakers.admit_connect()?;
        let observer = self.events.tier.observer.as_ref();
        let mut intercepted = InterceptedConnect { observer, attempt: observer.before_connect().await? };
        let attempt = instrument::ConnectTimer::begin(self.events.tier.metrics.as_ref());
        let listener: Arc<dyn Listener> = self.events();
        let connected = connect_to_any(&self.events.hosts, &self.config, &listener, &self.breakers).await;
        attempt.ended(connected.as_ref().map(Arc::as_ref));
        let connection = match connected {
            Ok(connection) => connection,
            Err(error) => return Err(intercepted.refused(error).await),
        };
        let unwanted = CloseOnDrop(Some(Arc::clone(&connection)));
        observer.on_connect(&connection, intercepted.attempt.take()).await?;
        unwanted.keep();
        if let Some(left) = self.events.hosts.moved_to(&connection.host) {
            instrument::failed_over(self.events.tier.metrics.as_ref(), &left, &connection.host);
        }
        Ok(connection)
    }

    fn timeout_error(&self) -> Option<Error> {
        Some(self.events.hosts.timed_out(0))
    }

    fn outlook(&self, error: &Error) -> Outlook {
        match error.own() {
            // A probe will close the breaker, unless it is forced open.
            Error::BreakerOpen(open) if open.next_probe.is_some() => Outlook::NotTried,
            error if error.action() == Action::Full => Outlook::Full,
            error if error.action() == Action::LocalShortage => Outlook::Shortage,
            Error::NoSuitableHost(_) if self.may_fail_over() => Outlook::Failover,
            error if error.action().passes() => Outlook::Passes,
            _ => Outlook::Lasts,
        }
    }

    fn condition(&self, connection: &Self::Connection) -> Condition {
        match connection.status() {
            None => Condition::Broken,
            Some(_) if self.breakers.is_avoided(&connection.host) => Condition::Unwanted,
            Some(Status::Idle) if connection.is_quiet() => Condition::Fit,
            Some(_) if self.keeps_transactions && connection.is_quiet() => Condition::Fit,
            Some(_) => Condition::Dirty,
        }
    }

    async fn check(&self, connection: &Self::Connection) -> bool {
        internal_query::run(connection, "").await.is_some()
    }

    async fn reset(&self, connection: &Self::Connection) -> bool {
        instrument::dirty(self.events.tier.metrics.as_ref(), connection.id);
        internal_query::run(connection, "ROLLBACK").await == Some(Status::Idle)
    }

    fn interrupt(&self, connection: &Self::Connection) -> bool {
        connection.interrupt()
    }

    fn close(&self, connection: Self::Connection, reason: CloseReason) {
        instrument::closing(self.events.tier.metrics.as_ref(), connection.id, reason);
        self.events.tier.observer.closing(connection.id, reason);
        connection.close();
    }

    fn leased(&self, waited: Duration) {
        if let Some(metrics) = &self.events.tier.metrics {
            metrics.waited(waited);
        }
    }

    fn returned(&self, held: Duration) {
        if let Some(metrics) = &self.events.tier.metrics {
            metrics.held(held);
        }
    }

    fn overdue(&self, connection: &Self::Connection, held: Duration) {
        self.events.tier.observer.overdue(connection.id, held);
    }
}
