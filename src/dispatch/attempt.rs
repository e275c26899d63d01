//! One attempt to run a statement: it claims a connection, sends, listens, and gives the connection
//! back before anybody hears the answer, so that the pool's counts are right when they do.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Instant;

use super::{
    Answer, Failure, Lease, Told, Wire,
    fault::{Circumstances, Fault},
    retry::{self, Repeatable, Tries},
};
use crate::{
    pool::{Claim, Refusal},
    postgres::{Error, Exchange, Outcome, Reply, Rows, Shape, Statement, Status},
};

pub(super) struct Attempt<A: Answer> {
    statement: Arc<Statement>,
    told: Told<A>,
    lease: Option<Lease>,
    tries: Tries,
}

impl<A: Answer> Attempt<A> {
    pub(super) fn new(statement: Arc<Statement>, answer: A, tries: Tries) -> Self {
        Self { statement, told: Told::new(answer), lease: None, tries }
    }

    /// What it failed with, judged, once the connection is given back.
    fn after(&mut self, error: &Error, sent: bool, status: Option<Status>) -> Fault {
        if let Some(lease) = self.lease.take() {
            self.tries.resilience.circuits.call_failed(&lease.host, error);
        }
        let known = Circumstances {
            statement: &self.statement,
            sent,
            status,
            completed: self.told.has_completed(),
            has_other_hosts: self.tries.resilience.has_other_hosts,
            wish: &self.tries.wish,
        };
        Fault::of_statement(error, &known)
    }
}

impl<A: Answer> Repeatable for Attempt<A> {
    fn tries(&mut self) -> &mut Tries {
        &mut self.tries
    }

    fn restart(&mut self) {
        self.told.restart();
    }

    fn begin(self: Box<Self>, lease: Lease) {
        self.granted(lease);
    }

    fn refuse(self: Box<Self>, refusal: Refusal<Error>) {
        self.refused(refusal);
    }

    fn fail(mut self: Box<Self>, failure: Failure) {
        self.told.fail(failure, None);
    }
}

impl<A: Answer> Claim<Wire> for Attempt<A> {
    fn is_loan(&self) -> bool {
        false
    }

    fn granted(mut self: Box<Self>, lease: Lease) {
        let connection = Arc::clone(&lease);
        let statement = if self.tries.deadline.is_set() {
            let left = self.tries.deadline.remaining(Instant::now()).unwrap_or_default();
            self.statement.within(left)
        } else {
            Arc::clone(&self.statement)
        };
        let exchange = Exchange {
            id: self.tries.id,
            statement,
            reply: {
                self.lease = Some(lease);
                self
            },
        };
        connection.submit(exchange);
    }

    fn refused(self: Box<Self>, refusal: Refusal<Error>) {
        retry::refused(self, refusal);
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
        match outcome {
            Outcome::Done(_) => {
                if let Some(lease) = self.lease.take() {
                    self.tries.resilience.circuits.answered(&lease.host);
                }
                self.told.settle(outcome);
            }
            Outcome::Failed { error, sent, status } => {
                let fault = self.after(&error, sent, status);
                if !self.told.is_over() {
                    retry::failed(self, Failure::Wire(error), fault);
                }
            }
        }
    }
}
