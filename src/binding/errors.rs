//! Errors as JSON: one exhaustive match, from which JavaScript makes its error classes. And errors of the
//! application, which come from JavaScript and go back to it.

use std::{sync::Arc, time::SystemTime};

use napi_derive::napi;
use serde_json::{Value, json};

use super::layout::{ErrorKind, Reason};
use crate::{
    dispatch::Failure,
    pool::AcquireError,
    postgres::{BreakerOpen, Error, SystemError},
};

/// An error of the application's, which JavaScript keeps under a number.
#[napi(object, object_to_js = false)]
pub struct ApplicationError {
    /// Its number among those of the pool.
    pub number: u32,
    /// Its text, for logs.
    pub message: Option<String>,
}

impl ApplicationError {
    /// Puts it in the place of `error`, by which the core decides.
    pub(super) fn in_place_of(&self, error: &Error) -> Error {
        Error::application(self.number, error)
    }
}

impl From<ApplicationError> for Error {
    fn from(ApplicationError { number, message }: ApplicationError) -> Self {
        Self::application(number, &Self::Plain(message.unwrap_or_default()))
    }
}

/// An error of a socket of Node's, kept by JavaScript as one of the application's.
#[napi(object, object_to_js = false)]
pub struct DialError {
    /// Its number among those of the pool.
    pub number: u32,
    /// Its text, for logs.
    pub message: Option<String>,
    /// Its code, where it is one of Node's own errors.
    pub code: Option<String>,
    /// The call that failed, where it is an error of the operating system.
    pub syscall: Option<String>,
    /// The address that was tried.
    pub address: Option<String>,
    /// The port that was tried.
    pub port: Option<u32>,
    /// Whether the server closed the socket.
    pub lost: bool,
}

impl From<DialError> for Error {
    fn from(error: DialError) -> Self {
        let DialError { number, message, code, syscall, address, port, lost } = error;
        let message = message.unwrap_or_default();
        let own = match (code, syscall) {
            _ if lost => Self::Lost,
            (Some(code), Some(syscall)) => {
                let port = port.and_then(|port| u16::try_from(port).ok());
                SystemError::named(&code, &syscall, address, port)
                    .map_or(Self::Plain(message), |error| Self::System(Arc::new(error)))
            }
            (Some(code), None) => Self::Tls { message, code: Some(code.into()) },
            (None, _) => Self::Plain(message),
        };
        Self::application(number, &own)
    }
}

/// JSON of a failed request.
pub(super) fn of_failure(failure: &Failure, tier: Option<&str>) -> Value {
    match failure {
        Failure::Wire(error) | Failure::Refused(AcquireError::Connect(error)) => match error.own() {
            Error::BreakerOpen(open) => of_breaker(open, tier),
            _ => of_wire(error),
        },
        Failure::Refused(refusal) => of_refusal(refusal, tier),
        Failure::OverBudget(failure) => over_budget(of_failure(failure, tier), tier),
        Failure::Ambiguous { last, earlier } => {
            let earlier = earlier.as_ref().map(|earlier| of_failure(earlier, tier));
            ambiguous(of_failure(last, tier), earlier)
        }
    }
}

/// The failure of a request that may have taken effect all the same; `earlier` is at the end of its causes.
fn ambiguous(mut failure: Value, earlier: Option<Value>) -> Value {
    let said = if earlier.is_some() { "earlier" } else { "last" };
    failure["ambiguous"] = Value::String(said.to_owned());
    let Some(earlier) = earlier else { return failure };
    failure["message"] = match failure["message"].as_str() {
        None | Some("") => Value::String(EARLIER.to_owned()),
        Some(message) => Value::String(format!("{message} ({EARLIER})")),
    };
    let mut last = &mut failure;
    while last.get("cause").is_some_and(Value::is_object) {
        last = &mut last["cause"];
    }
    last["cause"] = earlier;
    failure
}

/// Said in the message of a request of which an earlier attempt may have taken effect.
const EARLIER: &str = "an earlier attempt may have taken effect";

/// Adds to a failure the reason why it was not retried.
fn over_budget(mut failure: Value, tier: Option<&str>) -> Value {
    if failure.get("cause").is_none_or(Value::is_null) {
        failure["cause"] =
            json!({ "kind": ErrorKind::Budget, "message": "retry budget is spent", "tier": tier });
    }
    failure
}

/// The message, and the failure behind it.
fn with_reason(message: &str, cause: Option<&Error>) -> String {
    match cause {
        // What the application itself wrote may hold anything: it is in `cause` alone.
        None | Some(Error::Application { .. } | Error::Plain(_) | Error::Type(_)) => message.to_owned(),
        Some(Error::BreakerOpen(open)) => with_reason(message, open.cause.as_ref()),
        Some(error) => format!("{message}: {error}"),
    }
}

