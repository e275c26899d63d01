//! Shared sessions: a pooler may let clients share the sessions of a server. Then a statement prepared now
//! may be gone, or somebody else's, at the next query.
//!
//! This is known per host, so that later connections profit from what one has found out. No query is spent on
//! it: a pooler makes up the process id of the cancel key, and most of these are larger than any that a
//! kernel gives. A small one, or none, proves nothing. The other poolers are recognised by the first statements
//! that are lost; a server that takes no named statements, by the first that it refuses.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The largest process id of 64-bit Linux; other systems stay far below.
const LARGEST_PROCESS_ID: i32 = 1 << 22;
/// Lost statements that show a pooler. An application may deallocate one of ours by itself, but hardly
/// several.
const LOST_STATEMENTS: u8 = 3;

/// Whether clients of a host share server sessions, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct SharedSessions {
    is_shared: AtomicBool,
    lost: AtomicU8,
    takes_names: AtomicBool,
    takes_close: AtomicBool,
}

impl SharedSessions {
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Judges the process id that a connection was given.
    pub(super) fn logged_in(&self, process_id: i32) {
        if !(0..=LARGEST_PROCESS_ID).contains(&process_id) {
            self.note_shared();
        }
    }

    /// Counts a prepared statement that is gone.
    pub(super) fn statement_lost(&self) {
        if self.lost.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= LOST_STATEMENTS {
            self.note_shared();
        }
    }

    /// Whether a prepared statement has ever been gone.
    pub(super) fn has_lost_statements(&self) -> bool {
        self.lost.load(Ordering::Relaxed) > 0
    }

    /// Whether the host has ever prepared a statement under a name.
    pub(super) fn takes_names(&self) -> bool {
        self.takes_names.load(Ordering::Relaxed)
    }

    /// Notes that it has.
    pub(super) fn name_accepted(&self) {
        if !self.takes_names() {
            self.takes_names.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the host has ever closed a statement.
    pub(super) fn takes_close(&self) -> bool {
        self.takes_close.load(Ordering::Relaxed)
    }

    /// Notes that it has.
    pub(super) fn close_accepted(&self) {
        if !self.takes_close() {
            self.takes_close.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that sessions are shared.
    pub(super) fn note_shared(&self) {
        self.is_shared.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_id_no_kernel_hands_out_is_a_poolers() {
        for (process_id, is_shared) in
            [(0, false), (1, false), (4_194_304, false), (4_194_305, true), (-7, true)]
        {
            let shared_sessions = SharedSessions::default();
            shared_sessions.logged_in(process_id);
            assert_eq!(shared_sessions.is_shared(), is_shared, "{process_id}");
        }
    }

    #[test]
    fn one_lost_statement_is_forgiven_and_several_are_not() {
        let shared_sessions = SharedSessions::default();
        shared_sessions.statement_lost();
        shared_sessions.statement_lost();
        assert!(!shared_sessions.is_shared());
        shared_sessions.statement_lost();
        assert!(shared_sessions.is_shared());
    }
}
