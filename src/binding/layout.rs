//! Layout of the boundary: its numbers and names, each of them once. lib/native/layout.js has the same for
//! JavaScript, docs/design/boundary.md describes them, and a test compares the three by [`to_json`]. The numbers
//! of the slots of rows are the codec's.

use bitflags::{Flags, bitflags};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::{
    dispatch::RunStage,
    pool::CloseReason,
    postgres::{SlotKind, slot},
    resilience::NoRetry,
};

/// Declares the kinds of records and the list of them.
macro_rules! record_kinds {
    ($($name:ident = $number:literal,)*) => {
        /// The kinds of records.
        #[derive(Debug, Clone, Copy, Serialize)]
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        #[repr(u32)]
        pub(super) enum RecordKind {
            $($name = $number,)*
        }

        impl RecordKind {
            const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

record_kinds! {
    Shape = 1,
    Rows = 2,
    Command = 3,
    Done = 4,
    Fail = 5,
    Leased = 6,
    Opened = 7,
    Closed = 8,
    ConnectionEvent = 9,
    AskPassword = 10,
    Forget = 11,
    Restart = 12,
    Raw = 13,
    Suspended = 14,
    PoolEvent = 15,
    Dial = 16,
    SocketWrite = 17,
    SocketResume = 18,
    SocketClose = 19,
    Log = 20,
    LoginStep = 21,
    BeforeConnect = 22,
    ConnectFailed = 23,
    Overdue = 24,
    Lookup = 25,
}

/// A record: its words, counted from its start.
pub(super) mod record {
    /// Its length in bytes, this header included.
    pub(crate) const LENGTH: usize = 0;
    /// Its kind, and its flags above.
    pub(crate) const KIND: usize = 1;
    /// What it is about.
    pub(crate) const ID: usize = 2;
    /// One number more, as a rule the length of the payload.
    pub(crate) const ARGUMENT: usize = 3;
    /// Words of the header.
    pub(crate) const HEADER: usize = 4;
    /// Bits of the kind, below the flags.
    pub(crate) const KIND_BITS: u32 = 8;
}

/// The words of a ROWS record that follow the header.
pub(super) mod rows {
    use super::record;

    /// How many rows.
    pub(crate) const COUNT: usize = record::HEADER;
    /// Bytes of raw.
    pub(crate) const RAW_LENGTH: usize = COUNT + 1;
    /// Where the slots begin.
    pub(crate) const HEADER: usize = RAW_LENGTH + 1;
}

bitflags! {
    /// Flags of a ROWS record.
    pub(super) struct RowsFlags: u32 {
        /// Raw holds short ASCII texts.
        const SHORT_TEXTS = 1;
    }

    /// Flags of a RAW record without bytes.
    #[derive(Clone, Copy)]
    pub(super) struct RawFlags: u32 {
        /// Raw mode has begun.
        const BEGUN = 1;
        /// What was written has left.
        const DRAINED = 2;
    }

    /// Flags of a request, its first word.
    #[derive(Clone, Copy)]
    pub(super) struct RequestFlags: u32 {
        /// The simple protocol.
        const SIMPLE = 1;
        /// Results in binary.
        const BINARY = 2;
        /// Running it twice does no harm.
        const IDEMPOTENT = 4;
        /// It changes nothing.
        const READ_ONLY = 8;
        /// It may be withdrawn while it waits.
        const CANCELLABLE = 16;
        /// It waits after each page for `turnPage`.
        const PAGED = 32;
        /// Its last four bytes are the most bytes its rows may have.
        const LIMITED = 64;
        /// Retry options stand between the name and the parameters.
        const RETRY_OPTIONS = 128;
        /// It is sent without waiting for the answer to the one before.
        const JOINED = 256;
        /// It is a statement of ours, such as BEGIN: metrics do not count it.
        const OWN = 512;
    }
}

/// A request: the words of its header.
pub(super) mod request {
    /// [`super::RequestFlags`].
    pub(crate) const FLAGS: usize = 0;
    /// Bytes of the text.
    pub(crate) const TEXT_LENGTH: usize = 1;
    /// Bytes of the statement's name.
    pub(crate) const NAME_LENGTH: usize = 2;
    /// How many parameters.
    pub(crate) const PARAMETERS: usize = 3;
    /// Milliseconds until it fails; 0: never.
    pub(crate) const QUERY_TIMEOUT: usize = 4;
    /// Rows per page; 0: all.
    pub(crate) const FETCH: usize = 5;
    /// Words of the header.
    pub(crate) const HEADER: usize = 6;
}

/// The retry options of a request: their words.
pub(super) mod retry_options {
    /// Milliseconds.
    pub(crate) const DEADLINE: usize = 0;
    /// How many retries.
    pub(crate) const ATTEMPTS: usize = 1;
    /// Milliseconds of the first delay.
    pub(crate) const BASE_DELAY: usize = 2;
    /// How many codes.
    pub(crate) const CODES: usize = 3;
    /// Words before the codes.
    pub(crate) const HEADER: usize = 4;
    /// Bytes per code, of which five are the SQLSTATE.
    pub(crate) const CODE_BYTES: usize = 8;
    /// In a word: as the pool has it.
    pub(crate) const UNSET: u32 = u32::MAX;
}

/// Declares an enum of names and the list of them.
macro_rules! names {
    ($(#[$about:meta])* $type:ident { $($(#[$item:meta])* $name:ident,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub(super) enum $type {
            $($(#[$item])* $name,)*
        }

        impl $type {
            const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

names! {
    /// The kinds of errors, as which JavaScript makes its classes.
    ErrorKind {
        Database,
        System,
        Aggregate,
        Plain,
        Type,
        Acquire,
        Full,
        Circuit,
        Budget,
        /// No error: the answer that a run is not retried.
        NoRetry,
    }
}

names! {
    /// The reasons of errors of kind `plain`, where they have one.
    Reason {
        Lost,
        Ended,
        ConnectTimeout,
        QueryTimeout,
        Withdrawn,
        Application,
    }
}

/// The whole layout, as lib/native/layout.js has it.
pub(super) fn to_json() -> Value {
    json!({
        "RECORDS": numbers(RecordKind::ALL, |kind| *kind as u32),
        "RECORD": {
            "LENGTH": record::LENGTH,
            "KIND": record::KIND,
            "ID": record::ID,
            "ARGUMENT": record::ARGUMENT,
            "HEADER": record::HEADER,
            "KIND_BITS": record::KIND_BITS,
        },
        "ROWS": { "COUNT": rows::COUNT, "RAW_LENGTH": rows::RAW_LENGTH, "HEADER": rows::HEADER },
        "ROWS_FLAGS": flags::<RowsFlags>(),
        "RAW_FLAGS": flags::<RawFlags>(),
        "REQUEST": {
            "FLAGS": request::FLAGS,
            "TEXT_LENGTH": request::TEXT_LENGTH,
            "NAME_LENGTH": request::NAME_LENGTH,
            "PARAMETERS": request::PARAMETERS,
            "QUERY_TIMEOUT": request::QUERY_TIMEOUT,
            "FETCH": request::FETCH,
            "HEADER": request::HEADER,
        },
        "REQUEST_FLAGS": flags::<RequestFlags>(),
        "RETRY_OPTIONS": {
            "DEADLINE": retry_options::DEADLINE,
            "ATTEMPTS": retry_options::ATTEMPTS,
            "BASE_DELAY": retry_options::BASE_DELAY,
            "CODES": retry_options::CODES,
            "HEADER": retry_options::HEADER,
            "CODE_BYTES": retry_options::CODE_BYTES,
            "UNSET": retry_options::UNSET,
        },
        "SLOTS": numbers(SlotKind::ALL, |slot| *slot as u32),
        "TEXT_SLOT": { "NULL": slot::NULL_TEXT, "NOT_ASCII": slot::NOT_ASCII },
        "ERROR_KINDS": names(ErrorKind::ALL),
        "REASONS": names(Reason::ALL),
        "NO_RETRY": names(NoRetry::ALL),
        "STAGES": names(RunStage::ALL),
        "CLOSE_REASONS": named(CloseReason::ALL.into_iter().map(|reason| reason.name().to_owned())),
        "NUMBER_SLOT": { "NULL": slot::NULL_NUMBER, "SEE_TEXT": slot::SEE_TEXT },
    })
}

fn numbers<T: Serialize>(all: &[T], number: impl Fn(&T) -> u32) -> Map<String, Value> {
    let name = |value| json!(value).as_str().unwrap_or_default().to_owned();
    all.iter().map(|value| (name(value), json!(number(value)))).collect()
}

fn names<T: Serialize>(all: &[T]) -> Map<String, Value> {
    named(all.iter().filter_map(|value| Some(json!(value).as_str()?.to_owned())))
}

/// Each name by itself in the spelling of constants.
fn named(names: impl Iterator<Item = String>) -> Map<String, Value> {
    let constant = |name: &str| {
        name.chars().fold(String::new(), |mut constant, letter| {
            if letter.is_ascii_uppercase() {
                constant.push('_');
            }
            constant.push(letter.to_ascii_uppercase());
            constant
        })
    };
    names.map(|name| (constant(&name), json!(name))).collect()
}

fn flags<T: Flags<Bits = u32>>() -> Map<String, Value> {
    T::FLAGS.iter().map(|flag| (flag.name().to_owned(), json!(flag.value().bits()))).collect()
}
