//! [`NativePool`]: one tier, as JavaScript calls it. Every call returns at once; the answers are records.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use napi::{Error as NapiError, Result, Status};
use napi_derive::napi;

use super::{
    answer::{AtOnce, CheckoutAnswer},
    bridge::Bridge,
    connections::Connections,
    errors::{ApplicationError, DialError},
    io_thread,
    layout::RecordKind,
    lookups::NodeResolver,
    node_socket::NodeDialer,
    request::{self, Request},
};
use crate::{
    dispatch::{Answer, CancelFlag, Changes, FailedRun, Failure, RequestOptions, Settings, Tier},
    postgres::{Action, AskPassword, Error, LoginListener, SqlState, sql_text},
};

/// A pool of connections.
#[napi(js_name = "Pool")]
pub struct NativePool {
    connections: Arc<Connections>,
    tier: Tier,
}

/// Closes what is open: JavaScript has dropped the pool, or its thread has ended.
impl Drop for NativePool {
    fn drop(&mut self) {
        self.connections.abandon();
    }
}

#[napi]
impl NativePool {
    /// Opens a pool. `pool`: its number in JavaScript; `settings`: JSON. Fails with `InvalidArg`, whose message
    /// has a line for each setting that makes no sense.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    pub fn new(bridge: &Bridge, pool: u32, settings: String) -> Result<Self> {
        let runtime = io_thread::handle().map_err(|error| NapiError::from_reason(error.to_string()))?;
        let connections = Connections::new(Arc::clone(&bridge.outbox), pool);
        let asked = Arc::clone(&connections);
        let mut settings = Settings::from_json(&settings, || asked as Arc<dyn AskPassword>)
            .map_err(|error| NapiError::new(Status::InvalidArg, error.problems().join("\n")))?;
        settings.tell_logins(|| Arc::clone(&connections) as Arc<dyn LoginListener>);
        settings.resolve_by(|| Arc::new(NodeResolver(Arc::clone(&connections.lookups))));
        settings.dial_by(Arc::new(NodeDialer(Arc::clone(&connections.node_sockets))));
        connections.set_tier(settings.tier.clone());
        // The pool spawns its housekeeping on the runtime.
        let _inside = runtime.enter();
        let tier = Tier::new(settings, Arc::clone(&connections) as _, runtime.clone());
        connections.set_metrics(tier.metrics());
        connections.set_adaptive(tier.adaptive());
        Ok(Self { connections, tier })
    }

    /// Runs a statement on any connection.
    #[napi(catch_unwind)]
    pub fn query(&self, id: u32, buffer: &[u8], length: u32) {
        match read(buffer, length) {
            None => self.connections.answer_to(id).failed(malformed(), None),
            Some(Request { statement, options }) => match options.cancel_flag.clone() {
                None => {
                    self.tier.query(id, statement, options, self.connections.answer_to(id));
                }
                Some(cancel_flag) => {
                    let answer = self.connections.withdrawable_answer_to(id, cancel_flag);
                    let ticket = self.tier.query(id, statement, options, answer);
                    self.connections.waits_with(id, ticket);
                }
            },
        }
    }

    /// Leases a connection. With `at_once`: returns one that is there; else 0, and it comes as a record.
    #[napi(catch_unwind)]
    pub fn connect(
        &self,
        id: u32,
        deadline: Option<u32>,
        attempts: Option<u32>,
        base: Option<u32>,
        at_once: Option<bool>,
    ) -> u32 {
        let millis = |ms: Option<u32>| ms.map(|ms| Duration::from_millis(ms.into()));
        let cancel_flag = CancelFlag::default();
        let options = RequestOptions {
            deadline: millis(deadline),
            attempts,
            base: millis(base),
            cancel_flag: Some(cancel_flag.clone()),
            ..RequestOptions::default()
        };
        let at_once = AtOnce::new(at_once == Some(true));
        let answer = self.connections.withdrawable_answer_to(id, cancel_flag);
        let ticket = self.tier.connect(id, options, CheckoutAnswer::new(answer, at_once.clone()));
        at_once.finish().unwrap_or_else(|| {
            self.connections.waits_with(id, ticket);
            0
        })
    }

    /// Runs a statement on a leased connection, after those sent before.
    #[napi(catch_unwind)]
    pub fn send(&self, connection: u32, id: u32, buffer: &[u8], length: u32) {
        match read(buffer, length) {
            None => self.connections.answer_to(id).failed(malformed(), None),
            Some(Request { statement, .. }) => self.connections.send(connection, id, statement),
        }
    }

    /// Runs several statements on a leased connection with one Sync behind them all: where one fails, the rest does not
    /// run. One answer, with the results of all that ran.
    #[napi(catch_unwind)]
    pub fn send_flight(&self, connection: u32, id: u32, buffer: &[u8]) {
        match request::read_flight(buffer) {
            None => self.connections.answer_to(id).failed(malformed(), None),
            Some(statement) => self.connections.send(connection, id, statement),
        }
    }

    /// Asks for raw mode of a leased connection, after what was sent before. True: the request has it already.
    #[napi(catch_unwind)]
    pub fn start_raw(&self, connection: u32, id: u32) -> bool {
        self.connections.start_raw(connection, id)
    }

    /// Writes in raw mode. Returns the bytes that have not left; -1: raw mode is over.
    #[napi(catch_unwind)]
    pub fn write_raw(&self, connection: u32, id: u32, buffer: &[u8]) -> i64 {
        let left =
            self.connections.connection(connection).and_then(|connection| connection.write_raw(id, buffer));
        left.and_then(|left| i64::try_from(left).ok()).unwrap_or(-1)
    }

    /// Pauses the reading of the server in raw mode, or goes on.
    #[napi(catch_unwind)]
    pub fn pause_raw(&self, connection: u32, id: u32, on: bool) {
        if let Some(channel) = self.connections.raw_channel(connection, id) {
            channel.pause(on);
        }
    }

    /// Ends raw mode. False: the server is not ready for a query.
    #[napi(catch_unwind)]
    pub fn end_raw(&self, connection: u32, id: u32) -> bool {
        self.connections.connection(connection).is_some_and(|connection| connection.end_raw(id))
    }

    /// Fetches the next page of a suspended request, or ends the request. False: it is not suspended.
    #[napi(catch_unwind)]
    pub fn turn_page(&self, connection: u32, id: u32, on: bool) -> bool {
        self.connections.connection(connection).is_some_and(|connection| connection.turn_page(id, on))
    }

    /// Answers `DIAL`. With an error there is no stream; an encrypted one has the certificate of the server.
    #[napi(catch_unwind)]
    pub fn dialed(&self, socket: u32, error: Option<DialError>, certificate: Option<&[u8]>) {
        let certificate = certificate.map(<[u8]>::to_vec);
        let outcome = error.map_or(Ok(certificate), |error| Err(error.into()));
        self.connections.node_sockets.dialed(socket, outcome);
    }

    /// Answers `LOOKUP` with addresses, or an error.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over objects")]
    pub fn looked_up(&self, lookup: u32, addresses: Vec<String>, error: Option<DialError>) {
        let found = match error {
            Some(error) => Err(error.into()),
            None => Ok(addresses.iter().filter_map(|address| address.parse().ok()).collect()),
        };
        self.connections.lookups.answer(lookup, found);
    }

    /// Takes bytes of the server from a socket of Node's. False: no more until `SOCKET_RESUME`.
    #[napi(catch_unwind)]
    pub fn socket_data(&self, socket: u32, bytes: &[u8]) -> bool {
        self.connections.node_sockets.handle(socket).is_none_or(|handle| handle.feed(bytes))
    }

    /// Counts bytes of `SOCKET_WRITE` records that have left.
    #[napi(catch_unwind)]
    pub fn socket_written(&self, socket: u32, bytes: u32) {
        if let Some(handle) = self.connections.node_sockets.handle(socket) {
            handle.sent(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// Ends the stream of a socket that Node has closed.
    #[napi(catch_unwind)]
    pub fn socket_closed(&self, socket: u32) {
        if let Some(handle) = self.connections.node_sockets.handle(socket) {
            handle.end();
        }
    }

    /// Releases a leased connection, or closes it.
    #[napi(catch_unwind)]
    pub fn release(&self, connection: u32, destroy: bool) {
        self.connections.release(connection, destroy);
    }

    /// Closes a connection, whoever has it: an idle one leaves the pool at once, what runs on it fails, with
    /// `error` if there is one. True: it was idle.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over objects")]
    pub fn close_connection(&self, connection: u32, error: Option<ApplicationError>) -> bool {
        let idle = self.tier.forget(connection);
        if !idle {
            self.connections.close_connection(connection, error.as_ref());
        }
        idle
    }

    /// Answers `awaitsOnConnect` of `OPENED`; an error closes the new connection.
    #[napi(catch_unwind)]
    pub fn on_connect_done(&self, connection: u32, error: Option<ApplicationError>) {
        self.connections.on_connect_done(connection, error);
    }

    /// Sets whether each attempt to connect waits for `resolveConnect`.
    #[napi(catch_unwind)]
    pub fn intercept_connects(&self, on: bool) {
        self.connections.connect_hook.switch(on);
    }

    /// Answers `BEFORE_CONNECT`: with an error the attempt fails; and `CONNECT_FAILED`: the error takes the place
    /// of the core's own, which stays what it is where only a number is given.
    #[napi(catch_unwind)]
    pub fn resolve_connect(&self, attempt: u32, error: Option<ApplicationError>) {
        self.connections.connect_hook.resolve(attempt, error);
    }

    /// Answers `ASK_PASSWORD`; with an error the login fails.
    #[napi(catch_unwind)]
    pub fn give_password(&self, attempt: u32, password: Option<String>, error: Option<ApplicationError>) {
        let password = error.map_or(Ok(password), |error| Err(error.into()));
        self.connections.give_password(attempt, password);
    }

    /// Withdraws a waiting request, or has the server cancel it. False: nothing is known of it.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: u32) -> bool {
        self.connections.withdraw(id).is_some_and(|ticket| self.tier.withdraw(ticket))
            || self.tier.wake(id)
            || self.connections.give_up(id)
    }

    /// Sets whether new connections wait for `onConnectDone` before anybody gets them.
    #[napi(catch_unwind)]
    pub fn await_on_connect(&self, on: bool) {
        self.connections.awaits_on_connect.store(on, Ordering::Relaxed);
    }

    /// Changes what may be changed while it runs: `retry` (boolean) and `breaker` (a mode), as JSON.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    pub fn configure(&self, changes: String) -> Result<()> {
        let changes =
            Changes::from_json(&changes).map_err(|error| NapiError::from_reason(error.to_string()))?;
        self.tier.configure(&changes);
        Ok(())
    }

    /// Decides whether a failed run is repeated; `run`: JSON. Answered when it is time, or with the reason why not.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    pub fn decide_retry(&self, id: u32, run: String) -> Result<()> {
        let run = serde_json::from_str::<FailedRun>(&run)
            .map_err(|error| NapiError::from_reason(format!("the run cannot be read: {error}")))?;
        self.tier.decide_retry(id, run, self.connections.retry_answer_to(id));
        Ok(())
    }

    /// Answers after so many milliseconds, or with a failure when it is cancelled.
    #[napi(catch_unwind)]
    pub fn sleep(&self, id: u32, millis: u32) {
        let answer = self.connections.retry_answer_to(id);
        self.tier.sleep(id, Duration::from_millis(millis.into()), |outcome| answer(outcome, false));
    }

    /// Begins to watch whether the open transaction of a leased connection is committed.
    #[napi(catch_unwind)]
    pub fn watch_transaction(&self, connection: u32) {
        if let Some(connection) = self.connections.connection(connection) {
            connection.watch_transaction();
        }
    }

    /// Ends the watch. True: something that was sent during it may be committed.
    #[napi(catch_unwind)]
    pub fn may_have_committed(&self, connection: u32) -> bool {
        self.connections.connection(connection).is_none_or(|connection| connection.may_have_committed())
    }

    /// Whether the server rolls a whole transaction back with this code to settle a conflict.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    #[allow(clippy::unused_self, reason = "JavaScript asks its pool")]
    pub fn is_conflict(&self, code: String) -> bool {
        SqlState::new(code.as_bytes()).action() == Action::Rerun
    }

    /// Whether a text is one statement that does the same with others under one Sync as it does alone.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    #[allow(clippy::unused_self, reason = "JavaScript asks its pool")]
    pub fn may_go_with_others(&self, text: String) -> bool {
        sql_text::may_go_with_others(&text)
    }

    /// Whether a statement with this code was cancelled, by a timeout of the server or on request.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    #[allow(clippy::unused_self, reason = "JavaScript asks its pool")]
    pub fn is_cancelled(&self, code: String) -> bool {
        SqlState::new(code.as_bytes()).is_cancelled()
    }

    /// Counts a COMMIT whose outcome stays unknown.
    #[napi(catch_unwind)]
    pub fn commit_unknown(&self) {
        self.tier.commit_unknown();
    }

    /// Refuses new work, drains, closes; answered when all is done.
    #[napi(catch_unwind)]
    pub fn end(&self, id: u32) {
        let outbox = Arc::clone(&self.connections.outbox);
        self.tier.end(move || outbox.push(RecordKind::Done, id, 0));
    }

    /// Holds the idle timeout while on: the JavaScript thread is in a turn of its event loop.
    #[napi(catch_unwind)]
    pub fn hold_idle_timeout(&self, on: bool) {
        self.tier.hold_idle_timeout(on);
    }

    /// All connections: leased, idle and those being opened.
    #[napi(getter, catch_unwind)]
    pub fn total(&self) -> u32 {
        count(self.tier.counts().total)
    }

    /// Connections nobody uses.
    #[napi(getter, catch_unwind)]
    pub fn idle(&self) -> u32 {
        count(self.tier.counts().idle)
    }

    /// Requests that wait for a connection that is not being made for them.
    #[napi(getter, catch_unwind)]
    pub fn waiting(&self) -> u32 {
        count(self.tier.counts().queued)
    }

    /// The number of the pool in snapshots; 0: it is not measured.
    #[napi(getter, catch_unwind)]
    pub fn metrics_id(&self) -> u32 {
        self.tier.metrics().filter(|metrics| metrics.is_on()).map_or(0, |metrics| metrics.id)
    }

    /// Leased connections past their lifetime.
    #[napi(getter, catch_unwind)]
    pub fn expired(&self) -> u32 {
        count(self.tier.counts().expired)
    }
}

fn read(buffer: &[u8], length: u32) -> Option<Request> {
    request::read(buffer.get(..usize::try_from(length).ok()?)?)
}

fn malformed() -> Failure {
    Failure::Wire(Error::Plain("the request does not have the layout of a request".into()))
}

fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
