//! A snapshot of all metrics at one moment: by metric for machines, by pool for people.

use std::{sync::Arc, time::Duration};

use serde_json::{Map, Value, json};

use super::{
    BreakerReport, Distribution, PoolMetrics, PoolReading,
    buckets::buckets,
    clock::{epoch_millis, millis_since_epoch},
    counters::{BreakerGauge, LimitReduction},
    event_log,
    metrics::{self, Metric},
    registry,
    rule::Rule,
};

/// A metric and its points.
pub struct Series {
    /// The metric.
    pub metric: &'static Metric,
    /// The points, one per set of attributes.
    pub points: Vec<Point>,
}

/// One value with its attributes.
pub struct Point {
    /// Names and values, the pool first.
    pub attributes: Vec<(&'static str, String)>,
    /// The value.
    pub value: PointValue,
}

/// The value of a point.
pub enum PointValue {
    /// Of a counter or a gauge.
    Number(f64),
    /// Of a histogram.
    Distribution(Distribution),
}

/// Every metric with the points it has now.
pub fn series() -> Vec<Series> {
    let mut all: Vec<Series> =
        metrics::ALL.iter().map(|metric| Series { metric, points: Vec::new() }).collect();
    for metrics in registry::all() {
        of_pool(&metrics, &mut Sheet { all: &mut all, pool: Some(&metrics.name) });
    }
    of_process(&mut Sheet { all: &mut all, pool: None });
    all
}

/// The sheet on which points are written.
struct Sheet<'a> {
    all: &'a mut Vec<Series>,
    pool: Option<&'a str>,
}

impl Sheet<'_> {
    fn point(&mut self, metric: &Metric, own: &[&str], value: PointValue) {
        let pool = self.pool.map(|pool| (metrics::POOL, pool.to_owned()));
        let own = metric.attributes.iter().copied().zip(own.iter().map(|&value| value.to_owned()));
        // Empty attributes do not apply.
        let own = own.filter(|(_, value)| !value.is_empty());
        let attributes = pool.into_iter().chain(own).collect();
        if let Some(series) = self.all.iter_mut().find(|series| series.metric.name == metric.name) {
            series.points.push(Point { attributes, value });
        }
    }

    fn number(&mut self, metric: &Metric, own: &[&str], value: impl Into<Number>) {
        self.point(metric, own, PointValue::Number(value.into().0));
    }

    fn distribution(&mut self, metric: &Metric, own: &[&str], value: Distribution) {
        self.point(metric, own, PointValue::Distribution(value));
    }
}

/// Counts as JavaScript and Prometheus know numbers.
struct Number(f64);

impl From<u64> for Number {
    #[expect(clippy::cast_precision_loss, reason = "counters stay below 2^53")]
    fn from(value: u64) -> Self {
        Self(value as f64)
    }
}

impl From<usize> for Number {
    #[expect(clippy::cast_precision_loss, reason = "counts of connections")]
    fn from(value: usize) -> Self {
        Self(value as f64)
    }
}

impl From<Duration> for Number {
    fn from(value: Duration) -> Self {
        Self(value.as_secs_f64())
    }
}

