//! SQLSTATE codes, and their classes in metrics. What each asks for is in `action.rs`; no third file compares codes.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::telemetry::FailureClass;

/// A SQLSTATE: five characters that name an error, as the SQL standard and PostgreSQL's appendix A list them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

/// No code at all.
impl Default for SqlState {
    fn default() -> Self {
        Self::new(b"")
    }
}

impl SqlState {
    const UNKNOWN: Self = Self(*b"XX000");

    /// Reads a code as sent; anything that is not five ASCII characters becomes `XX000`.
    pub fn new(code: &[u8]) -> Self {
        match <[u8; 5]>::try_from(code) {
            Ok(code) if code.is_ascii() => Self(code),
            _ => Self::UNKNOWN,
        }
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XX000")
    }

    /// The class of this code in metrics.
    pub fn class(self) -> FailureClass {
        match &self.0 {
            b"57014" => FailureClass::Cancelled,
            [b'0', b'8', ..] => FailureClass::Connection,
            b"42501" | [b'2', b'8', ..] => FailureClass::Authentication,
            [b'5', b'7', b'P', ..] => FailureClass::Shutdown,
            [b'5', b'3' | b'8', ..] => FailureClass::Resource,
            [b'4', b'0', ..] => FailureClass::Serialization,
            [b'2', b'3', ..] => FailureClass::Constraint,
            [b'2', b'1' | b'2', ..] => FailureClass::Data,
            [b'4', b'2', ..] | [b'2', b'6', ..] | [b'0', b'A', ..] | [b'3', ..] => FailureClass::Statement,
            _ => FailureClass::Other,
        }
    }

    /// Whether a server that does not know a message, or names of statements, may say so with it.
    pub(super) fn may_refuse_a_message(self) -> bool {
        matches!(&self.0, b"0A000" | b"26000" | [b'0', b'8', ..] | [b'4', b'2', ..] | [b'X', b'X', ..])
            && !matches!(&self.0, b"42501" | b"42P05")
    }

    /// Whether it is PgBouncer's code for everything.
    pub(super) fn is_protocol_violation(self) -> bool {
        &self.0 == b"08P01"
    }

    /// Whether it is the code of Supavisor and of Neon's proxy for everything.
    pub(super) fn is_internal_error(self) -> bool {
        self == Self::UNKNOWN
    }

    /// Whether values or operators did not fit the types of the parameters.
    pub(super) fn may_come_from_stale_types(self) -> bool {
        matches!(&self.0, [b'2' | b'4', b'2', ..] | b"XX000") && &self.0 != b"42501"
    }

    /// Whether the statement was cancelled, by a timeout of the server or on request.
    pub fn is_cancelled(self) -> bool {
        &self.0 == b"57014"
    }

    /// Whether a lock was not available, within `lock_timeout` or at once (NOWAIT).
    pub fn is_lock_not_available(self) -> bool {
        &self.0 == b"55P03"
    }

    /// Whether the prepared statement does not exist (any more).
    pub fn is_lost_statement(self) -> bool {
        &self.0 == b"26000"
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for SqlState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
