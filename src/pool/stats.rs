//! The numbers that a pool tells: the counts of this moment, and totals since it was made.

use std::time::Duration;

use super::CloseReason;

/// The connections and claims of one moment, all counted at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections, those being made included: `idle + used + connecting`.
    pub total: usize,
    /// Connections nobody uses.
    pub idle: usize,
    /// Connections leased, being checked or being reset.
    pub used: usize,
    /// Connections being made.
    pub connecting: usize,
    /// Claims not settled yet.
    pub waiting: usize,
    /// The time that the oldest of them has waited.
    pub oldest_wait: Option<Duration>,
    /// Claims for which no connection is being made or checked: pg's `waitingCount`.
    pub queued: usize,
    /// Leased connections past their lifetime: they are closed when returned.
    pub expired: usize,
}

/// Totals since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Claims served.
    pub grants: u64,
    /// Claims whose deadline passed.
    pub timeouts: u64,
    /// Connections made.
    pub opened: u64,
    /// Attempts to connect that failed, timed out or were lost.
    pub connect_failures: u64,
    /// Connections returned with a transaction open.
    pub leaked_transactions: u64,
    /// Restarts of the connector, because claims waited and nothing was being made.
    pub restarts: u64,
    /// Panics caught in claims and in the connector.
    pub panics: u64,
    closed: [u64; CloseReason::ALL.len()],
}

impl Statistics {
    /// Connections closed for this reason.
    pub fn closed(&self, reason: CloseReason) -> u64 {
        self.closed[reason as usize]
    }

    /// Connections closed for any reason.
    pub fn closed_in_all(&self) -> u64 {
        self.closed.iter().sum()
    }

    pub(super) fn count_closed(&mut self, reason: CloseReason) {
        self.closed[reason as usize] += 1;
    }
}

/// The sizes of a pool that are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Most connections at a time.
    pub max: usize,
    /// Connections the idle timeout leaves alone.
    pub min: usize,
    /// Connections there may be at this moment: `max`, or what the quota leaves of it.
    pub limit: usize,
}
