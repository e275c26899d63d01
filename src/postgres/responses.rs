//! What the messages of the server mean to the exchange they answer: rows and results, errors, the end. What
//! was given up is cancelled on the server, and nothing else is sent before that is settled.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use postgres_protocol::message::frontend;
use tokio::time::Sleep;

use super::{
    Connection, DatabaseError, Error, Event, Outcome, RawReader, Shape, SqlState, Status,
    cancel::cancel,
    codec::Packer,
    connection::{End, Refused},
    exchange::Exchange,
    in_flight::{InFlight, Preparation, Progress},
    messages::{Inbox, RawMessage},
    portal::Suspended,
    statements::OWN_NAME,
};

/// How long the server may take to settle a statement whose caller has given up.
const PATIENCE: Duration = Duration::from_secs(10);
/// A cancel request may overtake the statement, and then hits nothing: so long after it another one follows,
/// and each further one after twice the time.
const CANCEL_AGAIN: Duration = Duration::from_millis(100);

/// What of the driver deals with messages.
pub(super) struct ResponseHandler {
    pub(super) connection: Arc<Connection>,
    packer: Packer,
    pub(super) current: Option<InFlight>,
    /// A cancel request on its way.
    cancel: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
    /// Until the next cancel request, and the time before the one after it.
    again: Option<Pin<Box<Sleep>>>,
    pause: Duration,
    /// The server is ready, but the cancel request is not settled yet.
    ready: Option<Status>,
    /// Until when the server may take to answer what was given up.
    pub(super) patience: Option<Instant>,
    over: bool,
}

