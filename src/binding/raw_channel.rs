//! Raw channel: one connection in raw mode. RAW records bring JavaScript what the server sent.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use parking_lot::Mutex;

use super::{connections::Connections, layout::RawFlags, outbox::Outbox};
use crate::{
    dispatch::{Answer, Failure},
    postgres::{Connection, Error, Exchange, Outcome, RawReader, Reply, Rows, Shape, Statement},
};

/// Bytes in the outbox above which the server is not read. JavaScript may keep what it has taken for long.
const READ_AHEAD: usize = 512 * 1024;

/// Progress of the handover of a connection to JavaScript.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Handover {
    /// Asked for: `start` is under way, and its result tells JavaScript.
    Asked,
    /// Waiting: `start` has returned, and a RAW record tells JavaScript.
    Waiting,
    /// Begun: JavaScript has the connection.
    Begun,
}

/// Brings the bytes of a connection to the request that has it in raw mode.
pub(super) struct RawChannel {
    outbox: Arc<Outbox>,
    pub(super) connection: u32,
    pub(super) request: u32,
    handover: AtomicU8,
    paused: AtomicBool,
    reader: Mutex<Option<Waker>>,
}

impl RawChannel {
    pub(super) fn new(connections: &Connections, connection: u32, request: u32) -> Arc<Self> {
        Arc::new(Self {
            outbox: Arc::clone(&connections.outbox),
            connection,
            request,
            handover: AtomicU8::new(Handover::Asked as u8),
            paused: AtomicBool::new(false),
            reader: Mutex::new(None),
        })
    }

    /// Asks for raw mode. True: it has begun already; else a record tells when it does.
    pub(super) fn start(self: &Arc<Self>, connections: &Arc<Connections>, connection: &Connection) -> bool {
        let reply =
            Box::new(RawModeReply { channel: Arc::clone(self), connections: Arc::clone(connections) });
        connection.submit(Exchange { id: self.request, statement: Statement::raw(), reply });
        let waiting = self.handover.compare_exchange(
            Handover::Asked as u8,
            Handover::Waiting as u8,
            Ordering::AcqRel,
            Ordering::Acquire,
        );
        waiting.is_err()
    }

    /// Pauses the reading of the server, or goes on.
    pub(super) fn pause(&self, on: bool) {
        self.paused.store(on, Ordering::Release);
        if !on && let Some(reader) = self.reader.lock().take() {
            reader.wake();
        }
    }
}

impl RawReader for RawChannel {
    fn begun(&self) {
        if self.handover.swap(Handover::Begun as u8, Ordering::AcqRel) == Handover::Waiting as u8 {
            self.outbox.push_raw(self.request, RawFlags::BEGUN, &[]);
        }
    }

    fn bytes(&self, bytes: &[u8]) {
        self.outbox.push_raw(self.request, RawFlags::empty(), bytes);
    }

    fn drained(&self) {
        self.outbox.push_raw(self.request, RawFlags::DRAINED, &[]);
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.paused.load(Ordering::Acquire) {
            *self.reader.lock() = Some(cx.waker().clone());
            // `pause(false)` may have come before the waker was stored.
            if self.paused.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        self.outbox.poll_room(cx, READ_AHEAD)
    }
}

struct RawModeReply {
    channel: Arc<RawChannel>,
    connections: Arc<Connections>,
}

impl Reply for RawModeReply {
    fn rows(&mut self, _: &Arc<Shape>, _: Rows<'_>) {}
    fn complete(&mut self, _: &[u8]) {}
    fn give_up(&mut self, _: Error) {}

    fn raw_reader(&self) -> Option<Arc<dyn RawReader>> {
        Some(Arc::clone(&self.channel) as _)
    }

    fn settle(self: Box<Self>, outcome: Outcome) {
        let Self { channel, connections } = *self;
        connections.remove_raw_channel(&channel);
        let mut answer = connections.answer_to(channel.request);
        match outcome {
            Outcome::Done(status) => answer.done(status),
            Outcome::Failed { error, status, .. } => answer.failed(Failure::Wire(error), status),
        }
    }
}
