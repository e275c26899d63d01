//! What one JavaScript pool knows of its connections: which are there, which are lent, which wait
//! for a greeting or a password. Tells everything to the outbox.

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
    answer::{Reply, ReturnAfter},
    connect_hook::Escorts,
    errors,
    node_socket::Exchange,
    outbox::{Kind, Outbox},
    raw_channel::Line,
};
use crate::{
    dispatch::{Answer, BreakerNotice, Direct, Face, Failure, Lease, Measured, Retrying, Withdrawal},
    pool::{CloseReason, Ticket},
    postgres::{AskPassword, Connection, Error, Event, LoginStep, Statement, Witness},
    resilience::Why,
    telemetry::Vitals,
};

type Password = Result<Option<String>, Error>;
type Greeting = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

pub(super) struct Desk {
    pub(super) outbox: Arc<Outbox>,
    /// The number JavaScript gave its pool.
    pool: u32,
    tier: OnceLock<String>,
    vitals: OnceLock<Arc<Vitals>>,
    /// Whether new connections are greeted by JavaScript.
    pub(super) greets: AtomicBool,
    pub(super) escorts: Arc<Escorts>,
    connections: Mutex<HashMap<u32, Known>>,
    questions: Mutex<HashMap<u32, oneshot::Sender<Password>>>,
    next_question: AtomicU32,
    /// How to take requests back; the ticket of those that wait for a connection.
    withdrawals: Mutex<HashMap<u32, (Withdrawal, Option<Ticket>)>>,
    pub(super) exchange: Arc<Exchange>,
}

struct Known {
    connection: Arc<Connection>,
    lease: Option<Lease>,
    greeting: Option<oneshot::Sender<bool>>,
    reason: Option<CloseReason>,
    /// It is closed, and counted until its borrower gives it back.
    gone: bool,
    /// The requests that have it in raw mode, or will have.
    lines: Vec<Arc<Line>>,
}

impl Desk {
    pub(super) fn new(outbox: Arc<Outbox>, pool: u32) -> Arc<Self> {
        let exchange = Exchange::new(Arc::clone(&outbox), pool);
        let escorts = Escorts::new(Arc::clone(&outbox), pool);
        Arc::new(Self {
            outbox,
            pool,
            tier: OnceLock::new(),
            vitals: OnceLock::new(),
            greets: AtomicBool::new(false),
            escorts,
            connections: Mutex::default(),
            questions: Mutex::default(),
            next_question: AtomicU32::new(1),
            withdrawals: Mutex::default(),
            exchange,
        })
    }

    /// The name of the tier, for errors.
    pub(super) fn name(&self, tier: Option<String>) {
        if let Some(tier) = tier {
            let _ = self.tier.set(tier);
        }
    }

    pub(super) fn tier(&self) -> Option<&str> {
        self.tier.get().map(String::as_str)
    }

    /// Where operations on lent connections are counted.
    pub(super) fn measure(&self, vitals: Option<&Arc<Vitals>>) {
        if let Some(vitals) = vitals {
            let _ = self.vitals.set(Arc::clone(vitals));
        }
    }

