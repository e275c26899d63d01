//! Metrics, monitors and the event log, as JavaScript reads them.

use std::{sync::Arc, time::Duration};

use napi::{Either, Error, Result};
use napi_derive::napi;
use serde_json::{Value, json};
use tracing::warn;

use super::{bridge::Bridge, layout::RecordKind};
use crate::telemetry::{
    AlertThresholds, Context, FailureClass, Rule, Subject, event_log, metrics, prometheus, registry, snapshot,
};

/// Metrics and events of the process: static methods only.
#[napi]
pub struct Telemetry;

#[napi]
impl Telemetry {
    /// Snapshot of everything that is measured, as JSON.
    #[napi(catch_unwind)]
    pub fn snapshot() -> String {
        snapshot::to_json().to_string()
    }

    /// Series of every metric, histograms with their buckets, as JSON.
    #[napi(catch_unwind)]
    pub fn series() -> String {
        snapshot::series_to_json_with_buckets().to_string()
    }

    /// Text of the same for Prometheus.
    #[napi(catch_unwind)]
    pub fn text() -> String {
        prometheus::text()
    }

    /// Table of the metrics, alert rules and classes of failures, as JSON.
    #[napi(catch_unwind)]
    pub fn table() -> String {
        let metrics: Vec<_> = metrics::ALL.iter().map(describe).collect();
        let rules: Vec<_> = Rule::ALL
            .iter()
            .map(|rule| json!({ "rule": rule.name(), "unit": rule.unit(), "setting": rule.setting() }))
            .collect();
        json!({
            "metrics": metrics,
            "pool": metrics::POOL,
            "rules": rules,
            "thresholds": AlertThresholds::default().to_json(),
            "failures": FailureClass::ALL.map(FailureClass::name),
            "notFaults": FailureClass::ALL.into_iter().filter(|class| !class.is_fault()).map(FailureClass::name).collect::<Vec<_>>(),
        })
        .to_string()
    }

    /// Entries of the event log after this number, as a JSON array, the oldest first.
    #[napi(catch_unwind)]
    pub fn entries(number: f64) -> String {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
        let entries = event_log::after(number as u64);
        json!(entries.iter().map(Arc::as_ref).collect::<Vec<_>>()).to_string()
    }

    /// Counts and logs a lease of this pool that lasts too long; `stack`: of its caller, where that is known.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over Strings")]
    pub fn overdue(pool: u32, connection: u32, held_millis: f64, stack: Option<String>) {
        let Some(metrics) = registry::find(pool) else { return };
        metrics.overdue();
        let (pool, stack) = (metrics.name.as_str(), stack.as_deref());
        warn!(target: "leak", pool, connection, heldMillis = held_millis, stack, "overdue");
    }

    /// Flushes the log before the process ends, as far as standard error takes it soon.
    #[napi(catch_unwind)]
    pub fn flush() {
        event_log::flush();
    }

    /// Counts a listener of logs or alerts that threw.
    #[napi(catch_unwind)]
    pub fn listener_fault() {
        registry::listener_fault();
    }
}

fn describe(metric: &metrics::Metric) -> Value {
    let mut value = json!(metric);
    value["prometheus"] = Value::String(metric.prometheus());
    value["process"] = Value::Bool(metrics::OF_PROCESS.contains(metric));
    value
}

/// Monitor of one pool: samples it regularly and finds what has changed.
#[napi]
pub struct Monitor(crate::telemetry::PoolMonitor);

#[napi]
impl Monitor {
    /// Opens a monitor. `thresholds`: JSON; what is absent keeps its default.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    pub fn new(thresholds: String) -> Result<Self> {
        let thresholds = AlertThresholds::from_json(&thresholds).map_err(Error::from_reason)?;
        Ok(Self(crate::telemetry::PoolMonitor::new(thresholds)))
    }

    /// Samples the pool; what has changed, as JSON. `at`: milliseconds of a monotonic clock; `pool`: the number of
    /// one of ours, or the counts of a foreign one as JSON; `context`: JSON.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over Strings")]
    pub fn sample(&mut self, at: f64, pool: Either<u32, String>, context: String) -> Result<String> {
        let at = Duration::try_from_secs_f64(at / 1000.0)
            .map_err(|error| Error::from_reason(error.to_string()))?;
        let context: Context = read_json(&context)?;
        if let Some(lag) = context.event_loop_lag {
            registry::set_event_loop_lag(Duration::try_from_secs_f64(lag / 1000.0).unwrap_or_default());
        }
        let subject = match pool {
            Either::A(id) => Subject::Ours(registry::find(id)),
            Either::B(counts) => Subject::Foreign(read_json(&counts)?),
        };
        Ok(self.0.sample(at, &subject, &context).to_string())
    }

    /// Closes the monitor: another one may speak for the tier.
    #[napi(catch_unwind)]
    pub fn close(&mut self) {
        self.0.release();
    }
}

fn read_json<T: serde::de::DeserializeOwned>(json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| Error::from_reason(error.to_string()))
}

#[napi]
impl Bridge {
    /// Sets whether events of the log come as records.
    #[napi(catch_unwind)]
    pub fn listen(&self, on: bool) {
        let outbox = &self.outbox;
        let number = Arc::as_ptr(outbox) as usize as u64;
        event_log::ignore(number);
        if on {
            // Weak, because the event log outlives the thread that listens.
            let outbox = Arc::downgrade(outbox);
            event_log::listen(
                number,
                Arc::new(move |entry| {
                    if let Some(outbox) = outbox.upgrade() {
                        outbox.push_json(RecordKind::Log, 0, 0, entry);
                    }
                }),
            );
        }
    }
}
