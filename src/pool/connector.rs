//! The connector: makes, judges, checks, resets and closes the connections of a pool.
//!
//! The pool knows nothing of Postgres but through this trait, so it is tested with integers in place of
//! connections. No method is called while the pool's lock is held.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// Makes and judges connections.
pub trait Connector: Send + Sync + 'static {
    /// A handle to one connection. Clones are the same connection: the pool keeps one for as long
    /// as the connection lives, each lease holds another.
    type Connection: Clone + Send + Sync + 'static;

    /// The error of a connect.
    type Error: Clone + Debug + Send + Sync + 'static;

    /// Makes a connection. The future is dropped when the connect timeout passes or the pool ends.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// What an error of connecting says of the next attempt.
    fn outlook(&self, error: &Self::Error) -> Outlook {
        let _ = error;
        Outlook::Passes
    }

    /// The error of a connect that took too long. Asked once per pool.
    fn timeout_error(&self) -> Option<Self::Error> {
        None
    }

    /// The condition of a returned or idle connection. Cheap: it is asked for each lease and each return.
    fn condition(&self, connection: &Self::Connection) -> Condition;

    /// One round trip, to see that the server still answers. The pool bounds it to one second.
    fn check(&self, connection: &Self::Connection) -> impl Future<Output = bool> + Send;

    /// Rolls back a transaction that the last user left open. The pool bounds it to one second.
    fn reset(&self, connection: &Self::Connection) -> impl Future<Output = bool> + Send;

    /// Cancels what runs on a leased connection, because the pool has ended and waits no longer. False:
    /// nothing runs.
    fn interrupt(&self, connection: &Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Starts to close a connection and returns at once. Called exactly once per connection; when a drain
    /// runs out of time, also for those whose lease is still held.
    fn close(&self, connection: Self::Connection, reason: CloseReason);

    /// A lease begins, after the claim waited this long. Cheap, and does not panic: it is called for every
    /// lease.
    fn leased(&self, waited: Duration) {
        let _ = waited;
    }

    /// A lease has ended, after it was held this long. As cheap as `leased`.
    fn returned(&self, held: Duration) {
        let _ = held;
    }

    /// A lease is held longer than `PoolSettings::leak_after`. Called once per lease.
    fn overdue(&self, connection: &Self::Connection, held: Duration) {
        let _ = (connection, held);
    }
}

/// What an error of connecting says of the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It may succeed a little later: claims that are patient wait for it.
    Passes,
    /// It would fail as well.
    Lasts,
    /// No server serves, and another one will take over soon: claims that fail fast wait for it, too, once
    /// the pool has had a connection.
    Failover,
    /// There is no place for a further connection. Those that are there serve.
    Full,
    /// There is no place for a further connection on this machine: claims that fail fast wait for those that
    /// are there, too.
    Shortage,
    /// No connect was tried, because it would fail. One will be tried later.
    NotTried,
}

/// What a connection may be used for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Fit for the next user.
    Fit,
    /// In a transaction: it is reset before anybody else gets it.
    Dirty,
    /// Fit, but not wanted any more: it is closed.
    Unwanted,
    /// Lost, or of unknown state: it is closed.
    Broken,
}

/// The reason why the pool closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Released as unfit by its user (`release(error)`).
    Released,
    /// Idle for longer than the idle timeout.
    Idle,
    /// Older than its lifetime.
    Lifetime,
    /// Leased as often as it may be.
    Uses,
    /// Broken, or lost by the task that held it.
    Broken,
    /// Without an answer to a check in time.
    Unresponsive,
    /// In a transaction that was left open and could not be rolled back.
    Leak,
    /// Given up for another pool of the same quota.
    Yielded,
    /// Made before `Pool::retire_generation`, meant by `Pool::retire`, or unwanted.
    Retired,
    /// Left when the pool ended.
    Drained,
}

impl CloseReason {
    /// Every reason, in the order of their counters.
    pub const ALL: [Self; 10] = [
        Self::Released,
        Self::Idle,
        Self::Lifetime,
        Self::Uses,
        Self::Broken,
        Self::Unresponsive,
        Self::Leak,
        Self::Yielded,
        Self::Retired,
        Self::Drained,
    ];

    /// The name used in metrics and events.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Released => "released",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Uses => "uses",
            Self::Broken => "broken",
            Self::Unresponsive => "unresponsive",
            Self::Leak => "leak",
            Self::Yielded => "yielded",
            Self::Retired => "retired",
            Self::Drained => "drained",
        }
    }
}
