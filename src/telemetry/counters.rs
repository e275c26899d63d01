//! The counters of one tier, counted where it happens.
//!
//! They are atomics of fixed size, written and read from any thread. What the pool counts itself is not
//! counted twice: a [`PoolReader`] reads it.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use parking_lot::Mutex;

use super::{FailureClass, Histogram, PoolPlace, ServerReport, rule::Rule};

/// Reads what the pool counts itself; none: the pool is gone.
pub type PoolReader = Box<dyn Fn() -> Option<PoolReading> + Send + Sync>;

/// The numbers that a pool counts itself.
#[derive(Clone, Debug, Default)]
pub struct PoolReading {
    /// Connections nobody uses.
    pub idle: usize,
    /// Connections leased, being checked or reset.
    pub used: usize,
    /// Connections being made.
    pub connecting: usize,
    /// The most connections at a time.
    pub max: usize,
    /// The most connections at this moment; none: `max`.
    pub limit: Option<usize>,
    /// Connections the idle timeout leaves alone.
    pub min: usize,
    /// Requests that wait for a connection.
    pub waiting: usize,
    /// The time that the oldest of them has waited.
    pub oldest_wait: Option<Duration>,
    /// Requests whose time ran out.
    pub timeouts: u64,
    /// Connections made.
    pub opened: u64,
    /// Attempts to connect that failed.
    pub connect_failures: u64,
    /// Connections closed, by reason.
    pub closed: Vec<(&'static str, u64)>,
    /// Transactions left open at the return.
    pub leaked_transactions: u64,
}

impl PoolReading {
    /// The most connections at this moment.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(self.max)
    }
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Connections are made.
    Closed = 0,
    /// Connections are made by probes only.
    Open = 2,
}

impl BreakerState {
    /// The name used in snapshots and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
        }
    }
}

/// Why an adaptive limit was reduced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitReduction {
    /// Answers of higher tiers were slow.
    Slow,
    /// The server had no place for a further connection.
    Full,
}

impl LimitReduction {
    pub(super) const ALL: [Self; 2] = [Self::Slow, Self::Full];

    /// The name used in snapshots and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Full => "full",
        }
    }
}

/// The breaker of one host: its state, and what an operator asks next.
#[derive(Clone, Debug)]
pub struct BreakerReport {
    /// The state.
    pub state: BreakerState,
    /// Open: the last failure that counted.
    pub reason: Option<String>,
    /// Open: when the next probe begins.
    pub next_probe: Option<SystemTime>,
}

impl Default for BreakerReport {
    fn default() -> Self {
        Self { state: BreakerState::Closed, reason: None, next_probe: None }
    }
}

/// The metrics of one tier.
pub struct PoolMetrics {
    /// The name of the tier in metrics, unique in the process while the tier lives.
    pub name: String,
    /// The number by which JavaScript knows it.
    pub id: u32,
    reader: OnceLock<PoolReader>,
    succeeded: Histogram,
    failed: [OnceLock<Histogram>; FailureClass::ALL.len()],
    /// Rows per answer.
    pub rows: Histogram,
    /// Time to make a connection.
    pub create_time: Histogram,
    /// Time to get a connection.
    pub wait_time: Histogram,
    /// Time a connection was leased.
    pub use_time: Histogram,
    retries: AtomicU64,
    retries_denied: AtomicU64,
    breakers: OnceLock<Box<[BreakerGauge]>>,
    breaker_stops: AtomicBool,
    breaker_rejected: AtomicU64,
    commits_unknown: AtomicU64,
    failovers: AtomicU64,
    overdue: AtomicU64,
    /// 0: none.
    adaptive_limit: AtomicUsize,
    limit_reductions: [AtomicU64; LimitReduction::ALL.len()],
    alerts: [AtomicU8; Rule::ALL.len()],
    has_monitor: AtomicBool,
    last_connect_error: Mutex<Option<String>>,
    place: OnceLock<PoolPlace>,
    server: Mutex<Option<ServerReport>>,
    logs_warnings: AtomicBool,
    is_off: AtomicBool,
    slow_query_millis: AtomicU64,
}

