//! The meaning of the server's messages for the exchange they answer: rows and results, errors, notices. How
//! exchanges end is in [`settle`](super::settle).

use std::sync::Arc;

use postgres_protocol::message::frontend;

use super::{
    Connection, DatabaseError, Error, Event, RawReader, Shape, Status,
    cancellation::Cancellation,
    codec::Packer,
    in_flight::{InFlight, Preparation, Progress, ResultState},
    messages::{Inbox, RawMessage, unexpected},
    portal::Suspended,
    statements::OWN_NAME,
};

/// The part of the driver that understands messages.
pub(super) struct ResponseHandler {
    pub(super) connection: Arc<Connection>,
    packer: Packer,
    pub(super) current: Option<InFlight>,
    pub(super) cancellation: Cancellation,
    /// The server is ready, but the cancel request is not settled yet.
    pub(super) ready: Option<Status>,
    /// The error of the server with which an exchange has failed, and the connection ended.
    pub(super) last_words: Option<Error>,
    pub(super) over: bool,
}

impl ResponseHandler {
    pub(super) fn new(connection: Arc<Connection>) -> Self {
        Self {
            connection,
            packer: Packer::default(),
            current: None,
            cancellation: Cancellation::default(),
            ready: None,
            last_words: None,
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
                    // The error is for the exchange; the connection ends without one of its own.
                    if error.sqlstate().is_none() {
                        return Err(error);
                    }
                    self.last_words = Some(error);
                    return Err(Error::Lost);
                }
                return Err(error);
            }
        }
        self.begun(inbox)
    }

    /// Looks at the header of a message whose end has not come: a row that nobody gets is not read into memory.
    fn begun(&mut self, inbox: &mut Inbox) -> Result<(), Error> {
        let Some((b'D', length)) = inbox.begun() else { return Ok(()) };
        let Some(current) = self.current().filter(|current| current.shape.is_some()) else {
            return Err(unexpected(b'D'));
        };
        let is_too_large = length as u64 > current.room;
        if is_too_large {
            self.too_large();
        }
        if self.current().is_some_and(|current| current.given_up) {
            inbox.pass_over();
        }
        Ok(())
    }

    fn message(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        match message.tag {
            b'D' => self.row(message),
            b'1' | b'd' if self.current().is_none() => Err(message.unexpected()),
            b'2' => self.bound(),
            b't' => self.parameters(message),
            b'3' => self.closed(),
            b'1' | b'H' | b'd' | b'c' | b'W' | b'K' | b'v' => Ok(()),
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

    /// The reader of the connection in raw mode.
    pub(super) fn raw_reader(&self) -> Option<Arc<dyn RawReader>> {
        self.connection.state.lock().raw.as_ref().map(|raw| Arc::clone(&raw.reader))
    }

    /// The exchange that is being answered.
    pub(super) fn current(&mut self) -> Option<&mut InFlight> {
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

    /// A statement that was not wanted any more is closed: the server takes Close.
    #[expect(clippy::unnecessary_wraps, reason = "reads as the other arms of the match do")]
    fn closed(&mut self) -> Result<(), Error> {
        if let Some(current) = self.current()
            && std::mem::take(&mut current.closes)
        {
            self.connection.state.lock().statements.close_accepted();
        }
        Ok(())
    }

    fn row(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        if self.current.is_none() {
            self.current();
        }
        let Some(current) = &mut self.current else { return Err(message.unexpected()) };
        let Some(shape) = &current.shape else { return Err(message.unexpected()) };
        if current.given_up {
            return Ok(());
        }
        let Some(room) = current.room.checked_sub(message.length() as u64) else {
            self.too_large();
            return Ok(());
        };
        current.room = room;
        if Packer::is_block(message.body()) {
            return self.large_row(message.body());
        }
        self.packer.push(shape, message.body())?;
        if self.packer.is_full() {
            self.hand_over();
        }
        Ok(())
    }

    /// Hands on a row by itself, straight from the inbox.
    fn large_row(&mut self, body: &[u8]) -> Result<(), Error> {
        if self.has_rows() {
            self.hand_over();
        }
        let Some(current) = &mut self.current else { return Ok(()) };
        let Some(shape) = &current.shape else { return Ok(()) };
        current.exchange.reply.rows(shape, self.packer.block(shape, body)?);
        current.rows_handed_over();
        self.packer.clear();
        Ok(())
    }

    /// Gives up a result that is larger than its limit.
    #[cold]
    fn too_large(&mut self) {
        let Some(current) = &mut self.current else { return };
        current.room = u64::MAX;
        let (id, limit) = (current.exchange.id, current.statement().max_bytes.unwrap_or_default());
        self.give_up(id, Error::TooLarge(limit));
    }

    /// Whether rows are packed that the reply has not got.
    pub(super) fn has_rows(&self) -> bool {
        !self.packer.is_empty()
    }

    /// Whether a result has begun that is neither complete nor at the end of a page.
    pub(super) fn has_open_result(&self) -> bool {
        let is_open = |current: &InFlight| current.result == ResultState::Open;
        self.has_rows() || self.current.as_ref().is_some_and(is_open)
    }

    /// Hands the packed rows to the reply, or the columns alone where a result has no rows.
    fn hand_over(&mut self) {
        let Some(current) = &mut self.current else { return };
        let Some(shape) = &current.shape else { return };
        if self.packer.is_empty() && current.result != ResultState::Unopened {
            return;
        }
        current.exchange.reply.rows(shape, self.packer.rows());
        current.rows_handed_over();
        self.packer.clear();
    }

    fn columns(&mut self, message: RawMessage<'_>, some: bool) -> Result<(), Error> {
        let has_rows = self.has_rows();
        let Some(current) = self.current() else { return Err(message.unexpected()) };
        // The rows of a result have the columns that it began with, not those of a description among them. Behind an error
        // there is no result.
        if has_rows || current.result != ResultState::Unopened || current.error.is_some() {
            return Err(message.unexpected());
        }
        let statement = Arc::clone(&current.exchange.statement);
        let shape = if some { Some(Shape::read(message, current.statement().is_binary())?) } else { None };
        current.shape.clone_from(&shape);
        match &mut current.preparation {
            Preparation::Pending(name) => {
                let (name, types) = (std::mem::take(name), std::mem::take(&mut current.types));
                current.preparation = Preparation::None;
                self.connection.state.lock().statements.insert(&statement, name, shape, types);
            }
            // It is described, and does not run.
            Preparation::Compared(..) => current.progress = Progress::Result,
            Preparation::None | Preparation::Cached(_) => {}
        }
        Ok(())
    }

    /// The types of the parameters of a statement that is being prepared.
    fn parameters(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let Some(current) = self.current() else { return Ok(()) };
        if matches!(current.preparation, Preparation::Pending(_) | Preparation::Compared(..)) {
            current.types = message.parameter_types()?;
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
            current.result = ResultState::Unopened;
            current.shape = None;
            current.progress = if current.is_before_last() { Progress::Bound } else { Progress::Result };
            current.advance();
        }
        let mut state = self.connection.state.lock();
        state.on_complete_locked(tag);
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
                // The exchange may end here.
                current.progress = Progress::Result;
                current.result = ResultState::PageEnd;
                current.exchange.reply.suspended();
            }
        } else {
            state.fetch_locked(suspended.fetch);
            state.flush_locked();
        }
        Ok(())
    }

    /// Sends the Sync that a statement fetched in pages was sent without.
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
        // A result without rows is not handed on: as long as nothing was, the exchange may run again.
        if self.has_rows() {
            self.hand_over();
        }
        if let Some(current) = &mut self.current {
            current.error.get_or_insert(error);
            // The result is over: no row of it may follow.
            current.shape = None;
        }
        self.end_fetching();
        Ok(())
    }

    /// Hides our own name of a statement that its user has not named.
    fn hide_own_name(&mut self, error: &mut DatabaseError) {
        let unnamed = self.current().is_some_and(|current| current.exchange.statement.name.is_none());
        if unnamed && error.message.contains(OWN_NAME) {
            error.message = unnamed_in(&error.message);
        }
    }

    /// Refuses a COPY: a plain query cannot feed it.
    fn refuse_copy(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let Some(current) = self.current() else { return Err(message.unexpected()) };
        let simple = current.exchange.statement.mode == super::QueryMode::Simple;
        let mut state = self.connection.state.lock();
        let _ = frontend::copy_fail("No source stream defined", &mut state.outbox);
        // The COPY has swallowed the Sync that was sent with the statement.
        if !simple && state.synced {
            frontend::sync(&mut state.outbox);
        }
        state.flush_locked();
        Ok(())
    }

    /// Reads a notification or a parameter. Texts are taken as they come: a session may have another
    /// encoding.
    fn asynchronous(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        if message.tag == b'A' {
            let (process_id, texts) =
                message.body().split_first_chunk::<4>().ok_or_else(|| message.malformed())?;
            let [channel, payload] = message.texts(texts)?;
            let process_id = i32::from_be_bytes(*process_id);
            return self.tell(Event::Notification { length: message.length(), process_id, channel, payload });
        }
        let [parameter_name, parameter_value] = message.texts(message.body())?;
        let mut state = self.connection.state.lock();
        state.role.note(&parameter_name, &parameter_value);
        state.statements.on_setting(&parameter_name);
        drop(state);
        self.tell(Event::ParameterStatus { parameter_name, parameter_value })
    }

    #[expect(clippy::unnecessary_wraps, reason = "reads as the other arms of the match do")]
    fn tell(&self, event: Event) -> Result<(), Error> {
        self.connection.listener.event(self.connection.id, event);
        Ok(())
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
