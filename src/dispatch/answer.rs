//! The receiver of a request's answer, and the guarantee that it is told the end exactly once.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use crate::{
    pool::AcquireError,
    postgres::{Error, Outcome, Rows, Shape, Status},
};

/// Why a request failed.
#[derive(Debug, Clone)]
pub enum Failure {
    /// On the wire.
    Wire(Error),
    /// It got no connection.
    Refused(AcquireError<Error>),
    /// It is not run again, because the pool has spent its retries.
    OverBudget(Box<Failure>),
    /// It may have taken effect: in the attempt that failed last, or in an earlier one.
    Ambiguous {
        /// What it failed with last.
        last: Box<Failure>,
        /// What the first attempt that may have taken effect failed with, where it was an earlier one.
        earlier: Option<Box<Failure>>,
    },
}

/// Receiver of the answer to a request. `done` or `failed` comes once; after `failed` nothing more.
pub trait Answer: Send + 'static {
    /// Some rows of the current result; the first call of a result may have none.
    fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>);
    /// The current result is complete.
    fn complete(&mut self, tag: &[u8]);
    /// A page is complete and the next one waits to be asked for.
    fn suspended(&mut self) {}
    /// Pending while no more rows can be taken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// All of it was answered.
    fn done(&mut self, status: Status);
    /// It failed. `status`: the transaction status afterwards, if the server has sent it.
    fn failed(&mut self, failure: Failure, status: Option<Status>);
    /// What was delivered so far is void: the statement runs again.
    fn restart(&mut self) {}
    /// It has waited for its connection for so long, or for so long once more.
    fn waited(&mut self, time: Duration) {
        let _ = time;
    }
}

/// An answer that gets its end once, whatever comes after.
pub(super) struct AnswerOnce<A: Answer> {
    answer: A,
    over: bool,
    /// Whether anything was delivered.
    begun: bool,
    /// Whether a statement of it was completed.
    completed: bool,
}

impl<A: Answer> AnswerOnce<A> {
    pub(super) fn new(answer: A) -> Self {
        Self { answer, over: false, begun: false, completed: false }
    }

    pub(super) fn rows(&mut self, shape: &Arc<Shape>, rows: Rows<'_>) {
        if !self.over {
            self.begun = true;
            self.answer.rows(shape, rows);
        }
    }

    pub(super) fn complete(&mut self, tag: &[u8]) {
        self.completed = true;
        if !self.over {
            self.begun = true;
            self.answer.complete(tag);
        }
    }

    pub(super) fn suspended(&mut self) {
        if !self.over {
            self.answer.suspended();
        }
    }

    pub(super) fn waited(&mut self, time: Duration) {
        self.answer.waited(time);
    }

    /// Whether it has got its end.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether a statement of it was completed.
    pub(super) fn has_completed(&self) -> bool {
        self.completed
    }

    /// Forgets what was delivered.
    pub(super) fn restart(&mut self) {
        self.completed = false;
        if std::mem::take(&mut self.begun) {
            self.answer.restart();
        }
    }

    pub(super) fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.over { Poll::Ready(()) } else { self.answer.poll_ready(cx) }
    }

    pub(super) fn fail(&mut self, failure: Failure, status: Option<Status>) {
        if !std::mem::replace(&mut self.over, true) {
            self.answer.failed(failure, status);
        }
    }

    pub(super) fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Failed { error, status, .. } => self.fail(Failure::Wire(error), status),
            Outcome::Done(status) => {
                if !std::mem::replace(&mut self.over, true) {
                    self.answer.done(status);
                }
            }
        }
    }
}

/// A request that is dropped without an end, by a panic for one, fails: somebody waits for it.
impl<A: Answer> Drop for AnswerOnce<A> {
    fn drop(&mut self) {
        let error = Error::Plain("the request was lost to an internal error".into());
        self.fail(Failure::Wire(error), None);
    }
}
