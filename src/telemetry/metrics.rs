//! The one table of metrics: name, kind, unit, help.
//!
//! The Prometheus text, the JSON snapshot, the OpenTelemetry instruments, the Grafana dashboard and the alert
//! rules are all made from it. The names follow OpenTelemetry's conventions for database clients; names of
//! our own begin with `pgpool_rs`. Every metric has the attribute `db.client.connection.pool.name` in
//! addition to those listed here.

use serde::Serialize;

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricKind {
    /// A value that only grows.
    Counter,
    /// A value that goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Metric {
    /// The dotted name.
    pub name: &'static str,
    /// The kind.
    pub kind: MetricKind,
    /// The unit in UCUM, as OpenTelemetry writes it: `s`, `{connection}`, `1`.
    pub unit: &'static str,
    /// The help text, one sentence.
    pub help: &'static str,
    /// Attributes besides the name of the pool.
    pub attributes: &'static [&'static str],
}

/// The attribute that names the pool.
pub const POOL: &str = "db.client.connection.pool.name";

macro_rules! metrics {
    ($($constant:ident $kind:ident $name:literal $unit:literal [$($attribute:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $constant: Metric = Metric {
                name: $name,
                kind: MetricKind::$kind,
                unit: $unit,
                help: $help,
                attributes: &[$($attribute),*],
            };
        )*
        /// Every metric, in the order of all listings.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

metrics! {
    OPERATION_DURATION Histogram "db.client.operation.duration" "s" ["error.type"]
        "Time from the call to its answer, waiting and retries included.";
    RETURNED_ROWS Histogram "db.client.response.returned_rows" "{row}" []
        "Rows of the answers.";
    CONNECTION_COUNT Gauge "db.client.connection.count" "{connection}" ["db.client.connection.state"]
        "Connections by state: idle, used, or connecting.";
    CONNECTION_IDLE_MAX Gauge "db.client.connection.idle.max" "{connection}" []
        "The most connections that may be idle.";
    CONNECTION_IDLE_MIN Gauge "db.client.connection.idle.min" "{connection}" []
        "Connections that the idle timeout leaves alone.";
    CONNECTION_MAX Gauge "db.client.connection.max" "{connection}" []
        "The most connections at a time.";
    PENDING_REQUESTS Gauge "db.client.connection.pending_requests" "{request}" []
        "Requests that wait for a connection.";
    TIMEOUTS Counter "db.client.connection.timeouts" "{timeout}" []
        "Requests that waited for a connection until their time ran out.";
    CREATE_TIME Histogram "db.client.connection.create_time" "s" []
        "Time it took to make a connection.";
    WAIT_TIME Histogram "db.client.connection.wait_time" "s" []
        "Time it took to get a connection from the pool.";
    USE_TIME Histogram "db.client.connection.use_time" "s" []
        "Time between getting a connection and giving it back.";
    CONNECTION_LIMIT Gauge "pgpool_rs.connection.limit" "{connection}" []
        "Connections there may be at this moment: the maximum, or what a shared budget and an adaptive limit leave of it.";
    OLDEST_WAIT Gauge "pgpool_rs.connection.oldest_wait" "s" []
        "How long the oldest waiting request has waited.";
    CONNECT_FAILURES Counter "pgpool_rs.connection.connect_failures" "{attempt}" []
        "Attempts to connect that failed.";
    OPENED Counter "pgpool_rs.connection.opened" "{connection}" []
        "Connections made.";
    CLOSED Counter "pgpool_rs.connection.closed" "{connection}" ["reason"]
        "Connections closed, by reason.";
    LEAKS Counter "pgpool_rs.connection.leaks" "{leak}" ["kind"]
        "Connections leased for too long, and transactions left open at the return.";
    RETRY_ATTEMPTS Counter "pgpool_rs.retry.attempts" "{attempt}" ["outcome"]
        "Retries begun, and first errors returned because the budget was spent.";
    BREAKER_STATE Gauge "pgpool_rs.breaker.state" "1" ["server.address", "server.port"]
        "The circuit breaker of a host: 0 closed, 2 open.";
    BREAKER_REJECTED Counter "pgpool_rs.breaker.rejected" "{request}" []
        "Requests that an open circuit breaker refused.";
    COMMIT_UNKNOWN Counter "pgpool_rs.commit.unknown" "{commit}" []
        "Commits whose outcome could not be found out.";
    FAILOVERS Counter "pgpool_rs.failovers" "{failover}" []
        "Times a host was left for another one.";
    ADAPTIVE_LIMIT Gauge "pgpool_rs.adaptive.limit" "{connection}" []
        "Connections that may be in use at a time so that higher tiers are not slowed; none where there is no such limit.";
    ADAPTIVE_REDUCTIONS Counter "pgpool_rs.adaptive.reductions" "{reduction}" ["reason"]
        "Times the adaptive limit was reduced: answers of higher tiers were slow, or the server was full.";
    ALERT_ACTIVE Gauge "pgpool_rs.alert.active" "1" ["rule"]
        "1 while the alert fires.";
    LISTENER_FAULTS Counter "pgpool_rs.listener.faults" "{fault}" []
        "Listeners of logs and alerts that threw.";
    LOGS_DROPPED Counter "pgpool_rs.logs.dropped" "{event}" []
        "Log lines that were not written: standard error was too slow, or there were too many.";
    EVENT_LOOP_LAG Gauge "pgpool_rs.event_loop.lag" "s" []
        "p99 delay of the JavaScript thread, as the last monitor measured it.";
}

/// Metrics of the process, which carry no name of a pool.
pub const OF_PROCESS: &[Metric] = &[LISTENER_FAULTS, LOGS_DROPPED, EVENT_LOOP_LAG];

impl Metric {
    /// The name in Prometheus: dots to underscores, the unit of a time, `_total` for counters.
    pub fn prometheus(&self) -> String {
        let mut name = self.name.replace('.', "_");
        if self.unit == "s" {
            name.push_str("_seconds");
        }
        if self.kind == MetricKind::Counter {
            name.push_str("_total");
        }
        name
    }

    /// The factor between recorded and reported values: histograms of time record nanoseconds and report
    /// seconds.
    pub(super) fn scale(&self) -> f64 {
        if self.kind == MetricKind::Histogram && self.unit == "s" { 1e-9 } else { 1.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_in_both_notations() {
        let mut dotted: Vec<_> = ALL.iter().map(|metric| metric.name).collect();
        let mut flat: Vec<_> = ALL.iter().map(Metric::prometheus).collect();
        dotted.sort_unstable();
        dotted.dedup();
        flat.sort_unstable();
        flat.dedup();
        assert_eq!((dotted.len(), flat.len()), (ALL.len(), ALL.len()));
    }

    #[test]
    fn units_and_kinds_become_suffixes() {
        assert_eq!(OPERATION_DURATION.prometheus(), "db_client_operation_duration_seconds");
        assert_eq!(TIMEOUTS.prometheus(), "db_client_connection_timeouts_total");
        assert_eq!(RETRY_ATTEMPTS.prometheus(), "pgpool_rs_retry_attempts_total");
    }
}
