//! One attempt to run a statement: it claims a connection, sends, listens, and gives the connection
//! back before anybody hears the answer, so that the pool's counts are right when they do.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use super::{Answer, Failure, Lease, Told, Wire};
use crate::{
    pool::{Claim, Refusal},
    postgres::{Error, Exchange, Outcome, Reply, Rows, Shape, Statement},
};

pub(super) struct Attempt<A: Answer> {
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
        self.told.fail(Failure::Refused(refusal), None);
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
        self.told.fail(Failure::Wire(error), None);
    }

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.told.poll_ready(cx)
    }

    fn settle(mut self: Box<Self>, outcome: Outcome) {
        drop(self.lease.take());
        self.told.settle(outcome);
    }
}
