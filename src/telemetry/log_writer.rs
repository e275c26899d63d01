//! Log lines on standard error, as text or JSON.
//!
//! `PGPOOL_LOG` is a level, or levels by target: `warn`, `warn,connection=debug`, `retry=info`. Without it
//! nothing is written. A thread of its own writes, so that a full pipe delays nobody; lines that do not fit
//! into its queue are counted and dropped.

use std::{
    env, fmt,
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, channel, sync_channel},
    },
    thread,
    time::Duration,
};

use tracing::Subscriber;
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    registry::LookupSpan,
};

const QUEUE: usize = 1024;
/// The longest time that the end of the process is delayed.
const PATIENCE: Duration = Duration::from_millis(500);

static QUEUED: OnceLock<SyncSender<Job>> = OnceLock::new();
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Job {
    Write(Vec<u8>),
    /// A message that all lines before it are written.
    Tell(std::sync::mpsc::Sender<()>),
}

/// The layer that writes events; none: `PGPOOL_LOG` asks for nothing.
pub(super) fn layer<S>() -> Option<Box<dyn Layer<S> + Send + Sync>>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let filter = parse(&env::var("PGPOOL_LOG").ok()?)?;
    let is_json = env::var("PGPOOL_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    spawn().ok()?;
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Queue);
    Some(if is_json {
        lines.json().flatten_event(true).with_span_list(false).with_filter(filter).boxed()
    } else {
        lines.with_timer(Prefixed).with_ansi(false).with_filter(filter).boxed()
    })
}

/// Parses `PGPOOL_LOG`. A part that cannot be read is left out: a log setting must not stop an application.
fn parse(text: &str) -> Option<Targets> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let filters = parts.filter_map(|part| part.parse::<Targets>().ok());
    filters.reduce(|all, one| {
        let general = one.default_level().or(all.default_level());
        let all = all.with_targets(one.iter().map(|(target, level)| (target.to_owned(), level)));
        if let Some(level) = general { all.with_default(level) } else { all }
    })
}

fn spawn() -> io::Result<()> {
    let (queue, jobs) = sync_channel(QUEUE);
    thread::Builder::new().name("pgpool-rs-log".into()).spawn(move || {
        for job in jobs {
            match job {
                Job::Write(line) => drop(io::stderr().lock().write_all(&line)),
                Job::Tell(listener) => drop(listener.send(())),
            }
        }
    })?;
    let _ = QUEUED.set(queue);
    Ok(())
}

/// The queue of lines. The formatter writes one line per call.
struct Queue;

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let queued = QUEUED.get().is_some_and(|queue| queue.try_send(Job::Write(line.to_vec())).is_ok());
        if !queued {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The beginning of a line: our name, since standard error is shared, and the time.
struct Prefixed;

impl FormatTime for Prefixed {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        writer.write_str("pgpool-rs ")?;
        SystemTime.format_time(writer)
    }
}

pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

pub(super) fn flush() {
    let Some(queue) = QUEUED.get() else { return };
    let (sender, written) = channel();
    if queue.try_send(Job::Tell(sender)).is_ok() {
        let _ = written.recv_timeout(PATIENCE);
    }
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    fn wants(text: &str, target: &str, level: Level) -> bool {
        parse(text).is_some_and(|filter| filter.would_enable(target, &level))
    }

    #[test]
    fn a_level_goes_for_all_targets_but_those_named() {
        let told = "warn, connection=debug,retry=off";
        assert!(wants(told, "breaker", Level::WARN));
        assert!(!wants(told, "breaker", Level::INFO));
        assert!(wants(told, "connection", Level::DEBUG));
        assert!(!wants(told, "retry", Level::ERROR));
    }

    #[test]
    fn off_and_what_makes_no_sense_are_silent() {
        for text in ["", " , ", "off", "loud", "retry=off", "retry=loud"] {
            assert!(!wants(text, "breaker", Level::ERROR), "{text}");
        }
        assert!(wants("retry=loud,info", "breaker", Level::INFO));
    }
}
