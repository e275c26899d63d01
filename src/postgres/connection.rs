//! A live connection, as its users see it. Exchanges are answered one at a time, in the order in which they
//! were submitted.
//!
//! The bytes of an exchange are written by the submitting thread where nothing else runs and the socket is
//! plain, else by the driver. All state that both share is behind one lock, and no foreign code is called
//! under it.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use postgres_protocol::message::frontend;
use serde::Serialize;

use super::{
    DatabaseError, Error, Exchange, Host, Outcome, QueryMode, Reply, Role, Status,
    cancel::CancelKey,
    codec::ShapeUser,
    encode::encode,
    in_flight::{InFlight, Preparation, Run},
    portal::Suspended,
    raw_mode::RawMode,
    route::Route,
    socket::Writer,
    statements::Statements,
    transaction_watch::TransactionWatch,
};

/// The largest outbox that is kept after a large request.
const KEPT_OUTBOX: usize = 1024 * 1024;

/// An event of a connection that no exchange asked for.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "camelCase")]
pub enum Event {
    /// A warning or a message of the server.
    Notice(Box<DatabaseError>),
    /// A notification of LISTEN and NOTIFY.
    #[serde(rename_all = "camelCase")]
    Notification {
        /// Bytes of the message on the wire.
        length: usize,
        /// The backend that notified.
        process_id: i32,
        /// The channel.
        channel: String,
        /// The text.
        payload: String,
    },
    /// A setting of the session changed.
    #[serde(rename_all = "camelCase")]
    ParameterStatus {
        /// The setting.
        parameter_name: String,
        /// Its value.
        parameter_value: String,
    },
}

/// Hears the events of connections that no exchange asked for.
pub trait Listener: Send + Sync {
    /// A message of the server that no exchange asked for.
    fn event(&self, connection: u32, event: Event);
    /// The connection is closed; none: as was asked. `last_words`: the error of the server with which an exchange has
    /// failed, and the connection ended.
    fn closed(&self, connection: u32, error: Option<Error>, last_words: Option<Error>);
    /// A write was refused, because the server only reads (25006). Called before the statement is settled;
    /// `status` is the one after it.
    fn refused_write(&self, connection: &Connection, status: Status) {
        let _ = (connection, status);
    }
    /// A name of our own for a prepared statement is taken (42P05): somebody else uses the server's session,
    /// too. Called before the statement is settled.
    fn name_taken(&self, connection: &Connection) {
        let _ = connection;
    }
    /// Backpressure: pending while no more events can be taken; the server is not read until they can.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }
}

/// A live connection. Dropping it does not close it: [`Connection::close`] does.
pub struct Connection {
    /// The number of the connection, unique in the process.
    pub id: u32,
    /// The server's process, for `pg_stat_activity`; none: the server has not told it.
    pub process_id: Option<i32>,
    /// The secret of the key for cancel requests, as pg knows it.
    pub secret_key: Option<i32>,
    /// The parameters that the server reported during startup.
    pub parameters: Vec<(String, String)>,
    /// The host it leads to.
    pub host: Arc<Host>,
    pub(super) route: Route,
    /// The key for cancel requests; without it nothing can be cancelled.
    pub(super) cancel_key: Option<CancelKey>,
    /// The time it took to open the connection: a round trip, or a few.
    pub(super) opened_in: Duration,
    pub(super) listener: Arc<dyn Listener>,
    pub(super) received: AtomicU64,
    pub(super) _shape_user: ShapeUser,
    pub(super) state: Mutex<ConnectionState>,
}

pub(super) struct ConnectionState {
    /// The socket, if it may be written without encryption.
    pub(super) plain: Option<Arc<Writer>>,
    /// Encoded bytes that the socket has not taken yet.
    pub(super) outbox: BytesMut,
    /// Exchanges that are not encoded yet.
    pub(super) queue: VecDeque<Exchange>,
    /// Encoded exchanges; the driver takes the first when it reads its first answer. Several only in a
    /// pipeline.
    pub(super) sent: VecDeque<InFlight>,
    /// Raw mode, while the exchange that runs has the connection in it.
    pub(super) raw: Option<RawMode>,
    /// The portal whose next page has not been asked for.
    pub(super) suspended: Option<Suspended>,
    /// Whether exchanges are sent without waiting for the answers to earlier ones.
    pub(super) pipelined: bool,
    /// The exchange that runs: between its first byte and its end.
    pub(super) busy: Option<u32>,
    /// Whether the Sync of that exchange has been sent. A second one would end the next exchange.
    pub(super) synced: bool,
    pub(super) status: Status,
    pub(super) end: End,
    /// An exchange whose caller has given up, and the error for it.
    pub(super) given_up: Option<(u32, Error)>,
    pub(super) statements: Statements,
    pub(super) role: Role,
    pub(super) watch: TransactionWatch,
    pub(super) driver: Option<Waker>,
    /// What runs or waits fails with it when the connection has been closed by us.
    pub(super) close_error: Option<Error>,
}

