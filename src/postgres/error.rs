//! The errors of connections and statements. What each asks for is in `action.rs`.
//!
//! Messages are those of node-postgres where it has one, because applications compare them. No variant
//! carries a parameter or a password.

use std::{borrow::Cow, io, sync::Arc, time::SystemTime};

use serde::Serialize;

use super::{SqlState, errno::code_of};
use crate::telemetry::FailureClass;

/// An error of the wire. Cheap to clone: one lost connection may fail several requests.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// An error that the server sent.
    #[error("{}", .0.message)]
    Database(Arc<DatabaseError>),
    /// An error of the operating system, while connecting, reading or writing.
    #[error(transparent)]
    System(Arc<SystemError>),
    /// The errors of all addresses of a host.
    #[error("{}", .0.first().map(ToString::to_string).unwrap_or_default())]
    Aggregate(Arc<[SystemError]>),
    /// The server has closed the connection.
    #[error("Connection terminated unexpectedly")]
    Lost,
    /// The operating system has broken the connection off.
    #[error("Connection terminated unexpectedly")]
    Broken(Arc<SystemError>),
    /// The connection was closed by us.
    #[error("Connection terminated")]
    Ended,
    /// The statement ran past its `query_timeout`.
    #[error("Query read timeout")]
    QueryTimeout,
    /// The caller withdrew it.
    #[error("query was withdrawn by its caller")]
    Withdrawn,
    /// The rows have more bytes than the caller allows.
    #[error("the result is larger than maxResultBytes ({0} bytes)")]
    TooLarge(u64),
    /// The TLS handshake failed, or the server's certificate is not accepted.
    #[error("{message}")]
    Tls {
        /// The message, in OpenSSL's words, which Node's users know.
        message: String,
        /// The code that Node gives it.
        code: Option<Cow<'static, str>>,
    },
    /// The server broke the protocol, or speaks another one.
    #[error("{0}")]
    Protocol(String),
    /// No host is of the kind that `target_session_attrs` wants.
    #[error("{0}")]
    NoSuitableHost(String),
    /// The connect took longer than its timeout.
    #[error("Connection terminated due to connection timeout")]
    ConnectTimeout,
    /// An error of the application, which keeps it under a number.
    #[error("{error}")]
    Application {
        /// The number.
        number: u32,
        /// The error of ours that it was made from; without one its text, as [`Error::Plain`].
        error: Arc<Error>,
    },
    /// Not tried, because the breaker of the host is open.
    #[error("circuit breaker is open")]
    BreakerOpen(Arc<BreakerOpen>),
    /// Another error, by its message.
    #[error("{0}")]
    Plain(String),
    /// A value of the wrong type.
    #[error("{0}")]
    Type(String),
}

impl Error {
    /// The application's error `number`, in the place of `error`.
    pub fn application(number: u32, error: &Error) -> Self {
        Self::Application { number, error: Arc::new(error.own().clone()) }
    }

    /// The error of ours, where the application's stands in its place.
    pub fn own(&self) -> &Self {
        match self {
            Self::Application { error, .. } => error,
            error => error,
        }
    }

    /// The SQLSTATE, when the server sent one.
    pub fn sqlstate(&self) -> Option<SqlState> {
        match self.own() {
            Self::Database(error) => Some(error.code),
            _ => None,
        }
    }

    /// Whether the connection is over with this error.
    pub fn is_fatal(&self) -> bool {
        match self.own() {
            Self::Database(error) => error.is_fatal(),
            Self::QueryTimeout | Self::Withdrawn | Self::TooLarge(_) | Self::Plain(_) | Self::Type(_) => {
                false
            }
            _ => true,
        }
    }

    pub(super) fn protocol(message: impl Into<String>) -> Self {
        Self::Protocol(message.into())
    }

    pub(super) fn from_io(error: &io::Error, syscall: &'static str) -> Self {
        tls_alert(error).unwrap_or_else(|| Self::System(Arc::new(SystemError::new(error, syscall))))
    }

