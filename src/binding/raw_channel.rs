//! One connection in raw mode, as JavaScript drives it: RAW records carry what the server sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use super::{connections::Desk, outbox::Outbox};
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
    pub(super) connection: u32,
    pub(super) request: u32,
    turn: AtomicU8,
    paused: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl Line {
    pub(super) fn new(desk: &Desk, connection: u32, request: u32) -> Arc<Self> {
        Arc::new(Self {
            outbox: Arc::clone(&desk.outbox),
            connection,
            request,
            turn: AtomicU8::new(turn::ASKED),
            paused: AtomicBool::new(false),
            reader: Mutex::new(None),
        })
    }

    /// Asks for the connection; whether it is there already. Else a record tells when it is.
    pub(super) fn begin(self: &Arc<Self>, desk: &Arc<Desk>, connection: &Connection) -> bool {
        let reply = Box::new(LineReply { line: Arc::clone(self), desk: Arc::clone(desk) });
        connection.submit(Exchange { id: self.request, statement: Statement::raw(), reply });
        let waiting =
            self.turn.compare_exchange(turn::ASKED, turn::WAITING, Ordering::AcqRel, Ordering::Acquire);
        waiting.is_err()
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
    desk: Arc<Desk>,
}

impl Reply for LineReply {
    fn rows(&mut self, _: &Arc<Shape>, _: Rows<'_>) {}
    fn complete(&mut self, _: &[u8]) {}
    fn give_up(&mut self, _: Error) {}

    fn tap(&self) -> Option<Arc<dyn Tap>> {
        Some(Arc::clone(&self.line) as _)
    }

    fn settle(self: Box<Self>, outcome: Outcome) {
        let Self { line, desk } = *self;
        desk.hang_up(&line);
        let mut answer = desk.answer_to(line.request);
        match outcome {
            Outcome::Done(status) => answer.done(status),
            Outcome::Failed { error, status, .. } => answer.failed(Failure::Wire(error), status),
        }
    }
}
