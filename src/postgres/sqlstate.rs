//! SQLSTATE codes: the one table of what each means for us. Nobody else compares them.

use std::fmt;

use serde::{Serialize, Serializer};

/// Five characters that name an error, as the SQL standard and PostgreSQL's appendix A list them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqlState([u8; 5]);

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

    /// The prepared statement does not exist (any more), or its plan no longer fits the tables:
    /// preparing it again heals it.
    pub fn is_stale_statement(self) -> bool {
        matches!(&self.0, b"26000" | b"0A000")
    }

    /// A statement of that name exists: a pooler handed us somebody else's server connection.
    pub fn is_duplicate_statement(self) -> bool {
        &self.0 == b"42P05"
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
