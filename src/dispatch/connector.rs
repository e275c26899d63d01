//! The pool's connector: PostgreSQL connections, and what the outside hears of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    BreakerNotice, RetryNotice,
    breakers::HostBreakers,
    connect::{CloseOnDrop, connect_to_any},
    hosts::{Consequence, Hosts},
    instrument, internal_query,
    tier_context::TierContext,
};
use crate::{
    pool::{CloseReason, Condition, Connector, Pool, WeakPool},
    postgres::{Config, Connection, Error, Event, Listener, Status, connect},
};

/// Observer of a tier's connections. In production the JavaScript side.
pub trait Observer: Send + Sync + 'static {
    /// A connect is about to begin. An error stops it; a number: the attempt is intercepted, and each
    /// outcome of it is reported under that number.
    fn before_connect(&self) -> Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// An intercepted attempt has failed; returns the error that it fails with.
    fn connect_failed(&self, attempt: u32, error: Error) -> Pin<Box<dyn Future<Output = Error> + Send + '_>> {
        let _ = attempt;
        Box::pin(std::future::ready(error))
    }
    /// An intercepted attempt was given up before its outcome was reported.
    fn connect_given_up(&self, attempt: u32) {
        let _ = attempt;
    }
    /// A connection was made. Nobody gets it before the future is done; an error closes it.
    fn on_connect<'a>(
        &'a self,
        connection: &'a Arc<Connection>,
        attempt: Option<u32>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;
    /// A notice, a notification or a change of a setting.
    fn event(&self, connection: u32, event: Event);
    /// Backpressure: pending while no more events can be taken.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
    /// The pool is closing a connection.
    fn closing(&self, connection: u32, reason: CloseReason);
    /// A connection is closed. `error`: this side did not close it. `idle`: nobody used it.
    fn closed(&self, connection: u32, error: Option<Error>, idle: bool);
    /// A lease is held for longer than `leak_after`.
    fn overdue(&self, connection: u32, held: Duration) {
        let _ = (connection, held);
    }
    /// A request runs again.
    fn retrying(&self, notice: &RetryNotice) {
        let _ = notice;
    }
    /// A breaker has changed its state.
    fn breaker(&self, notice: &BreakerNotice) {
        let _ = notice;
    }
}

/// Makes, judges and closes PostgreSQL connections.
pub struct PgConnector {
    config: Config,
    events: Arc<ConnectionEvents>,
    breakers: Arc<HostBreakers>,
    probe_timeout: Duration,
}

impl PgConnector {
    pub(super) fn new(
        config: Config,
        hosts: Arc<Hosts>,
        tier: &Arc<TierContext>,
        breakers: Arc<HostBreakers>,
        connect_timeout: Option<Duration>,
    ) -> Self {
        let probe_timeout = connect_timeout.map_or(PROBE_TIMEOUT, |timeout| timeout.min(PROBE_TIMEOUT));
        let events = Arc::new(ConnectionEvents { tier: Arc::clone(tier), hosts, pool: OnceLock::new() });
        Self { config, events, breakers, probe_timeout }
    }

    /// Makes a connection to a host for its breaker, and asks it something: a pooler may answer for a
    /// server that does not.
    pub(super) async fn probe(&self, host: usize) -> Result<(), Error> {
        let attempt = async {
            let no_events: Arc<dyn Listener> = Arc::new(NoEvents);
            let connection = connect(self.events.hosts.get(host), &self.config, no_events).await?;
            let _close = CloseOnDrop(Some(Arc::clone(&connection)));
            internal_query::ask(&connection, "").await.map(drop)
        };
        let answered = tokio::time::timeout(self.probe_timeout, attempt).await;
        answered.unwrap_or_else(|_| Err(self.events.hosts.timed_out(host)))
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
    fn closed(&self, _: u32, _: Option<Error>) {}
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

    fn closed(&self, connection: u32, error: Option<Error>) {
        let pool = self.pool.get().and_then(WeakPool::upgrade);
        let idle = pool
            .as_ref()
            .is_some_and(|pool| pool.forget(|other| other.id == connection, CloseReason::Broken) > 0);
        if let Some(error) = &error {
            // What took this one may have taken the others.
            if let Some(pool) = &pool {
                pool.check_idle(|_| true);
            }
            instrument::lost(self.tier.metrics.as_ref(), connection, error);
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
        attempt.ended(connected.as_ref().map(|connection| connection.id));
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

    fn is_passing(&self, error: &Error) -> bool {
        match error.own() {
            // The breaker says when the pool is to go on.
            Error::BreakerOpen(barred) => barred.next_probe.is_some(),
            error => error.action().passes(),
        }
    }

    fn condition(&self, connection: &Self::Connection) -> Condition {
        match connection.status() {
            None => Condition::Broken,
            Some(_) if self.breakers.is_avoided(&connection.host) => Condition::Unwanted,
            Some(Status::Idle) if connection.is_quiet() => Condition::Fit,
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
            metrics.wait_time.record_duration(waited);
        }
    }

    fn returned(&self, held: Duration) {
        if let Some(metrics) = &self.events.tier.metrics {
            metrics.use_time.record_duration(held);
        }
    }

    fn overdue(&self, connection: &Self::Connection, held: Duration) {
        self.events.tier.observer.overdue(connection.id, held);
    }
}
