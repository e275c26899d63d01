//! One connection in raw mode, as JavaScript drives it: RAW records carry what the server sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use super::{
    desk::{self, Desk},
    outbox::Outbox,
};
use crate::{
    dispatch::{Answer, Failure},
    postgres::{Connection, Error, Exchange, Outcome, Reply, Rows, Shape, Statement, Tap},
};

/// The connection is read this far ahead of JavaScript, which holds on to what it is given.
const AHEAD: usize = 512 * 1024;
/// Flags of a RAW record without bytes.
const BEGUN: u32 = 1;
const DRAINED: u32 = 2;

/// Whether JavaScript has been told that it has the connection.
mod turn {
    pub(super) const ASKED: u8 = 0;
    pub(super) const WAITING: u8 = 1;
    pub(super) const BEGUN: u8 = 2;
}

/// Brings the bytes of one connection to JavaScript while it asks for them.
pub(super) struct Line {
    outbox: Arc<Outbox>,
    request: u32,
    turn: AtomicU8,
    paused: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Line {
    /// Asks for the connection; whether it is there already. Else a record tells when it is.
    pub(super) fn begin(desk: &Arc<Desk>, connection: &Connection, request: u32) -> (Arc<Self>, bool) {
        let line = Arc::new(Self {
            outbox: Arc::clone(&desk.outbox),
            request,
            turn: AtomicU8::new(turn::ASKED),
            paused: AtomicBool::new(false),
            reader: Mutex::new(None),
        });
        let reply = Box::new(LineReply { line: Arc::clone(&line), answer: desk.answer_to(request) });
        connection.submit(Exchange { id: request, statement: Statement::raw(), reply });
        let waiting =
            line.turn.compare_exchange(turn::ASKED, turn::WAITING, Ordering::AcqRel, Ordering::Acquire);
        (line, waiting.is_err())
    }

    /// The request it serves.
    pub(super) fn request(&self) -> u32 {
        self.request
    }

    /// While paused, the server is not read.
    pub(super) fn pause(&self, on: bool) {
        self.paused.store(on, Ordering::Release);
        if !on && let Some(reader) = self.reader.lock().take() {
            reader.wake();
        }
    }
}

impl Tap for Line {
    fn begun(&self) {
        if self.turn.swap(turn::BEGUN, Ordering::AcqRel) == turn::WAITING {
            self.outbox.push_raw(self.request, BEGUN, &[]);
        }
    }

    fn bytes(&self, bytes: &[u8]) {
        self.outbox.push_raw(self.request, 0, bytes);
    }

    fn drained(&self) {
        self.outbox.push_raw(self.request, DRAINED, &[]);
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.paused.load(Ordering::Acquire) {
            *self.reader.lock() = Some(cx.waker().clone());
            // It may have been let go on between the look and the waker.
            if self.paused.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        self.outbox.poll_room(cx, AHEAD)
    }
}

struct LineReply {
    line: Arc<Line>,
    answer: desk::Reply,
}

impl Reply for LineReply {
    fn rows(&mut self, _: &Arc<Shape>, _: Rows<'_>) {}
    fn complete(&mut self, _: &[u8]) {}
    fn give_up(&mut self, _: Error) {}

    fn tap(&self) -> Option<Arc<dyn Tap>> {
        Some(Arc::clone(&self.line) as _)
    }

    fn settle(self: Box<Self>, outcome: Outcome) {
        let Self { mut answer, .. } = *self;
        match outcome {
            Outcome::Done(status) => answer.done(status),
            Outcome::Failed { error, status, .. } => answer.failed(Failure::Wire(error), status),
        }
    }
}
