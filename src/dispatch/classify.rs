//! What a failure means for another attempt: the phase it happened in, and the table of errors.
//!
//! | phase | |
//! | --- | --- |
//! | waiting, connecting | nothing was sent |
//! | unsent | the connection was dead before a byte of it was written |
//! | sent | autocommit, the answer is lost: nobody knows |
//! | transaction | lost before COMMIT: the server has rolled back |
//! | commit | COMMIT was sent, its answer is lost |

use super::{Failure, RequestOptions};
use crate::{
    pool::{self, AcquireError},
    postgres::{
        Action, Error, SqlState, Statement, Status,
        sql_text::{SqlStatement, statements},
    },
    resilience::{self, Delay, Repeat},
};

/// How far a request had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// For a connection.
    Waiting,
    /// Its connection was being made.
    Connecting,
    /// It had a connection.
    Unsent,
    /// On its way.
    Sent,
    /// Inside a transaction.
    Transaction,
    /// Its COMMIT was on its way.
    Commit,
}

impl Phase {
    /// The name in events and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Connecting => "connecting",
            Self::Unsent => "unsent",
            Self::Sent => "sent",
            Self::Transaction => "transaction",
            Self::Commit => "commit",
        }
    }
}

/// A failure, judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClassifiedFailure {
    pub(super) phase: Phase,
    repeat: Repeat,
    delay: Delay,
}

impl resilience::Fault for ClassifiedFailure {
    fn repeat(&self) -> Repeat {
        self.repeat
    }

    fn delay(&self) -> Delay {
        self.delay
    }
}

/// What is known of a statement that failed, beside its error.
pub(super) struct FailureContext<'a> {
    pub(super) statement: &'a Statement,
    /// Whether the server can have seen any of it.
    pub(super) sent: bool,
    /// The transaction status afterwards.
    pub(super) status: Option<Status>,
    /// Whether a part of it was completed before.
    pub(super) completed: bool,
    /// Whether another host may take what this one rejects.
    pub(super) has_other_hosts: bool,
    pub(super) options: &'a RequestOptions,
}

impl ClassifiedFailure {
    pub(super) const fn new(phase: Phase, repeat: Repeat, delay: Delay) -> Self {
        Self { phase, repeat, delay }
    }

    const fn last(phase: Phase) -> Self {
        Self::new(phase, Repeat::Never, Delay::Backoff)
    }

    /// Of a request that got no connection. The pool has waited for as long as waiting makes sense.
    pub(super) fn of_refusal(refusal: &AcquireError<Error>) -> Self {
        Self::last(match refusal {
            AcquireError::Connect(_) | AcquireError::ConnectTimeout | AcquireError::ConnectLost => {
                Phase::Connecting
            }
            AcquireError::Timeout { phase: pool::AcquirePhase::Connecting, .. } => Phase::Connecting,
            AcquireError::Timeout { .. }
            | AcquireError::Full { .. }
            | AcquireError::Closed { .. }
            | AcquireError::Withdrawn => Phase::Waiting,
        })
    }

    /// Of a statement on a connection, outside a transaction of the caller's.
    pub(super) fn of_statement(error: &Error, known: &FailureContext<'_>) -> Self {
        let phase = if known.sent { Phase::Sent } else { Phase::Unsent };
        if !known.sent && known.status.is_none() {
            return Self::new(phase, Repeat::Unsent, Delay::AtOnce);
        }
        let fault = |repeat, delay| Self::new(phase, repeat, delay);
        match error.action() {
            Action::Rerun if known.is_undone(SqlStatement::leaves_nothing_behind) => {
                fault(Repeat::Safe, Delay::Backoff)
            }
            Action::OnDemand
                if known.is_listed(error.sqlstate()) && known.is_undone(SqlStatement::is_one_transaction) =>
            {
                fault(Repeat::Safe, Delay::Backoff)
            }
            // Rejected before it did anything.
            Action::LeaveHost
                if known.has_other_hosts && known.is_undone(SqlStatement::is_one_transaction) =>
            {
                fault(Repeat::Safe, Delay::Backoff)
            }
            Action::Ambiguous => fault(Repeat::Ambiguous, Delay::Backoff),
            // A pooler has no server.
            Action::Refusing if known.status.is_none() => fault(Repeat::Ambiguous, Delay::Outage),
            Action::ConnectionOver | Action::Unreachable | Action::Full if known.status.is_none() => {
                fault(Repeat::Ambiguous, Delay::Backoff)
            }
            Action::Rerun
            | Action::LeaveHost
            | Action::ConnectionOver
            | Action::Unreachable
            | Action::Refusing
            | Action::Full
            | Action::LocalShortage
            | Action::PrepareAgain
            | Action::NameTaken
            | Action::Exhausted
            | Action::OnDemand
            | Action::Final => Self::last(phase),
        }
    }
}

