//! One attempt to run a statement: it claims a connection, sends, listens, and gives the connection
//! back before anybody hears the answer, so that the pool's counts are right when they do.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{Lease, Wire};
use crate::{
    pool::{Claim, Refusal},
    postgres::{Error, Exchange, Outcome, Reply, Rows, Shape, Statement, Status},
};

/// Why a request failed.
#[derive(Debug, Clone)]
pub enum Failure {
    /// On the wire.
    Wire(Error),
    /// It got no connection.
    Refused(Refusal<Error>),
}

/// Hears the answer to a request. `done` or `failed` comes once; after `failed` nothing more.
pub trait Answer: Send + 'static {
    /// Some rows of the current result; the first call of a result may have none.
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>);
    /// The current result is complete.
    fn complete(&mut self, tag: &[u8]);
    /// Pending while no more rows can be taken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// All of it was answered.
    fn done(&mut self, status: Status);
    /// It failed.
    fn failed(&mut self, failure: Failure);
}

pub(super) struct Attempt<A> {
    id: u32,
    statement: Arc<Statement>,
    told: Told<A>,
    lease: Option<Lease>,
}

impl<A: Answer> Attempt<A> {
    pub(super) fn new(id: u32, statement: Arc<Statement>, answer: A) -> Self {
        Self { id, statement, told: Told::new(answer), lease: None }
    }
}

impl<A: Answer> Claim<Wire> for Attempt<A> {
    fn granted(mut self: Box<Self>, lease: Lease) {
        let connection = Arc::clone(&lease);
        let exchange = Exchange {
            id: self.id,
            statement: Arc::clone(&self.statement),
            reply: {
                self.lease = Some(lease);
                self
            },
        };
        connection.submit(exchange);
    }

    fn refused(mut self: Box<Self>, refusal: Refusal<Error>) {
        self.told.fail(Failure::Refused(refusal));
    }
}

impl<A: Answer> Reply for Attempt<A> {
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        self.told.rows(shape, rows);
    }

    fn complete(&mut self, tag: &[u8]) {
        self.told.complete(tag);
    }

    fn give_up(&mut self, error: Error) {
        self.told.fail(Failure::Wire(error));
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.told.poll_ready(cx)
    }

    fn settle(mut self: Box<Self>, outcome: Outcome) {
        drop(self.lease.take());
        self.told.settle(outcome);
    }
}

/// An answer that is told the end once, whatever comes after.
pub(super) struct Told<A> {
    answer: A,
    over: bool,
}

impl<A: Answer> Told<A> {
    pub(super) fn new(answer: A) -> Self {
        Self { answer, over: false }
    }

    pub(super) fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        if !self.over {
            self.answer.rows(shape, rows);
        }
    }

    pub(super) fn complete(&mut self, tag: &[u8]) {
        if !self.over {
            self.answer.complete(tag);
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.over { Poll::Ready(()) } else { self.answer.poll_ready(cx) }
    }

    pub(super) fn fail(&mut self, failure: Failure) {
        if !std::mem::replace(&mut self.over, true) {
            self.answer.failed(failure);
        }
    }

    pub(super) fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Failed { error, .. } => self.fail(Failure::Wire(error)),
            Outcome::Done(status) => {
                if !std::mem::replace(&mut self.over, true) {
                    self.answer.done(status);
                }
            }
        }
    }
}
