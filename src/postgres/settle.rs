//! The ends of exchanges: answered by the server, given up by their caller, or lost with the connection. Each
//! is settled exactly once.
//!
//! An exchange that was given up is cancelled on the server, and nothing else is sent before that is settled.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use super::{
    Error, Outcome, SqlState, Status,
    connection::{End, Refused},
    exchange::Exchange,
    in_flight::{InFlight, Progress},
    messages::RawMessage,
    responses::ResponseHandler,
};

impl ResponseHandler {
    pub(super) fn ready(&mut self, message: RawMessage<'_>) -> Result<(), Error> {
        let status = message.status()?;
        // Every exchange is answered by whole results or an error; `ReadyForQuery` alone belongs to another one.
        // Rows that are left belong to none, whatever came before them.
        let (has_rows, has_open_result) = (self.has_rows(), self.has_open_result());
        if has_rows
            || self.current().is_some_and(|current| {
                current.error.is_none() && (has_open_result || current.progress < Progress::Result)
            })
        {
            return Err(message.unexpected());
        }
        if self.cancellation.is_requested() {
            self.ready = Some(status);
        } else {
            self.finish(status);
        }
        Ok(())
    }

    /// Ends the current exchange and begins the next.
    fn finish(&mut self, status: Status) {
        debug_assert!(!self.has_rows(), "rows outlive their result");
        let finished = self.current.take();
        self.cancellation.end();
        let connection = Arc::clone(&self.connection);
        let mut state = connection.state.lock();
        state.status = status;
        state.on_ready_locked(status);
        let is_wanted = state.given_up.take().is_none();
        if state.pipelined
            && let Some(failed) = finished.as_ref().filter(|finished| finished.is_unprepared())
        {
            state.statements.abandon(&failed.exchange.statement);
        }
        let mut refused = Vec::new();
        let is_name_taken = finished.as_ref().is_some_and(InFlight::is_name_taken);
        let finished = finished.and_then(|finished| {
            let (finished, failed) = state.heal_locked(finished, status, is_wanted);
            refused.extend(failed);
            finished
        });
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

    /// Gives up the exchange `id`: its caller gets `error`, and the server is asked to cancel it.
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
            if self.cancellation.deadline().is_some() {
                // It is being cancelled; its caller may not have been told yet.
                return current.exchange.reply.give_up(error);
            }
            current.given_up = true;
            current.deadline = None;
            current.exchange.reply.give_up(error);
            self.cancellation.limit(&self.connection);
            // In a pipeline a cancel request might hit what the server has gone on to.
            if pipelined {
                return self.cancellation.leave_running();
            }
        }
        self.cancellation.begin(&self.connection);
    }

    /// When the exchange, or its cancelling, is late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.cancellation.deadline().or_else(|| self.current.as_ref().and_then(|current| current.deadline))
    }

    /// Drives the cancel requests. One that is not settled may hit a later statement, so the connection ends
    /// with it.
    pub(super) fn poll_cancellation(&mut self, cx: &mut Context<'_>) -> Result<(), Error> {
        while let Poll::Ready(settled) = self.cancellation.poll(&self.connection, cx) {
            if !settled {
                return Err(Error::Lost);
            }
            self.connection.raw_cancel_settled();
            if let Some(status) = self.ready.take() {
                self.finish(status);
            } else if self.current.as_ref().is_some_and(|current| current.given_up) {
                self.cancellation.repeat();
            }
        }
        Ok(())
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.current.is_none() && self.connection.state.lock().busy.is_none()
    }

    /// Settles all exchanges that are left, because the connection has ended.
    pub(super) fn end(&mut self, end: End) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        let mut state = self.connection.state.lock();
        let (error, told) = match end {
            End::Closed(error) => (error.clone(), Some(error)),
            End::Closing | End::Open => (state.close_error.take().unwrap_or(Error::Ended), None),
        };
        state.end = End::Closed(error.clone());
        // The socket is to be closed now, not when the last one lets go of the connection.
        state.plain = None;
        let sent = std::mem::take(&mut state.sent);
        let is_only = sent.len() + usize::from(self.current.is_some()) < 2;
        let in_flight = self.current.take().into_iter().chain(sent);
        let unsent = state.outbox.len();
        let queue = std::mem::take(&mut state.queue);
        drop(state);
        for InFlight { exchange, error: own, bytes, .. } in in_flight {
            // Of several the bytes that have not left belong to the last ones.
            let sent = !is_only || unsent < bytes;
            let error = own.unwrap_or_else(|| error.clone());
            exchange.reply.settle(Outcome::Failed { error, sent, status: None });
        }
        for Exchange { reply, .. } in queue {
            Refused { reply, error: error.clone(), status: None }.settle();
        }
        self.connection.listener.closed(self.connection.id, told, self.last_words.take());
    }
}

/// Settles all exchanges even after a panic, which costs the connection.
impl Drop for ResponseHandler {
    fn drop(&mut self) {
        self.end(End::Closed(Error::protocol("the connection was lost to an internal error")));
    }
}
