//! Prepared statements of one connection.
//!
//! Statements that the application named live as long as the connection, as in pg. Others are cached by their
//! text; the least recently used leaves first. A text means what it would mean if it were parsed anew: the
//! cache is cleared when meanings may have changed, and none stays for longer than [`LIFETIME`]. Every
//! statement in here exists on the server, except one whose Parse is still in flight: it is taken out if that
//! fails.

use std::{
    collections::{HashMap, HashSet, hash_map::RandomState},
    hash::{BuildHasher, Hasher},
    num::NonZeroUsize,
    sync::Arc,
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use super::{
    QueryMode, Shape, Statement, Status,
    shared_sessions::SharedSessions,
    sql_text::{changes_meanings, has_words_read_once},
    survival::Survival,
};

/// The first part of our own names; a word that is random for each connection, and a number follow. The word
/// is random because behind a pooler two clients may meet on one session, and must never run each other's
/// statements.
pub(super) const OWN_NAME: &str = "pgpool_rs_";

/// The largest statement that is cached. It stays in the server's memory; for long lists of values, hardly
/// ever sent twice, that costs more than it saves.
const MAX_CACHED_TEXT: usize = 8 * 1024;
const MAX_CACHED_PARAMETERS: usize = 100;

/// How long a cached statement is used before it is prepared again: other sessions, too, create tables and
/// functions that its text would find.
const LIFETIME: Duration = Duration::from_secs(300);
/// The same inside a transaction, where a stale one cannot be prepared again without failing first.
const LIFETIME_IN_TRANSACTION: Duration = Duration::from_secs(60);

/// Settings that decide what literals and names mean, as the server reports them.
const SETTINGS_OF_MEANING: [&str; 5] =
    ["TimeZone", "DateStyle", "IntervalStyle", "standard_conforming_strings", "search_path"];

/// A prepared statement, which exists on the server.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// Its name there.
    pub(super) name: Arc<str>,
    /// The columns it returns; none: no rows.
    pub(super) shape: Option<Arc<Shape>>,
    /// Whether `shape` is that of binary results.
    pub(super) binary: bool,
    /// The types of its parameters.
    pub(super) types: Arc<[u32]>,
    since: Instant,
}

/// The messages that running a statement takes.
#[derive(Debug)]
pub(super) enum Plan {
    /// Bind only: the statement is prepared.
    Ready(Prepared),
    /// Parse first, under this name (empty: unnamed), after closing others.
    Prepare { name: Arc<str>, close: Vec<Arc<str>> },
    /// None: the name belongs to another text.
    Taken,
}

/// The key of the cache. Texts are compared whole, so two with one hash are never confused.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    text: Arc<str>,
    binary: bool,
}

impl Key {
    fn of(statement: &Statement) -> Self {
        Self { text: Arc::clone(&statement.text), binary: statement.is_binary() }
    }
}

#[derive(Debug)]
pub(super) struct Statements {
    by_text: Option<LruCache<Key, Prepared>>,
    by_name: HashMap<Arc<str>, (Arc<str>, Prepared)>,
    /// The beginning of our own names.
    prefix: String,
    /// The number of the next name.
    serial: u32,
    /// Names that may still exist on the server, to be closed before the next Parse.
    unwanted: Vec<Arc<str>>,
    /// Whether sessions are shared; then nothing is cached.
    shared_sessions: Arc<SharedSessions>,
    /// Texts whose Parse is in flight, in a pipeline. No other exchange may rely on it yet.
    pending: Option<HashSet<Key>>,
    /// The number of the last name that was given before meanings changed.
    outdated: u32,
    /// Whether meanings changed in a transaction that is still open: they may change back when it ends.
    may_change_back: bool,
    /// Whether what was planned last closes statements.
    closes: bool,
    survival: Survival,
}

impl Statements {
    /// A cache of at most `capacity` unnamed statements; 0: none.
    pub(super) fn new(capacity: usize, shared_sessions: Arc<SharedSessions>, pipelined: bool) -> Self {
        let by_text = NonZeroUsize::new(capacity).map(|capacity| {
            // Memory grows as the cache fills: the application may have given any capacity.
            let mut by_text = LruCache::unbounded();
            by_text.resize(capacity);
            by_text
        });
        let pending = pipelined.then(HashSet::new);
        let prefix = format!("{OWN_NAME}{:016x}_", RandomState::new().build_hasher().finish());
        let (by_name, unwanted) = (HashMap::new(), Vec::new());
        Self {
            by_text,
            by_name,
            prefix,
            serial: 0,
            unwanted,
            shared_sessions,
            pending,
            outdated: 0,
            may_change_back: false,
            closes: false,
            survival: Survival::default(),
        }
    }

