//! Instrumentation of a tier: what it reports to its metrics and its log. Switched off, each report is
//! one branch.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tracing::{info, warn};

use super::{Answer, Failure, Settings, classify::code_of, settings::Monitoring};
use crate::{
    pool::{AcquireError, CloseReason, Connector, Pool, Sizes, WeakPool},
    postgres::{Config, Connection, Error, Host, Rows, Shape, Statement, Status, sanitized},
    resilience::{NoRetry, Reduction},
    telemetry::{
        FailureClass, LimitReduction, Operation, PoolMetrics, PoolPlace, PoolReading, ServerReport,
        event_log, registry,
    },
};

/// The record of a new tier; none: monitoring is off.
pub(super) fn open(settings: &Settings) -> Option<Arc<PoolMetrics>> {
    if settings.monitoring == Monitoring::Off {
        return None;
    }
    event_log::start();
    let metrics = registry::open(&settings.name());
    metrics.set_slow_query(settings.slow_query);
    metrics.set_place(place_of(&settings.config));
    if settings.monitoring == Monitoring::Logged {
        metrics.log_warnings();
    }
    metrics.set_on(settings.is_measured);
    Some(metrics)
}

fn place_of(config: &Config) -> PoolPlace {
    PoolPlace {
        database: config.database.as_ref().unwrap_or(&config.user).clone(),
        application: reported(&config.parameters, "application_name").map(str::to_owned),
    }
}

fn reported<'a>(parameters: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    parameters.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

/// Has the record fetch what the pool counts itself.
pub(super) fn attach<C: Connector>(metrics: &PoolMetrics, pool: &Pool<C>) {
    let pool = pool.downgrade();
    metrics.attach(Box::new(move || read(&pool)));
}

fn read<C: Connector>(pool: &WeakPool<C>) -> Option<PoolReading> {
    let pool = pool.upgrade()?;
    let Sizes { max, min, limit } = pool.sizes();
    let counts = pool.counts();
    let statistics = pool.statistics();
    Some(PoolReading {
        idle: counts.idle,
        used: counts.used,
        connecting: counts.connecting,
        max,
        limit: Some(limit),
        min,
        waiting: counts.waiting,
        oldest_wait: counts.oldest_wait,
        timeouts: statistics.timeouts,
        opened: statistics.opened,
        connect_failures: statistics.connect_failures,
        closed: CloseReason::ALL.map(|reason| (reason.name(), statistics.closed(reason))).to_vec(),
        leaked_transactions: statistics.leaked_transactions,
    })
}

/// An answer whose operation is counted as it is given, and logged where it is slow.
pub struct Instrumented<A> {
    answer: A,
    operation: Option<Operation>,
    slow_query: Option<SlowQuery>,
    /// The statements with one answer that have yet to be answered, where they are several.
    flight: Option<Flight>,
}

/// Several statements with one answer, each an operation of its own.
struct Flight {
    statement: Arc<Statement>,
    metrics: Arc<PoolMetrics>,
    /// How many of them are answered.
    part: usize,
}

/// What is told of an operation that turns out to be slow.
struct SlowQuery {
    limit: Duration,
    statement: Arc<Statement>,
    /// Which one of several it is.
    part: usize,
    /// The time it waited for a connection; none: it has one.
    waited: Option<Duration>,
}

impl<A: Answer> Instrumented<A> {
    /// The operation begins. A statement of ours is told where it is slow, and not counted.
    pub fn begin(metrics: Option<&Arc<PoolMetrics>>, statement: &Arc<Statement>, answer: A) -> Self {
        // The first one of the application's.
        let first = statement.before.iter().take_while(|part| part.is_own).count();
        let slow_query = metrics.and_then(|metrics| SlowQuery::new(metrics, statement, first));
        let flight = metrics.filter(|_| !statement.before.is_empty()).map(|metrics| Flight {
            statement: Arc::clone(statement),
            metrics: Arc::clone(metrics),
            part: 0,
        });
        let operation = metrics.map(|metrics| metrics.begin(!statement.part(first).is_own));
        Self { answer, operation, slow_query, flight }
    }

    /// One of several statements is answered, and the next one begins. The time of one of ours in front of them, whose
    /// answer comes with the next one, is a part of that one's.
    fn next(&mut self) {
        let Some(mut flight) = self.flight.take() else { return };
        flight.part += 1;
        let is_last = flight.part == flight.statement.before.len();
        if !flight.statement.part(flight.part - 1).is_own {
            self.end(|| None);
            self.slow_query = SlowQuery::new(&flight.metrics, &flight.statement, flight.part);
            self.operation = Some(flight.metrics.begin(!flight.statement.part(flight.part).is_own));
        }
        self.flight = (!is_last).then_some(flight);
    }

