//! The event log: notable events that the pool does by itself, for logs and for the live page.
//!
//! Events are made by the macros of `tracing`, where they happen: the target is the subject, the message is
//! what happened, `pool` is the tier, and other fields are details; these names are stable. The last events
//! are kept; listeners hear every one; standard error gets those that `PGPOOL_LOG` asks for, without
//! it the warnings of tiers. No event has parameters or passwords; a slow query's text has no values.

use std::{
    collections::VecDeque,
    fmt::Debug,
    sync::{Arc, Once},
};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::{Event, Subscriber, field::Field};
use tracing_subscriber::{
    Layer,
    layer::{Context, SubscriberExt},
};

use super::{
    clock::epoch_millis,
    log_writer::{self, PoolName},
    registry,
};

/// The number of events that are kept.
const KEPT: usize = 1000;

/// One notable event.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LogEvent {
    /// A number that counts up; a gap means that events were missed.
    pub number: u64,
    /// The time, in milliseconds since 1970.
    pub at: u64,
    /// The level: `debug`, `info`, `warn` or `error`.
    pub level: &'static str,
    /// The subject: `connection`, `retry`, `breaker`, `leak`, `failover`, `adaptive`, `commit`,
    /// `alert`, `query`.
    pub target: String,
    /// The event: `opened`, `closed`, `connect_failed`.
    pub event: String,
    /// The tier.
    pub pool: Option<String>,
    /// Details.
    pub fields: Map<String, Value>,
}

/// A listener, which hears every event. It must not wait.
pub type LogListener = Arc<dyn Fn(&LogEvent) + Send + Sync>;

static STARTED: Once = Once::new();
static EVENT_LOG: Mutex<EventLog> =
    Mutex::new(EventLog { written: 0, events: VecDeque::new(), listeners: Vec::new() });

struct EventLog {
    written: u64,
    events: VecDeque<Arc<LogEvent>>,
    listeners: Vec<(u64, LogListener)>,
}

/// Starts the log. Where the process has a subscriber of its own for `tracing`, that one gets the events
/// instead.
pub fn start() {
    STARTED.call_once(|| {
        let subscriber = tracing_subscriber::registry().with(Keeper).with(log_writer::layer());
        let _ = tracing::subscriber::set_global_default(subscriber);
    });
}

/// The layer that keeps events and calls listeners.
struct Keeper;

impl<S: Subscriber> Layer<S> for Keeper {
    /// A pool that is not measured logs nothing, to nobody.
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let mut pool = PoolName::default();
        event.record(&mut pool);
        !pool.0.is_some_and(|name| registry::is_off(&name))
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let mut log_event = LogEvent {
            at: epoch_millis(),
            level: name_of(*metadata.level()),
            target: metadata.target().to_owned(),
            ..LogEvent::default()
        };
        event.record(&mut log_event);
        let (log_event, listeners) = keep(log_event);
        for listener in listeners {
            listener(&log_event);
        }
    }
}

fn keep(mut event: LogEvent) -> (Arc<LogEvent>, Vec<LogListener>) {
    let mut event_log = EVENT_LOG.lock();
    // The number is given under the lock: a reader that has read up to a number has missed none before it.
    event_log.written += 1;
    event.number = event_log.written;
    let event = Arc::new(event);
    if event_log.events.len() == KEPT {
        event_log.events.pop_front();
    }
    event_log.events.push_back(Arc::clone(&event));
    (event, event_log.listeners.iter().map(|(_, listener)| Arc::clone(listener)).collect())
}

fn name_of(level: tracing::Level) -> &'static str {
    match level {
        tracing::Level::ERROR => "error",
        tracing::Level::WARN => "warn",
        tracing::Level::INFO => "info",
        _ => "debug",
    }
}

impl LogEvent {
    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(event)) => self.event = event,
            ("pool", Value::String(pool)) => self.pool = Some(pool),
            (name, value) => drop(self.fields.insert(name.to_owned(), value)),
        }
    }
}

impl tracing::field::Visit for LogEvent {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.set(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }
}

/// Adds a listener, until [`ignore`] is called with the same number.
pub fn listen(number: u64, listener: LogListener) {
    start();
    EVENT_LOG.lock().listeners.push((number, listener));
}

/// Removes the listener of this number.
pub fn ignore(number: u64) {
    EVENT_LOG.lock().listeners.retain(|(listening, _)| *listening != number);
}

/// The events after this number, oldest first.
pub fn after(number: u64) -> Vec<Arc<LogEvent>> {
    EVENT_LOG.lock().events.iter().filter(|event| event.number > number).cloned().collect()
}

/// Log lines that were dropped because standard error was too slow.
pub fn dropped() -> u64 {
    log_writer::dropped()
}

/// Waits until all log lines are written, but not for long: the process ends.
pub fn flush() {
    log_writer::flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps tests of the log apart: there is one log in the process, and one test might push the events of
    /// another out.
    static ALONE: Mutex<()> = Mutex::new(());

    #[test]
    fn listeners_hear_entries_until_they_are_ignored() {
        let _alone = ALONE.lock();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        listen(
            77,
            Arc::new(move |event| {
                if event.target == "event-log-test" {
                    ears.lock().push(event.clone());
                }
            }),
        );
        tracing::info!(target: "event-log-test", pool = "a", n = 1, ratio = 0.5, none = None::<u32>, "first");
        ignore(77);
        tracing::warn!(target: "event-log-test", "second");
        let heard = heard.lock();
        let [first] = heard.as_slice() else { panic!("one is heard, not {heard:?}") };
        assert_eq!((first.event.as_str(), first.pool.as_deref(), first.level), ("first", Some("a"), "info"));
        assert_eq!(Value::from(first.fields.clone()), serde_json::json!({ "n": 1, "ratio": 0.5 }));
        let kept = after(0);
        assert!(kept.len() <= KEPT);
        assert!(kept.iter().any(|event| event.event == "second"));
    }

    #[test]
    fn entries_are_kept_in_the_order_of_their_numbers() {
        let _alone = ALONE.lock();
        start();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| tracing::info!(target: "event-log-test", "counted")));
            }
        });
        assert!(after(0).is_sorted_by_key(|event| event.number));
    }
}
