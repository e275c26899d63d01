//! Backend messages: framing, and the fields of those that carry more than one number.
//!
//! [`Inbox`] splits the bytes into messages without copying them. A length is believed only within the limits
//! of the protocol, so that a server that is no PostgreSQL is recognised at once.

use std::{ffi::CStr, sync::Arc};

use bytes::BytesMut;
use postgres_protocol::message::backend::Message;

use super::{DatabaseError, Error, SqlState, Status, texts::Texts};

/// The longest message. PostgreSQL itself refuses to build a longer one.
const MAX_MESSAGE: usize = 0x3fff_ffff;
/// The longest message of a login. A server of another protocol is recognised by it.
const MAX_STARTUP_MESSAGE: usize = 64 * 1024;
/// The longest description of columns: 65535 of them, with names of 200 bytes.
const MAX_DESCRIPTION: usize = 16 * 1024 * 1024;
/// The longest message of a type that is always short.
const MAX_SHORT_MESSAGE: usize = 1024 * 1024;
const HEADER: usize = 5;
const READ_CHUNK: usize = 32 * 1024;
/// The largest inbox that is kept after a large message.
const KEEP: usize = 256 * 1024;

/// Bytes that were read and are not understood yet.
#[derive(Debug)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    max_message: usize,
    /// Bytes of a message that are passed over as they come.
    unwanted: usize,
}

impl Inbox {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; READ_CHUNK], start: 0, end: 0, max_message: MAX_STARTUP_MESSAGE, unwanted: 0 }
    }

    /// Ends the limit of the login: rows may be large.
    pub(super) fn lift_startup_limit(&mut self) {
        self.max_message = MAX_MESSAGE;
    }

    /// Room to read into; [`Inbox::filled`] is to be told how much was read.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.tidy();
        if self.bytes.len() - self.end < READ_CHUNK / 2 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.bytes.len() - self.end < READ_CHUNK / 2 {
                // What has come proves half of what is reserved, so a false length costs nothing.
                let length = (self.bytes.len() * 2).min(self.first_length() + READ_CHUNK);
                self.bytes.reserve_exact(length - self.bytes.len());
                self.bytes.resize(length, 0);
            }
        }
        &mut self.bytes[self.end..]
    }

    /// Frees the memory of a large message as soon as nothing is pending.
    fn tidy(&mut self) {
        if self.start != self.end {
            return;
        }
        self.start = 0;
        self.end = 0;
        if self.bytes.len() > KEEP {
            self.bytes = vec![0; READ_CHUNK];
        }
    }

    pub(super) fn filled(&mut self, read: usize) {
        self.end += read;
        let unwanted = self.unwanted.min(self.end - self.start);
        self.start += unwanted;
        self.unwanted -= unwanted;
    }

    /// Type and length word of a message that is not there as a whole. Only after [`Inbox::next`] gave none.
    pub(super) fn begun(&self) -> Option<(u8, usize)> {
        let [tag, length @ ..] = *self.bytes[self.start..self.end].first_chunk::<HEADER>()?;
        Some((tag, u32::from_be_bytes(length) as usize))
    }

    /// Passes over the message that has begun, now and as its bytes come.
    pub(super) fn pass_over(&mut self) {
        if let Some((_, length)) = self.begun() {
            self.unwanted = length + 1 - (self.end - self.start);
            self.start = self.end;
        }
    }

    /// Bytes of the message that comes first, as far as its header is there.
    fn first_length(&self) -> usize {
        self.begun().map_or(HEADER, |(_, length)| length + 1)
    }

    /// The next message, if all of it is there.
    pub(super) fn next(&mut self) -> Result<Option<RawMessage<'_>>, Error> {
        self.tidy();
        let pending = &self.bytes[self.start..self.end];
        let Some((header, _)) = pending.split_first_chunk::<HEADER>() else { return Ok(None) };
        let [tag, a, b, c, d] = *header;
        if !is_backend_tag(tag) {
            return Err(Error::protocol(format!("received invalid response: {tag:x}")));
        }
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(0);
        if length < 4 || length > self.max_message.min(longest(tag)) {
            return Err(Error::protocol(format!(
                "received a message of type {tag:x} with an impossible length"
            )));
        }
        if pending.len() <= length {
            return Ok(None);
        }
        let start = self.start;
        self.start += length + 1;
        Ok(Some(RawMessage { tag, bytes: &self.bytes[start..=start + length] }))
    }
}

/// The longest message of a type: rows, copied data and what people have written may be large.
fn longest(tag: u8) -> usize {
    match tag {
        b'A' | b'D' | b'E' | b'N' | b'S' | b'V' | b'd' => MAX_MESSAGE,
        b'T' => MAX_DESCRIPTION,
        _ => MAX_SHORT_MESSAGE,
    }
}

fn is_backend_tag(tag: u8) -> bool {
    matches!(
        tag,
        b'1' | b'2'
            | b'3'
            | b'A'
            | b'C'
            | b'D'
            | b'E'
            | b'G'
            | b'H'
            | b'I'
            | b'K'
            | b'N'
            | b'R'
            | b'S'
            | b'T'
            | b'V'
            | b'W'
            | b'Z'
            | b'c'
            | b'd'
            | b'n'
            | b's'
            | b't'
            | b'v'
    )
}