impl PoolMetrics {
    pub(super) fn new(name: String, id: u32) -> Self {
        Self {
            name,
            id,
            reader: OnceLock::new(),
            succeeded: Histogram::new(),
            failed: std::array::from_fn(|_| OnceLock::new()),
            rows: Histogram::new(),
            create_time: Histogram::new(),
            wait_time: Histogram::new(),
            use_time: Histogram::new(),
            retries: AtomicU64::new(0),
            retries_denied: AtomicU64::new(0),
            breakers: OnceLock::new(),
            breaker_stops: AtomicBool::new(false),
            breaker_rejected: AtomicU64::new(0),
            commits_unknown: AtomicU64::new(0),
            failovers: AtomicU64::new(0),
            overdue: AtomicU64::new(0),
            adaptive_limit: AtomicUsize::new(0),
            limit_reductions: [const { AtomicU64::new(0) }; LimitReduction::ALL.len()],
            alerts: std::array::from_fn(|_| AtomicU8::new(0)),
            has_monitor: AtomicBool::new(false),
            last_connect_error: Mutex::new(None),
            place: OnceLock::new(),
            server: Mutex::new(None),
            logs_warnings: AtomicBool::new(false),
            is_off: AtomicBool::new(false),
            slow_query_millis: AtomicU64::new(0),
        }
    }

    /// Switches measuring off or on. Off, nothing is counted, listed or logged; the gauges of breakers go on.
    pub fn set_on(&self, on: bool) {
        self.is_off.store(!on, Ordering::Relaxed);
    }

    /// Whether the pool is measured.
    pub fn is_on(&self) -> bool {
        !self.is_off.load(Ordering::Relaxed)
    }