    /// Tells a request that waits for its time that it has come, or why it has not.
    pub(super) fn verdict_to(
        self: &Arc<Self>,
        request: u32,
    ) -> impl FnOnce(Result<(), Why>) + Send + 'static {
        let desk = Arc::clone(self);
        move |verdict| match verdict {
            Ok(()) => desk.outbox.push(Kind::Done, request, 0),
            Err(why) => {
                let value = json!({ "kind": "verdict", "message": why.name(), "tier": desk.tier.get() });
                desk.outbox.push_json(Kind::Fail, 0, request, &value);
            }
        }
    }

    pub(super) fn answer_to(self: &Arc<Self>, request: u32) -> Reply {
        Reply::new(Arc::clone(self), request)
    }

    /// Sends a statement on a connection JavaScript holds, or greets.
    pub(super) fn send(self: &Arc<Self>, connection: u32, request: u32, statement: Arc<Statement>) {
        let mut answer = Measured::begin(self.vitals.get(), self.answer_to(request));
        let known = self.connections.lock().get(&connection).map(|known| Arc::clone(&known.connection));
        match known {
            Some(connection) => Direct::send(&connection, request, statement, answer),
            None => answer.failed(Failure::Wire(Error::Lost), None),
        }
    }

    /// Asks for a connection in raw mode; whether it is there already.
    pub(super) fn raw(self: &Arc<Self>, connection: u32, request: u32) -> bool {
        let Some(open) = self.connection(connection) else {
            self.answer_to(request).failed(Failure::Wire(Error::Lost), None);
            return false;
        };
        let line = Line::new(self, connection, request);
        if let Some(known) = self.connections.lock().get_mut(&connection) {
            known.lines.push(Arc::clone(&line));
        }
        line.begin(self, &open)
    }

    /// The raw line of a request.
    pub(super) fn line(&self, connection: u32, request: u32) -> Option<Arc<Line>> {
        let connections = self.connections.lock();
        let lines = &connections.get(&connection)?.lines;
        lines.iter().find(|line| line.request == request).map(Arc::clone)
    }

    /// The line has answered its request.
    pub(super) fn hang_up(&self, line: &Line) {
        if let Some(known) = self.connections.lock().get_mut(&line.connection) {
            known.lines.retain(|other| !std::ptr::eq(Arc::as_ptr(other), line));
        }
    }

    pub(super) fn connection(&self, connection: u32) -> Option<Arc<Connection>> {
        self.connections.lock().get(&connection).map(|known| Arc::clone(&known.connection))
    }

    /// Hands a connection over to JavaScript, as the answer to a request.
    pub(super) fn lend(self: &Arc<Self>, request: u32, lease: Lease) {
        let id = lease.id;
        let mut connections = self.connections.lock();
        let Some(known) = connections.get_mut(&id) else {
            drop(connections);
            drop(lease);
            return self.answer_to(request).failed(Failure::Wire(Error::Lost), None);
        };
        known.lease = Some(lease);
        // Told under the lock, so that the end of the connection cannot be told before it.
        self.outbox.push(Kind::Lent, request, id);
    }

    /// Takes a lent connection back. What was sent on it is answered before the next one gets it.
    pub(super) fn release(&self, connection: u32, destroy: bool) {
        let mut connections = self.connections.lock();
        let Some(known) = connections.get_mut(&connection) else { return };
        let (lease, gone) = (known.lease.take(), known.gone);
        if gone {
            connections.remove(&connection);
        }
        drop(connections);
        let Some(lease) = lease else { return };
        if destroy || gone {
            lease.close(CloseReason::Released);
        } else if lease.is_quiet() {
            drop(lease);
        } else {
            let connection = Arc::clone(&lease);
            Direct::send(&connection, 0, Statement::simple(""), ReturnAfter::new(lease));
        }
    }

    /// Closes a connection that somebody uses.
    pub(super) fn cut(&self, connection: u32) {
        let mut connections = self.connections.lock();
        let Some(known) = connections.get_mut(&connection) else { return };
        known.reason.get_or_insert(CloseReason::Released);
        let connection = Arc::clone(&known.connection);
        drop(connections);
        connection.close();
    }

    /// Nobody is left to give lent connections back, or to hear the answers of busy ones.
    pub(super) fn abandon(&self) {
        let mut connections = self.connections.lock();
        let leases: Vec<_> = connections.values_mut().filter_map(|known| known.lease.take()).collect();
        let left: Vec<_> = connections.values().map(|known| Arc::clone(&known.connection)).collect();
        drop(connections);
        for lease in leases {
            lease.close(CloseReason::Released);
        }
        for connection in left {
            connection.close();
        }
    }

    pub(super) fn greeted(&self, connection: u32, welcome: bool) {
        let greeting = self.connections.lock().get_mut(&connection).and_then(|known| known.greeting.take());
        if let Some(greeting) = greeting {
            let _ = greeting.send(welcome);
        }
    }

    pub(super) fn answer(&self, question: u32, answer: Password) {
        if let Some(asked) = self.questions.lock().remove(&question) {
            let _ = asked.send(answer);
        }
    }

    pub(super) fn note(&self, request: u32, withdrawal: Withdrawal, ticket: Option<Ticket>) {
        self.withdrawals.lock().insert(request, (withdrawal, ticket));
    }

    /// Takes a request back wherever it is, but for what was sent; its ticket, if it had one.
    pub(super) fn withdraw(&self, request: u32) -> Option<Ticket> {
        let (withdrawal, ticket) = self.withdrawals.lock().remove(&request)?;
        withdrawal.withdraw();
        ticket
    }

    /// Gives up on a request that was sent on one of the connections.
    pub(super) fn give_up(&self, request: u32) -> bool {
        let connections: Vec<_> =
            self.connections.lock().values().map(|known| Arc::clone(&known.connection)).collect();
        connections.iter().any(|connection| connection.give_up(request, Error::Withdrawn))
    }
}

