//! Notable events: what the pool did by itself, for logs and for the live page.
//!
//! An [`Entry`] has a level, a target (what it is about), a name and fields; the names are stable.
//! The last few are kept; listeners hear every one; standard error gets what `PGPOOL_LOG` asks for.
//! Nobody puts parameters, texts of statements or passwords into an entry.

use std::{
    collections::VecDeque,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use serde::Serialize;
use serde_json::{Map, Value};

use super::{snapshot, stderr::Stderr};

/// How many entries are kept.
const KEPT: usize = 200;

/// How much an entry matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the curious.
    Debug,
    /// As planned.
    Info,
    /// Somebody should know.
    Warn,
    /// Somebody has to do something.
    Error,
}

impl Level {
    /// Reads the name of a level.
    pub fn parse(name: &str) -> Option<Self> {
        match name.to_ascii_lowercase().as_str() {
            "debug" | "trace" => Some(Self::Debug),
            "info" => Some(Self::Info),
            "warn" | "warning" => Some(Self::Warn),
            "error" => Some(Self::Error),
            _ => None,
        }
    }

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// One notable event.
#[derive(Clone, Debug, Serialize)]
pub struct Entry {
    /// Counts up; a gap means that entries were missed.
    pub number: u64,
    /// Milliseconds since 1970.
    pub at: u64,
    /// How much it matters.
    pub level: Level,
    /// What it is about: `connection`, `retry`, `breaker`, `leak`, `failover`, `alert`, `pool`.
    pub target: String,
    /// What happened: `opened`, `closed`, `connect_failed`.
    pub event: String,
    /// The tier.
    pub pool: Option<String>,
    /// What else is known.
    pub fields: Map<String, Value>,
}

/// Hears every entry. Must not wait.
pub type Listener = Arc<dyn Fn(&Entry) + Send + Sync>;

static JOURNAL: Mutex<Journal> = Mutex::new(Journal { entries: VecDeque::new(), listeners: Vec::new() });
static WRITTEN: AtomicU64 = AtomicU64::new(0);
static STDERR: OnceLock<Option<Stderr>> = OnceLock::new();

struct Journal {
    entries: VecDeque<Arc<Entry>>,
    listeners: Vec<(u64, Listener)>,
}

/// Notes an event. `fields` is a JSON object.
pub fn note(level: Level, target: &str, event: &str, pool: Option<&str>, fields: Value) {
    let entry = Arc::new(Entry {
        number: WRITTEN.fetch_add(1, Ordering::Relaxed) + 1,
        at: snapshot::epoch_millis(),
        level,
        target: target.to_owned(),
        event: event.to_owned(),
        pool: pool.map(ToOwned::to_owned),
        fields: if let Value::Object(fields) = fields { fields } else { Map::new() },
    });
    let listeners: Vec<_> = {
        let mut journal = JOURNAL.lock();
        if journal.entries.len() == KEPT {
            journal.entries.pop_front();
        }
        journal.entries.push_back(Arc::clone(&entry));
        journal.listeners.iter().map(|(_, listener)| Arc::clone(listener)).collect()
    };
    for listener in listeners {
        listener(&entry);
    }
    if let Some(stderr) = STDERR.get_or_init(Stderr::from_environment) {
        stderr.write(&entry);
    }
}

/// From now on `listener` hears every entry, until [`ignore`] is told the same number.
pub fn listen(number: u64, listener: Listener) {
    JOURNAL.lock().listeners.push((number, listener));
}

/// The listener of this number hears no more.
pub fn ignore(number: u64) {
    JOURNAL.lock().listeners.retain(|(listening, _)| *listening != number);
}

/// The entries after this number, oldest first.
pub fn after(number: u64) -> Vec<Arc<Entry>> {
    JOURNAL.lock().entries.iter().filter(|entry| entry.number > number).cloned().collect()
}

/// Lines that standard error was too slow for.
pub fn dropped() -> u64 {
    STDERR.get().and_then(Option::as_ref).map_or(0, Stderr::dropped)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn listeners_hear_entries_until_they_are_ignored() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        listen(
            77,
            Arc::new(move |entry| {
                if entry.target == "journal-test" {
                    ears.lock().push(entry.event.clone());
                }
            }),
        );
        note(Level::Info, "journal-test", "first", Some("a"), json!({ "n": 1 }));
        ignore(77);
        note(Level::Info, "journal-test", "second", None, Value::Null);
        assert_eq!(*heard.lock(), ["first"]);
        let kept = after(0);
        assert!(kept.len() <= KEPT);
        assert!(kept.iter().any(|entry| entry.event == "second"));
    }
}