    fn end(&mut self, failure: impl FnOnce() -> Option<FailureClass>) {
        if let Some(operation) = self.operation.take() {
            let failure = failure();
            if let Some(slow_query) = self.slow_query.take() {
                slow_query.tell(&operation, failure);
            }
            operation.end(failure);
        }
    }
}

impl SlowQuery {
    /// None: nothing is told of slow ones.
    fn new(metrics: &PoolMetrics, statement: &Arc<Statement>, part: usize) -> Option<Self> {
        let limit = metrics.slow_query()?;
        Some(Self { limit, statement: Arc::clone(statement), part, waited: None })
    }

    /// Tells of it, if it has run for longer than its limit. To wait for a connection is not to run.
    fn tell(&self, operation: &Operation, failure: Option<FailureClass>) {
        let (took, rows) = operation.so_far();
        let Self { limit, statement, part, waited } = self;
        let statement = statement.part(*part);
        if took.saturating_sub(waited.unwrap_or_default()) < *limit {
            return;
        }
        let (pool, millis, wait) = (operation.metrics().name.as_str(), millis(took), waited.map(millis));
        let text = Some(sanitized(&statement.text)).filter(|text| !text.is_empty());
        let (name, class) = (statement.name.as_deref(), failure.map(FailureClass::name));
        warn!(target: "query", pool, millis, waitedMillis = wait, rows, text, name, class, "slow");
    }
}

impl<A: Answer> Answer for Instrumented<A> {
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        if let Some(operation) = &mut self.operation {
            operation.rows(rows.count);
        }
        self.answer.rows(shape, rows);
    }

    fn complete(&mut self, tag: &[u8]) {
        self.next();
        self.answer.complete(tag);
    }

    fn suspended(&mut self) {
        // From here on its time is that of its reader.
        if let Some((operation, slow_query)) = self.operation.as_ref().zip(self.slow_query.take()) {
            slow_query.tell(operation, None);
        }
        self.answer.suspended();
    }

    fn waited(&mut self, time: Duration) {
        if let Some(slow_query) = &mut self.slow_query {
            *slow_query.waited.get_or_insert_default() += time;
        }
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.answer.poll_ready(cx)
    }

    fn done(&mut self, status: Status) {
        self.end(|| None);
        self.answer.done(status);
    }

    fn restart(&mut self) {
        self.answer.restart();
    }

    fn failed(&mut self, failure: Failure, status: Option<Status>) {
        self.end(|| Some(class_of(&failure)));
        self.answer.failed(failure, status);
    }
}

/// What kind of failure it is.
pub(super) fn class_of(failure: &Failure) -> FailureClass {
    match failure {
        Failure::Wire(error) | Failure::Refused(AcquireError::Connect(error)) => error.class(),
        Failure::OverBudget(failure) | Failure::Ambiguous { last: failure, .. } => class_of(failure),
        Failure::Refused(refusal) => match refusal {
            AcquireError::Timeout { .. } => FailureClass::AcquireTimeout,
            AcquireError::Full { .. } => FailureClass::PoolFull,
            AcquireError::Withdrawn => FailureClass::Cancelled,
            AcquireError::ConnectTimeout | AcquireError::ConnectLost | AcquireError::Connect(_) => {
                FailureClass::Connection
            }
            AcquireError::Closed { .. } => FailureClass::Other,
        },
    }
}

/// One attempt to connect; dropped without an end it has run out of time, or the pool has ended.
pub(super) struct ConnectTimer<'a> {
    metrics: Option<&'a PoolMetrics>,
    started: Instant,
}

impl<'a> ConnectTimer<'a> {
    pub(super) fn begin(metrics: Option<&'a Arc<PoolMetrics>>) -> Self {
        Self { metrics: metrics.map(Arc::as_ref), started: Instant::now() }
    }

    pub(super) fn ended(self, outcome: Result<&Connection, &Error>) {
        match outcome {
            Ok(connection) => self.succeeded(connection),
            Err(error) => self.failed(error),
        }
    }

    fn succeeded(mut self, opened: &Connection) {
        let Some(metrics) = self.metrics.take() else { return };
        let took = self.started.elapsed();
        metrics.connected(took, None);
        // "18.1 (Debian 18.1-1)": what follows the number is of the build.
        let version = reported(&opened.parameters, "server_version")
            .and_then(|version| version.split_whitespace().next())
            .map(str::to_owned);
        metrics.set_server(ServerReport { host: place(&opened.host), version });
        let (connection, millis) = (opened.id, millis(took));
        info!(target: "connection", pool = metrics.name, connection, millis, "opened");
    }

    fn failed(mut self, error: &Error) {
        self.tell(error.class(), &describe(error));
    }

