//! The error of a claim that got no connection.

use thiserror::Error;

/// The reason why a claim got no connection. `E` is the connector's error.
#[derive(Clone, Debug, Error)]
pub enum AcquireError<E> {
    /// No connection became free before the claim's deadline.
    #[error(
        "timeout exceeded when trying to connect \
         (total {total}, idle {idle}, used {used}, waiting {waiting})"
    )]
    Timeout {
        /// Connections of the pool, those being made included.
        total: usize,
        /// Connections nobody uses.
        idle: usize,
        /// Connections leased, being checked or being reset.
        used: usize,
        /// Claims waiting, this one included.
        waiting: usize,
        /// The error of the last attempt to connect, if no attempt succeeded since.
        last_connect_error: Option<E>,
        /// What the claim waited for.
        phase: AcquirePhase,
    },
    /// The attempt to connect that was to serve this claim failed.
    #[error("connecting failed")]
    Connect(E),
    /// The attempt to connect that was to serve this claim exceeded the connect timeout.
    #[error("connection terminated due to connection timeout")]
    ConnectTimeout,
    /// The attempt to connect was lost: its task panicked or its runtime is gone.
    #[error("the attempt to connect was lost")]
    ConnectLost,
    /// The limit of waiting claims is reached.
    #[error("the pool is full: {waiting} already waiting")]
    Full {
        /// Claims waiting, this one not included.
        waiting: usize,
        /// The limit, which claims with a connection under way do not count against.
        most: usize,
    },
    /// The pool has ended.
    #[error("the pool has ended")]
    Closed {
        /// The error of the last attempt to connect, where the claim waited for one.
        last_connect_error: Option<E>,
    },
    /// The claim was withdrawn by its owner.
    #[error("the claim was withdrawn")]
    Withdrawn,
}

/// What a claim waited for when its time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AcquirePhase {
    /// For a leased connection to come back.
    Waiting,
    /// For a connection to be made.
    Connecting,
}