    pub(super) fn broken(error: &io::Error, syscall: &'static str) -> Self {
        Self::Broken(Arc::new(SystemError::new(error, syscall)))
    }
}

/// An open breaker, and the host it keeps from being tried.
#[derive(Debug, Clone)]
pub struct BreakerOpen {
    /// The host and port.
    pub host: String,
    /// When the next probe is, if that is known.
    pub next_probe: Option<SystemTime>,
    /// The failure that opened it.
    pub cause: Option<Error>,
}

/// An error of the operating system, with the fields that Node gives it.
#[derive(Debug, Clone, Serialize, thiserror::Error)]
#[error("{syscall} {code}{}", where_to(.address.as_deref(), *.port, .hostname.as_deref()))]
pub struct SystemError {
    /// The call that failed: `connect`, `read`, `write`, `getaddrinfo`.
    pub syscall: &'static str,
    /// The name of the error: `ECONNREFUSED`, `ENOTFOUND`.
    pub code: &'static str,
    /// The address that was tried, or the path of the socket.
    pub address: Option<String>,
    /// The port that was tried.
    pub port: Option<u16>,
    /// The name that could not be resolved.
    pub hostname: Option<String>,
}

fn where_to(address: Option<&str>, port: Option<u16>, hostname: Option<&str>) -> String {
    match (address, port, hostname) {
        (Some(address), Some(port), _) => format!(" {address}:{port}"),
        (Some(address), None, _) => format!(" {address}"),
        (None, _, Some(hostname)) => format!(" {hostname}"),
        (None, ..) => String::new(),
    }
}

impl SystemError {
    /// The error of a host on which connecting took too long.
    pub fn connect_timed_out(host: String, port: u16) -> Self {
        let error = io::Error::from(io::ErrorKind::TimedOut);
        Self { address: Some(host), port: Some(port), ..Self::new(&error, "connect") }
    }

    /// An error that Node has met, by its names; none: they are not known.
    pub fn named(code: &str, syscall: &str, address: Option<String>, port: Option<u16>) -> Option<Self> {
        let code = CODES.into_iter().find(|known| *known == code)?;
        let syscall =
            ["connect", "getaddrinfo", "read", "write"].into_iter().find(|known| *known == syscall)?;
        Some(Self { syscall, code, address, port, hostname: None })
    }

    pub(super) fn new(error: &io::Error, syscall: &'static str) -> Self {
        Self { syscall, code: code_of(error), address: None, port: None, hostname: None }
    }
}

