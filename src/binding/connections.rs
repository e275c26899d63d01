//! The connections of one JavaScript pool: which are open, which are leased to JavaScript, which wait for
//! `onConnect` or a password. Everything that happens to them goes into the outbox.

use std::{
    collections::HashMap,
    future::Future,
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::oneshot;

use super::{
    answer::{AtOnce, ReleaseAfter, RequestAnswer},
    connect_hook::ConnectHook,
    errors::{self, ApplicationError},
    layout::{ErrorKind, RecordKind},
    lookups::Lookups,
    node_socket::NodeSockets,
    outbox::Outbox,
    raw_channel::RawChannel,
};
use crate::{
    dispatch::{
        Adaptive, Answer, BreakerNotice, CancelFlag, Direct, Failure, Instrumented, Lease, Observer,
        RetryNotice,
    },
    pool::{CloseReason, Ticket},
    postgres::{AskPassword, Connection, Error, Event, LoginListener, LoginStep, Statement, Status},
    resilience::NoRetry,
    telemetry::PoolMetrics,
};

type Password = Result<Option<String>, Error>;
type OnConnect = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

/// The table of one pool.
pub(super) struct Connections {
    pub(super) outbox: Arc<Outbox>,
    /// Number of the pool, given by JavaScript.
    pool: u32,
    tier: OnceLock<String>,
    metrics: OnceLock<Arc<PoolMetrics>>,
    adaptive: OnceLock<Arc<Adaptive>>,
    /// Whether new connections wait for `onConnectDone`.
    pub(super) awaits_on_connect: AtomicBool,
    pub(super) connect_hook: Arc<ConnectHook>,
    entries: Mutex<HashMap<u32, Entry>>,
    /// Attempts that wait for a password.
    logins: Mutex<HashMap<u32, oneshot::Sender<Password>>>,
    next_login: AtomicU32,
    /// Requests that can be withdrawn; with a ticket those that wait for a connection.
    cancel_flags: Mutex<HashMap<u32, (CancelFlag, Option<Ticket>)>>,
    pub(super) node_sockets: Arc<NodeSockets>,
    pub(super) lookups: Arc<Lookups>,
}

struct Entry {
    connection: Arc<Connection>,
    lease: Option<Lease>,
    /// Receives the outcome of `onConnect` while the core waits for it.
    on_connect: Option<oneshot::Sender<Option<ApplicationError>>>,
    reason: Option<CloseReason>,
    /// Whether it is closed, and its lease not yet released.
    is_closed: bool,
    /// Requests that have it in raw mode, or wait for that.
    raw_channels: Vec<Arc<RawChannel>>,
}

impl Connections {
    pub(super) fn new(outbox: Arc<Outbox>, pool: u32) -> Arc<Self> {
        let node_sockets = NodeSockets::new(Arc::clone(&outbox), pool);
        let connect_hook = ConnectHook::new(Arc::clone(&outbox), pool);
        let lookups = Lookups::new(Arc::clone(&outbox), pool);
        Arc::new(Self {
            outbox,
            pool,
            tier: OnceLock::new(),
            metrics: OnceLock::new(),
            adaptive: OnceLock::new(),
            awaits_on_connect: AtomicBool::new(false),
            connect_hook,
            entries: Mutex::default(),
            logins: Mutex::default(),
            next_login: AtomicU32::new(1),
            cancel_flags: Mutex::default(),
            node_sockets,
            lookups,
        })
    }

    /// Sets the name of the tier, for errors.
    pub(super) fn set_tier(&self, tier: Option<String>) {
        if let Some(tier) = tier {
            let _ = self.tier.set(tier);
        }
    }

    pub(super) fn tier(&self) -> Option<&str> {
        self.tier.get().map(String::as_str)
    }

    /// Sets where operations on leased connections are counted.
    pub(super) fn set_metrics(&self, metrics: Option<&Arc<PoolMetrics>>) {
        if let Some(metrics) = metrics {
            let _ = self.metrics.set(Arc::clone(metrics));
        }
    }

    /// Sets who wants to know the times of statements on leased connections.
    pub(super) fn set_adaptive(&self, adaptive: &Arc<Adaptive>) {
        let _ = self.adaptive.set(Arc::clone(adaptive));
    }

    /// Answers `decideRetry` and `sleep` when their time has come.
    pub(super) fn retry_answer_to(
        self: &Arc<Self>,
        request: u32,
    ) -> impl FnOnce(Result<(), NoRetry>, bool) + Send + 'static {
        let connections = Arc::clone(self);
        move |decision, is_ambiguous| match decision {
            Ok(()) => connections.outbox.push(RecordKind::Done, request, is_ambiguous.into()),
            Err(why) => {
                let value = json!({
                    "kind": ErrorKind::NoRetry,
                    "reason": why,
                    "tier": connections.tier.get(),
                    "ambiguous": is_ambiguous,
                });
                connections.outbox.push_json(RecordKind::Fail, 0, request, &value);
            }
        }
    }

    /// Answer to a request.
    pub(super) fn answer_to(self: &Arc<Self>, request: u32) -> RequestAnswer {
        RequestAnswer::new(Arc::clone(self), request, false)
    }

    /// Answer to a request that can be withdrawn until it is answered.
    pub(super) fn withdrawable_answer_to(
        self: &Arc<Self>,
        request: u32,
        cancel_flag: CancelFlag,
    ) -> RequestAnswer {
        self.cancel_flags.lock().insert(request, (cancel_flag, None));
        RequestAnswer::new(Arc::clone(self), request, true)
    }

    /// Sends a statement on a connection that JavaScript has leased, or whose `onConnect` is under way.
    pub(super) fn send(self: &Arc<Self>, connection: u32, request: u32, statement: Arc<Statement>) {
        let mut answer = Instrumented::begin(self.metrics.get(), &statement, self.answer_to(request));
        let entry = self.entries.lock().get(&connection).map(|entry| Arc::clone(&entry.connection));
        match entry {
            Some(connection) => {
                Direct::send(&connection, request, statement, answer, self.adaptive.get());
            }
            None => answer.failed(Failure::Wire(Error::Lost), None),
        }
    }

    /// Asks for raw mode of a connection. True: the request has it already.
    pub(super) fn start_raw(self: &Arc<Self>, connection: u32, request: u32) -> bool {
        let Some(open) = self.connection(connection) else {
            self.answer_to(request).failed(Failure::Wire(Error::Lost), None);
            return false;
        };
        let channel = RawChannel::new(self, connection, request);
        if let Some(entry) = self.entries.lock().get_mut(&connection) {
            entry.raw_channels.push(Arc::clone(&channel));
        }
        channel.start(self, &open)
    }

    /// The raw channel of a request.
    pub(super) fn raw_channel(&self, connection: u32, request: u32) -> Option<Arc<RawChannel>> {
        let entries = self.entries.lock();
        let raw_channels = &entries.get(&connection)?.raw_channels;
        raw_channels.iter().find(|channel| channel.request == request).map(Arc::clone)
    }

    /// Removes a raw channel whose request is answered.
    pub(super) fn remove_raw_channel(&self, channel: &RawChannel) {
        if let Some(entry) = self.entries.lock().get_mut(&channel.connection) {
            entry.raw_channels.retain(|other| !std::ptr::eq(Arc::as_ptr(other), channel));
        }
    }

    pub(super) fn connection(&self, connection: u32) -> Option<Arc<Connection>> {
        self.entries.lock().get(&connection).map(|entry| Arc::clone(&entry.connection))
    }

    /// Leases a connection to JavaScript, as the answer to a request: that of the call which asks, or a record.
    pub(super) fn lease(self: &Arc<Self>, request: u32, lease: Lease, at_once: &AtOnce) {
        let id = lease.id;
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(&id) else {
            drop(entries);
            drop(lease);
            return self.answer_to(request).failed(Failure::Wire(Error::Lost), None);
        };
        let letter = lease.status().map_or(0, Status::letter);
        entry.lease = Some(lease);
        // Under the lock, so that the end of the connection cannot come before it.
        if letter != Status::Idle.letter() || !at_once.take(id) {
            self.outbox.push_leased(request, id, letter.into());
        }
    }

    /// Releases a leased connection. What was sent on it is answered before anybody else gets it.
    pub(super) fn release(&self, connection: u32, destroy: bool) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(&connection) else { return };
        let (lease, is_closed) = (entry.lease.take(), entry.is_closed);
        if is_closed {
            entries.remove(&connection);
        }
        drop(entries);
        let Some(lease) = lease else { return };
        if destroy || is_closed {
            lease.close(CloseReason::Released);
        } else if lease.is_quiet() {
            drop(lease);
        } else {
            let connection = Arc::clone(&lease);
            Direct::send(&connection, 0, Statement::simple(""), ReleaseAfter::new(lease), None);
        }
    }

    /// Closes a connection in use. What runs on it fails with `error`, or as ended.
    pub(super) fn close_connection(&self, connection: u32, error: Option<&ApplicationError>) {
        let mut entries = self.entries.lock();
        let Some(entry) = entries.get_mut(&connection) else { return };
        entry.reason.get_or_insert(CloseReason::Released);
        let connection = Arc::clone(&entry.connection);
        drop(entries);
        connection.close_with(error.map_or(Error::Ended, |error| error.in_place_of(&Error::Ended)));
    }

    /// Closes all connections: JavaScript is gone, which would release them and hear their answers.
    pub(super) fn abandon(&self) {
        let mut entries = self.entries.lock();
        let leases: Vec<_> = entries.values_mut().filter_map(|entry| entry.lease.take()).collect();
        let left: Vec<_> = entries.values().map(|entry| Arc::clone(&entry.connection)).collect();
        drop(entries);
        for lease in leases {
            lease.close(CloseReason::Released);
        }
        for connection in left {
            connection.close();
        }
    }

    /// Ends the wait of a new connection; with an error it is closed.
    pub(super) fn on_connect_done(&self, connection: u32, error: Option<ApplicationError>) {
        let waiting = self.entries.lock().get_mut(&connection).and_then(|entry| entry.on_connect.take());
        if let Some(waiting) = waiting {
            let _ = waiting.send(error);
        }
    }

    /// Answers the login of an attempt.
    pub(super) fn give_password(&self, attempt: u32, password: Password) {
        if let Some(asked) = self.logins.lock().remove(&attempt) {
            let _ = asked.send(password);
        }
    }

    /// Remembers the ticket of a request that waits for a connection, unless it is answered already.
    pub(super) fn waits_with(&self, request: u32, ticket: Option<Ticket>) {
        if let Some(entry) = self.cancel_flags.lock().get_mut(&request) {
            entry.1 = ticket;
        }
    }

    /// Forgets how to withdraw a request.
    pub(super) fn forget_withdrawal(&self, request: u32) {
        self.cancel_flags.lock().remove(&request);
    }

    /// Withdraws a request, unless it was sent; its ticket, if it waits for a connection.
    pub(super) fn withdraw(&self, request: u32) -> Option<Ticket> {
        let (cancel_flag, ticket) = self.cancel_flags.lock().remove(&request)?;
        cancel_flag.set();
        ticket
    }

    /// Gives up on a request that was sent on one of the connections. False: none knows it.
    pub(super) fn give_up(&self, request: u32) -> bool {
        let connections: Vec<_> =
            self.entries.lock().values().map(|entry| Arc::clone(&entry.connection)).collect();
        connections.iter().any(|connection| connection.give_up(request, Error::Withdrawn))
    }
}