/// One message, as it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawMessage<'a> {
    pub(super) tag: u8,
    bytes: &'a [u8],
}

impl<'a> RawMessage<'a> {
    /// All bytes of the message.
    pub(super) fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// A message from its own bytes; none: they are not exactly one.
    pub(super) fn whole(bytes: &'a [u8]) -> Option<Self> {
        bytes.first().map(|tag| Self { tag: *tag, bytes })
    }

    /// The transaction status of a `ReadyForQuery`.
    pub(super) fn status(self) -> Result<Status, Error> {
        match self.body() {
            b"I" => Ok(Status::Idle),
            b"T" => Ok(Status::Transaction),
            b"E" => Ok(Status::Failed),
            _ => Err(self.malformed()),
        }
    }

    /// The bytes behind the header.
    pub(super) fn body(self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// The length word of the message.
    pub(super) fn length(self) -> usize {
        self.bytes.len() - 1
    }

    /// The message parsed by `postgres-protocol`.
    pub(super) fn parse(self) -> Result<Message, Error> {
        match Message::parse(&mut BytesMut::from(self.bytes)) {
            Ok(Some(message)) => Ok(message),
            Ok(None) => Err(self.malformed()),
            Err(error) => Err(Error::protocol(format!("received a malformed message: {error}"))),
        }
    }

    /// The first zero-terminated texts of `bytes`, a part of the message.
    pub(super) fn texts<const N: usize>(self, bytes: &[u8]) -> Result<[String; N], Error> {
        let (mut texts, mut rest) = (Texts::default(), bytes);
        let mut found = Vec::with_capacity(N);
        for _ in 0..N {
            let text = CStr::from_bytes_until_nul(rest).map_err(|_| self.malformed())?.to_bytes();
            found.push(texts.read(text));
            rest = &rest[text.len() + 1..];
        }
        found.try_into().map_err(|_| self.malformed())
    }

    /// The types in a `ParameterDescription`.
    pub(super) fn parameter_types(self) -> Result<Arc<[u32]>, Error> {
        let (count, types) = self.body().split_first_chunk::<2>().ok_or_else(|| self.malformed())?;
        let (types, rest) = types.as_chunks::<4>();
        if types.len() != usize::from(u16::from_be_bytes(*count)) || !rest.is_empty() {
            return Err(self.malformed());
        }
        Ok(types.iter().map(|oid| u32::from_be_bytes(*oid)).collect())
    }

    /// The error for a message that is not built as its type promises.
    pub(super) fn malformed(self) -> Error {
        Error::protocol(format!("received a malformed message of type {}", char::from(self.tag)))
    }

    /// The error for a message of a type that is not expected here.
    pub(super) fn unexpected(self) -> Error {
        unexpected(self.tag)
    }

    /// The error or notice the message carries.
    pub(super) fn database_error(self) -> Result<DatabaseError, Error> {
        let malformed = || Error::protocol("received a malformed error message");
        let mut error = DatabaseError { length: self.length(), ..DatabaseError::default() };
        let (mut texts, mut rest) = (Texts::default(), self.body());
        loop {
            let (&field, after) = rest.split_first().ok_or_else(malformed)?;
            if field == 0 {
                break if after.is_empty() { Ok(()) } else { Err(malformed()) };
            }
            let value = CStr::from_bytes_until_nul(after).map_err(|_| malformed())?.to_bytes();
            error.set(field, texts.read(value));
            rest = &after[value.len() + 1..];
        }?;
        if error.severity_code.is_empty() {
            error.severity_code = error.severity.clone().unwrap_or_default();
        }
        Ok(error)
    }
}

impl DatabaseError {
    fn set(&mut self, field: u8, value: String) {
        match field {
            b'S' => self.severity = Some(value),
            b'V' => self.severity_code = value,
            b'C' => self.code = SqlState::new(value.as_bytes()),
            b'M' => self.message = value,
            b'D' => self.detail = Some(value),
            b'H' => self.hint = Some(value),
            b'P' => self.position = Some(value),
            b'p' => self.internal_position = Some(value),
            b'q' => self.internal_query = Some(value),
            b'W' => self.context = Some(value),
            b's' => self.schema = Some(value),
            b't' => self.table = Some(value),
            b'c' => self.column = Some(value),
            b'd' => self.data_type = Some(value),
            b'n' => self.constraint = Some(value),
            b'F' => self.file = Some(value),
            b'L' => self.line = Some(value),
            b'R' => self.routine = Some(value),
            _ => {}
        }
    }
}

/// The error for a message of a type that is not expected here.
pub(super) fn unexpected(tag: u8) -> Error {
    let name = match tag {
        b'T' => "rowDescription",
        b'D' => "dataRow",
        b's' => "portalSuspended",
        b'I' => "emptyQuery",
        b'C' => "commandComplete",
        b'1' => "parseComplete",
        b'G' => "copyInResponse",
        b'd' => "copyData",
        b'n' => "noData",
        b'Z' => "readyForQuery",
        other => return Error::protocol(format!("received invalid response: {other:x}")),
    };
    Error::protocol(format!("Received unexpected {name} message from backend."))
}
