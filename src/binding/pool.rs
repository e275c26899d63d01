//! `Pool`: one tier, as JavaScript drives it. Every call returns at once.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use napi::{Error as NapiError, Result, Status};
use napi_derive::napi;

use super::{
    bridge::Hub,
    connections::Desk,
    io_thread,
    node_socket::Phone,
    outbox::Kind,
    request::{self, Request},
};
use crate::{
    dispatch::{Answer, Changes, Failure, Run, Settings, Tier, Wish, Withdrawal},
    postgres::{AskPassword, Error, Witness},
};

/// A pool of connections.
#[napi]
pub struct Pool {
    desk: Arc<Desk>,
    tier: Tier,
}

/// JavaScript has let go of the pool, or its thread has ended.
impl Drop for Pool {
    fn drop(&mut self) {
        self.desk.abandon();
    }
}

#[napi]
impl Pool {
    /// `pool`: the number under which JavaScript knows it; `settings`: JSON. Settings that make no sense
    /// are told as `InvalidArg`, a line each.
    #[napi(constructor, catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    pub fn new(hub: &Hub, pool: u32, settings: String) -> Result<Self> {
        let runtime = io_thread::handle().map_err(|error| NapiError::from_reason(error.to_string()))?;
        let desk = Desk::new(Arc::clone(&hub.outbox), pool);
        let asked = Arc::clone(&desk);
        let mut settings = Settings::from_json(&settings, || asked as Arc<dyn AskPassword>)
            .map_err(|error| NapiError::new(Status::InvalidArg, error.problems().join("\n")))?;
        settings.tell_logins(|| Arc::clone(&desk) as Arc<dyn Witness>);
        settings.dial_by(|| Arc::new(Phone(Arc::clone(&desk.exchange))));
        desk.name(settings.tier.clone());
        // The pool starts its housekeeping, for which it needs to be inside the runtime.
        let _inside = runtime.enter();
        let tier = Tier::new(settings, Arc::clone(&desk) as _, runtime.clone());
        desk.measure(tier.vitals());
        Ok(Self { desk, tier })
    }

    /// Runs a statement on any connection.
    #[napi(catch_unwind)]
    pub fn query(&self, id: u32, buffer: &[u8], length: u32) {
        let mut answer = self.desk.answer_to(id);
        match read(buffer, length) {
            None => answer.failed(malformed(), None),
            Some(Request { statement, wish }) => {
                let withdrawal = wish.withdrawal.clone();
                let ticket = self.tier.query(id, statement, wish, answer);
                if let Some(withdrawal) = withdrawal {
                    self.desk.note(id, withdrawal, ticket);
                }
            }
        }
    }

    /// Lends a connection.
    #[napi(catch_unwind)]
    pub fn connect(&self, id: u32, deadline: Option<u32>, attempts: Option<u32>, base: Option<u32>) {
        let millis = |ms: Option<u32>| ms.map(|ms| Duration::from_millis(ms.into()));
        let withdrawal = Withdrawal::default();
        let wish = Wish {
            deadline: millis(deadline),
            attempts,
            base: millis(base),
            withdrawal: Some(withdrawal.clone()),
            ..Wish::default()
        };
        let ticket = self.tier.connect(id, wish, self.desk.answer_to(id));
        self.desk.note(id, withdrawal, ticket);
    }

    /// Runs a statement on a lent connection, after those sent before.
    #[napi(catch_unwind)]
    pub fn send(&self, connection: u32, id: u32, buffer: &[u8], length: u32) {
        match read(buffer, length) {
            None => self.desk.answer_to(id).failed(malformed(), None),
            Some(Request { statement, .. }) => self.desk.send(connection, id, statement),
        }
    }

    /// Asks for a lent connection in raw mode, after what was sent before; whether it is there already.
    #[napi(catch_unwind)]
    pub fn raw(&self, connection: u32, id: u32) -> bool {
        self.desk.raw(connection, id)
    }

    /// Writes for the request that has the connection in raw mode; returns the bytes that have not left,
    /// -1: it is over.
    #[napi(catch_unwind)]
    pub fn write(&self, connection: u32, id: u32, buffer: &[u8]) -> i64 {
        let left = self.desk.connection(connection).and_then(|connection| connection.write_raw(id, buffer));
        left.and_then(|left| i64::try_from(left).ok()).unwrap_or(-1)
    }

    /// Whether the server is not to be read while the request has the connection in raw mode.
    #[napi(catch_unwind)]
    pub fn pause(&self, connection: u32, id: u32, on: bool) {
        if let Some(line) = self.desk.line(connection, id) {
            line.pause(on);
        }
    }

    /// Ends the raw mode of a request; false: the server is not ready.
    #[napi(catch_unwind)]
    pub fn settle(&self, connection: u32, id: u32) -> bool {
        self.desk.connection(connection).is_some_and(|connection| connection.end_raw(id))
    }

    /// Fetches the next page of a suspended request, or ends it; false: it is not suspended.
    #[napi(catch_unwind)]
    pub fn turn_page(&self, connection: u32, id: u32, on: bool) -> bool {
        self.desk.connection(connection).is_some_and(|connection| connection.turn_page(id, on))
    }

    /// Answers DIAL: the stream is there, or why it is not.
    #[napi(catch_unwind)]
    pub fn dialed(&self, tunnel: u32, failure: Option<String>) {
        let outcome = failure.map_or(Ok(()), |failure| Err(Error::Plain(failure)));
        self.desk.exchange.dialed(tunnel, outcome);
    }

    /// Bytes of the server from a tunnel. False: no more until RESUME.
    #[napi(catch_unwind)]
    pub fn feed(&self, tunnel: u32, bytes: &[u8]) -> bool {
        self.desk.exchange.tunnel(tunnel).is_none_or(|tunnel| tunnel.feed(bytes))
    }

    /// So many of the bytes of CARRY records have left.
    #[napi(catch_unwind)]
    pub fn sent(&self, tunnel: u32, bytes: u32) {
        if let Some(tunnel) = self.desk.exchange.tunnel(tunnel) {
            tunnel.sent(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
    }

    /// The stream of a tunnel has ended.
    #[napi(catch_unwind)]
    pub fn hung_up(&self, tunnel: u32) {
        if let Some(tunnel) = self.desk.exchange.tunnel(tunnel) {
            tunnel.end();
        }
    }

    /// Gives a lent connection back, or closes it.
    #[napi(catch_unwind)]
    pub fn release(&self, connection: u32, destroy: bool) {
        self.desk.release(connection, destroy);
    }

    /// Cuts a connection, whoever has it: an idle one leaves the pool at once, what runs on it fails.
    /// Whether it was idle.
    #[napi(catch_unwind)]
    pub fn cut(&self, connection: u32) -> bool {
        let idle = self.tier.forget(connection);
        if !idle {
            self.desk.cut(connection);
        }
        idle
    }

    /// Ends the greeting of a new connection.
    #[napi(catch_unwind)]
    pub fn greeted(&self, connection: u32, ok: bool) {
        self.desk.greeted(connection, ok);
    }

    /// Whether JavaScript has a say in the making of each connection.
    #[napi(catch_unwind)]
    pub fn escort(&self, on: bool) {
        self.desk.escorts.switch(on);
    }

    /// Answers ADMIT: the connection may be made, or why not; and REFUSED: why instead.
    #[napi(catch_unwind)]
    pub fn verdict(&self, attempt: u32, failure: Option<String>) {
        self.desk.escorts.verdict(attempt, failure);
    }

    /// Answers the question for a password.
    #[napi(catch_unwind)]
    pub fn answer(&self, question: u32, password: Option<String>, failure: Option<String>) {
        let answer = match failure {
            Some(failure) => Err(Error::Plain(failure)),
            None => Ok(password),
        };
        self.desk.answer(question, answer);
    }

    /// Withdraws a request that waits, or has the server cancel it; false: nothing is known of it.
    #[napi(catch_unwind)]
    pub fn cancel(&self, id: u32) -> bool {
        self.desk.withdraw(id).is_some_and(|ticket| self.tier.withdraw(ticket))
            || self.tier.wake(id)
            || self.desk.give_up(id)
    }

    /// Whether JavaScript greets new connections before anybody gets them.
    #[napi(catch_unwind)]
    pub fn greet(&self, on: bool) {
        self.desk.greets.store(on, Ordering::Relaxed);
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

    /// Whether a transaction runs again, `run` (JSON) telling of its last run: answered when it begins,
    /// or by why it does not.
    #[napi(catch_unwind)]
    #[allow(clippy::needless_pass_by_value, reason = "Node-API hands over a String")]
    pub fn again(&self, id: u32, run: String) -> Result<()> {
        let run = serde_json::from_str::<Run>(&run)
            .map_err(|error| NapiError::from_reason(format!("the run cannot be read: {error}")))?;
        self.tier.again(id, run, self.desk.verdict_to(id));
        Ok(())
    }

    /// Answered after so many milliseconds, or with a failure when it is cancelled.
    #[napi(catch_unwind)]
    pub fn rest(&self, id: u32, millis: u32) {
        self.tier.rest(id, Duration::from_millis(millis.into()), self.desk.verdict_to(id));
    }

    /// Counts a COMMIT whose outcome stays unknown.
    #[napi(catch_unwind)]
    pub fn commit_unknown(&self) {
        self.tier.commit_unknown();
    }

    /// Refuses new work, drains, closes; answered when all is done.
    #[napi(catch_unwind)]
    pub fn end(&self, id: u32) {
        let outbox = Arc::clone(&self.desk.outbox);
        self.tier.end(move || outbox.push(Kind::Done, id, 0));
    }

    /// While the turn of the JavaScript thread lasts, no connection is closed for having been idle.
    #[napi(catch_unwind)]
    pub fn turn(&self, lasts: bool) {
        self.tier.hold_idle_timeout(lasts);
    }

    /// All connections: lent, idle and those being opened.
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
    pub fn vitals(&self) -> u32 {
        self.tier.vitals().map_or(0, |vitals| vitals.id)
    }

    /// Lent connections past their lifetime.
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