impl Face for Desk {
    fn admit(&self) -> Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + Send + '_>> {
        Box::pin(self.escorts.admit())
    }

    fn refused(&self, attempt: u32, error: Error) -> Pin<Box<dyn Future<Output = Error> + Send + '_>> {
        Box::pin(self.escorts.refused(attempt, error))
    }

    fn given_up(&self, attempt: u32) {
        self.escorts.given_up(attempt);
    }

    fn greet<'a>(
        &'a self,
        connection: &'a Arc<Connection>,
        attempt: Option<u32>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>> {
        let greets = attempt.is_some() || self.greets.load(Ordering::Relaxed);
        let (sender, greeting) = oneshot::channel();
        let known = Known {
            connection: Arc::clone(connection),
            lease: None,
            greeting: greets.then_some(sender),
            reason: None,
            gone: false,
            lines: Vec::new(),
        };
        let id = connection.id;
        self.connections.lock().insert(id, known);
        self.outbox.push_json(
            Kind::Opened,
            0,
            id,
            &json!({
                "pool": self.pool,
                "processID": connection.process_id,
                "secretKey": connection.secret_key,
                "parameters": connection.parameters.iter().cloned().collect::<HashMap<_, _>>(),
                "greet": greets,
                "attempt": attempt,
            }),
        );
        let answered: Greeting = if greets {
            Box::pin(async move {
                match greeting.await {
                    Ok(true) => Ok(()),
                    Ok(false) => Err(Error::Greeting(id)),
                    Err(_) => Err(Error::Lost),
                }
            })
        } else {
            Box::pin(std::future::ready(Ok(())))
        };
        answered
    }

    fn event(&self, connection: u32, event: Event) {
        self.outbox.push_json(Kind::Event, 0, connection, &event);
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.outbox.poll_ready(cx)
    }

    fn closing(&self, connection: u32, reason: CloseReason) {
        if let Some(known) = self.connections.lock().get_mut(&connection) {
            known.reason.get_or_insert(reason);
        }
    }

    fn closed(&self, connection: u32, error: Option<Error>, idle: bool) {
        let mut connections = self.connections.lock();
        let Some(mut known) = connections.remove(&connection) else { return };
        let reason =
            known.reason.unwrap_or(if error.is_some() { CloseReason::Broken } else { CloseReason::Released });
        if known.lease.is_some() {
            known.gone = true;
            connections.insert(connection, known);
        }
        drop(connections);
        self.outbox.push_json(
            Kind::Closed,
            0,
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
        let loan = json!({ "connection": connection, "heldMillis": held.as_secs_f64() * 1000.0 });
        self.outbox.push_json(Kind::Overdue, 0, self.pool, &loan);
    }

    fn retrying(&self, notice: &Retrying) {
        let note = json!({
            "event": "retry",
            "tier": self.tier.get(),
            "attempt": notice.attempt,
            "of": notice.of,
            "delay": notice.delay.as_secs_f64() * 1000.0,
            "code": notice.code,
            "phase": notice.phase.name(),
        });
        self.outbox.push_json(Kind::Note, 0, self.pool, &note);
    }

    fn breaker(&self, notice: &BreakerNotice) {
        let note = json!({
            "event": "breaker",
            "tier": self.tier.get(),
            "host": notice.host,
            "from": notice.from.name(),
            "state": notice.to.name(),
            "nextProbe": notice.next_probe.map(errors::epoch_millis),
            "cause": notice.cause.as_ref().map(errors::of_wire),
        });
        self.outbox.push_json(Kind::Note, 0, self.pool, &note);
    }
}

impl AskPassword for Desk {
    fn ask(&self) -> Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + '_>> {
        let (sender, answer) = oneshot::channel();
        let question = self.next_question.fetch_add(1, Ordering::Relaxed);
        self.questions.lock().insert(question, sender);
        self.outbox.push(Kind::Ask, question, self.pool);
        Box::pin(async move { answer.await.unwrap_or(Err(Error::Ended)) })
    }
}

impl Witness for Desk {
    fn hear(&self, step: &LoginStep) {
        self.outbox.push_json(Kind::Login, 0, self.pool, step);
    }
}
