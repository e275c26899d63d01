//! Raw mode: for one exchange the connection carries bytes that somebody else writes and reads.
//!
//! Messages are still framed and checked here: a malformed one is noticed, notices, notifications and
//! parameters take their usual way, and the transaction status is known. The mode ends only between two
//! messages, when the last one was `ReadyForQuery` and nothing was written since.

use std::sync::Arc;

use super::{
    Connection, Error, RawReader, Status,
    connection::{ConnectionState, End, Refused},
    messages::Inbox,
};

/// The state of raw mode.
pub(super) struct RawMode {
    pub(super) reader: Arc<dyn RawReader>,
    /// The status of the last `ReadyForQuery`, if nothing came or was written since.
    status: Option<Status>,
    /// Whether the reader waits until the outbox is empty.
    wants_drained: bool,
    /// Whether a cancel request is under way.
    cancelling: bool,
    /// Whether it has ended and only waits for the cancel request to be settled.
    over: bool,
}

impl RawMode {
    pub(super) fn new(reader: Arc<dyn RawReader>, status: Status) -> Self {
        Self { reader, status: Some(status), wants_drained: false, cancelling: false, over: false }
    }
}

impl Connection {
    /// Writes for the raw exchange `id`; returns how many bytes have not left yet. None: it is over.
    pub fn write_raw(&self, id: u32, bytes: &[u8]) -> Option<usize> {
        let mut state = self.state.lock();
        if state.busy != Some(id) || !matches!(state.end, End::Open) {
            return None;
        }
        state.raw.as_mut().filter(|raw| !raw.over)?.status = None;
        texts(bytes).for_each(|text| state.on_sent_locked(text));
        state.outbox.extend_from_slice(bytes);
        state.flush_locked();
        let left = state.outbox.len();
        if let Some(raw) = &mut state.raw {
            raw.wants_drained = left > 0;
        }
        Some(left)
    }

    /// Ends the raw exchange `id`. False: the server is not ready, or there is no such exchange.
    pub fn end_raw(&self, id: u32) -> bool {
        let mut state = self.state.lock();
        if state.busy != Some(id) {
            return false;
        }
        let Some(raw) = &mut state.raw else { return false };
        if raw.status.is_none() {
            return false;
        }
        if raw.cancelling {
            raw.over = true;
            return true;
        }
        let settle = state.finish_raw_locked();
        drop(state);
        settle();
        true
    }

    /// The cancel request of a raw exchange is settled.
    pub(super) fn raw_cancel_settled(&self) {
        let mut state = self.state.lock();
        let Some(raw) = &mut state.raw else { return };
        raw.cancelling = false;
        if raw.over {
            let settle = state.finish_raw_locked();
            drop(state);
            settle();
        }
    }

    /// Hands the messages that have arrived to the reader. Returns those that are not for it.
    pub(super) fn read_raw(
        &self,
        raw_reader: &Arc<dyn RawReader>,
        inbox: &mut Inbox,
    ) -> Result<Vec<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        let mut others = Vec::new();
        let mut status = None;
        while let Some(message) = inbox.next()? {
            match message.tag {
                b'N' | b'A' | b'S' => others.push(message.bytes().to_vec()),
                tag => {
                    if let Err(error) = message.check_form() {
                        // The messages before it are handed on before the end.
                        self.hand_on(raw_reader, &bytes, status);
                        return Err(error);
                    }
                    status = if tag == b'Z' { Some(message.status()?) } else { None };
                    if tag == b'C' {
                        self.state
                            .lock()
                            .watch
                            .on_complete(message.body().strip_suffix(b"\0").unwrap_or_default());
                    }
                    bytes.extend_from_slice(message.bytes());
                }
            }
        }
        self.hand_on(raw_reader, &bytes, status);
        Ok(others)
    }

    fn hand_on(&self, raw_reader: &Arc<dyn RawReader>, bytes: &[u8], status: Option<Status>) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        if let Some(raw) = &mut state.raw {
            raw.status = status;
        }
        if let Some(status) = status {
            state.on_ready_locked(status);
        }
        drop(state);
        raw_reader.bytes(bytes);
    }
}

/// The SQL in Query and Parse messages. Only whole messages are searched, as libraries write them.
fn texts(mut bytes: &[u8]) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (&tag, rest) = bytes.split_first()?;
        let length = usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?;
        let (message, rest) = rest.split_at_checked(length)?;
        bytes = rest;
        let mut strings = message.get(4..)?.split(|byte| *byte == 0);
        let text = match tag {
            b'Q' => strings.next(),
            b'P' => strings.nth(1),
            _ => None,
        };
        Some(text.and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default())
    })
}

impl ConnectionState {
    fn finish_raw_locked(&mut self) -> impl FnOnce() + use<> {
        let status = self.raw.take().and_then(|raw| raw.status).unwrap_or(self.status);
        self.status = status;
        self.given_up = None;
        self.busy = None;
        let finished = self.sent.pop_front();
        let refused = self.start_next_locked();
        self.flush_locked();
        move || {
            if let Some(finished) = finished {
                finished.settle(status);
            }
            refused.into_iter().for_each(Refused::settle);
        }
    }

    /// The reader, if it waits for an empty outbox.
    pub(super) fn take_waiting_reader_locked(&mut self) -> Option<Arc<dyn RawReader>> {
        let raw = self.raw.as_mut().filter(|raw| raw.wants_drained)?;
        raw.wants_drained = false;
        Some(Arc::clone(&raw.reader))
    }

    /// Whether a cancel request is to be sent for the raw exchange `id`.
    pub(super) fn cancel_raw_locked(&mut self, id: u32) -> bool {
        let busy = self.busy == Some(id);
        let Some(raw) = self.raw.as_mut().filter(|raw| busy && !raw.cancelling) else { return false };
        raw.cancelling = true;
        true
    }
}