impl Observer for Connections {
    fn before_connect(&self) -> Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + Send + '_>> {
        Box::pin(self.connect_hook.before_connect())
    }

    fn connect_failed(&self, attempt: u32, error: Error) -> Pin<Box<dyn Future<Output = Error> + Send + '_>> {
        Box::pin(self.connect_hook.connect_failed(attempt, error))
    }

    fn connect_given_up(&self, attempt: u32) {
        self.connect_hook.connect_given_up(attempt);
    }

    fn on_connect<'a>(
        &'a self,
        connection: &'a Arc<Connection>,
        attempt: Option<u32>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>> {
        let awaits = attempt.is_some() || self.awaits_on_connect.load(Ordering::Relaxed);
        let (sender, on_connect) = oneshot::channel();
        let entry = Entry {
            connection: Arc::clone(connection),
            lease: None,
            on_connect: awaits.then_some(sender),
            reason: None,
            is_closed: false,
            raw_channels: Vec::new(),
        };
        let id = connection.id;
        // Before the table knows it: its end may come at once.
        self.outbox.count_connection();
        self.entries.lock().insert(id, entry);
        self.outbox.push_json(
            RecordKind::Opened,
            0,
            id,
            &json!({
                "pool": self.pool,
                "processID": connection.process_id,
                "secretKey": connection.secret_key,
                "parameters": connection.parameters.iter().cloned().collect::<HashMap<_, _>>(),
                "awaitsOnConnect": awaits,
                "attempt": attempt,
            }),
        );
        let done: OnConnect = if awaits {
            Box::pin(async move {
                match on_connect.await {
                    Ok(None) => Ok(()),
                    Ok(Some(error)) => Err(error.into()),
                    Err(_) => Err(Error::Lost),
                }
            })
        } else {
            Box::pin(std::future::ready(Ok(())))
        };
        done
    }

    fn event(&self, connection: u32, event: Event) {
        self.outbox.push_json(RecordKind::ConnectionEvent, 0, connection, &event);
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.outbox.poll_ready(cx)
    }

    fn closing(&self, connection: u32, reason: CloseReason) {
        if let Some(entry) = self.entries.lock().get_mut(&connection) {
            entry.reason.get_or_insert(reason);
        }
    }

    fn closed(&self, connection: u32, error: Option<Error>, idle: bool) {
        let mut entries = self.entries.lock();
        let Some(mut entry) = entries.remove(&connection) else { return };
        let reason =
            entry.reason.unwrap_or(if error.is_some() { CloseReason::Broken } else { CloseReason::Released });
        if entry.lease.is_some() {
            entry.is_closed = true;
            entries.insert(connection, entry);
        }
        drop(entries);
        self.outbox.push_closed(
            connection,
            &json!({
                "pool": self.pool,
                "reason": reason.name(),
                "error": error.as_ref().map(errors::of_wire),
                "idle": idle,
            }),
        );
    }

    fn overdue(&self, connection: u32, held: Duration) {
        let lease = json!({ "connection": connection, "heldMillis": held.as_secs_f64() * 1000.0 });
        self.outbox.push_json(RecordKind::Overdue, 0, self.pool, &lease);
    }

    fn retrying(&self, notice: &RetryNotice) {
        let event = json!({
            "event": "retry",
            "tier": self.tier.get(),
            "attempt": notice.attempt,
            "of": notice.of,
            "delay": notice.delay.as_secs_f64() * 1000.0,
            "code": notice.code,
            "phase": notice.phase.name(),
        });
        self.outbox.push_json(RecordKind::PoolEvent, 0, self.pool, &event);
    }

    fn breaker(&self, notice: &BreakerNotice) {
        let event = json!({
            "event": "breaker",
            "tier": self.tier.get(),
            "host": notice.host,
            "from": notice.from.name(),
            "state": notice.to.name(),
            "nextProbe": notice.next_probe.map(errors::epoch_millis),
            "cause": notice.cause.as_ref().map(errors::of_wire),
        });
        self.outbox.push_json(RecordKind::PoolEvent, 0, self.pool, &event);
    }
}

impl AskPassword for Connections {
    fn ask(&self) -> Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + '_>> {
        let (sender, answer) = oneshot::channel();
        let attempt = self.next_login.fetch_add(1, Ordering::Relaxed);
        self.logins.lock().insert(attempt, sender);
        self.outbox.push(RecordKind::AskPassword, attempt, self.pool);
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Ended)) })
    }
}

impl LoginListener for Connections {
    fn hear(&self, step: &LoginStep) {
        self.outbox.push_json(RecordKind::LoginStep, 0, self.pool, step);
    }
}
