//! The pool's connector: connections of the wire, and what the outside hears of them.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use super::{
    BreakerNotice, Retrying,
    breakers::Circuits,
    hosts::{CloseOnDrop, Consequence, Hosts},
    instrument, internal_query,
};
use crate::{
    pool::{CloseReason, Condition, Connector, Pool, WeakPool},
    postgres::{Config, Connection, Error, Event, Listener, Status, connect},
    telemetry::Vitals,
};

/// Hears of the connections of a tier. In production the JavaScript side.
pub trait Face: Send + Sync + 'static {
    /// A connection is about to be made. An error keeps it from that; a number: the attempt is escorted,
    /// and every outcome of it told under that number.
    fn admit(&self) -> Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// An escorted attempt has failed; the error that it fails with.
    fn refused(&self, attempt: u32, error: Error) -> Pin<Box<dyn Future<Output = Error> + Send + '_>> {
        let _ = attempt;
        Box::pin(std::future::ready(error))
    }
    /// An escorted attempt was given up before its outcome was told.
    fn given_up(&self, attempt: u32) {
        let _ = attempt;
    }
    /// A connection is there. Nobody gets it before the future is done; an error closes it.
    fn greet<'a>(
        &'a self,
        connection: &'a Arc<Connection>,
        attempt: Option<u32>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;
    /// A notice, a notification or a change of a setting.
    fn event(&self, connection: u32, event: Event);
    /// Pending while no more events can be taken.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
    /// The pool is closing it.
    fn closing(&self, connection: u32, reason: CloseReason);
    /// It is gone. `error`: nobody on this side wanted that. `idle`: nobody used it.
    fn closed(&self, connection: u32, error: Option<Error>, idle: bool);
    /// It is lent for longer than somebody who gives it back takes.
    fn overdue(&self, connection: u32, held: Duration) {
        let _ = (connection, held);
    }
    /// A request runs again.
    fn retrying(&self, notice: &Retrying) {
        let _ = notice;
    }
    /// The breaker has changed.
    fn breaker(&self, notice: &BreakerNotice) {
        let _ = notice;
    }
}

/// Makes, judges and closes connections of the wire.
pub struct Wire {
    config: Config,
    watch: Arc<Watch>,
    circuits: Arc<Circuits>,
}

impl Wire {
    pub(super) fn new(
        config: Config,
        hosts: Arc<Hosts>,
        face: Arc<dyn Face>,
        vitals: Option<Arc<Vitals>>,
        circuits: Arc<Circuits>,
    ) -> Self {
        let watch = Arc::new(Watch { face, hosts, pool: OnceLock::new(), vitals });
        Self { config, watch, circuits }
    }

    /// Makes a connection to a host for its breaker, and asks it for as long as `succeeded` wants more.
    pub(super) async fn probe(&self, host: usize, mut succeeded: impl FnMut() -> bool) -> Result<(), Error> {
        let timeout = || Error::Plain("Connection terminated due to connection timeout".into());
        let deaf: Arc<dyn Listener> = Arc::new(Deaf);
        let host = self.watch.hosts.get(host);
        let connecting = tokio::time::timeout(PROBE_TIMEOUT, connect(host, &self.config, deaf));
        let connection = connecting.await.map_err(|_| timeout())??;
        let _close = CloseOnDrop(Some(Arc::clone(&connection)));
        while succeeded() {
            let answered = tokio::time::timeout(PROBE_TIMEOUT, internal_query::run(&connection, "")).await;
            answered.map_err(|_| timeout())?.ok_or(Error::Lost)?;
        }
        Ok(())
    }

    pub(super) fn watch(&self) -> Arc<Watch> {
        Arc::clone(&self.watch)
    }
}

/// How long one step of a probe may take.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// Hears nothing: a probe has no audience.
struct Deaf;

impl Listener for Deaf {
    fn event(&self, _: u32, _: Event) {}
    fn closed(&self, _: u32, _: Option<Error>) {}
}

/// Tells the face of an escorted attempt that is dropped before its outcome was told.
struct Escort<'a> {
    face: &'a dyn Face,
    attempt: Option<u32>,
}

impl Escort<'_> {
    async fn refused(&mut self, error: Error) -> Error {
        match self.attempt.take() {
            Some(attempt) => self.face.refused(attempt, error).await,
            None => error,
        }
    }
}