/// The end of a connection, and how far it has come.
#[derive(Debug, Clone)]
pub(super) enum End {
    Open,
    /// Closed by us, not yet by the driver.
    Closing,
    Closed(Error),
}

/// An exchange that is refused before it is sent.
pub(super) struct Refused {
    pub(super) reply: Box<dyn Reply>,
    pub(super) error: Error,
    pub(super) status: Option<Status>,
}

impl Refused {
    pub(super) fn settle(self) {
        let Self { reply, error, status } = self;
        reply.settle(Outcome::Failed { error, sent: false, status });
    }
}

impl Connection {
    /// Sends an exchange, or queues it behind those that were submitted before.
    pub fn submit(&self, exchange: Exchange) {
        let mut state = self.state.lock();
        let refused = match &state.end {
            End::Open if !state.takes_locked(&exchange) => {
                state.queue.push_back(exchange);
                return;
            }
            End::Open => match state.start_locked(exchange, Run::First) {
                Ok(()) => return state.flush_locked(),
                Err(refused) => refused,
            },
            End::Closing => Refused { reply: exchange.reply, error: Error::Ended, status: None },
            End::Closed(error) => Refused { reply: exchange.reply, error: error.clone(), status: None },
        };
        drop(state);
        refused.settle();
    }

    /// The transaction status after the last exchange; none: closed or closing.
    pub fn status(&self) -> Option<Status> {
        let state = self.state.lock();
        matches!(state.end, End::Open).then_some(state.status)
    }

    /// The role that the server has reported so far.
    pub fn role(&self) -> Role {
        self.state.lock().role
    }

    /// Watches from now on whether the open transaction is committed.
    pub fn watch_transaction(&self) {
        self.state.lock().watch = TransactionWatch::Open;
    }

    /// Ends the watch. True: something that was sent during it may be committed.
    pub fn may_have_committed(&self) -> bool {
        std::mem::take(&mut self.state.lock().watch) == TransactionWatch::Committed
    }

    /// Whether nothing runs and nothing is queued.
    pub fn is_quiet(&self) -> bool {
        let state = self.state.lock();
        state.busy.is_none() && state.queue.is_empty()
    }

    /// Closes the connection, with a Terminate to the server if it is idle. Exchanges that run or wait fail
    /// with "Connection terminated".
    pub fn close(&self) {
        self.close_with(Error::Ended);
    }

    /// Closes; what runs or waits fails with `error`.
    pub fn close_with(&self, error: Error) {
        let mut state = self.state.lock();
        if matches!(state.end, End::Open) {
            state.end = End::Closing;
            state.close_error = Some(error);
            state.wake_locked();
        }
    }

    /// Gives the connection up as lost, without a word to the server: what runs fails by its phase.
    pub fn sever(&self) {
        let mut state = self.state.lock();
        if !matches!(state.end, End::Closed(_)) {
            state.end = End::Closed(Error::Lost);
            state.wake_locked();
        }
    }

    /// How many bytes the server has sent since the login.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn count_received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Cancels the exchange that runs; its caller gets the error of a connection that is terminated. False:
    /// nothing runs.
    pub fn interrupt(&self) -> bool {
        let busy = self.state.lock().busy;
        busy.is_some_and(|id| self.give_up(id, Error::Ended))
    }

    /// Gives up the exchange `id`. If it has not been sent it fails at once. Else its caller gets `error`,
    /// the server is asked to cancel it, and the connection stays busy until that is settled. False: there is
    /// no such exchange here.
    pub fn give_up(&self, id: u32, error: Error) -> bool {
        let mut state = self.state.lock();
        if let Some(index) = state.queue.iter().position(|exchange| exchange.id == id) {
            let exchange = state.queue.remove(index);
            let status = Some(state.status);
            drop(state);
            if let Some(Exchange { reply, .. }) = exchange {
                Refused { reply, error, status }.settle();
            }
            return true;
        }
        if state.busy != Some(id) || matches!(state.end, End::Closed(_)) {
            return false;
        }
        state.given_up = Some((id, error));
        state.wake_locked();
        true
    }
}

impl ConnectionState {
    pub(super) fn new(
        plain: Option<Arc<Writer>>,
        statements: Statements,
        role: Role,
        pipelined: bool,
    ) -> Self {
        Self {
            plain,
            outbox: BytesMut::new(),
            queue: VecDeque::new(),
            sent: VecDeque::new(),
            raw: None,
            suspended: None,
            pipelined,
            busy: None,
            synced: true,
            status: Status::Idle,
            end: End::Open,
            given_up: None,
            statements,
            role,
            watch: TransactionWatch::Off,
            driver: None,
            close_error: None,
        }
    }

