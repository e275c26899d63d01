//! SQLSTATE codes, and the one table of what each asks for. No other file compares codes.

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

/// The action that an error asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run it again: the server rolled the statement, or the whole transaction, back to settle a conflict.
    Rerun,
    /// None is safe: nobody knows whether it took effect.
    Ambiguous,
    /// Run it on another host: this server writes nothing, a primary does.
    LeaveHost,
    /// Prepare the statement again: it is gone, or its plan no longer fits the tables.
    PrepareAgain,
    /// Stop naming statements: the name exists, since a pooler gave us a session of somebody else.
    NameTaken,
    /// Wait, and connect again: the server takes no connections at the moment.
    Refusing,
    /// Wait for connections that are there: the server has no place for a further one.
    Full,
    /// Wait, and connect again: this machine lacks descriptors, local ports or memory.
    LocalShortage,
    /// Connect again: the server cannot be reached at the moment.
    Unreachable,
    /// Take another connection: this one is over. What ran on it is judged by itself.
    ConnectionOver,
    /// Do not retry: the server lacks a resource that a retry would want again.
    Exhausted,
    /// Run it again only where the caller lists the code.
    OnDemand,
    /// Never run it again.
    Final,
}

impl Action {
    /// Whether a connect that failed so may succeed a little later, or on another host.
    pub fn passes(self) -> bool {
        matches!(
            self,
            Self::Refusing
                | Self::Full
                | Self::LocalShortage
                | Self::Unreachable
                | Self::ConnectionOver
                | Self::Exhausted
        )
    }

    /// Whether the server cannot be reached, or goes away. A server that lacks a resource has answered.
    pub fn counts_for_breaker(self) -> bool {
        matches!(self, Self::Refusing | Self::Unreachable | Self::ConnectionOver)
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

    /// The action that an error of this code asks for.
    pub fn action(self) -> Action {
        match &self.0 {
            b"40001" | b"40P01" => Action::Rerun,
            b"40003" | b"08007" => Action::Ambiguous,
            b"25006" => Action::LeaveHost,
            b"26000" | b"0A000" => Action::PrepareAgain,
            b"42P05" => Action::NameTaken,
            b"53300" => Action::Full,
            b"57P03" | b"08001" | b"08004" | b"08006" => Action::Refusing,
            b"57P01" | b"57P02" | b"57P05" => Action::ConnectionOver,
            b"53000" | b"53100" | b"53200" | b"58000" | b"58030" => Action::Exhausted,
            b"55P03" | b"55006" | b"23505" | b"23P01" => Action::OnDemand,
            // All others, among them 57014, 25P03, 25P04, 08P01, 28P01, 28000, 3D000, 42501 and every other
            // 22, 23, 42 and XX.
            _ => Action::Final,
        }
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

    /// Whether preparing the statement again helps.
    pub fn is_stale_statement(self) -> bool {
        self.action() == Action::PrepareAgain
    }

    /// Whether the prepared statement does not exist (any more).
    pub fn is_lost_statement(self) -> bool {
        &self.0 == b"26000"
    }

    /// Whether the server only reads: it is a standby, or was made read-only.
    pub fn is_read_only(self) -> bool {
        self.action() == Action::LeaveHost
    }

    /// Whether a statement of that name exists already.
    pub fn is_duplicate_statement(self) -> bool {
        self.action() == Action::NameTaken
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

#[cfg(test)]
mod tests {
    use super::*;

    fn all(codes: &str, action: Action) {
        for code in codes.split(' ') {
            assert_eq!(SqlState::new(code.as_bytes()).action(), action, "{code}");
        }
    }

    #[test]
    fn each_code_has_its_action() {
        all("40001 40P01", Action::Rerun);
        all("40003 08007", Action::Ambiguous);
        all("25006", Action::LeaveHost);
        all("26000 0A000", Action::PrepareAgain);
        all("42P05", Action::NameTaken);
        all("57P03 08001 08004 08006", Action::Refusing);
        all("53300", Action::Full);
        all("57P01 57P02 57P05", Action::ConnectionOver);
        all("53000 53100 53200 58000 58030", Action::Exhausted);
        all("55P03 55006 23505 23P01", Action::OnDemand);
        let never =
            "57014 25P03 25P04 08P01 28P01 28000 3D000 42501 22012 23503 42601 XX000 XX001 P0001 40000 40002";
        all(never, Action::Final);
    }

    #[test]
    fn an_sql_error_never_counts_for_the_breaker() {
        for code in [
            "53300", "53100", "58030", "40001", "40003", "25006", "26000", "42P05", "55P03", "57014",
            "42601", "23505",
        ] {
            assert!(!SqlState::new(code.as_bytes()).action().counts_for_breaker(), "{code}");
        }
    }
}
