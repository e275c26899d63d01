//! The survival of prepared statements: the evidence that a connection has its session to itself.
//!
//! A pooler may look like a server until a statement is lost. So before statements were found again in later
//! transactions nothing relies on a name where a loss cannot be healed, and few are named: behind a pooler nobody
//! closes them.

use std::{
    collections::{HashSet, hash_map::RandomState},
    hash::BuildHasher,
};

/// Uses of cached statements in later transactions that show the session to be ours alone. One may be luck: a
/// pooler gives the same session again at times.
const ENOUGH: u8 = 3;
/// Names that are given before that to any text. Then only a text that comes again gets one.
const FREE_NAMES: u32 = 64;
/// The most texts that are remembered as having come once.
const REMEMBERED_TEXTS: usize = 256;

/// What is known of one connection.
#[derive(Debug, Default)]
pub(super) struct Survival {
    /// How often a statement was found in a later transaction, up to [`ENOUGH`].
    found: u8,
    /// Hashes of the texts that came once and got no name.
    once: HashSet<u64>,
    hasher: RandomState,
}

impl Survival {
    /// Whether statements stay where they were prepared.
    pub(super) fn is_proven(&self) -> bool {
        self.found >= ENOUGH
    }

    /// A cached statement was found outside of a transaction, so in a later one than it was prepared in.
    pub(super) fn found(&mut self) {
        if !self.is_proven() {
            self.found += 1;
            if self.is_proven() {
                self.once = HashSet::new();
            }
        }
    }

    /// A cached statement was gone.
    pub(super) fn lost(&mut self) {
        self.found = 0;
    }

    /// Whether a text may have a name, after so many names.
    pub(super) fn allows_name(&mut self, text: &str, names: u32) -> bool {
        if self.is_proven() || names < FREE_NAMES {
            return true;
        }
        let hash = self.hasher.hash_one(text);
        if self.once.remove(&hash) {
            return true;
        }
        if self.once.len() == REMEMBERED_TEXTS {
            self.once.clear();
        }
        self.once.insert(hash);
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_found_three_times_since_one_was_lost_prove_the_session_ours() {
        let mut survival = Survival::default();
        survival.found();
        survival.found();
        survival.lost();
        survival.found();
        survival.found();
        assert!(!survival.is_proven());
        survival.found();
        assert!(survival.is_proven());
    }

    #[test]
    fn without_proof_a_text_gets_a_name_after_the_first_64_only_when_it_comes_again() {
        let mut survival = Survival::default();
        assert!(survival.allows_name("SELECT 1", 63));
        assert!(!survival.allows_name("SELECT 2", 64));
        assert!(!survival.allows_name("SELECT 3", 64));
        assert!(survival.allows_name("SELECT 2", 64));
        (0..3).for_each(|_| survival.found());
        assert!(survival.allows_name("SELECT 4", 64));
    }
}
