//! The monitor of one pool: takes samples, and turns them into alerts.
//!
//! Of several monitors of one of our tiers the first writes to the event log and to the metrics; the others
//! report only to whoever started them.

use std::{sync::Arc, time::Duration};

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tracing::{error, info};

use super::{
    AlertThresholds, BreakerState, Distribution, FailureClass, PoolMetrics, PoolReading,
    alerts::{AlertChange, Alerts, Transition, Values},
    diagnosis::{self, Context, Signals},
    rule::Rule,
    sliding_window::{Mark, SlidingWindow, Windows},
    snapshot,
};

/// A sample of a pool that is not ours: the counts of pg's pool, and those that its monitor in JavaScript
/// made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Foreign {
    name: String,
    idle: usize,
    used: usize,
    waiting: usize,
    max: Option<usize>,
    operations: u64,
    faults: u64,
}

/// The pool that is sampled.
pub enum Subject {
    /// A tier of ours; none: it is not open yet, or gone.
    Ours(Option<Arc<PoolMetrics>>),
    /// Another pool, with its sample.
    Foreign(Foreign),
}

/// The monitor of one pool.
pub struct PoolMonitor {
    thresholds: AlertThresholds,
    window: SlidingWindow,
    alerts: Alerts,
    claimed: Option<Arc<PoolMetrics>>,
}

struct Sample {
    name: Option<String>,
    reading: Option<PoolReading>,
    /// Operations that failed since the pool was made.
    errors: u64,
    windows: Windows,
}

impl PoolMonitor {
    /// A monitor without samples.
    pub fn new(thresholds: AlertThresholds) -> Self {
        let alerts = Alerts::new(thresholds.clone());
        Self { thresholds, window: SlidingWindow::default(), alerts, claimed: None }
    }

    /// Takes a sample. `at` is of any clock that goes forward; the answer is JSON for JavaScript.
    pub fn sample(&mut self, at: Duration, subject: &Subject, context: &Context) -> Value {
        let sample = self.read(at, subject);
        let values = self.values(&sample);
        let changes = self.alerts.observe(at, &values);
        let ours = if let Subject::Ours(metrics) = subject { metrics.as_ref() } else { None };
        let signals = Signals {
            context,
            reading: sample.reading.as_ref(),
            breaker: ours.map_or(BreakerState::Closed, |metrics| metrics.breaker()),
            connect_error: ours.and_then(|metrics| metrics.last_connect_error()),
            minute: sample.windows.minute.as_ref(),
            use_p95: ours.and_then(|metrics| metrics.use_time.read().quantile(0.95)).map(|nanos| nanos / 1e6),
        };
        let changes: Vec<_> =
            changes.iter().map(|change| tell(change, sample.name.as_deref(), &signals)).collect();
        if ours.is_some_and(|metrics| self.claim(metrics)) {
            self.publish(&changes);
        }
        self.to_json(&sample, &values, &signals, &changes)
    }

    fn read(&mut self, at: Duration, subject: &Subject) -> Sample {
        match subject {
            Subject::Ours(None) => Sample {
                name: None,
                reading: None,
                errors: 0,
                windows: Windows { interval: None, minute: None },
            },
            Subject::Ours(Some(metrics)) => {
                let mark = Mark::of(metrics, at);
                Sample {
                    name: Some(metrics.name.clone()),
                    reading: metrics.try_reading(),
                    errors: mark.faults,
                    windows: self.window.sample(mark),
                }
            }
            Subject::Foreign(foreign) => {
                let (operations, faults) = (foreign.operations, foreign.faults);
                let by_class = [0; FailureClass::ALL.len()];
                let mark = Mark { at, operations, faults, by_class, times: None };
                let reading = PoolReading {
                    idle: foreign.idle,
                    used: foreign.used,
                    waiting: foreign.waiting,
                    max: foreign.max.unwrap_or(0),
                    ..PoolReading::default()
                };
                Sample {
                    name: Some(foreign.name.clone()),
                    reading: Some(reading),
                    errors: faults,
                    windows: self.window.sample(mark),
                }
            }
        }
    }

    fn values(&self, sample: &Sample) -> Values {
        let reading = sample.reading.as_ref();
        let minute = sample.windows.minute.as_ref();
        let waited =
            minute.and_then(|minute| minute.times.as_ref()?.wait.quantile(0.95)).map(|nanos| nanos / 1e6);
        let oldest = reading.and_then(|reading| reading.oldest_wait).map(|wait| wait.as_secs_f64() * 1000.0);
        let acquire = waited.into_iter().chain(oldest).reduce(f64::max);
        let least = self.thresholds.least_operations;
        let enough = minute.filter(|minute| minute.operations >= least.max(1));
        let errors = enough.map(|minute| ratio(minute.faults, minute.operations));
        let utilisation = reading
            .filter(|reading| reading.limit() > 0)
            // More may be in use for a while, where the limit has fallen.
            .map(|reading| ratio(reading.used.min(reading.limit()) as u64, reading.limit() as u64));
        let mut values: Values = [None; Rule::ALL.len()];
        values[Rule::Waiting as usize] = reading.map(|reading| ratio(reading.waiting as u64, 1));
        values[Rule::Acquire as usize] = acquire;
        values[Rule::ErrorRate as usize] = errors;
        values[Rule::Utilisation as usize] = utilisation;
        values
    }