impl FailureContext<'_> {
    /// Whether its first statement, of which `is_undone` is asked, has failed, outside of a transaction of the
    /// caller's. A statement that is known by its name alone cannot be asked.
    fn is_undone<'a>(&'a self, is_undone: fn(&SqlStatement<'a>) -> bool) -> bool {
        !self.completed
            && !matches!(self.status, Some(Status::Transaction | Status::Failed))
            && statements(&self.statement.text).next().is_some_and(|first| is_undone(&first))
    }

    fn is_listed(&self, code: Option<SqlState>) -> bool {
        code.is_some_and(|code| self.options.codes.contains(&code))
    }
}

/// The code of a failure, for events and logs.
pub(super) fn code_of(failure: &Failure) -> Option<String> {
    let error = match failure {
        Failure::Wire(error) | Failure::Refused(AcquireError::Connect(error)) => error,
        Failure::OverBudget(failure) | Failure::Ambiguous { last: failure, .. } => return code_of(failure),
        Failure::Refused(AcquireError::Timeout { .. }) => return Some("ACQUIRE_TIMEOUT".to_owned()),
        Failure::Refused(AcquireError::ConnectTimeout) => return Some("ETIMEDOUT".to_owned()),
        Failure::Refused(_) => return None,
    };
    match error.own() {
        Error::Database(error) => Some(error.code.as_str().to_owned()),
        Error::System(error) | Error::Broken(error) => Some(error.code.to_owned()),
        Error::Aggregate(errors) => errors.first().map(|error| error.code.to_owned()),
        Error::BreakerOpen(_) => Some("CIRCUIT_OPEN".to_owned()),
        // The peer went away without a word.
        Error::Lost => Some("ECONNRESET".to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::resilience::Fault as _;

    fn server_error(code: &str, severity: &str) -> Error {
        Error::Database(std::sync::Arc::new(crate::postgres::DatabaseError {
            severity_code: severity.to_owned(),
            code: SqlState::new(code.as_bytes()),
            ..crate::postgres::DatabaseError::default()
        }))
    }

    fn judged(error: &Error, sent: bool, status: Option<Status>, completed: bool) -> ClassifiedFailure {
        judged_among(error, sent, status, completed, false)
    }

    fn judged_among(
        error: &Error,
        sent: bool,
        status: Option<Status>,
        completed: bool,
        has_other_hosts: bool,
    ) -> ClassifiedFailure {
        let options =
            RequestOptions { codes: Box::new([SqlState::new(b"23505")]), ..RequestOptions::default() };
        let statement = Statement::simple("INSERT INTO t VALUES (1)");
        let known = FailureContext {
            statement: &statement,
            sent,
            status,
            completed,
            has_other_hosts,
            options: &options,
        };
        ClassifiedFailure::of_statement(error, &known)
    }

    /// The table of SQLSTATE codes: what becomes of a statement that failed with one, alone and outside of a
    /// transaction, on two hosts. Of `FATAL` the connection is over.
    #[test]
    fn each_code_does_what_the_table_says() {
        const SAFE: (Repeat, Delay) = (Repeat::Safe, Delay::Backoff);
        const AMBIGUOUS: (Repeat, Delay) = (Repeat::Ambiguous, Delay::Backoff);
        const AWAY: (Repeat, Delay) = (Repeat::Ambiguous, Delay::Outage);
        const NEVER: (Repeat, Delay) = (Repeat::Never, Delay::Backoff);
        const COUNTS: bool = true;
        // Codes, severity, then: whether it runs again, whether a connect that failed so is tried again, whether the
        // breaker counts it.
        let table = [
            ("40001 40P01", "ERROR", SAFE, false, false),
            ("40003 08007", "ERROR", AMBIGUOUS, false, false),
            ("25006", "ERROR", SAFE, false, false),
            // Healed on the connection, before anybody hears of them.
            ("26000 0A000 42P05", "ERROR", NEVER, false, false),
            ("53300", "FATAL", AMBIGUOUS, true, false),
            ("57P03 08001 08004 08006", "FATAL", AWAY, true, COUNTS),
            ("57P01 57P02 57P05", "FATAL", AMBIGUOUS, true, COUNTS),
            ("53000 53100 53200 58000 58030", "ERROR", NEVER, true, false),
            // The first one is listed by the caller of these tests.
            ("23505", "ERROR", SAFE, false, false),
            ("55P03 55006 23P01", "ERROR", NEVER, false, false),
            ("57014 25P03 25P04 42501 22012 22P02 23503 23514 42601 42703", "ERROR", NEVER, false, false),
            ("XX000 XX001 P0001 40000 40002 08P01", "ERROR", NEVER, false, false),
            ("28P01 28000 3D000 25P03 XX000", "FATAL", NEVER, false, false),
            // A pooler's.
            ("08P01", "FATAL", AWAY, true, COUNTS),
        ];
        for (codes, severity, expected, passes, counts) in table {
            for code in codes.split(' ') {
                let error = server_error(code, severity);
                let is_over = error.is_fatal();
                assert_eq!(is_over, severity == "FATAL", "{code}");
                let status = (!is_over).then_some(Status::Idle);
                let fault = judged_among(&error, true, status, false, true);
                assert_eq!((fault.repeat(), fault.delay()), expected, "{code} {severity}");
                let action = error.action();
                assert_eq!(
                    (action.passes(), action.counts_for_breaker()),
                    (passes, counts),
                    "{code} {severity}"
                );
            }
        }
    }

    #[test]
    fn what_was_never_sent_on_a_dead_connection_goes_elsewhere_at_once() {
        for error in [Error::Lost, Error::Ended, server_error("57P01", "FATAL")] {
            let fault = judged(&error, false, None, false);
            assert_eq!((fault.repeat(), fault.delay()), (Repeat::Unsent, Delay::AtOnce));
        }
        // Refused before it was sent, by our own end: the connection is well.
        let refused = judged(&Error::Plain("it cannot be encoded".into()), false, Some(Status::Idle), false);
        assert_eq!(refused.repeat(), Repeat::Never);
    }

    #[test]
    fn what_was_sent_on_a_connection_that_is_lost_is_ambiguous() {
        for error in [Error::Lost, server_error("57P01", "FATAL"), server_error("57P02", "FATAL")] {
            assert_eq!(judged(&error, true, None, false).repeat(), Repeat::Ambiguous);
        }
        for error in [Error::Ended, Error::QueryTimeout, Error::Withdrawn, Error::Protocol("odd".into())] {
            assert_eq!(judged(&error, true, None, false).repeat(), Repeat::Never);
        }
        let pooler = judged(&server_error("08P01", "FATAL"), true, None, false);
        assert_eq!((pooler.repeat(), pooler.delay()), (Repeat::Ambiguous, Delay::Outage));
        assert_eq!(
            judged(&server_error("40003", "ERROR"), true, Some(Status::Idle), false).repeat(),
            Repeat::Ambiguous
        );
    }

    #[test]
    fn a_conflict_is_safe_only_where_nothing_of_it_can_have_stayed() {
        for code in ["40001", "40P01", "23505"] {
            let error = server_error(code, "ERROR");
            assert_eq!(judged(&error, true, Some(Status::Idle), false).repeat(), Repeat::Safe, "{code}");
            assert_eq!(judged(&error, true, Some(Status::Idle), true).repeat(), Repeat::Never, "{code}");
            assert_eq!(judged(&error, true, Some(Status::Failed), false).repeat(), Repeat::Never, "{code}");
        }
        assert_eq!(
            judged(&server_error("55P03", "ERROR"), true, Some(Status::Idle), false).repeat(),
            Repeat::Never
        );
    }
}