fn of_pool(metrics: &PoolMetrics, sheet: &mut Sheet<'_>) {
    let reading = metrics.reading();
    let counts = metrics.counts();
    // A success has no `error.type`, as in OpenTelemetry.
    sheet.distribution(&metrics::OPERATION_DURATION, &[""], metrics.successes().read());
    for (class, times) in metrics.failures() {
        sheet.distribution(&metrics::OPERATION_DURATION, &[class.name()], times.read());
    }
    sheet.distribution(&metrics::RETURNED_ROWS, &[], metrics.rows.read());
    sheet.number(&metrics::CONNECTION_COUNT, &["idle"], reading.idle);
    sheet.number(&metrics::CONNECTION_COUNT, &["used"], reading.used);
    sheet.number(&metrics::CONNECTION_COUNT, &["connecting"], reading.connecting);
    sheet.number(&metrics::CONNECTION_IDLE_MAX, &[], reading.max);
    sheet.number(&metrics::CONNECTION_IDLE_MIN, &[], reading.min);
    sheet.number(&metrics::CONNECTION_MAX, &[], reading.max);
    sheet.number(&metrics::CONNECTION_LIMIT, &[], reading.limit());
    sheet.number(&metrics::PENDING_REQUESTS, &[], reading.waiting);
    sheet.number(&metrics::TIMEOUTS, &[], reading.timeouts);
    sheet.distribution(&metrics::CREATE_TIME, &[], metrics.create_time.read());
    sheet.distribution(&metrics::WAIT_TIME, &[], metrics.wait_time.read());
    sheet.distribution(&metrics::USE_TIME, &[], metrics.use_time.read());
    sheet.number(&metrics::OLDEST_WAIT, &[], reading.oldest_wait.unwrap_or_default());
    sheet.number(&metrics::CONNECT_FAILURES, &[], reading.connect_failures);
    sheet.number(&metrics::OPENED, &[], reading.opened);
    for (reason, count) in &reading.closed {
        sheet.number(&metrics::CLOSED, &[reason], *count);
    }
    sheet.number(&metrics::LEAKS, &["connection"], counts.overdue);
    sheet.number(&metrics::LEAKS, &["transaction"], reading.leaked_transactions);
    sheet.number(&metrics::RETRY_ATTEMPTS, &["begun"], counts.retries);
    sheet.number(&metrics::RETRY_ATTEMPTS, &["denied"], counts.retries_denied);
    for breaker in metrics.breakers() {
        let own = [breaker.address.as_str(), &breaker.port.to_string()];
        sheet.number(&metrics::BREAKER_STATE, &own, breaker.state() as usize);
    }
    sheet.number(&metrics::BREAKER_REJECTED, &[], counts.breaker_rejected);
    sheet.number(&metrics::COMMIT_UNKNOWN, &[], counts.commits_unknown);
    sheet.number(&metrics::FAILOVERS, &[], counts.failovers);
    if let Some(limit) = metrics.adaptive_limit() {
        sheet.number(&metrics::ADAPTIVE_LIMIT, &[], limit);
        for (reason, count) in LimitReduction::ALL.into_iter().zip(metrics.limit_reductions()) {
            sheet.number(&metrics::ADAPTIVE_REDUCTIONS, &[reason.name()], count);
        }
    }
    for rule in Rule::ALL {
        sheet.number(&metrics::ALERT_ACTIVE, &[rule.name()], usize::from(metrics.has_alert(rule)));
    }
}

fn of_process(sheet: &mut Sheet<'_>) {
    sheet.number(&metrics::LISTENER_FAULTS, &[], registry::listener_faults());
    sheet.number(&metrics::LOGS_DROPPED, &[], event_log::dropped());
    sheet.number(&metrics::EVENT_LOOP_LAG, &[], registry::event_loop_lag());
}

/// The snapshot as JavaScript gets it.
pub fn to_json() -> Value {
    json!({
        "at": epoch_millis(),
        "pools": registry::all().iter().map(pool_to_json).collect::<Vec<_>>(),
        "series": series().iter().map(|series| series_to_json(series, point_to_json)).collect::<Vec<_>>(),
    })
}

/// The series alone, histograms with their buckets: `[bound, count of what is at most that]`.
pub fn series_to_json_with_buckets() -> Value {
    let with_buckets = |metric: &Metric, point: &Point| {
        let mut told = point_to_json(metric, point);
        if let PointValue::Distribution(read) = &point.value {
            told["buckets"] = json!(buckets(metric, read));
        }
        told
    };
    json!(series().iter().map(|series| series_to_json(series, with_buckets)).collect::<Vec<_>>())
}

fn series_to_json(series: &Series, tell: impl Fn(&Metric, &Point) -> Value) -> Value {
    let points: Vec<_> = series.points.iter().map(|point| tell(series.metric, point)).collect();
    let Metric { name, kind, unit, help, .. } = series.metric;
    json!({ "name": name, "kind": kind, "unit": unit, "help": help, "points": points })
}