    fn claim(&mut self, metrics: &Arc<PoolMetrics>) -> bool {
        if self.claimed.as_ref().is_some_and(|claimed| !Arc::ptr_eq(claimed, metrics)) {
            self.release();
        }
        if self.claimed.is_none() && metrics.claim_monitor() {
            self.claimed = Some(Arc::clone(metrics));
        }
        self.claimed.is_some()
    }

    /// Lets another monitor write from now on.
    pub fn release(&mut self) {
        if let Some(metrics) = self.claimed.take() {
            for rule in Rule::ALL {
                metrics.set_alert(rule, false);
            }
            metrics.release_monitor();
        }
    }

    fn publish(&self, changes: &[Value]) {
        let Some(metrics) = &self.claimed else { return };
        for rule in Rule::ALL {
            metrics.set_alert(rule, self.alerts.firing().any(|firing| firing == rule));
        }
        for change in changes {
            log(&metrics.name, change);
        }
    }

    fn to_json(&self, sample: &Sample, values: &Values, signals: &Signals<'_>, changes: &[Value]) -> Value {
        let firing: Vec<_> = self.alerts.firing().map(Rule::name).collect();
        let values: Map<_, _> = Rule::ALL
            .into_iter()
            .map(|rule| (rule.name().to_owned(), json!(values[rule as usize])))
            .collect();
        let connections = sample.reading.as_ref().map(|reading| {
            let PoolReading { idle, used, connecting, max, min, .. } = *reading;
            json!({
                "total": idle + used + connecting, "idle": idle, "used": used, "connecting": connecting,
                "max": max, "min": min, "limit": reading.limit(),
            })
        });
        json!({
            "name": sample.name,
            "connections": connections,
            "waiting": sample.reading.as_ref().map(|reading| reading.waiting),
            "oldestWait": sample.reading.as_ref().and_then(|reading| reading.oldest_wait).map(|wait| wait.as_secs_f64() * 1000.0),
            "errors": sample.errors,
            "interval": sample.windows.interval.as_ref().map(mark_to_json),
            "minute": sample.windows.minute.as_ref().map(mark_to_json),
            "values": values,
            "breaker": signals.breaker.name(),
            "lastConnectError": signals.connect_error,
            "firing": firing,
            "changes": changes,
        })
    }
}

impl Drop for PoolMonitor {
    fn drop(&mut self) {
        self.release();
    }
}

/// Logs an alert, in a line that an operator understands without the page.
fn log(pool: &str, change: &Value) {
    let text = |name: &str| change[name].as_str().unwrap_or_default();
    let number = |name: &str| change[name].as_f64().unwrap_or_default();
    let (rule, transition, unit) = (text("rule"), text("turn"), text("unit"));
    let (value, threshold, since) = (number("value"), number("threshold"), number("since"));
    let causes = change["causes"].as_array().into_iter().flatten();
    let causes: Vec<_> = causes.filter_map(|cause| cause["text"].as_str()).collect();
    if transition == "cleared" {
        info!(target: "alert", pool, rule, value, threshold, unit, since, "{transition}");
    } else {
        let causes = causes.join("; ");
        error!(target: "alert", pool, rule, value, threshold, unit, since, causes, "{transition}");
    }
}

fn tell(change: &AlertChange, name: Option<&str>, signals: &Signals<'_>) -> Value {
    let transition = match change.transition {
        Transition::Fired => "fired",
        Transition::Reminded => "reminded",
        Transition::Cleared => "cleared",
    };
    let causes = if change.transition == Transition::Cleared {
        Vec::new()
    } else {
        diagnosis::find(change.rule, signals)
    };
    json!({
        "rule": change.rule.name(),
        "turn": transition,
        "tier": name,
        "value": change.value,
        "threshold": change.threshold,
        "unit": change.rule.unit(),
        "since": change.since.as_secs_f64() * 1000.0,
        "firedAt": change.fired_at.as_secs_f64() * 1000.0,
        "causes": causes,
    })
}

