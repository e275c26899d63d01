//! Connections leased to the application, and statements it sends on them itself.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use super::{
    Adaptive, Answer, AnswerOnce, Failure, Lease, PgConnector,
    retry::{self, Repeatable, Tries},
};
use crate::{
    pool::{AcquireError, Claim, Patience},
    postgres::{Connection, Error, Exchange, Host, Outcome, Reply, Rows, Shape, Statement},
};

/// Waits for a connection of its own.
pub trait Borrower: Send + 'static {
    /// Here it is.
    fn leased(self, lease: Lease);
    /// It will not come.
    fn refused(self, failure: Failure);
}

pub(super) struct Checkout<B> {
    borrower: B,
    tries: Tries,
}

impl<B: Borrower> Checkout<B> {
    pub(super) fn new(borrower: B, tries: Tries) -> Self {
        Self { borrower, tries }
    }
}

impl<B: Borrower> Claim<PgConnector> for Checkout<B> {
    fn granted(self: Box<Self>, lease: Lease) {
        self.borrower.leased(lease);
    }

    fn patience(&self) -> Patience {
        self.tries.patience
    }

    fn refused(self: Box<Self>, refusal: AcquireError<Error>) {
        retry::refused(self, refusal);
    }
}

impl<B: Borrower> Repeatable for Checkout<B> {
    fn tries(&mut self) -> &mut Tries {
        &mut self.tries
    }

    fn restart(&mut self) {}

    fn begin(self: Box<Self>, lease: Lease) {
        self.granted(lease);
    }

    fn refuse(self: Box<Self>, refusal: AcquireError<Error>) {
        self.refused(refusal);
    }

    fn fail(self: Box<Self>, failure: Failure) {
        self.borrower.refused(failure);
    }
}

/// A statement on a connection that is leased already.
pub struct Direct<A: Answer> {
    answer: AnswerOnce<A>,
    timed: Option<Timed>,
}

/// A statement whose time is wanted.
struct Timed {
    begun: Instant,
    host: Arc<Host>,
    statement: Arc<Statement>,
    adaptive: Arc<Adaptive>,
}

impl<A: Answer> Direct<A> {
    /// Sends it after those sent before. `adaptive`: of the tier, where the statement is one of the application's.
    pub fn send(
        connection: &Connection,
        id: u32,
        statement: Arc<Statement>,
        answer: A,
        adaptive: Option<&Arc<Adaptive>>,
    ) {
        // Of several statements with one answer no time is known.
        let adaptive = adaptive.filter(|_| statement.before.is_empty());
        let timed = adaptive.and_then(|adaptive| {
            Some(Timed {
                begun: adaptive.begin(&statement)?,
                host: Arc::clone(&connection.host),
                statement: Arc::clone(&statement),
                adaptive: Arc::clone(adaptive),
            })
        });
        let reply = Box::new(Self { answer: AnswerOnce::new(answer), timed });
        connection.submit(Exchange { id, statement, reply });
    }
}

impl<A: Answer> Reply for Direct<A> {
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        self.answer.rows(shape, rows);
    }

    fn complete(&mut self, tag: &[u8]) {
        self.answer.complete(tag);
    }

    fn suspended(&mut self) {
        self.answer.suspended();
    }

    fn give_up(&mut self, error: Error) {
        self.answer.fail(Failure::Wire(error), None);
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.answer.poll_ready(cx)
    }

    fn settle(mut self: Box<Self>, outcome: Outcome) {
        if let Some(Timed { begun, host, statement, adaptive }) = self.timed.take() {
            let outcome = match &outcome {
                Outcome::Done(_) => Ok(()),
                Outcome::Failed { error, .. } => Err(error),
            };
            adaptive.ended(Some(begun), &host, &statement, outcome);
        }
        self.answer.settle(outcome);
    }
}