    fn tell(&mut self, class: FailureClass, description: &str) {
        let Some(metrics) = self.metrics.take() else { return };
        let took = self.started.elapsed();
        metrics.connected(took, Some(description.to_owned()));
        let (class, error, millis) = (class.name(), description, millis(took));
        warn!(target: "connection", pool = metrics.name, class, error, millis, "connect_failed");
    }
}

impl Drop for ConnectTimer<'_> {
    fn drop(&mut self) {
        self.tell(FailureClass::Connection, "no answer in time");
    }
}

/// The pool closes a connection.
pub(super) fn closing(metrics: Option<&Arc<PoolMetrics>>, connection: u32, reason: CloseReason) {
    let Some(metrics) = metrics else { return };
    let (pool, name) = (metrics.name.as_str(), reason.name());
    match reason {
        CloseReason::Broken | CloseReason::Unresponsive | CloseReason::Leak => {
            warn!(target: "connection", pool, connection, reason = name, "closed");
        }
        _ => info!(target: "connection", pool, connection, reason = name, "closed"),
    }
}

/// A connection was lost.
pub(super) fn lost(metrics: Option<&Arc<PoolMetrics>>, connection: u32, error: &Error) {
    let Some(metrics) = metrics else { return };
    let (class, error) = (error.class().name(), describe(error));
    warn!(target: "connection", pool = metrics.name, connection, class, error, "lost");
}

/// A connection was given back with a transaction open, which is rolled back.
pub(super) fn dirty(metrics: Option<&Arc<PoolMetrics>>, connection: u32) {
    let Some(metrics) = metrics else { return };
    warn!(target: "leak", pool = metrics.name, connection, "transaction");
}

/// A request fails although it might have been tried again, or after it was.
pub(super) fn gave_up(
    metrics: Option<&Arc<PoolMetrics>>,
    retries: u32,
    time: Duration,
    failure: &Failure,
    why: NoRetry,
) {
    let Some(metrics) = metrics else { return };
    let (connect_error, is_late) = match failure {
        Failure::Refused(AcquireError::Timeout { last_connect_error, .. }) => {
            (last_connect_error.as_ref(), true)
        }
        Failure::Refused(AcquireError::Connect(error)) => (Some(error), false),
        _ => (None, false),
    };
    if retries == 0 && !is_late {
        return;
    }
    let (pool, attempts, reason) = (metrics.name.as_str(), retries + 1, format!("{why:?}").to_lowercase());
    let (class, code, error) = (class_of(failure).name(), code_of(failure), connect_error.map(describe));
    let millis = millis(time);
    warn!(target: "retry", pool, attempts, millis, reason, class, code, error, "gave_up");
}

/// New connections lead to another host from now on.
pub(super) fn failed_over(metrics: Option<&Arc<PoolMetrics>>, from: &Host, to: &Host) {
    let Some(metrics) = metrics else { return };
    metrics.failover();
    let (from, to) = (place(from), place(to));
    warn!(target: "failover", pool = metrics.name, from, to, "left");
}

/// A host owes answers and gives none; its connections are given up, for another host serves.
pub(super) fn silent(metrics: Option<&Arc<PoolMetrics>>, host: &str, connections: usize) {
    let Some(metrics) = metrics else { return };
    warn!(target: "failover", pool = metrics.name, host, connections, "silent");
}

/// A tier gives way to those above: its limit falls.
pub(super) fn gave_way(metrics: Option<&Arc<PoolMetrics>>, reduction: Reduction, from: usize, to: usize) {
    let Some(metrics) = metrics else { return };
    let reason = match reduction {
        Reduction::Slow => LimitReduction::Slow,
        Reduction::Full => LimitReduction::Full,
    };
    metrics.limit_reduced(reason);
    info!(target: "adaptive", pool = metrics.name, from, to, reason = reason.name(), "lowered");
}

/// Nobody knows what became of a COMMIT.
pub(super) fn commit_unknown(metrics: Option<&Arc<PoolMetrics>>) {
    let Some(metrics) = metrics else { return };
    metrics.commit_unknown();
    tracing::error!(target: "commit", pool = metrics.name, "unknown");
}

fn place(host: &Host) -> String {
    format!("{}:{}", host.name, host.port)
}

/// The message, unless the application wrote it: what it says is nobody's business.
fn describe(error: &Error) -> String {
    match error.own() {
        Error::Plain(_) | Error::Type(_) => "refused by the application".to_owned(),
        Error::Database(error) => format!("{} {}", error.code.as_str(), error.message),
        error => error.to_string(),
    }
}

fn millis(took: Duration) -> f64 {
    (took.as_secs_f64() * 1e5).round() / 100.0
}
