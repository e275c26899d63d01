//! Connections leased to the application, and statements it sends on them itself.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{
    Answer, AnswerOnce, Failure, Lease, PgConnector,
    retry::{self, Repeatable, Tries},
};
use crate::{
    pool::{AcquireError, Claim, Patience},
    postgres::{Connection, Error, Exchange, Outcome, Reply, Rows, Shape, Statement},
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
pub struct Direct<A: Answer>(AnswerOnce<A>);

impl<A: Answer> Direct<A> {
    /// Sends it after those sent before.
    pub fn send(connection: &Connection, id: u32, statement: Arc<Statement>, answer: A) {
        connection.submit(Exchange { id, statement, reply: Box::new(Self(AnswerOnce::new(answer))) });
    }
}

impl<A: Answer> Reply for Direct<A> {
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        self.0.rows(shape, rows);
    }

    fn complete(&mut self, tag: &[u8]) {
        self.0.complete(tag);
    }

    fn suspended(&mut self) {
        self.0.suspended();
    }

    fn give_up(&mut self, error: Error) {
        self.0.fail(Failure::Wire(error), None);
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    fn settle(mut self: Box<Self>, outcome: Outcome) {
        self.0.settle(outcome);
    }
}
