//! Log lines on standard error, as text or JSON.
//!
//! `PGPOOL_LOG` is a level, or levels by target: `warn`, `warn,connection=debug`, `retry=info`. Without it
//! the warnings of tiers are written, a few in a second. A thread of its own writes, so that a full pipe delays
//! nobody; lines that do not fit are counted and dropped.

use std::{
    env, fmt,
    io::{self, Write},
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{SyncSender, channel, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    Layer,
    filter::Targets,
    fmt::{
        format::Writer,
        time::{FormatTime, SystemTime},
    },
    layer::{Context, Filter},
    registry::LookupSpan,
};

use super::registry;

const QUEUE: usize = 1024;
/// Lines that are written unasked, and in which time.
const LINES_PER_WINDOW: u32 = 10;
const WINDOW: Duration = Duration::from_secs(1);
/// The longest time that the end of the process is delayed.
const PATIENCE: Duration = Duration::from_millis(500);

static QUEUED: OnceLock<Option<SyncSender<Job>>> = OnceLock::new();
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
    let asked = env::var("PGPOOL_LOG").unwrap_or_default();
    if asked.trim().is_empty() {
        return Some(lines().with_filter(Unasked::default()).boxed());
    }
    Some(lines().with_filter(parse(&asked)?).boxed())
}

/// Formats events as lines for the queue.
fn lines<S>() -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let is_json = env::var("PGPOOL_LOG_FORMAT").is_ok_and(|format| format.eq_ignore_ascii_case("json"));
    let lines = tracing_subscriber::fmt::layer().with_writer(|| Queue);
    if is_json {
        lines.json().flatten_event(true).with_span_list(false).boxed()
    } else {
        lines.with_timer(Prefixed).with_ansi(false).boxed()
    }
}

/// What is written unasked: warnings of pools that log them, and that a breaker has closed again. An outage
/// must not flood the log, so only a few in a second; the rest counts as dropped.
#[derive(Default)]
struct Unasked {
    written: Mutex<Option<(Instant, u32)>>,
}

impl Unasked {
    fn may_write(&self, now: Instant) -> bool {
        let mut written = self.written.lock();
        let (since, count) = written.filter(|(since, _)| now - *since < WINDOW).unwrap_or((now, 0));
        *written = Some((since, count + 1));
        count < LINES_PER_WINDOW
    }
}

impl<S: Subscriber> Filter<S> for Unasked {
    fn enabled(&self, metadata: &Metadata<'_>, _: &Context<'_, S>) -> bool {
        *metadata.level() <= Level::WARN || metadata.target() == "breaker"
    }

    fn event_enabled(&self, event: &Event<'_>, _: &Context<'_, S>) -> bool {
        let mut pool = PoolName::default();
        event.record(&mut pool);
        if !pool.0.is_some_and(|name| registry::logs_warnings(&name)) {
            return false;
        }
        let may_write = self.may_write(Instant::now());
        if !may_write {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        may_write
    }
}

/// The pool that an event is about.
#[derive(Default)]
pub(super) struct PoolName(pub(super) Option<String>);

impl Visit for PoolName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "pool" {
            self.0 = Some(value.to_owned());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
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

/// The queue of the thread that writes, which begins with the first line. None: there is no thread to be had.
fn queue() -> Option<&'static SyncSender<Job>> {
    QUEUED.get_or_init(|| spawn().ok()).as_ref()
}

fn spawn() -> io::Result<SyncSender<Job>> {
    let (queue, jobs) = sync_channel(QUEUE);
    thread::Builder::new().name("pgpool-rs-log".into()).spawn(move || {
        for job in jobs {
            match job {
                Job::Write(line) => drop(io::stderr().lock().write_all(&line)),
                Job::Tell(listener) => drop(listener.send(())),
            }
        }
    })?;
    Ok(queue)
}

/// A line whose text cannot steer a terminal, or show itself in another order than it has: control characters
/// and those of bidirectional text are escaped, as JSON does.
fn harmless(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let (text, end) = text.strip_suffix('\n').map_or((&*text, ""), |text| (text, "\n"));
    if !text.chars().any(is_harmful) {
        return line.to_vec();
    }
    let mut escaped = String::with_capacity(line.len() + 16);
    for letter in text.chars() {
        if is_harmful(letter) {
            let _ = fmt::Write::write_fmt(&mut escaped, format_args!("\\u{:04x}", u32::from(letter)));
        } else {
            escaped.push(letter);
        }
    }
    escaped.push_str(end);
    escaped.into_bytes()
}

fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The queue of lines. The formatter writes one line per call.
struct Queue;

impl Write for Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let queued = queue().is_some_and(|queue| queue.try_send(Job::Write(harmless(line))).is_ok());
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
    let Some(Some(queue)) = QUEUED.get() else { return };
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
    fn only_a_few_lines_in_a_second_are_written_unasked() {
        let unasked = Unasked::default();
        let now = Instant::now();
        let written = |at| (0..50).filter(|_| unasked.may_write(at)).count();
        assert_eq!(written(now), 10);
        assert_eq!(written(now + WINDOW / 2), 0);
        assert_eq!(written(now + WINDOW), 10);
    }

    #[test]
    fn control_characters_and_those_of_bidirectional_text_are_escaped() {
        let told = |line: &str| String::from_utf8(harmless(line.as_bytes())).unwrap();
        assert_eq!(told("connect_failed host=\"münchen 🦀\"\n"), "connect_failed host=\"münchen 🦀\"\n");
        let forged = "a\u{9b}2J\u{202e}b\u{2066}\u{200f}\u{61c}\x1b[0m\x7f\u{2028}\nINFO c\n";
        let escaped = "a\\u009b2J\\u202eb\\u2066\\u200f\\u061c\\u001b[0m\\u007f\\u2028\\u000aINFO c\n";
        assert_eq!(told(forged), escaped);
    }

    #[test]
    fn off_and_what_makes_no_sense_are_silent() {
        for text in ["", " , ", "off", "loud", "retry=off", "retry=loud"] {
            assert!(!wants(text, "breaker", Level::ERROR), "{text}");
        }
        assert!(wants("retry=loud,info", "breaker", Level::INFO));
    }
}