fn mark_to_json(mark: &Mark) -> Value {
    let seconds = mark.at.as_secs_f64();
    let by_class = FailureClass::ALL.into_iter().filter(|class| mark.by_class[*class as usize] > 0);
    let errors: Map<_, _> =
        by_class.map(|class| (class.name().to_owned(), json!(mark.by_class[class as usize]))).collect();
    let times = |read: fn(&super::sliding_window::Times) -> &Distribution| {
        mark.times.as_ref().map(|times| snapshot::in_millis(read(times)))
    };
    json!({
        "seconds": seconds,
        "operations": mark.operations,
        "errors": mark.faults,
        "errorsByClass": errors,
        "throughput": if seconds > 0.0 { Some(ratio(mark.operations, 1) / seconds) } else { None },
        "rows": mark.times.as_ref().map(|times| times.rows),
        "operation": times(|times| &times.operation),
        "acquire": times(|times| &times.wait),
    })
}

#[expect(clippy::cast_precision_loss, reason = "counts stay below 2^53")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{event_log, registry};

    const SECOND: Duration = Duration::from_secs(1);

    fn reader(waiting: usize, used: usize) -> super::super::PoolReader {
        Box::new(move || Some(PoolReading { waiting, used, max: 10, ..PoolReading::default() }))
    }

    #[test]
    fn of_two_watches_the_first_speaks_for_the_tier() {
        let metrics = registry::open("watched");
        metrics.attach(reader(11, 10));
        let told = r#"{"waiting":{"above":10,"forMillis":0}}"#;
        let thresholds = AlertThresholds::from_json(told).unwrap_or_default();
        let (mut first, mut second) = (PoolMonitor::new(thresholds.clone()), PoolMonitor::new(thresholds));
        let subject = Subject::Ours(Some(Arc::clone(&metrics)));
        for monitor in [&mut first, &mut second] {
            let sample = monitor.sample(SECOND, &subject, &Context::default());
            assert_eq!(sample["changes"][0]["turn"], "fired");
            assert_eq!(sample["changes"][0]["causes"][0]["kind"], "load");
        }
        let noted = |event: &str| {
            let entries = event_log::after(0);
            entries
                .iter()
                .filter(|entry| entry.pool.as_deref() == Some("watched") && entry.event == event)
                .count()
        };
        assert_eq!(noted("fired"), 1);
        assert!(metrics.has_alert(Rule::Waiting));
        drop(first);
        assert!(!metrics.has_alert(Rule::Waiting));
        second.sample(2 * SECOND, &subject, &Context::default());
        assert!(metrics.has_alert(Rule::Waiting));
    }

    #[test]
    fn fewer_operations_than_fifty_say_nothing_about_errors() {
        let metrics = registry::open("errors");
        metrics.attach(reader(0, 0));
        let mut monitor = PoolMonitor::new(AlertThresholds::default());
        let subject = Subject::Ours(Some(Arc::clone(&metrics)));
        monitor.sample(Duration::ZERO, &subject, &Context::default());
        for _ in 0..49 {
            metrics.begin(true).end(Some(FailureClass::Connection));
        }
        let sample = monitor.sample(SECOND, &subject, &Context::default());
        assert_eq!(sample["values"]["error_rate"], Value::Null);
        metrics.begin(true).end(None);
        metrics.begin(true).end(Some(FailureClass::Cancelled));
        let sample = monitor.sample(2 * SECOND, &subject, &Context::default());
        assert_eq!(sample["values"]["error_rate"].as_f64(), Some(49.0 / 51.0));
        assert_eq!(sample["interval"]["operations"], 2);
    }

    #[test]
    fn the_oldest_waiter_counts_where_nobody_was_served() {
        let metrics = registry::open("starved");
        let oldest_wait = Some(6 * SECOND);
        metrics.attach(Box::new(move || {
            Some(PoolReading { waiting: 1, oldest_wait, ..PoolReading::default() })
        }));
        let mut monitor = PoolMonitor::new(AlertThresholds::default());
        let sample = monitor.sample(SECOND, &Subject::Ours(Some(metrics)), &Context::default());
        assert_eq!(sample["values"]["acquire"], 6000.0);
        assert_eq!(sample["firing"][0], "acquire");
    }

    #[test]
    fn a_foreign_pool_is_watched_by_its_counts() {
        let mut monitor = PoolMonitor::new(AlertThresholds::default());
        let foreign =
            Foreign { name: "theirs".into(), used: 9, max: Some(10), waiting: 2, ..Foreign::default() };
        let sample = monitor.sample(SECOND, &Subject::Foreign(foreign), &Context::default());
        assert_eq!(sample["values"]["utilisation"], 0.9);
        assert_eq!(sample["values"]["waiting"], 2.0);
        assert_eq!(sample["values"]["acquire"], Value::Null);
    }

    #[test]
    fn a_pool_that_is_not_open_holds_everything() {
        let mut monitor = PoolMonitor::new(AlertThresholds::default());
        let sample = monitor.sample(SECOND, &Subject::Ours(None), &Context::default());
        assert_eq!(sample["values"]["waiting"], Value::Null);
    }
}
