//! An exchange between its first byte and its end, and when a refused one may run again behind its caller's
//! back: a prepared statement was lost, or its name was taken.

use std::{sync::Arc, time::Instant};

use super::{Error, Exchange, Outcome, Shape, SqlState, Status, connection::ConnectionState};

/// An exchange whose bytes are on their way.
pub(super) struct InFlight {
    pub(super) exchange: Exchange,
    pub(super) deadline: Option<Instant>,
    /// Bytes it was encoded to.
    pub(super) bytes: usize,
    pub(super) preparation: Preparation,
    /// Run again because the server had lost the statement. Once is enough.
    pub(super) healed: bool,
    /// The columns of the current result.
    pub(super) shape: Option<Arc<Shape>>,
    /// Whether the reply has heard of the current result.
    pub(super) opened: bool,
    /// How much of its answer it has got.
    pub(super) progress: Progress,
    /// The error that ends it.
    pub(super) error: Option<Error>,
    /// Its caller has stopped waiting.
    pub(super) given_up: bool,
    /// Bytes that its rows may still have.
    pub(super) room: u64,
}

/// How much of its answer an exchange has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    Nothing,
    /// That it is bound: from here on the server executes.
    Bound,
    /// The beginning of a result.
    Rows,
    /// At least one result to its end.
    Result,
}

/// Where the statement of an exchange comes from.
#[derive(Debug, Default)]
pub(super) enum Preparation {
    /// It needs none: the simple protocol, or it is done.
    #[default]
    None,
    /// It was in the cache.
    Cached,
    /// It is being prepared under this name.
    Pending(Arc<str>),
}

impl InFlight {
    /// Whether the server refused it, before it executed anything, because of how it was prepared.
    /// Code of the user can raise the same errors, but only after the statement was bound.
    pub(super) fn is_stale(&self) -> bool {
        let stale = match self.error.as_ref().and_then(Error::sqlstate) {
            Some(code) if code.is_stale_statement() => matches!(self.preparation, Preparation::Cached),
            _ => self.met_taken_name(),
        };
        stale && self.progress == Progress::Nothing
    }

    /// Whether the name that we gave it exists on the server already. A name of the application's is
    /// its own affair.
    pub(super) fn met_taken_name(&self) -> bool {
        self.error.as_ref().and_then(Error::sqlstate).is_some_and(SqlState::is_duplicate_statement)
            && self.exchange.statement.name.is_none()
            && matches!(&self.preparation, Preparation::Pending(name) if !name.is_empty())
    }

    /// Whether a stale one may run again: no transaction was lost, and somebody still waits for it. A
    /// statement that was named without its text could not be prepared anew.
    pub(super) fn is_healable(&self, status: Status) -> bool {
        let has_text = !self.exchange.statement.text.is_empty() || self.exchange.statement.name.is_none();
        status == Status::Idle && !self.healed && !self.given_up && has_text
    }

    /// Whether the statement it was to prepare has not come to be.
    pub(super) fn is_unprepared(&self) -> bool {
        self.error.is_some() && matches!(self.preparation, Preparation::Pending(_))
    }

    pub(super) fn settle(self, status: Status) {
        let outcome = match self.error {
            None => Outcome::Done(status),
            Some(error) => Outcome::Failed { error, sent: true, status: Some(status) },
        };
        self.exchange.reply.settle(outcome);
    }
}

impl ConnectionState {
    /// Counts no more on what a stale exchange counted on.
    pub(super) fn disown_locked(&mut self, stale: &InFlight) {
        let is_lost = stale.error.as_ref().and_then(Error::sqlstate).is_some_and(SqlState::is_lost_statement);
        if !matches!(stale.preparation, Preparation::Cached) {
            self.statements.disable();
        } else if is_lost && stale.exchange.statement.name.is_none() {
            self.statements.lost();
        } else {
            self.statements.forget(&stale.exchange.statement);
        }
    }
}