    /// The plan for a statement. `anew`: it is prepared again, even if it is cached. `status`: that of the
    /// session, as far as it is known.
    pub(super) fn plan(&mut self, statement: &Statement, anew: bool, status: Status) -> Plan {
        self.closes = false;
        if let Some(name) = &statement.name {
            let plan = self.plan_named(name, statement);
            if self.pending.is_some() && matches!(plan, Plan::Prepare { .. }) {
                // Exchanges sent behind it may bind to it already.
                self.insert(statement, Arc::clone(name), None, Arc::default());
            }
            return plan;
        }
        // Of what it runs behind nothing is known yet, the status of the session included.
        let cached = matches!(statement.mode, QueryMode::Extended { .. }) && !statement.joined;
        let cached = cached && !anew && !self.shared_sessions.is_shared() && is_worth_caching(statement);
        let is_in_transaction = status != Status::Idle;
        let cached = cached && !(is_in_transaction && self.is_risky(&statement.text));
        let Some(by_text) = self.by_text.as_mut().filter(|_| cached) else {
            return Plan::Prepare { name: "".into(), close: Vec::new() };
        };
        let key = Key::of(statement);
        if let Some(prepared) = by_text.get(&key) {
            let lifetime = if is_in_transaction { LIFETIME_IN_TRANSACTION } else { LIFETIME };
            if prepared.since.elapsed() < lifetime {
                return Plan::Ready(prepared.clone());
            }
            self.unwanted.extend(by_text.pop(&key).map(|prepared| prepared.name));
        } else if !keeps_its_meaning(&statement.text)
            || !self.survival.allows_name(&statement.text, self.serial)
        {
            return Plan::Prepare { name: "".into(), close: Vec::new() };
        }
        if self.pending.as_mut().is_some_and(|pending| !pending.insert(Key::of(statement))) {
            return Plan::Prepare { name: "".into(), close: Vec::new() };
        }
        self.serial = self.serial.wrapping_add(1);
        if by_text.len() == by_text.cap().get() {
            self.unwanted.extend(by_text.pop_lru().map(|(_, prepared)| prepared.name));
        }
        let name = format!("{}{}", self.prefix, self.serial).into();
        // A server that refuses Close would fail a transaction by it.
        let may_close = !is_in_transaction || self.shared_sessions.takes_close();
        Plan::Prepare { name, close: if may_close { self.take_unwanted() } else { Vec::new() } }
    }

    /// Whether it might fail a transaction for being prepared: behind a pooler that nobody has recognised, or as
    /// all columns of a table are others when one is added.
    fn is_risky(&self, text: &str) -> bool {
        !self.survival.is_proven() || self.shared_sessions.has_lost_statements() || text.contains('*')
    }

    /// A cached statement was found outside of a transaction, so in a later one than it was prepared in.
    pub(super) fn survived(&mut self) {
        self.survival.found();
    }

    fn take_unwanted(&mut self) -> Vec<Arc<str>> {
        self.closes = !self.unwanted.is_empty();
        std::mem::take(&mut self.unwanted)
    }

    fn plan_named(&mut self, name: &Arc<str>, statement: &Statement) -> Plan {
        match self.by_name.get(name) {
            None => Plan::Prepare { name: Arc::clone(name), close: self.take_unwanted() },
            // As in pg, a later call may give the name without the text.
            Some((text, prepared)) if statement.text.is_empty() || *text == statement.text => {
                Plan::Ready(prepared.clone())
            }
            Some(_) => Plan::Taken,
        }
    }

