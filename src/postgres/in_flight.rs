//! An exchange in flight: between its first byte and its end. One that failed because its prepared statement
//! was lost, or its name was taken, may run again without its caller noticing.

use std::{sync::Arc, time::Instant};

use super::{Error, Exchange, Outcome, Shape, SqlState, Status, connection::ConnectionState};

/// An exchange that was sent, and what has come of its answer.
pub(super) struct InFlight {
    pub(super) exchange: Exchange,
    pub(super) deadline: Option<Instant>,
    /// Bytes of its messages.
    pub(super) bytes: usize,
    pub(super) preparation: Preparation,
    /// Whether it runs for the second time, because the server had lost the statement. There is no third
    /// time.
    pub(super) is_rerun: bool,
    /// The columns of the current result.
    pub(super) shape: Option<Arc<Shape>>,
    /// Whether the reply has got the columns of the current result.
    pub(super) opened: bool,
    /// The progress of its answer.
    pub(super) progress: Progress,
    /// The error that ends it.
    pub(super) error: Option<Error>,
    /// Whether its caller has given up.
    pub(super) given_up: bool,
    /// Bytes that its further rows may have.
    pub(super) room: u64,
}

/// The progress of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Progress {
    Nothing,
    /// The statement is bound: from here on the server executes.
    Bound,
    /// A result has begun.
    Rows,
    /// At least one result is complete.
    Result,
}

/// The preparation of a statement.
#[derive(Debug, Default)]
pub(super) enum Preparation {
    /// None: the simple protocol, or it is done.
    #[default]
    None,
    /// The statement was in the cache.
    Cached,
    /// The statement is being prepared under this name.
    Pending(Arc<str>),
}

impl InFlight {
    /// Whether the server refused it because of its preparation, before anything was executed. SQL of the
    /// user can raise the same errors, but only after the statement was bound.
    pub(super) fn is_stale(&self) -> bool {
        let stale = match self.error.as_ref().and_then(Error::sqlstate) {
            Some(code) if code.is_stale_statement() => matches!(self.preparation, Preparation::Cached),
            _ => self.is_name_taken(),
        };
        stale && self.progress == Progress::Nothing
    }

    /// Whether its name, if it is one of ours, exists on the server already.
    pub(super) fn is_name_taken(&self) -> bool {
        self.error.as_ref().and_then(Error::sqlstate).is_some_and(SqlState::is_duplicate_statement)
            && self.exchange.statement.name.is_none()
            && matches!(&self.preparation, Preparation::Pending(name) if !name.is_empty())
    }

    /// Whether a stale one may run again: no transaction was lost, and its caller still waits. A statement
    /// that was named without its text cannot be prepared again.
    pub(super) fn may_run_again(&self, status: Status) -> bool {
        let has_text = !self.exchange.statement.text.is_empty() || self.exchange.statement.name.is_none();
        status == Status::Idle && !self.is_rerun && !self.given_up && has_text
    }

    /// Whether the statement that it was to prepare does not exist.
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
    /// Forgets the prepared statement on which a stale exchange relied.
    pub(super) fn forget_prepared_locked(&mut self, stale: &InFlight) {
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