impl Drop for Escort<'_> {
    fn drop(&mut self) {
        if let Some(attempt) = self.attempt {
            self.face.given_up(attempt);
        }
    }
}

/// Passes on what connections tell, and has the pool forget those that died.
pub(super) struct Watch {
    face: Arc<dyn Face>,
    hosts: Arc<Hosts>,
    /// Weak: the pool owns the connector, which owns this.
    pool: OnceLock<WeakPool<Wire>>,
    vitals: Option<Arc<Vitals>>,
}

impl Watch {
    pub(super) fn attach(&self, pool: &Pool<Wire>) {
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

impl Listener for Watch {
    fn event(&self, connection: u32, event: Event) {
        self.face.event(connection, event);
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.face.poll_ready(cx)
    }

    fn closed(&self, connection: u32, error: Option<Error>) {
        let pool = self.pool.get().and_then(WeakPool::upgrade);
        let idle =
            pool.is_some_and(|pool| pool.forget(|other| other.id == connection, CloseReason::Broken) > 0);
        if let Some(error) = &error {
            instrument::lost(self.vitals.as_ref(), connection, error);
        }
        self.face.closed(connection, error, idle);
    }

    /// Before the statement that was refused hears of it: its retry finds another host.
    fn refused_write(&self, connection: &Connection, status: Status) {
        self.follow(self.hosts.refused_write(connection, status), connection);
    }

    fn name_taken(&self, connection: &Connection) {
        self.follow(Consequence::Evict, connection);
    }
}

impl Connector for Wire {
    type Connection = Arc<Connection>;
    type Error = Error;

    async fn connect(&self) -> Result<Self::Connection, Error> {
        self.circuits.admit_connect()?;
        let face = self.watch.face.as_ref();
        let mut escort = Escort { face, attempt: face.admit().await? };
        let attempt = instrument::Connecting::begin(self.watch.vitals.as_ref());
        let listener: Arc<dyn Listener> = self.watch();
        let connected = self.watch.hosts.connect(&self.config, &listener, &self.circuits).await;
        attempt.ended(connected.as_ref().map(|connection| connection.id));
        let connection = match connected {
            Ok(connection) => connection,
            Err(error) => return Err(escort.refused(error).await),
        };
        let unwanted = CloseOnDrop(Some(Arc::clone(&connection)));
        face.greet(&connection, escort.attempt.take()).await?;
        unwanted.keep();
        if let Some(left) = self.watch.hosts.moved_to(&connection.host) {
            instrument::failed_over(self.watch.vitals.as_ref(), &left, &connection.host);
        }
        Ok(connection)
    }

    fn is_passing(&self, error: &Error) -> bool {
        match error {
            // The breaker says when the pool is to go on.
            Error::Barred(barred) => barred.next_probe.is_some(),
            error => error.action().passes(),
        }
    }

    fn condition(&self, connection: &Self::Connection) -> Condition {
        match connection.status() {
            None => Condition::Broken,
            Some(_) if self.circuits.leave(&connection.host) => Condition::Unwanted,
            Some(Status::Idle) if connection.is_quiet() => Condition::Fit,
            Some(_) => Condition::Dirty,
        }
    }

    async fn check(&self, connection: &Self::Connection) -> bool {
        internal_query::run(connection, "").await.is_some()
    }

    async fn reset(&self, connection: &Self::Connection) -> bool {
        instrument::dirty(self.watch.vitals.as_ref(), connection.id);
        internal_query::run(connection, "ROLLBACK").await == Some(Status::Idle)
    }

    fn interrupt(&self, connection: &Self::Connection) -> bool {
        connection.interrupt()
    }

    fn close(&self, connection: Self::Connection, reason: CloseReason) {
        instrument::closing(self.watch.vitals.as_ref(), connection.id, reason);
        self.watch.face.closing(connection.id, reason);
        connection.close();
    }

    fn leased(&self, waited: Duration) {
        if let Some(vitals) = &self.watch.vitals {
            vitals.wait_time.record_duration(waited);
        }
    }

    fn returned(&self, held: Duration) {
        if let Some(vitals) = &self.watch.vitals {
            vitals.use_time.record_duration(held);
        }
    }

    fn overdue(&self, connection: &Self::Connection, held: Duration) {
        self.watch.face.overdue(connection.id, held);
    }
}
