//! The settings of retry and breaker of one tier.

use std::time::Duration;

use crate::resilience::{Mode, RetryPolicy, Thresholds};

/// Settings of retry and breaker.
#[derive(Debug, Clone)]
pub(super) struct Policy {
    /// The off switch of retries.
    pub(super) retries_are_on: bool,
    pub(super) retry: RetryPolicy,
    /// The deadline of requests that bring none.
    pub(super) deadline: Option<Duration>,
    pub(super) breaker: Mode,
    pub(super) thresholds: Thresholds,
    /// The admin tier is never stopped.
    pub(super) bypasses_breaker: bool,
}