    /// Sets how long a query runs that is logged as slow; zero: none is.
    pub fn set_slow_query(&self, limit: Duration) {
        self.slow_query_millis.store(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// How long a query runs that is logged as slow; none: none is.
    pub fn slow_query(&self) -> Option<Duration> {
        let millis = self.slow_query_millis.load(Ordering::Relaxed);
        (millis != 0 && self.is_on()).then(|| Duration::from_millis(millis))
    }

    fn count(&self, counter: &AtomicU64) {
        if self.is_on() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Has warnings of this pool written to standard error where `PGPOOL_LOG` is not set.
    pub fn log_warnings(&self) {
        self.logs_warnings.store(true, Ordering::Relaxed);
    }

    pub(super) fn logs_warnings(&self) -> bool {
        self.logs_warnings.load(Ordering::Relaxed)
    }

    /// Sets the reader of what the pool counts itself.
    pub fn attach(&self, reader: PoolReader) {
        let _ = self.reader.set(reader);
    }

    /// The numbers of the pool; none: it is gone.
    pub fn try_reading(&self) -> Option<PoolReading> {
        self.reader.get().and_then(|read| read())
    }

    /// The numbers of the pool, all zero for one that is gone.
    pub fn reading(&self) -> PoolReading {
        self.try_reading().unwrap_or_default()
    }

    /// Makes the caller the one monitor that reports for the tier. False: there is one already.
    pub(super) fn claim_monitor(&self) -> bool {
        !self.has_monitor.swap(true, Ordering::Relaxed)
    }

    pub(super) fn release_monitor(&self) {
        self.has_monitor.store(false, Ordering::Relaxed);
    }

    /// Begins an operation, whose duration is measured from now on; `is_counted`: it is one of the application's.
    pub fn begin(self: &std::sync::Arc<Self>, is_counted: bool) -> Operation {
        let metrics = std::sync::Arc::clone(self);
        Operation { metrics, started: Instant::now(), rows: 0, is_counted }
    }

    /// Counts a retry.
    pub fn retry(&self) {
        self.count(&self.retries);
    }

    /// Counts a retry that the budget did not allow.
    pub fn retry_denied(&self) {
        self.count(&self.retries_denied);
    }

    /// Sets the hosts by address and port; each has a breaker.
    pub fn set_hosts(&self, hosts: impl Iterator<Item = (String, u16)>) {
        let closed = |(address, port)| BreakerGauge { address, port, report: Mutex::default() };
        let _ = self.breakers.set(hosts.map(closed).collect());
    }

    /// Sets the report on the breaker of the host with this index.
    pub fn breaker_changed(&self, host: usize, report: BreakerReport) {
        if let Some(breaker) = self.breakers().get(host) {
            *breaker.report.lock() = report;
        }
    }

    pub(super) fn breakers(&self) -> &[BreakerGauge] {
        self.breakers.get().map_or(&[], AsRef::as_ref)
    }

    /// Sets whether an open breaker refuses requests, or only reports.
    pub fn set_breaker_stops(&self, stops: bool) {
        self.breaker_stops.store(stops, Ordering::Relaxed);
    }

    pub(super) fn breaker_stops(&self) -> bool {
        self.breaker_stops.load(Ordering::Relaxed)
    }

    /// Counts a request that the breaker refused.
    pub fn breaker_rejected(&self) {
        self.count(&self.breaker_rejected);
    }

    /// Counts a commit whose outcome could not be found out.
    pub fn commit_unknown(&self) {
        self.count(&self.commits_unknown);
    }

    /// Sets the adaptive limit in force; none: there is none.
    pub fn set_adaptive_limit(&self, limit: Option<usize>) {
        self.adaptive_limit.store(limit.unwrap_or(0), Ordering::Relaxed);
    }

    /// The adaptive limit in force.
    pub(super) fn adaptive_limit(&self) -> Option<usize> {
        Some(self.adaptive_limit.load(Ordering::Relaxed)).filter(|&limit| limit > 0)
    }

    /// Counts a reduction of the adaptive limit.
    pub fn limit_reduced(&self, reason: LimitReduction) {
        self.count(&self.limit_reductions[reason as usize]);
    }

    /// How often the adaptive limit was reduced, in the order of the reasons.
    pub(super) fn limit_reductions(&self) -> [u64; LimitReduction::ALL.len()] {
        self.limit_reductions.each_ref().map(|count| count.load(Ordering::Relaxed))
    }

    /// Counts a failover to another host.
    pub fn failover(&self) {
        self.count(&self.failovers);
    }

    /// Counts a lease that lasts too long.
    pub fn overdue(&self) {
        self.count(&self.overdue);
    }

    /// Sets where the pool leads.
    pub fn set_place(&self, place: PoolPlace) {
        let _ = self.place.set(place);
    }

    pub(super) fn place(&self) -> Option<&PoolPlace> {
        self.place.get()
    }

    /// Sets the server of the latest connection.
    pub fn set_server(&self, server: ServerReport) {
        *self.server.lock() = Some(server);
    }

    pub(super) fn server(&self) -> Option<ServerReport> {
        self.server.lock().clone()
    }

    /// Counts an attempt to connect: after `took` it succeeded, or failed with this message.
    pub fn connected(&self, took: Duration, failure: Option<String>) {
        if failure.is_none() && self.is_on() {
            self.create_time.record_duration(took);
        }
        *self.last_connect_error.lock() = failure;
    }

    /// Records how long a request waited for a connection.
    pub fn waited(&self, time: Duration) {
        if self.is_on() {
            self.wait_time.record_duration(time);
        }
    }

    /// Records how long a lease lasted.
    pub fn held(&self, time: Duration) {
        if self.is_on() {
            self.use_time.record_duration(time);
        }
    }

    /// The error of the last attempt to connect; none: it succeeded.
    pub fn last_connect_error(&self) -> Option<String> {
        self.last_connect_error.lock().clone()
    }

    /// Sets whether an alert fires.
    pub fn set_alert(&self, rule: Rule, active: bool) {
        self.alerts[rule as usize].store(active.into(), Ordering::Relaxed);
    }

    pub(super) fn has_alert(&self, rule: Rule) -> bool {
        self.alerts[rule as usize].load(Ordering::Relaxed) > 0
    }

    /// The best state of all breakers: while one is closed, the tier can work.
    pub fn breaker(&self) -> BreakerState {
        let states = self.breakers().iter().map(BreakerGauge::state);
        states.min_by_key(|state| *state as u8).unwrap_or(BreakerState::Closed)
    }

    pub(super) fn counts(&self) -> CounterValues {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CounterValues {
            retries: read(&self.retries),
            retries_denied: read(&self.retries_denied),
            breaker_rejected: read(&self.breaker_rejected),
            commits_unknown: read(&self.commits_unknown),
            failovers: read(&self.failovers),
            overdue: read(&self.overdue),
        }
    }

    /// Durations of operations that succeeded.
    pub(super) fn successes(&self) -> &Histogram {
        &self.succeeded
    }

    /// Durations of operations that failed, for every class that occurred.
    pub(super) fn failures(&self) -> impl Iterator<Item = (FailureClass, &Histogram)> {
        FailureClass::ALL.into_iter().filter_map(|class| Some((class, self.failed[class as usize].get()?)))
    }

    fn ended(&self, took: Duration, rows: u64, failure: Option<FailureClass>) {
        if !self.is_on() {
            return;
        }
        match failure {
            None => {
                self.succeeded.record_duration(took);
                self.rows.record(rows);
            }
            Some(class) => {
                self.failed[class as usize].get_or_init(Histogram::new).record_duration(took);
            }
        }
    }
}

/// The state of the breaker of one host.
pub(super) struct BreakerGauge {
    pub(super) address: String,
    pub(super) port: u16,
    report: Mutex<BreakerReport>,
}

impl BreakerGauge {
    pub(super) fn state(&self) -> BreakerState {
        self.report.lock().state
    }

    pub(super) fn report(&self) -> BreakerReport {
        self.report.lock().clone()
    }
}

/// Counters without attributes.
#[derive(Clone, Copy)]
pub(super) struct CounterValues {
    pub(super) retries: u64,
    pub(super) retries_denied: u64,
    pub(super) breaker_rejected: u64,
    pub(super) commits_unknown: u64,
    pub(super) failovers: u64,
    pub(super) overdue: u64,
}

/// An operation under way. One that is dropped without an end is not counted.
pub struct Operation {
    metrics: std::sync::Arc<PoolMetrics>,
    started: Instant,
    rows: u64,
    is_counted: bool,
}

impl Operation {
    /// Adds rows.
    pub fn rows(&mut self, count: u32) {
        self.rows += u64::from(count);
    }

    /// The metrics it is counted in.
    pub fn metrics(&self) -> &PoolMetrics {
        &self.metrics
    }

    /// Its time and its rows so far.
    pub fn so_far(&self) -> (Duration, u64) {
        (self.started.elapsed(), self.rows)
    }

    /// Ends the operation.
    pub fn end(self, failure: Option<FailureClass>) {
        if self.is_counted {
            self.metrics.ended(self.started.elapsed(), self.rows, failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_operation_is_counted_once_under_its_outcome() {
        let metrics = Arc::new(PoolMetrics::new("a".into(), 1));
        let mut operation = metrics.begin(true);
        operation.rows(3);
        operation.rows(4);
        operation.end(None);
        metrics.begin(true).end(Some(FailureClass::Constraint));
        drop(metrics.begin(true));
        metrics.begin(false).end(None);
        let rows = metrics.rows.read();
        assert_eq!((metrics.successes().read().count, rows.count, rows.sum), (1, 1, 7));
        let failures: Vec<_> = metrics.failures().map(|(class, times)| (class, times.read().count)).collect();
        assert_eq!(failures, [(FailureClass::Constraint, 1)]);
    }

    #[test]
    fn nothing_is_counted_while_it_is_off() {
        let metrics = Arc::new(PoolMetrics::new("a".into(), 1));
        metrics.set_on(false);
        metrics.begin(true).end(None);
        metrics.begin(true).end(Some(FailureClass::Constraint));
        metrics.retry();
        metrics.waited(Duration::from_millis(5));
        assert_eq!((metrics.successes().read().count, metrics.failures().count()), (0, 0));
        assert_eq!((metrics.counts().retries, metrics.wait_time.read().count), (0, 0));
        metrics.set_on(true);
        metrics.retry();
        assert_eq!(metrics.counts().retries, 1);
    }

    #[test]
    fn a_successful_connect_clears_the_last_error() {
        let metrics = PoolMetrics::new("a".into(), 1);
        metrics.connected(Duration::from_millis(5), Some("connect ECONNREFUSED".into()));
        assert_eq!(metrics.last_connect_error().as_deref(), Some("connect ECONNREFUSED"));
        assert_eq!(metrics.create_time.read().count, 0);
        metrics.connected(Duration::from_millis(5), None);
        assert_eq!((metrics.last_connect_error(), metrics.create_time.read().count), (None, 1));
    }
}
