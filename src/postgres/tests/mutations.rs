//! The corpus of the fuzzers, and random changes to it, on stable Rust and in bounded time. A case that a
//! fuzzer finds is added to the corpus.

use std::{fs, path::PathBuf};

use proptest::prelude::*;

use crate::postgres::fuzzing;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert!(names.len() > 4, "the corpus of {target} is there");
    names.iter().map(|name| fs::read(name).unwrap()).collect()
}

/// One change to some bytes.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Set(usize, u8),
    Word(usize, u32),
    Cut(usize),
    Remove(usize, usize),
    Repeat(usize, usize),
    Insert(usize, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<u16>().prop_map(usize::from);
    let edges = prop_oneof![
        Just(0),
        Just(3),
        Just(4),
        Just(0x7fff_ffff),
        Just(0x3fff_ffff),
        Just(u32::MAX),
        any::<u32>()
    ];
    prop_oneof![
        (at.clone(), any::<u8>()).prop_map(|(at, mask)| Change::Flip(at, mask)),
        (at.clone(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (at.clone(), edges).prop_map(|(at, word)| Change::Word(at, word)),
        at.clone().prop_map(Change::Cut),
        (at.clone(), 1..40_usize).prop_map(|(at, length)| Change::Remove(at, length)),
        (at.clone(), 1..200_usize).prop_map(|(at, length)| Change::Repeat(at, length)),
        (at, prop::collection::vec(any::<u8>(), 1..40)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let size = bytes.len();
        match self {
            Self::Flip(at, mask) => bytes[at % size] ^= mask,
            Self::Set(at, byte) => bytes[at % size] = *byte,
            Self::Word(at, word) => {
                let at = at % size;
                for (slot, byte) in bytes[at..].iter_mut().zip(word.to_be_bytes()) {
                    *slot = byte;
                }
            }
            Self::Cut(at) => bytes.truncate(at % size),
            Self::Remove(at, length) => {
                let at = at % size;
                bytes.drain(at..(at + length).min(size));
            }
            Self::Repeat(at, length) => {
                let at = at % size;
                let copy = bytes[at..(at + length).min(size)].to_vec();
                bytes.splice(at..at, copy);
            }
            Self::Insert(at, new) => {
                let at = at % size;
                bytes.splice(at..at, new.iter().copied());
            }
        }
    }
}

fn mutated(target: &'static str) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(corpus(target)), prop::collection::vec(change(), 1..6)).prop_map(
        |(mut bytes, changes)| {
            for change in changes {
                change.apply(&mut bytes);
            }
            bytes
        },
    )
}

#[test]
fn the_corpus_breaks_nothing() {
    for bytes in corpus("messages") {
        fuzzing::backend_messages(&bytes);
    }
    for bytes in corpus("rows") {
        fuzzing::rows(&bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_to_a_stream_of_messages_breaks_the_parser(bytes in mutated("messages")) {
        fuzzing::backend_messages(&bytes);
    }

    #[test]
    fn no_change_to_rows_breaks_the_packer(bytes in mutated("rows")) {
        fuzzing::rows(&bytes);
    }

    #[test]
    fn no_bytes_at_all_break_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzzing::backend_messages(&bytes);
        fuzzing::rows(&bytes);
    }
}
