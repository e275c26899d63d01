//! An exchange in flight: between its first byte and its end.

use std::{sync::Arc, time::Instant};

use super::{Error, Exchange, Outcome, Shape, Statement, Status};

/// An exchange that was sent, and what has come of its answer.
pub(super) struct InFlight {
    pub(super) exchange: Exchange,
    pub(super) deadline: Option<Instant>,
    /// Bytes of its messages.
    pub(super) bytes: usize,
    pub(super) preparation: Preparation,
    pub(super) run: Run,
    /// Whether it is to close statements that are not wanted any more, and none is closed yet.
    pub(super) closes: bool,
    /// The types of the parameters, as the server has described them.
    pub(super) types: Arc<[u32]>,
    /// The columns of the current result.
    pub(super) shape: Option<Arc<Shape>>,
    /// How far the reply has got the current result.
    pub(super) result: ResultState,
    /// How many of its results are complete, where it is several statements.
    pub(super) part: usize,
    /// The progress of its answer.
    pub(super) progress: Progress,
    /// The error that ends it.
    pub(super) error: Option<Error>,
    /// Whether its caller has given up.
    pub(super) given_up: bool,
    /// Bytes that its further rows may have.
    pub(super) room: u64,
}

/// How far a reply has got a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResultState {
    /// Not even its columns.
    Unopened,
    /// Its columns, perhaps rows.
    Open,
    /// All rows of a page: its caller may end it here.
    PageEnd,
}

/// Which run of its statement it is. There is no third one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    First,
    /// The server had lost the prepared statement, or it was stale.
    Again,
    /// The server may have refused the first for its name. This one has none.
    Unnamed,
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
    /// The statement was in the cache, prepared for parameters of these types.
    Cached(Arc<[u32]>),
    /// The statement is being prepared under this name.
    Pending(Arc<str>),
    /// The statement is only described: it was refused with this error, which may come from its having been
    /// prepared for parameters of these types.
    Compared(Arc<[u32]>, Error),
}

impl InFlight {
    pub(super) fn new(
        exchange: Exchange,
        preparation: Preparation,
        shape: Option<Arc<Shape>>,
        bytes: usize,
    ) -> Self {
        let (deadline, room) = limits(exchange.statement.part(0));
        Self {
            exchange,
            deadline,
            bytes,
            preparation,
            run: Run::First,
            closes: false,
            types: Arc::default(),
            shape,
            result: ResultState::Unopened,
            part: 0,
            progress: Progress::Nothing,
            error: None,
            given_up: false,
            room,
        }
    }

    /// The statement that the current result is of.
    pub(super) fn statement(&self) -> &Statement {
        self.exchange.statement.part(self.part)
    }

    /// A result is complete: of several statements the next one has limits of its own.
    pub(super) fn advance(&mut self) {
        if self.is_before_last() {
            self.part += 1;
            if !self.given_up {
                (self.deadline, self.room) = limits(self.exchange.statement.part(self.part));
            }
        }
    }

    /// Whether other statements come behind the one whose result is current.
    pub(super) fn is_before_last(&self) -> bool {
        self.part < self.exchange.statement.before.len()
    }

    /// Whether the statement that it was to prepare does not exist.
    pub(super) fn is_unprepared(&self) -> bool {
        self.error.is_some() && matches!(self.preparation, Preparation::Pending(_))
    }

    /// Notes that the reply has got rows of the current result, or its columns alone.
    pub(super) fn rows_handed_over(&mut self) {
        self.result = ResultState::Open;
        self.progress = self.progress.max(Progress::Rows);
    }

    pub(super) fn settle(self, status: Status) {
        let outcome = match self.error {
            None => Outcome::Done(status),
            Some(error) => Outcome::Failed { error, sent: true, status: Some(status) },
        };
        self.exchange.reply.settle(outcome);
    }
}

/// When a statement that begins now is late, and how many bytes its rows may have.
fn limits(statement: &Statement) -> (Option<Instant>, u64) {
    let deadline = statement.timeout.map(|timeout| Instant::now() + timeout);
    (deadline, statement.max_bytes.unwrap_or(u64::MAX))
}