/// The alert with which the server ended a TLS connection, often for want of a client certificate it trusts.
fn tls_alert(error: &io::Error) -> Option<Error> {
    use rustls::AlertDescription as Alert;
    let cause = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::AlertReceived(alert) = cause else { return None };
    let (what, code) = match alert {
        Alert::BadCertificate => ("bad certificate", "ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE"),
        Alert::UnsupportedCertificate => {
            ("unsupported certificate", "ERR_SSL_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE")
        }
        Alert::CertificateRevoked => ("certificate revoked", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_REVOKED"),
        Alert::CertificateExpired => ("certificate expired", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED"),
        Alert::CertificateUnknown => ("certificate unknown", "ERR_SSL_SSLV3_ALERT_CERTIFICATE_UNKNOWN"),
        Alert::UnknownCA => ("unknown ca", "ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"),
        Alert::AccessDenied => ("access denied", "ERR_SSL_TLSV1_ALERT_ACCESS_DENIED"),
        Alert::CertificateRequired => ("certificate required", "ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED"),
        other => {
            let message = format!("the server ended the TLS connection: {other:?}");
            return Some(Error::Tls { message, code: None });
        }
    };
    Some(Error::Tls {
        message: format!("the server refused the client certificate: {what}"),
        code: Some(code.into()),
    })
}

/// The names of errors by which a connect is judged.
const CODES: [&str; 17] = [
    "ECONNREFUSED",
    "ECONNRESET",
    "ECONNABORTED",
    "ETIMEDOUT",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "EAI_AGAIN",
    "ENOTFOUND",
    "EPIPE",
    "ENOENT",
    "EACCES",
    "EMFILE",
    "ENFILE",
    "EADDRNOTAVAIL",
    "ENOBUFS",
    "ENOMEM",
    "EAGAIN",
];

/// An `ErrorResponse` or a `NoticeResponse`, every field as the server sent it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct DatabaseError {
    /// Bytes of the message on the wire.
    pub length: usize,
    /// The message.
    pub message: String,
    /// Severity in the server's language.
    pub severity: Option<String>,
    /// Severity in English (since PostgreSQL 9.6), else as `severity`.
    #[serde(skip)]
    pub severity_code: String,
    /// The SQLSTATE.
    pub code: SqlState,
    /// The detail.
    pub detail: Option<String>,
    /// The hint.
    pub hint: Option<String>,
    /// The position in the statement, in characters from 1.
    pub position: Option<String>,
    /// The position in `internalQuery`.
    #[serde(rename = "internalPosition")]
    pub internal_position: Option<String>,
    /// A statement that the server generated.
    #[serde(rename = "internalQuery")]
    pub internal_query: Option<String>,
    /// The call stack of PL functions.
    #[serde(rename = "where")]
    pub context: Option<String>,
    /// The schema it is about.
    pub schema: Option<String>,
    /// The table it is about.
    pub table: Option<String>,
    /// The column it is about.
    pub column: Option<String>,
    /// The data type it is about.
    #[serde(rename = "dataType")]
    pub data_type: Option<String>,
    /// The constraint it is about.
    pub constraint: Option<String>,
    /// Source file of the server.
    pub file: Option<String>,
    /// Line in it.
    pub line: Option<String>,
    /// Function in it.
    pub routine: Option<String>,
}

impl DatabaseError {
    /// Whether the server closes the connection after it.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity_code.as_str(), "FATAL" | "PANIC")
    }

    /// Whether a timeout of the server ended the statement (`statement_timeout`, `lock_timeout`). The code
    /// alone does not say so.
    fn is_timeout(&self) -> bool {
        (self.code.is_cancelled() && !self.message.contains("user request"))
            || (self.code.is_lock_not_available() && self.routine.as_deref() == Some("ProcessInterrupts"))
    }
}

impl Error {
    /// The class of this error in metrics.
    pub fn class(&self) -> FailureClass {
        match self.own() {
            Self::Database(error) if error.is_timeout() => FailureClass::QueryTimeout,
            Self::Database(error) => error.code.class(),
            Self::System(_) | Self::Aggregate(_) | Self::Lost | Self::Broken(_) | Self::Ended => {
                FailureClass::Connection
            }
            Self::Tls { .. } => FailureClass::Tls,
            Self::QueryTimeout => FailureClass::QueryTimeout,
            Self::Withdrawn => FailureClass::Cancelled,
            Self::BreakerOpen(_) => FailureClass::CircuitOpen,
            Self::Protocol(_) => FailureClass::Protocol,
            Self::Type(_) => FailureClass::Data,
            _ => FailureClass::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_alert_is_named() {
        let alert = |alert| io::Error::other(rustls::Error::AlertReceived(alert));
        let told = |alert| match Error::from_io(&alert, "read") {
            Error::Tls { message, code } => (message, code),
            other => panic!("{other:?}"),
        };
        let (message, code) = told(alert(rustls::AlertDescription::UnknownCA));
        assert_eq!(message, "the server refused the client certificate: unknown ca");
        assert_eq!(code.as_deref(), Some("ERR_SSL_TLSV1_ALERT_UNKNOWN_CA"));
        let (message, code) = told(alert(rustls::AlertDescription::HandshakeFailure));
        assert_eq!(message, "the server ended the TLS connection: HandshakeFailure");
        assert_eq!(code, None);
    }
}
