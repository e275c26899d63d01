//! The settings of one tier about retry, breaker and open transactions.

use std::time::Duration;

use crate::resilience::{Limits, Mode, RetryPolicy};

/// Settings of retry, breaker and open transactions.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// The off switch of retries.
    pub(super) retries_are_on: bool,
    pub(super) retry: RetryPolicy,
    /// The deadline of requests that bring none.
    pub(super) deadline: Option<Duration>,
    /// How long a request without a deadline waits for a connection, all attempts together.
    pub(super) acquire_timeout: Option<Duration>,
    /// Bounds one attempt of a request that has no other bound.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) breaker: Mode,
    pub(super) limits: Limits,
    /// The admin tier is never stopped.
    pub(super) bypasses_breaker: bool,
    /// Whether a transaction that the last lease left open is that of the next one, as under pg.
    pub(super) keeps_transactions: bool,
}