impl ResponseHandler {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            packer: Packer::default(),
            current: None,
            cancel: None,
            again: None,
            pause: CANCEL_AGAIN,
            ready: None,
            patience: None,
            over: false,
        }
    }

    pub(super) fn messages(&mut self, inbox: &mut Inbox) -> Result<(), Error> {
        if self.current.is_none()
            && let Some(raw_reader) = self.raw_reader()
        {
            for bytes in self.connection.read_raw(&raw_reader, inbox)? {
                RawMessage::whole(&bytes).map_or(Ok(()), |message| self.message(message))?;
            }
            return Ok(());
        }
        while let Some(message) = inbox.next()? {
            if let Err(error) = self.message(message) {
                if let Some(current) = self.current() {
                    current.error.get_or_insert_with(|| error.clone());
                    // The exchange has heard it; the connection itself ends without a word.
                    return Err(if error.sqlstate().is_some() { Error::Lost } else { error });
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn message(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        match message.tag {
            b'D' => self.row(message),
            b'1' | b'd' if self.current().is_none() => Err(message.unexpected()),
            b'2' => self.bound(),
            b'1' | b'3' | b't' | b'H' | b'd' | b'c' | b'W' | b'K' | b'v' => Ok(()),
            b'T' => self.columns(message, true),
            b'n' => self.columns(message, false),
            b'C' => self.complete(message),
            b'I' => self.complete_with(message, b""),
            b's' => self.suspended(message),
            b'Z' => self.ready(message),
            b'E' => self.error(message),
            b'G' => self.refuse_copy(message),
            b'N' => self.tell(Event::Notice(Box::new(message.database_error()?))),
            b'A' | b'S' => self.asynchronous(message),
            _ => Err(message.unexpected()),
        }
    }

    /// Who reads the connection in raw mode.
    pub(super) fn raw_reader(&self) -> Option<Arc<dyn RawReader>> {
        self.connection.state.lock().raw.as_ref().map(|raw| Arc::clone(&raw.reader))
    }

    /// The exchange that is being answered.
    fn current(&mut self) -> Option<&mut InFlight> {
        if self.current.is_none() {
            self.current = self.connection.state.lock().take_sent_locked();
        }
        self.current.as_mut()
    }

    #[expect(clippy::unnecessary_wraps, reason = "reads as the other arms of the match do")]
    fn bound(&mut self) -> Result<(), Error> {
        if let Some(current) = self.current() {
            current.progress = current.progress.max(Progress::Bound);
        }
        Ok(())
    }

    fn row(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        if self.current.is_none() {
            self.current();
        }
        let Some(current) = &mut self.current else { return Err(message.unexpected()) };
        let Some(shape) = &current.shape else { return Err(message.unexpected()) };
        self.packer.push(shape, message.body())?;
        match current.room.checked_sub(message.length() as u64) {
            Some(room) => current.room = room,
            None => self.too_large(),
        }
        if self.packer.is_full() {
            self.hand_over();
        }
        Ok(())
    }

    /// The result has outgrown its limit: the rest of it is not wanted.
    #[cold]
    fn too_large(&mut self) {
        let Some(current) = &mut self.current else { return };
        current.room = u64::MAX;
        let (id, limit) = (current.exchange.id, current.exchange.statement.max_bytes.unwrap_or_default());
        self.give_up(id, Error::TooLarge(limit));
    }

    /// Gives the gathered rows to the reply, and opens a result that has none.
    fn hand_over(&mut self) {
        let Some(current) = &mut self.current else { return };
        let Some(shape) = &current.shape else { return };
        if self.packer.is_empty() && current.opened {
            return;
        }
        current.exchange.reply.rows(shape, self.packer.rows());
        current.opened = true;
        current.progress = current.progress.max(Progress::Rows);
        self.packer.clear();
    }

    fn columns(&mut self, message: RawMessage<'_>, some: bool) -> Result<(), Error> {
        let Some(current) = self.current() else { return Err(message.unexpected()) };
        let statement = Arc::clone(&current.exchange.statement);
        let shape = if some { Some(Shape::read(message, statement.is_binary())?) } else { None };
        current.shape.clone_from(&shape);
        current.opened = false;
        if let Preparation::Pending(name) = &mut current.preparation {
            let name = std::mem::take(name);
            current.preparation = Preparation::None;
            self.connection.state.lock().statements.insert(&statement, name, shape);
        }
        Ok(())
    }

    fn complete(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let tag = message.body().strip_suffix(b"\0").ok_or_else(|| message.malformed())?;
        self.complete_with(message, tag)
    }

    fn complete_with(&mut self, message: RawMessage<'_>, tag: &[u8]) -> Result<(), Error> {
        if self.current().is_none() {
            return Err(message.unexpected());
        }
        self.hand_over();
        if let Some(current) = &mut self.current {
            current.exchange.reply.complete(tag);
            current.progress = Progress::Result;
            current.opened = false;
            current.shape = None;
        }
        let mut state = self.connection.state.lock();
        if matches!(tag, b"DISCARD ALL" | b"DEALLOCATE ALL") {
            state.statements.deallocated();
        }
        state.watch.on_complete(tag);
        state.sync_locked();
        Ok(())
    }

    fn suspended(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let Some(current) = self.current() else { return Err(message.unexpected()) };
        let suspended = Suspended { id: current.exchange.id, fetch: current.exchange.statement.fetch };
        let paged = current.exchange.statement.paged && !current.given_up;
        self.hand_over();
        let mut state = self.connection.state.lock();
        if paged {
            state.suspended = Some(suspended);
            drop(state);
            if let Some(current) = &mut self.current {
                // It may end here.
                current.progress = Progress::Result;
                current.exchange.reply.suspended();
            }
        } else {
            state.fetch_locked(suspended.fetch);
            state.flush_locked();
        }
        Ok(())
    }

    /// A statement that is fetched in pieces was sent without Sync.
    fn end_fetching(&mut self) {
        self.connection.state.lock().sync_locked();
    }

    fn error(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let mut error = message.database_error()?;
        self.hide_own_name(&mut error);
        let error = Error::Database(Arc::new(error));
        if error.is_fatal() || self.current().is_none() {
            return Err(error);
        }
        // A result without a row is not told of: what has told nothing may still be healed.
        if !self.packer.is_empty() {
            self.hand_over();
        }
        if let Some(current) = &mut self.current {
            current.error.get_or_insert(error);
        }
        self.end_fetching();
        Ok(())
    }

    /// A statement nobody named is unnamed to its user, whatever we call it on the server.
    fn hide_own_name(&mut self, error: &mut DatabaseError) {
        let unnamed = self.current().is_some_and(|current| current.exchange.statement.name.is_none());
        if unnamed && error.message.contains(OWN_NAME) {
            error.message = unnamed_in(&error.message);
        }
    }

    /// Nobody can feed a COPY through a plain query.
    fn refuse_copy(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let Some(current) = self.current() else { return Err(message.unexpected()) };
        let simple = current.exchange.statement.mode == super::QueryMode::Simple;
        let mut state = self.connection.state.lock();
        let _ = frontend::copy_fail("No source stream defined", &mut state.outbox);
        // A Sync sent with the statement was swallowed by the COPY.
        if !simple && state.synced {
            frontend::sync(&mut state.outbox);
        }
        state.flush_locked();
        Ok(())
    }

    /// Texts are taken as they come: a session may have set an encoding of its own.
    fn asynchronous(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        if message.tag == b'A' {
            let (process_id, texts) =
                message.body().split_first_chunk::<4>().ok_or_else(|| message.malformed())?;
            let [channel, payload] = message.texts(texts)?;
            let process_id = i32::from_be_bytes(*process_id);
            return self.tell(Event::Notification { length: message.length(), process_id, channel, payload });
        }
        let [parameter_name, parameter_value] = message.texts(message.body())?;
        self.connection.state.lock().role.note(&parameter_name, &parameter_value);
        self.tell(Event::ParameterStatus { parameter_name, parameter_value })
    }

    #[expect(clippy::unnecessary_wraps, reason = "reads as the other arms of the match do")]
    fn tell(&self, event: Event) -> Result<(), Error> {
        self.connection.listener.event(self.connection.id, event);
        Ok(())
    }

    fn ready(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let status = message.status()?;
        // Each exchange is answered by a result or an error; the end alone belongs to another one.
        if self
            .current()
            .is_some_and(|current| current.progress < Progress::Result && current.error.is_none())
        {
            return Err(message.unexpected());
        }
        if self.cancel.is_some() {
            self.ready = Some(status);
        } else {
            self.finish(status);
        }
        Ok(())
    }

    /// Ends the current exchange and begins the next.
    fn finish(&mut self, status: Status) {
        let finished = self.current.take();
        self.patience = None;
        self.again = None;
        let connection = Arc::clone(&self.connection);
        let mut state = connection.state.lock();
        state.status = status;
        state.watch.on_ready(status);
        let is_wanted = state.given_up.take().is_none();
        if state.pipelined
            && let Some(failed) = finished.as_ref().filter(|finished| finished.is_unprepared())
        {
            state.statements.abandon(&failed.exchange.statement);
        }
        let mut refused = Vec::new();
        let is_name_taken = finished.as_ref().is_some_and(InFlight::met_taken_name);
        let finished = match finished {
            Some(finished) if finished.is_stale() => {
                state.disown_locked(&finished);
                if is_wanted && finished.is_healable(status) && state.sent.is_empty() {
                    refused.extend(state.start_locked(finished.exchange, true).err());
                    None
                } else {
                    Some(finished)
                }
            }
            finished => finished,
        };
        state.busy = state.sent.front().map(|next| next.exchange.id);
        if state.busy.is_none() {
            refused.extend(state.start_next_locked());
        }
        state.flush_locked();
        drop(state);
        if is_name_taken {
            connection.listener.name_taken(&connection);
        }
        if let Some(finished) = finished {
            if finished.error.as_ref().and_then(Error::sqlstate).is_some_and(SqlState::is_read_only) {
                connection.listener.refused_write(&connection, status);
            }
            finished.settle(status);
        }
        refused.into_iter().for_each(Refused::settle);
    }

    pub(super) fn give_up(&mut self, id: u32, error: Error) {
        let mut state = self.connection.state.lock();
        let is_raw = self.current.is_none() && state.cancel_raw_locked(id);
        let pipelined = state.pipelined;
        if state.suspended.take_if(|suspended| suspended.id == id).is_some() {
            // Nothing runs that could be cancelled: the portal is closed instead.
            state.sync_locked();
        }
        drop(state);
        if !is_raw {
            let Some(current) = self.current.as_mut().filter(|current| current.exchange.id == id) else {
                return;
            };
            if self.patience.is_some() {
                return;
            }
            current.given_up = true;
            current.deadline = None;
            current.exchange.reply.give_up(error);
            // A cancel request might hit what the server has gone on to.
            if pipelined {
                return;
            }
            self.patience = Some(Instant::now() + PATIENCE);
        }
        self.pause = CANCEL_AGAIN;
        self.ask_to_cancel();
    }

    fn ask_to_cancel(&mut self) {
        let Connection { route, process_id, secret_key, .. } = &*self.connection;
        self.cancel = Some(Box::pin(cancel(route.clone(), *process_id, *secret_key)));
    }

    /// When the exchange, or the cancel of it, is late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.patience.or_else(|| self.current.as_ref().and_then(|current| current.deadline))
    }

    /// A cancel request that is not settled may hit a later statement: there must be none.
    pub(super) fn poll_cancel(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        loop {
            if let Some(cancel) = &mut self.cancel {
                let Poll::Ready(settled) = cancel.as_mut().poll(cx) else { return Ok(()) };
                self.cancel = None;
                if !settled {
                    return Err(Error::Lost);
                }
                self.connection.raw_cancel_settled();
                if let Some(status) = self.ready.take() {
                    self.finish(status);
                } else if self.current.as_ref().is_some_and(|current| current.given_up) {
                    self.again = Some(Box::pin(tokio::time::sleep(self.pause)));
                    self.pause *= 2;
                }
            }
            let Some(again) = &mut self.again else { return Ok(()) };
            if again.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.again = None;
            self.ask_to_cancel();
        }
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.current.is_none() && self.connection.state.lock().busy.is_none()
    }

    /// The connection is over: nobody waits for it any longer.
    pub(super) fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let (error, told) = match end {
            End::Closed(error) => (error.clone(), Some(error)),
            End::Closing | End::Open => (Error::Ended, None),
        };
        let mut state = self.connection.state.lock();
        state.end = End::Closed(error.clone());
        // The socket is to be closed now, not when the last one lets go of the connection.
        state.plain = None;
        let pipelined = state.pipelined;
        let sent = std::mem::take(&mut state.sent);
        let in_flight = self.current.take().into_iter().chain(sent);
        let unsent = state.outbox.len();
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for InFlight { exchange, error: own, bytes, .. } in in_flight {
            // In a pipeline, what has not left belongs to the last ones.
            let sent = pipelined || unsent < bytes;
            let error = own.unwrap_or_else(|| error.clone());
            exchange.reply.settle(Outcome::Failed { error, sent, status: None });
        }
        for Exchange { reply, .. } in queue {
            Refused { reply, error: error.clone(), status: None }.settle();
        }
        self.connection.listener.closed(self.connection.id, told);
    }
}

/// A panic in here loses the connection, but nobody who waits for an answer.
impl Drop for ResponseHandler {
    fn drop(&mut self) {
        self.end(End::Closed(Error::protocol("the connection was lost to an internal error")));
    }
}

/// The message with our own statement names made empty.
fn unnamed_in(message: &str) -> String {
    let mut parts = message.split(OWN_NAME);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        result.push_str(
            part.trim_start_matches(|character: char| character.is_ascii_hexdigit() || character == '_'),
        );
    }
    result
}
