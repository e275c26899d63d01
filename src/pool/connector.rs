//! What the pool asks of the side that makes connections.
//!
//! The pool knows nothing of Postgres: it makes, judges, checks, resets and closes connections
//! through this trait alone, so it is tested with integers behind gates. None of these methods is
//! called while the pool's lock is held.

use std::fmt::Debug;
use std::future::Future;
use std::time::Duration;

/// Makes and judges connections.
pub trait Connector: Send + Sync + 'static {
    /// A handle to one connection. Clones are the same connection: the pool keeps one for as long
    /// as the connection lives, each lease holds another.
    type Connection: Clone + Send + Sync + 'static;

    /// Why a connection could not be made.
    type Error: Clone + Debug + Send + Sync + 'static;

    /// Makes a connection. The future is dropped when the connect timeout passes or the pool ends.
    fn connect(&self) -> impl Future<Output = Result<Self::Connection, Self::Error>> + Send;

    /// Whether such a failure may pass by itself. Only then do claims wait it out, where
    /// `PoolSettings::fail_fast` is off.
    fn is_passing(&self, error: &Self::Error) -> bool {
        let _ = error;
        true
    }

    /// What a returned or idle connection is fit for. Cheap: it is asked once per lease and return.
    fn condition(&self, connection: &Self::Connection) -> Condition;

    /// One round trip that shows the server still answers. The pool bounds it to one second.
    fn check(&self, connection: &Self::Connection) -> impl Future<Output = bool> + Send;

    /// Rolls back what the last user left open. The pool bounds it to one second.
    fn reset(&self, connection: &Self::Connection) -> impl Future<Output = bool> + Send;

    /// Has what runs on a leased connection stop, because the pool has ended and waits no longer; false:
    /// nothing runs on it.
    fn interrupt(&self, connection: &Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Starts closing and returns at once. Called exactly once per connection; when a drain runs
    /// out of time, also for connections whose lease is still held.
    fn close(&self, connection: Self::Connection, reason: CloseReason);

    /// A claim is served after this wait. Cheap, and does not panic: it is called for every lease.
    fn leased(&self, waited: Duration) {
        let _ = waited;
    }

    /// A lease came back after it was held this long. As cheap as `leased`.
    fn returned(&self, held: Duration) {
        let _ = held;
    }

    /// The lease of a connection is held longer than `PoolSettings::leak_after`. Called once per lease.
    fn overdue(&self, connection: &Self::Connection, held: Duration) {
        let _ = (connection, held);
    }
}

/// What a connection may be used for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Ready for the next user.
    Fit,
    /// A transaction is open: it is reset before anybody else gets it.
    Dirty,
    /// Sound, but not to be used any more: it is closed.
    Unwanted,
    /// Closed or of unknown state: it is closed.
    Broken,
}

/// Why the pool closes a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CloseReason {
    /// Its user gave it back as unfit (`release(error)`).
    Released,
    /// Idle for longer than the idle timeout.
    Idle,
    /// Older than its lifetime.
    Lifetime,
    /// Used as often as it may be.
    Uses,
    /// Found broken, or lost by the task that held it.
    Broken,
    /// It did not answer a check in time.
    Unresponsive,
    /// A transaction was left open and could not be rolled back.
    Leak,
    /// Given up for another pool of the same budget.
    Yielded,
    /// Made before `Pool::retire_generation`, meant by `Pool::retire`, or unwanted.
    Retired,
    /// The pool ended.
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
