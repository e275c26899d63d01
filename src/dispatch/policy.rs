//! The settings of one tier about retry, breaker, open transactions and adaptive limits.

use std::time::Duration;

use crate::resilience::{Limits, Mode, RetryPolicy};

/// Settings of retry, breaker, open transactions and adaptive limits.
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
    pub(super) adaptive: AdaptivePolicy,
}

/// Settings of adaptive limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdaptivePolicy {
    /// The switch.
    pub(super) is_on: bool,
    pub(super) place: Place,
}

/// The place of a tier among those that share a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It is spared: its answers tell what others do to it.
    Spared,
    /// It gives way to those that are spared.
    GivesWay,
    /// Neither: its work has no usual times.
    Apart,
}
