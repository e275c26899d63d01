//! Log lines on standard error, as text or JSON.
//!
//! `PGPOOL_LOG` is a level, or levels by target: `warn`, `warn,connection=debug`, `retry=info`.
//! Unset, nothing is written: a driver does not talk unasked. A thread of its own writes, so that a
//! full pipe delays nobody; lines that do not fit into its queue are counted and dropped.

use std::{
    env,
    fmt::Write as _,
    io::{self, Write},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    thread,
};

use super::journal::{Entry, Level};

const QUEUE: usize = 1024;

/// Which entries are wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Filter {
    general: Option<Level>,
    by_target: Vec<(String, Option<Level>)>,
}

impl Filter {
    /// What cannot be read is ignored: a log setting must not stop an application.
    pub(super) fn parse(text: &str) -> Self {
        let mut filter = Self { general: None, by_target: Vec::new() };
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                None => filter.general = Level::parse(part).or(filter.general),
                Some((target, level)) => {
                    filter.by_target.push((target.trim().to_owned(), Level::parse(level.trim())));
                }
            }
        }
        filter
    }

    pub(super) fn wants(&self, level: Level, target: &str) -> bool {
        let own = self.by_target.iter().rev().find(|(name, _)| name == target).map(|(_, level)| *level);
        own.unwrap_or(self.general).is_some_and(|least| level >= least)
    }

    fn is_silent(&self) -> bool {
        self.general.is_none() && self.by_target.iter().all(|(_, level)| level.is_none())
    }
}

pub(super) struct Stderr {
    filter: Filter,
    is_json: bool,
    queue: SyncSender<String>,
    dropped: AtomicU64,
}

impl Stderr {
    /// None: nothing is to be written.
    pub(super) fn from_environment() -> Option<Self> {
        let filter = Filter::parse(&env::var("PGPOOL_LOG").ok()?);
        if filter.is_silent() {
            return None;
        }
        let is_json = env::var("PGPOOL_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
        let (queue, lines) = sync_channel::<String>(QUEUE);
        let writer = thread::Builder::new().name("pgpool-rs-log".into());
        let spawned = writer.spawn(move || {
            for line in lines {
                let _ = io::stderr().lock().write_all(line.as_bytes());
            }
        });
        spawned.ok().map(|_| Self { filter, is_json, queue, dropped: AtomicU64::new(0) })
    }

    pub(super) fn write(&self, entry: &Entry) {
        if !self.filter.wants(entry.level, &entry.target) {
            return;
        }
        let line = if self.is_json { as_json(entry) } else { as_text(entry) };
        if self.queue.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

fn as_json(entry: &Entry) -> String {
    let mut line = serde_json::to_string(entry).unwrap_or_default();
    line.push('\n');
    line
}

/// `WARN connection closed pool=admin reason=broken`. The fields are JSON, so a line stays a line.
fn as_text(entry: &Entry) -> String {
    let level = entry.level.name().to_ascii_uppercase();
    let mut line = format!("pgpool-rs {} {level:5} {} {}", entry.at, entry.target, entry.event);
    if let Some(pool) = &entry.pool {
        let _ = write!(line, " pool={}", serde_json::Value::from(pool.as_str()));
    }
    for (name, value) in &entry.fields {
        let _ = write!(line, " {name}={value}");
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_goes_for_all_targets_but_those_named() {
        let filter = Filter::parse("warn, connection=debug,retry=off");
        assert!(filter.wants(Level::Warn, "breaker"));
        assert!(!filter.wants(Level::Info, "breaker"));
        assert!(filter.wants(Level::Debug, "connection"));
        assert!(!filter.wants(Level::Error, "retry"));
    }

    #[test]
    fn off_and_what_makes_no_sense_are_silent() {
        for text in ["", "off", "loud", "retry=off"] {
            assert!(Filter::parse(text).is_silent(), "{text}");
        }
        assert!(!Filter::parse("loud,info").is_silent());
    }
}
