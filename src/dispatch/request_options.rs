//! Options of one request: deadline, retries, cancellation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::postgres::SqlState;

/// Options of one request; where one is absent, the tier's setting counts.
#[derive(Debug, Clone, Default)]
pub struct RequestOptions {
    /// Whether running it twice does no harm.
    pub idempotent: bool,
    /// The time for waiting, connecting, running and all retries.
    pub deadline: Option<Duration>,
    /// Retries after the first attempt.
    pub attempts: Option<u32>,
    /// The base of the delays.
    pub base: Option<Duration>,
    /// SQLSTATE codes that are retried because the caller lists them.
    pub codes: Box<[SqlState]>,
    /// The flag that cancels it; none: it cannot be cancelled.
    pub cancel_flag: Option<CancelFlag>,
}

impl RequestOptions {
    pub(super) fn is_withdrawn(&self) -> bool {
        self.cancel_flag.as_ref().is_some_and(|cancel_flag| cancel_flag.0.load(Ordering::Acquire))
    }
}

/// Cancels a request that is, at this moment, between two places where it could be found: between a grant
/// and its connection, or a failure and the next attempt. The next place checks the flag.
#[derive(Debug, Clone, Default)]
pub struct CancelFlag(Arc<AtomicBool>);

impl CancelFlag {
    /// Sets the flag; to be done before the request is looked for.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }
}
