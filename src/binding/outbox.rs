//! Outbox: the records on their way to one JavaScript thread. Any thread appends, that one takes.
//!
//! The first record after an empty outbox wakes JavaScript, and it takes those that follow in the same call. A
//! connection whose results JavaScript is too slow for waits, so that the outbox stays small.

use std::{
    collections::VecDeque,
    sync::{Arc, OnceLock},
    task::{Context, Poll, Waker},
};

use lru::LruCache;
use napi::{
    Status,
    threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode},
};
use parking_lot::Mutex;
use serde::Serialize;

use super::{
    io_thread::{self, OnIdle},
    layout::{RawFlags, RecordKind, RowsFlags, record, rows},
};
use crate::postgres::{Rows, Shape};

/// The `wake` callback of a bridge. Weak: it does not keep the process alive.
pub(super) type Wake = ThreadsafeFunction<(), (), (), Status, false, true, 0>;

/// Bytes in the outbox above which connections wait.
const CONGESTED: usize = 8 * 1024 * 1024;
/// Bytes in the outbox above which JavaScript is woken at once.
const WAKE_AT_ONCE: usize = 64 * 1024;
/// Bytes of memory that an empty outbox keeps.
const KEEP: usize = 512 * 1024;
/// The most bytes, as JSON, of the shapes that JavaScript keeps; there they take about twice as much.
const KNOWN_SHAPES: usize = 8 * 1024 * 1024;
/// What JavaScript keeps of a shape besides its columns.
const SHAPE_OVERHEAD: usize = 4096;

/// The outbox of one JavaScript thread.
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    wake: OnceLock<Wake>,
}

struct Queue {
    bytes: Vec<u8>,
    start: usize,
    call: Call,
    /// The shapes that JavaScript keeps, and the bytes that each counts for.
    known: LruCache<u32, usize>,
    known_bytes: usize,
    /// Connections whose rows may have these shapes.
    connections: usize,
    waiting: VecDeque<Waker>,
    /// Whether JavaScript is gone: records are dropped.
    is_over: bool,
}

/// State of the call into JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    /// Not needed: JavaScript has found the outbox empty, and nothing came since.
    Unneeded,
    /// Planned for the moment in which the I/O thread has nothing more to do.
    Planned,
    /// Made, and JavaScript has not yet found the outbox empty.
    Made,
}

impl Outbox {
    pub(super) fn new() -> Arc<Self> {
        let queue = Queue {
            bytes: Vec::new(),
            start: 0,
            call: Call::Unneeded,
            known: LruCache::unbounded(),
            known_bytes: 0,
            connections: 0,
            waiting: VecDeque::new(),
            is_over: false,
        };
        Arc::new(Self { queue: Mutex::new(queue), wake: OnceLock::new() })
    }

    pub(super) fn attach(&self, wake: Wake) {
        let _ = self.wake.set(wake);
    }