    /// Adds a statement that the server has prepared, with its columns.
    pub(super) fn insert(
        &mut self,
        statement: &Statement,
        name: Arc<str>,
        shape: Option<Arc<Shape>>,
        types: Arc<[u32]>,
    ) {
        if statement.name.is_none() && !name.is_empty() {
            self.shared_sessions.name_accepted();
        }
        let binary = statement.is_binary();
        let prepared = Prepared { name: Arc::clone(&name), shape, binary, types, since: Instant::now() };
        if let Some(pending) = &mut self.pending
            && !name.is_empty()
        {
            pending.remove(&Key::of(statement));
        }
        if statement.name.is_some() {
            self.by_name.insert(name, (Arc::clone(&statement.text), prepared));
        } else if self.is_outdated(&name) {
            self.unwanted.push(name);
        } else if let Some(by_text) = self.by_text.as_mut().filter(|_| !name.is_empty()) {
            by_text.put(Key::of(statement), prepared);
        }
    }

    /// Takes a statement out whose Parse has failed.
    pub(super) fn abandon(&mut self, statement: &Statement) {
        if let Some(pending) = &mut self.pending {
            pending.remove(&Key::of(statement));
        }
        if let Some(name) = &statement.name {
            self.by_name.remove(name);
        }
    }

    /// The text of a statement, also where the application knows it by its name alone.
    pub(super) fn text_of(&self, statement: &Statement) -> Arc<str> {
        let known = statement.name.as_ref().filter(|_| statement.text.is_empty());
        Arc::clone(known.and_then(|name| self.by_name.get(name)).map_or(&statement.text, |(text, _)| text))
    }

    // When meanings change.

    /// A text is sent that was not prepared before. In a pipeline others may follow before it is answered.
    pub(super) fn on_sent(&mut self, text: &str, status: Status) {
        let has_some = self.by_text.as_ref().is_some_and(|by_text| !by_text.is_empty())
            || self.pending.as_ref().is_some_and(|pending| !pending.is_empty());
        // Nothing is cached: what is, later, in the same transaction may have to go at its end.
        let may_have_some = self.by_text.is_some() && (status != Status::Idle || text.contains(';'));
        if (has_some || may_have_some) && changes_meanings(text) {
            self.outdate();
            self.may_change_back = true;
        }
    }

    /// A statement is complete.
    pub(super) fn on_complete(&mut self, tag: &[u8]) {
        match tag {
            b"DISCARD ALL" | b"DEALLOCATE ALL" => self.deallocated(),
            // To a savepoint, perhaps.
            b"ROLLBACK" if self.may_change_back => self.outdate(),
            _ => {}
        }
    }

    /// The server is ready for the next statement.
    pub(super) fn on_ready(&mut self, status: Status) {
        if status == Status::Idle && std::mem::take(&mut self.may_change_back) {
            self.outdate();
        }
    }

    /// The server reports a setting.
    pub(super) fn on_setting(&mut self, name: &str) {
        if SETTINGS_OF_MEANING.contains(&name) {
            self.outdate();
        }
    }

    /// Clears the cache, with what is being prepared for it.
    fn outdate(&mut self) {
        self.outdated = self.serial;
        if let Some(by_text) = &mut self.by_text {
            while let Some((_, prepared)) = by_text.pop_lru() {
                self.unwanted.push(prepared.name);
            }
        }
    }

    /// Whether one of our names was given before meanings changed.
    fn is_outdated(&self, name: &str) -> bool {
        let serial = name.strip_prefix(&self.prefix).and_then(|serial| serial.parse::<u32>().ok());
        serial.is_some_and(|serial| serial <= self.outdated)
    }

    /// The columns of a statement, if they are known.
    pub(super) fn shape_of(&mut self, statement: &Statement) -> Option<Arc<Shape>> {
        match &statement.name {
            Some(name) => self.by_name.get(name).and_then(|(_, prepared)| prepared.shape.clone()),
            None => {
                self.by_text.as_mut()?.get(&Key::of(statement)).and_then(|prepared| prepared.shape.clone())
            }
        }
    }

    /// Takes a statement out that the server no longer has, or no longer in this form.
    pub(super) fn forget(&mut self, statement: &Statement) {
        let forgotten = match &statement.name {
            Some(name) => self.by_name.remove(name).map(|(_, prepared)| prepared),
            None => self.by_text.as_mut().and_then(|by_text| by_text.pop(&Key::of(statement))),
        };
        self.unwanted.extend(forgotten.map(|prepared| prepared.name));
    }

