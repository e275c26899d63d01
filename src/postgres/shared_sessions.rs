//! Recognises a pooler that lets clients share server sessions, where a statement prepared now may
//! be gone, or somebody else's, at the next query.
//!
//! It is known per host, so that what one connection finds out spares all that follow. No query is
//! spent on it: a pooler makes up the process id of the cancel key, and most made-up ones are beyond
//! what any kernel hands out; the rest is told by the first statements that are lost.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

/// The largest process id of 64-bit Linux; other systems stay far below.
const LARGEST_PROCESS_ID: i32 = 1 << 22;
/// An application may deallocate one of our statements by itself; it does not go on doing so.
const LOST_STATEMENTS: u8 = 3;

/// Whether clients of a host share server sessions, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Sharing {
    is_shared: AtomicBool,
    lost: AtomicU8,
}

impl Sharing {
    pub(super) fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// A connection was told this process id.
    pub(super) fn logged_in(&self, process_id: i32) {
        // 0: the server sent no cancel key.
        if !(0..=LARGEST_PROCESS_ID).contains(&process_id) {
            self.found();
        }
    }

    /// A statement that a connection had prepared is not there.
    pub(super) fn statement_lost(&self) {
        if self.lost.fetch_add(1, Ordering::Relaxed).saturating_add(1) >= LOST_STATEMENTS {
            self.found();
        }
    }

    /// A statement that a connection has not prepared is there.
    pub(super) fn found(&self) {
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
            let sharing = Sharing::default();
            sharing.logged_in(process_id);
            assert_eq!(sharing.is_shared(), is_shared, "{process_id}");
        }
    }

    #[test]
    fn one_lost_statement_is_forgiven_and_several_are_not() {
        let sharing = Sharing::default();
        sharing.statement_lost();
        sharing.statement_lost();
        assert!(!sharing.is_shared());
        sharing.statement_lost();
        assert!(sharing.is_shared());
    }
}