    /// Calls into JavaScript; without effect once its environment is gone.
    fn call(&self) {
        if let Some(wake) = self.wake.get() {
            wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Appends a record without payload.
    pub(super) fn push(self: &Arc<Self>, kind: RecordKind, id: u32, argument: u32) {
        self.append(|queue| queue.record(kind, 0, id, argument, &[]));
    }

    /// Appends a record that settles a checkout; `status`: of the transaction that the connection is in.
    pub(super) fn push_leased(self: &Arc<Self>, request: u32, connection: u32, status: u32) {
        self.append(|queue| queue.record(RecordKind::Leased, status, request, connection, &[]));
    }

    /// Appends a record with bytes, whose length is its argument.
    pub(super) fn push_bytes(self: &Arc<Self>, kind: RecordKind, id: u32, bytes: &[u8]) {
        self.push_flagged(kind, 0, id, bytes);
    }

    fn push_flagged(self: &Arc<Self>, kind: RecordKind, flags: u32, id: u32, bytes: &[u8]) {
        self.append(|queue| queue.record(kind, flags, id, length_word(bytes.len()), &[bytes]));
    }

    /// Appends a record with bytes of a connection in raw mode.
    pub(super) fn push_raw(self: &Arc<Self>, id: u32, flags: RawFlags, bytes: &[u8]) {
        self.push_flagged(RecordKind::Raw, flags.bits(), id, bytes);
    }

    /// Appends a record with JSON.
    pub(super) fn push_json(self: &Arc<Self>, kind: RecordKind, flags: u32, id: u32, value: &impl Serialize) {
        let json = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        self.push_flagged(kind, flags, id, &json);
    }

    /// Appends a block of rows, after its shape if JavaScript does not know it.
    pub(super) fn push_rows(self: &Arc<Self>, request: u32, shape: &Shape, block: Rows<'_>) {
        self.append(|queue| {
            queue.introduce(shape);
            let mut words = [0; rows::HEADER - record::HEADER];
            words[rows::COUNT - record::HEADER] = block.count;
            words[rows::RAW_LENGTH - record::HEADER] = length_word(block.raw.len());
            let flags = if block.has_short_texts { RowsFlags::SHORT_TEXTS.bits() } else { 0 };
            let parts = [bytemuck::cast_slice(&words), bytemuck::cast_slice(block.slots), block.raw];
            queue.record(RecordKind::Rows, flags, request, shape.id, &parts);
        });
    }

    /// Appends the end of a connection. With the last one JavaScript forgets all shapes.
    pub(super) fn push_closed(self: &Arc<Self>, id: u32, value: &impl Serialize) {
        let json = serde_json::to_vec(value).unwrap_or_else(|_| b"null".to_vec());
        self.append(|queue| {
            queue.record(RecordKind::Closed, 0, id, length_word(json.len()), &[&json]);
            queue.connections = queue.connections.saturating_sub(1);
            if queue.connections == 0 && !queue.known.is_empty() {
                queue.known.clear();
                queue.known_bytes = 0;
                queue.record(RecordKind::Forget, 0, 0, 0, &[]);
            }
        });
    }

    /// Counts a connection whose opening is appended next.
    pub(super) fn count_connection(&self) {
        self.queue.lock().connections += 1;
    }

    fn append(self: &Arc<Self>, write: impl FnOnce(&mut Queue)) {
        let mut queue = self.queue.lock();
        if queue.is_over {
            return;
        }
        write(&mut queue);
        let at_once = queue.pending() > WAKE_AT_ONCE || !io_thread::is_io_thread();
        let before = queue.call;
        if before != Call::Made {
            queue.call = if at_once { Call::Made } else { Call::Planned };
        }
        drop(queue);
        match before {
            Call::Unneeded | Call::Planned if at_once => self.call(),
            Call::Unneeded => io_thread::call_when_idle(Arc::clone(self) as _),
            Call::Planned | Call::Made => {}
        }
    }

    /// Ends the outbox of a JavaScript thread that is gone: no connection waits for it any longer.
    pub(super) fn end(&self) {
        let mut queue = self.queue.lock();
        queue.is_over = true;
        queue.bytes = Vec::new();
        queue.start = 0;
        let waiting = std::mem::take(&mut queue.waiting);
        drop(queue);
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Copies whole records into `into` and returns their bytes; 0: none; negative: the first needs so many.
    pub(super) fn take(&self, into: &mut [u8]) -> i64 {
        let mut queue = self.queue.lock();
        let length = queue.whole_records(into.len());
        if length == 0 {
            let first = queue.first_length();
            if first == 0 {
                queue.call = Call::Unneeded;
            }
            return -i64::try_from(first).unwrap_or(i64::MAX);
        }
        let start = queue.start;
        into[..length].copy_from_slice(&queue.bytes[start..start + length]);
        queue.start += length;
        let awake = queue.tidy();
        drop(queue);
        awake.into_iter().for_each(Waker::wake);
        i64::try_from(length).unwrap_or(i64::MAX)
    }

    /// Removes the first record and copies its header into `into`.
    pub(super) fn skip(&self, into: &mut [u8]) {
        let mut queue = self.queue.lock();
        let (start, length) = (queue.start, queue.first_length());
        let copied = into.len().min(length).min(record::HEADER * 4);
        into[..copied].copy_from_slice(&queue.bytes[start..start + copied]);
        queue.start += length;
        let awake = queue.tidy();
        drop(queue);
        awake.into_iter().for_each(Waker::wake);
    }

    /// Pending while JavaScript is behind.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_room(cx, CONGESTED)
    }

    /// Pending while more than `limit` bytes are not taken.
    pub(super) fn poll_room(&self, cx: &mut Context<'_>, limit: usize) -> Poll<()> {
        let mut queue = self.queue.lock();
        if queue.pending() <= limit {
            return Poll::Ready(());
        }
        if !queue.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            queue.waiting.push_back(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl OnIdle for Outbox {
    /// Makes the planned call, unless it was made meanwhile.
    fn on_idle(&self) {
        let mut queue = self.queue.lock();
        if queue.call == Call::Planned {
            queue.call = Call::Made;
            drop(queue);
            self.call();
        }
    }
}

impl Queue {
    fn pending(&self) -> usize {
        self.bytes.len() - self.start
    }

    fn record(&mut self, kind: RecordKind, flags: u32, id: u32, argument: u32, parts: &[&[u8]]) {
        let payload: usize = parts.iter().map(|part| part.len()).sum();
        let length = (record::HEADER * 4 + payload).next_multiple_of(8);
        let end = self.bytes.len() + length;
        self.bytes.reserve(length);
        let mut header = [0; record::HEADER];
        header[record::LENGTH] = length_word(length);
        header[record::KIND] = kind as u32 | flags << record::KIND_BITS;
        header[record::ID] = id;
        header[record::ARGUMENT] = argument;
        self.bytes.extend_from_slice(bytemuck::cast_slice(&header));
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.bytes.resize(end, 0);
    }

    fn introduce(&mut self, shape: &Shape) {
        if self.known.get(&shape.id).is_some() {
            return;
        }
        let json = serde_json::to_vec(shape).unwrap_or_else(|_| b"[]".to_vec());
        let bytes = SHAPE_OVERHEAD + json.len();
        while self.known_bytes + bytes > KNOWN_SHAPES {
            let Some((old, freed)) = self.known.pop_lru() else { break };
            self.known_bytes -= freed;
            self.record(RecordKind::Forget, 0, old, 0, &[]);
        }
        self.known_bytes += bytes;
        self.known.put(shape.id, bytes);
        self.record(RecordKind::Shape, 0, shape.id, length_word(json.len()), &[&json]);
    }

    fn first_length(&self) -> usize {
        self.length_at(self.start)
    }

    fn length_at(&self, at: usize) -> usize {
        let word = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<4>);
        word.map_or(0, |word| u32::from_le_bytes(*word) as usize)
    }

    /// Bytes of the whole records at the front that fit into `room`.
    fn whole_records(&self, room: usize) -> usize {
        if self.pending() <= room {
            return self.pending();
        }
        let mut end = self.start;
        loop {
            let next = end + self.length_at(end);
            if next - self.start > room {
                return end - self.start;
            }
            end = next;
        }
    }

    /// Frees memory, and returns the connections that need not wait any longer.
    fn tidy(&mut self) -> VecDeque<Waker> {
        if self.pending() == 0 {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEEP);
        } else if self.start > self.bytes.len() / 2 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        if self.pending() <= CONGESTED / 2 { std::mem::take(&mut self.waiting) } else { VecDeque::new() }
    }
}

/// A record is smaller than 4 GiB, because a message of the server is smaller than 1 GiB.
fn length_word(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

// Words of records and slots of rows are copied as they stand in memory.
#[cfg(not(target_endian = "little"))]
compile_error!("the frame layout is little-endian");