    /// Clears the cache: a statement is gone that was not closed by us, so others may be, too.
    pub(super) fn lost(&mut self) {
        // Some may still exist; closing one that does not exist does no harm.
        self.unwanted.extend(self.by_name.keys().cloned());
        self.deallocated();
        self.survival.lost();
        self.shared_sessions.statement_lost();
    }

    /// Forgets all statements: the server has dropped them (DISCARD ALL, DEALLOCATE ALL).
    pub(super) fn deallocated(&mut self) {
        if let Some(by_text) = &mut self.by_text {
            by_text.clear();
        }
        self.by_name.clear();
    }

    /// Whether what was planned last closes statements.
    pub(super) fn closes(&self) -> bool {
        self.closes
    }

    /// The server has closed a statement.
    pub(super) fn close_accepted(&self) {
        self.shared_sessions.close_accepted();
    }

    /// Whether the host may be one that takes no names.
    pub(super) fn may_refuse_names(&self) -> bool {
        !self.shared_sessions.takes_names()
    }

    /// Stops caching by text on all connections to this host: a pooler shares its sessions, or takes no names.
    pub(super) fn disable(&mut self) {
        self.by_text = None;
        self.shared_sessions.note_shared();
    }
}

/// Whether the text means the same at each run, as long as nothing changes around it, and changes nothing.
fn keeps_its_meaning(text: &str) -> bool {
    !has_words_read_once(text) && !changes_meanings(text)
}

fn is_worth_caching(statement: &Statement) -> bool {
    statement.text.len() <= MAX_CACHED_TEXT && statement.formats.len() <= MAX_CACHED_PARAMETERS
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn statement(text: &str) -> Statement {
        let mode = QueryMode::Extended { binary: false };
        Statement { mode, ..Statement::clone(&Statement::simple(text)) }
    }

    /// A cache with this text in it.
    fn with(text: &str) -> (Statements, Statement) {
        let mut statements = Statements::new(10, Arc::default(), false);
        let statement = statement(text);
        let Plan::Prepare { name, .. } = statements.plan(&statement, false, Status::Idle) else {
            panic!("prepared already");
        };
        assert!(!name.is_empty());
        statements.insert(&statement, name, None, Arc::default());
        (statements, statement)
    }

    /// Has it seen enough statements survive.
    fn prove(statements: &mut Statements) {
        (0..3).for_each(|_| statements.survived());
    }

    fn is_ready(statements: &mut Statements, statement: &Statement, status: Status) -> bool {
        matches!(statements.plan(statement, false, status), Plan::Ready(_))
    }

    #[tokio::test(start_paused = true)]
    async fn a_cached_statement_is_prepared_again_after_300_seconds() {
        let (mut statements, select) = with("SELECT $1");
        advance(299 * SECOND).await;
        assert!(is_ready(&mut statements, &select, Status::Idle));
        advance(SECOND).await;
        let Plan::Prepare { close, .. } = statements.plan(&select, false, Status::Idle) else {
            panic!("prepared for too long");
        };
        assert_eq!(close.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_transaction_a_cached_statement_is_prepared_again_after_60_seconds() {
        for status in [Status::Transaction, Status::Failed] {
            let (mut statements, select) = with("SELECT $1");
            assert!(!is_ready(&mut statements, &select, status));
            prove(&mut statements);
            advance(59 * SECOND).await;
            assert!(is_ready(&mut statements, &select, status));
            advance(SECOND).await;
            assert!(is_ready(&mut statements, &select, Status::Idle));
            assert!(!is_ready(&mut statements, &select, status));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_transaction_a_text_that_names_no_columns_goes_unnamed() {
        let (mut statements, select) = with("SELECT * FROM t WHERE a = $1");
        prove(&mut statements);
        assert!(is_ready(&mut statements, &select, Status::Idle));
        let plan = statements.plan(&select, false, Status::Transaction);
        assert!(matches!(plan, Plan::Prepare { name, .. } if name.is_empty()));
    }

    #[test]
    fn a_procedure_may_change_what_texts_mean() {
        let (mut statements, select) = with("SELECT a FROM t WHERE a = $1");
        statements.on_sent("CALL p()", Status::Idle);
        assert!(!is_ready(&mut statements, &select, Status::Idle));
    }
}
