//! Pages of a result: after each page the portal stays suspended until the caller asks for the next one, or
//! for the end.

use postgres_protocol::message::frontend;

use super::{Connection, connection::ConnectionState};

/// A suspended portal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Suspended {
    pub(super) id: u32,
    pub(super) fetch: i32,
}

impl Connection {
    /// Fetches the next page of the exchange `id`, or ends it. False: it is not suspended.
    pub fn turn_page(&self, id: u32, on: bool) -> bool {
        let mut state = self.state.lock();
        let Some(suspended) = state.suspended.take_if(|suspended| suspended.id == id) else { return false };
        if on {
            state.fetch_locked(suspended.fetch);
        } else {
            // A Sync ends the implicit transaction, and the portal with it.
            state.sync_locked();
        }
        state.flush_locked();
        true
    }
}

impl ConnectionState {
    pub(super) fn fetch_locked(&mut self, rows: i32) {
        let _ = frontend::execute("", rows, &mut self.outbox);
        frontend::flush(&mut self.outbox);
    }
}