fn point_to_json(metric: &Metric, point: &Point) -> Value {
    let attributes: Map<_, _> =
        point.attributes.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    match &point.value {
        PointValue::Number(value) => json!({ "attributes": attributes, "value": value }),
        PointValue::Distribution(read) => {
            let scale = metric.scale();
            let quantile = |share| read.quantile(share).map(|value| value * scale);
            json!({
                "attributes": attributes,
                "count": read.count,
                "sum": Number::from(read.sum).0 * scale,
                "p50": quantile(0.5),
                "p95": quantile(0.95),
                "p99": quantile(0.99),
            })
        }
    }
}

/// The numbers of one pool that the person on duty asks for. Times are in milliseconds.
fn pool_to_json(metrics: &Arc<PoolMetrics>) -> Value {
    let reading = metrics.reading();
    let limit = reading.limit();
    let PoolReading { idle, used, connecting, max, min, waiting, oldest_wait, .. } = reading;
    let counts = metrics.counts();
    let mut all = metrics.successes().read();
    let mut errors = Map::new();
    let mut faults = 0;
    for (class, times) in metrics.failures() {
        let times = times.read();
        errors.insert(class.name().to_owned(), json!(times.count));
        faults += if class.is_fault() { times.count } else { 0 };
        all.add(&times);
    }
    json!({
        "id": metrics.id,
        "name": metrics.name,
        "connections": {
            "total": idle + used + connecting, "idle": idle, "used": used, "connecting": connecting,
            "max": max, "min": min, "limit": limit,
        },
        "waiting": waiting,
        "oldestWait": oldest_wait.map(|wait| wait.as_secs_f64() * 1000.0),
        "operations": all.count,
        "errors": faults,
        "errorsByClass": errors,
        "operation": in_millis(&all),
        "acquire": in_millis(&metrics.wait_time.read()),
        "use": in_millis(&metrics.use_time.read()),
        "connect": in_millis(&metrics.create_time.read()),
        "rows": metrics.rows.read().sum,
        "timeouts": reading.timeouts,
        "opened": reading.opened,
        "connectFailures": reading.connect_failures,
        "closed": reading.closed.iter().map(|(reason, count)| ((*reason).to_owned(), json!(count))).collect::<Map<_, _>>(),
        "leaks": { "connections": counts.overdue, "transactions": reading.leaked_transactions },
        "retries": counts.retries,
        "retriesDenied": counts.retries_denied,
        "breaker": metrics.breaker().name(),
        "breakers": metrics.breakers().iter().map(breaker_to_json).collect::<Vec<_>>(),
        "breakerStops": metrics.breaker_stops(),
        "breakerRejected": counts.breaker_rejected,
        "commitsUnknown": counts.commits_unknown,
        "failovers": counts.failovers,
        "adaptive": metrics.adaptive_limit().map(|limit| {
            let [slow, full] = metrics.limit_reductions();
            json!({ "limit": limit, "slow": slow, "full": full })
        }),
        "alerts": Rule::ALL.into_iter().filter(|rule| metrics.has_alert(*rule)).map(Rule::name).collect::<Vec<_>>(),
        "lastConnectError": metrics.last_connect_error(),
        "database": metrics.place().map(|place| &place.database),
        "application": metrics.place().and_then(|place| place.application.as_ref()),
        "server": metrics.server().map(|server| json!({ "host": server.host, "version": server.version })),
        "slowQueryMillis": metrics.slow_query().map(|limit| limit.as_millis()),
    })
}

fn breaker_to_json(breaker: &BreakerGauge) -> Value {
    let BreakerReport { state, reason, next_probe } = breaker.report();
    json!({
        "host": format!("{}:{}", breaker.address, breaker.port),
        "state": state.name(),
        "reason": reason,
        "nextProbe": next_probe.map(millis_since_epoch),
    })
}

pub(super) fn in_millis(read: &Distribution) -> Value {
    let quantile = |share| read.quantile(share).map(|nanos| nanos / 1e6);
    let mean = (read.count > 0).then(|| Number::from(read.sum).0 / Number::from(read.count).0 / 1e6);
    json!({
        "count": read.count, "mean": mean, "p50": quantile(0.5), "p95": quantile(0.95), "p99": quantile(0.99),
    })
}