fn of_breaker(open: &BreakerOpen, tier: Option<&str>) -> Value {
    json!({
        "kind": ErrorKind::Circuit,
        "message": with_reason("circuit breaker is open", open.cause.as_ref()),
        "tier": tier,
        "host": open.host,
        "nextProbe": open.next_probe.map(epoch_millis),
        "cause": open.cause.as_ref().map(of_wire),
    })
}

pub(super) fn epoch_millis(at: SystemTime) -> u64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn of_refusal(refusal: &AcquireError<Error>, tier: Option<&str>) -> Value {
    match refusal {
        AcquireError::Connect(error) => of_wire(error),
        AcquireError::Timeout { total, idle, used, waiting, last_connect_error, .. } => json!({
            "kind": ErrorKind::Acquire,
            "message": with_reason("timeout exceeded when trying to connect", last_connect_error.as_ref()),
            "total": total,
            "idle": idle,
            "used": used,
            "waiting": waiting,
            "tier": tier,
            "cause": last_connect_error.as_ref().map(of_wire),
        }),
        AcquireError::ConnectTimeout => of_wire(&Error::ConnectTimeout),
        AcquireError::ConnectLost => plain("the attempt to connect was lost"),
        AcquireError::Full { waiting, most } => json!({
            "kind": ErrorKind::Full,
            "message": format!("the pool is full: {waiting} requests are waiting already"),
            "waiting": waiting,
            "maxWaiting": most,
            "tier": tier,
        }),
        AcquireError::Closed { last_connect_error } => json!({
            "kind": ErrorKind::Plain,
            "message": "Cannot use a pool after calling end on the pool",
            "cause": last_connect_error.as_ref().map(of_wire),
        }),
        AcquireError::Withdrawn => of_wire(&Error::Withdrawn),
    }
}

/// JSON of an error of the wire.
pub(super) fn of_wire(error: &Error) -> Value {
    match error {
        Error::Database(error) => tagged(ErrorKind::Database, json!(**error)),
        Error::System(error) => of_system(error),
        Error::Aggregate(errors) => json!({
            "kind": ErrorKind::Aggregate,
            "message": "",
            "errors": errors.iter().map(of_system).collect::<Vec<_>>(),
        }),
        Error::Broken(cause) => json!({
            "kind": ErrorKind::Plain,
            "reason": Reason::Lost,
            "message": error.to_string(),
            "code": cause.code,
            "cause": of_system(cause),
        }),
        Error::BreakerOpen(open) => of_breaker(open, None),
        Error::Tls { message, code } => json!({ "kind": ErrorKind::Plain, "message": message, "code": code }),
        Error::NoSuitableHost(message) => {
            json!({ "kind": ErrorKind::Plain, "message": message, "code": "NO_SUITABLE_HOST" })
        }
        Error::TooLarge(_) => {
            json!({ "kind": ErrorKind::Plain, "message": error.to_string(), "code": "RESULT_TOO_LARGE" })
        }
        Error::Type(message) => json!({ "kind": ErrorKind::Type, "message": message }),
        Error::Lost => reasoned(Reason::Lost, error),
        Error::Ended => reasoned(Reason::Ended, error),
        Error::ConnectTimeout => reasoned(Reason::ConnectTimeout, error),
        Error::QueryTimeout => reasoned(Reason::QueryTimeout, error),
        Error::Withdrawn => reasoned(Reason::Withdrawn, error),
        Error::Application { number, error } => {
            let mut value = match **error {
                Error::Plain(_) => reasoned(Reason::Application, error),
                _ => of_wire(error),
            };
            value["application"] = json!(number);
            value
        }
        Error::Protocol(_) | Error::Plain(_) => plain(&error.to_string()),
    }
}

/// An error with a reason, by which JavaScript decides; never by its message.
fn reasoned(reason: Reason, error: &Error) -> Value {
    json!({ "kind": ErrorKind::Plain, "reason": reason, "message": error.to_string() })
}

fn of_system(error: &SystemError) -> Value {
    let mut value = tagged(ErrorKind::System, json!(error));
    value["message"] = Value::String(error.to_string());
    value
}

fn plain(message: &str) -> Value {
    json!({ "kind": ErrorKind::Plain, "message": message })
}

fn tagged(kind: ErrorKind, mut value: Value) -> Value {
    value["kind"] = json!(kind);
    value
}