    /// Writes as much of the outbox as a plain socket takes; the driver writes the rest.
    pub(super) fn flush_locked(&mut self) {
        if let Some(plain) = &self.plain {
            while !self.outbox.is_empty() {
                match plain.try_write(&self.outbox) {
                    Ok(written) => self.outbox.advance(written),
                    // The socket is full, or broken: the driver waits for room, or notices the end by
                    // reading.
                    Err(_) => break,
                }
            }
        }
        if self.outbox.is_empty() && self.outbox.capacity() > KEPT_OUTBOX {
            self.outbox = BytesMut::new();
        }
        let timed = self.sent.front().is_some_and(|sent| sent.deadline.is_some());
        if timed || !self.outbox.is_empty() {
            self.wake_locked();
        }
    }

    /// Sends the Sync of an exchange that is fetched in pieces, once.
    pub(super) fn sync_locked(&mut self) {
        if !std::mem::replace(&mut self.synced, true) {
            frontend::sync(&mut self.outbox);
            self.flush_locked();
        }
    }

    pub(super) fn wake_locked(&mut self) {
        if let Some(driver) = self.driver.take() {
            driver.wake();
        }
    }

    /// Starts the next queued exchange that can be sent; returns those that cannot.
    pub(super) fn start_next_locked(&mut self) -> Vec<Refused> {
        let mut refused = Vec::new();
        while let Some(exchange) = self.queue.pop_front() {
            match self.start_locked(exchange, Run::First) {
                Ok(()) => break,
                Err(next) => refused.push(next),
            }
        }
        refused
    }

    /// Whether an exchange can be sent now.
    fn takes_locked(&self, exchange: &Exchange) -> bool {
        let statement = &exchange.statement;
        let joins = || {
            (self.pipelined || statement.joined && self.synced)
                && self.queue.is_empty()
                && self.raw.is_none()
                && statement.is_joinable()
        };
        self.busy.is_none() || joins()
    }

    /// The exchange that is answered next.
    pub(super) fn take_sent_locked(&mut self) -> Option<InFlight> {
        if self.raw.is_some() {
            return None;
        }
        let mut next = self.sent.pop_front()?;
        if next.shape.is_none() && self.pipelined && matches!(next.preparation, Preparation::Cached(_)) {
            // The answer with the columns may still have been under way when the exchange was sent.
            next.shape = self.statements.shape_of(&next.exchange.statement);
        }
        Some(next)
    }

    // What is said about transactions and meanings.

    /// A text is sent.
    pub(super) fn on_sent_locked(&mut self, text: &str) {
        self.watch.on_sent(text);
        self.statements.on_sent(text, self.status);
    }

    /// A statement is complete.
    pub(super) fn on_complete_locked(&mut self, tag: &[u8]) {
        self.watch.on_complete(tag);
        self.statements.on_complete(tag);
    }

    /// The server is ready for the next statement.
    pub(super) fn on_ready_locked(&mut self, status: Status) {
        self.watch.on_ready(status);
        self.statements.on_ready(status);
    }

    /// Encodes an exchange into the outbox, unless it was withdrawn.
    pub(super) fn start_locked(&mut self, exchange: Exchange, run: Run) -> Result<(), Refused> {
        if exchange.reply.is_withdrawn() {
            let status = Some(self.status);
            return Err(Refused { reply: exchange.reply, error: Error::Withdrawn, status });
        }
        let statement = Arc::clone(&exchange.statement);
        let before = self.outbox.len();
        match encode(&statement, run != Run::First, self.status, &mut self.statements, &mut self.outbox) {
            Ok((preparation, shape)) => {
                if let Some(raw_reader) =
                    (statement.mode == QueryMode::Raw).then(|| exchange.reply.raw_reader()).flatten()
                {
                    self.raw = Some(RawMode::new(Arc::clone(&raw_reader), self.status));
                    raw_reader.begun();
                }
                if statement.name.is_some() || !matches!(preparation, Preparation::Cached(_)) {
                    for before in &statement.before {
                        self.on_sent_locked(&before.text);
                    }
                    self.on_sent_locked(&self.statements.text_of(&statement));
                }
                self.busy.get_or_insert(exchange.id);
                self.synced = statement.fetch == 0;
                let is_prepared = matches!(preparation, Preparation::Pending(_));
                let in_flight = InFlight::new(exchange, preparation, shape, self.outbox.len() - before);
                let closes = is_prepared && self.statements.closes();
                self.sent.push_back(InFlight { run, closes, ..in_flight });
                Ok(())
            }
            Err(error) => {
                self.outbox.truncate(before);
                Err(Refused { reply: exchange.reply, error, status: Some(self.status) })
            }
        }
    }
}
