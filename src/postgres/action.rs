//! What each error asks for: the one table of SQLSTATE codes, of errors of the operating system and of the other errors
//! of connections. Nobody else compares codes to decide about a retry, a connection or a breaker.

use super::{DatabaseError, Error, SqlState, SystemError};

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
    /// The action that an error of this code asks for.
    pub fn action(self) -> Action {
        match self.as_str().as_bytes() {
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

    /// Whether preparing the statement again helps.
    pub fn is_stale_statement(self) -> bool {
        self.action() == Action::PrepareAgain
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

impl Error {
    /// The action that this error asks for.
    pub fn action(&self) -> Action {
        match self {
            Self::Application { error, .. } => error.action(),
            Self::Database(error) => error.action(),
            Self::System(error) => error.action(),
            // One address may be of a kind that this machine has not (EADDRNOTAVAIL of ::1).
            Self::Aggregate(errors) => {
                let actions = || errors.iter().map(SystemError::action);
                let of_host = actions().find(|action| *action != Action::LocalShortage);
                of_host.or_else(|| actions().next()).unwrap_or(Action::Final)
            }
            Self::Lost | Self::Broken(_) => Action::ConnectionOver,
            // During a failover there is no primary for a moment.
            Self::NoSuitableHost(_) => Action::Refusing,
            // A certificate that does not verify today does not verify tomorrow.
            Self::Tls { .. }
            | Self::Ended
            | Self::QueryTimeout
            | Self::Withdrawn
            | Self::TooLarge(_)
            | Self::Protocol(_)
            | Self::ConnectTimeout
            | Self::BreakerOpen(_)
            | Self::Plain(_)
            | Self::Type(_) => Action::Final,
        }
    }
}

/// What poolers say with the code of an internal error when they have no server, in lower case.
const POOLER_HAS_NO_SERVER: [&str; 10] = [
    // Supavisor.
    "max client",
    "checkout timeout",
    "unable to check out",
    "dbhandler exited",
    "connection to database closed",
    "(ecircuitbreaker)",
    // Neon.
    "couldn't connect to compute node",
    "control plane request failed",
    "failed to acquire permit",
    "too many connections attempts",
];

impl DatabaseError {
    /// What the error asks for.
    pub fn action(&self) -> Action {
        if self.is_from_pooler() { Action::Refusing } else { self.code.action() }
    }

    /// Whether a pooler says that it has no server to give at the moment, or has lost the one it gave. PgBouncer has
    /// one code for that and all its complaints, Supavisor and Neon's proxy have that of an internal error.
    fn is_from_pooler(&self) -> bool {
        if self.code.is_protocol_violation() {
            return self.is_fatal() && !self.message.contains("unsupported startup parameter");
        }
        let message = self.message.to_ascii_lowercase();
        self.code.is_internal_error() && POOLER_HAS_NO_SERVER.iter().any(|text| message.contains(text))
    }
}

impl SystemError {
    fn action(&self) -> Action {
        let connecting = matches!(self.syscall, "connect" | "getaddrinfo");
        match self.code {
            // A socket file that is not there belongs to a server that is not up.
            "ECONNREFUSED" | "ECONNRESET" | "ECONNABORTED" | "ETIMEDOUT" | "EHOSTUNREACH" | "ENETUNREACH"
            | "EAI_AGAIN" | "ENOTFOUND" | "EPIPE" | "ENOENT"
                if connecting =>
            {
                Action::Unreachable
            }
            "EMFILE" | "ENFILE" | "EADDRNOTAVAIL" | "ENOBUFS" | "ENOMEM" | "EAGAIN" if connecting => {
                Action::LocalShortage
            }
            _ if connecting => Action::Final,
            _ => Action::ConnectionOver,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_that_fails_while_connecting_may_be_tried_again() {
        let error =
            |syscall, code| SystemError { syscall, code, address: None, port: None, hostname: None }.action();
        for code in ["ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "EHOSTUNREACH"] {
            assert_eq!(error("connect", code), Action::Unreachable, "{code}");
        }
        for code in ["EAI_AGAIN", "ENOTFOUND"] {
            assert_eq!(error("getaddrinfo", code), Action::Unreachable, "{code}");
        }
        for code in ["EMFILE", "EADDRNOTAVAIL"] {
            assert_eq!(error("connect", code), Action::LocalShortage, "{code}");
        }
        assert_eq!(error("connect", "EACCES"), Action::Final);
        assert_eq!(error("read", "ECONNRESET"), Action::ConnectionOver);
    }

    fn action(code: &str, severity: &str, message: &str) -> Action {
        let error = DatabaseError {
            message: message.to_owned(),
            severity_code: severity.to_owned(),
            code: SqlState::new(code.as_bytes()),
            ..DatabaseError::default()
        };
        error.action()
    }

    #[test]
    fn a_pooler_without_a_server_is_told_from_one_that_will_never_have_one() {
        for message in [
            "server login has been failing, try again later (server_login_retry)",
            "no more connections allowed (max_client_conn)",
            "query_wait_timeout",
            "server conn crashed?",
        ] {
            assert_eq!(action("08P01", "FATAL", message), Action::Refusing, "{message}");
        }
        for message in [
            "Max client connections reached",
            "(EMAXCONNSESSION) max clients reached in session mode - max clients are limited to pool_size: 15",
            "(EDBHANDLEREXITED) connection to database closed. Check logs for more information",
            "DbHandler exited",
            "Couldn't connect to compute node",
            "Control plane request failed",
            "Failed to acquire permit to connect to the database. Too many database connection attempts",
        ] {
            assert_eq!(action("XX000", "FATAL", message), Action::Refusing, "{message}");
            assert_eq!(action("XX000", "ERROR", message), Action::Refusing, "{message}");
        }
        for (code, severity, message) in [
            ("08P01", "FATAL", "unsupported startup parameter: geqo"),
            ("08P01", "ERROR", "bind message supplies 1 parameters, but prepared statement requires 2"),
            ("XX000", "FATAL", "Tenant or user not found"),
            ("XX000", "ERROR", "cache lookup failed for type 16384"),
            ("XX001", "ERROR", "Control plane request failed"),
        ] {
            assert_eq!(action(code, severity, message), Action::Final, "{message}");
        }
    }
}
