//! Who hears the answer to a request, and the guarantee that they hear its end exactly once.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use crate::{
    pool::Refusal,
    postgres::{Error, Outcome, Rows, Shape, Status},
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
    /// A page is complete and the next one waits to be asked for.
    fn suspended(&mut self) {}
    /// Pending while no more rows can be taken.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// All of it was answered.
    fn done(&mut self, status: Status);
    /// It failed. `status`: that of the transaction afterwards, if the server has told.
    fn failed(&mut self, failure: Failure, status: Option<Status>);
}

/// An answer that is told the end once, whatever comes after.
pub(super) struct Told<A: Answer> {
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

    pub(super) fn suspended(&mut self) {
        if !self.over {
            self.answer.suspended();
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

/// Whatever is dropped without a word, by a panic for one, still has somebody waiting for it.
impl<A: Answer> Drop for Told<A> {
    fn drop(&mut self) {
        let error = Error::Plain("the request was lost to an internal error".into());
        self.fail(Failure::Wire(error), None);
    }
}
