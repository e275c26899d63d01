//! What the caller of one request says about running it again, or not at all.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::postgres::SqlState;

/// The wishes of one request; what is absent is as the tier has it.
#[derive(Debug, Clone, Default)]
pub struct Wish {
    /// Running it twice does no harm.
    pub idempotent: bool,
    /// Covers waiting, connecting, running and all retries.
    pub deadline: Option<Duration>,
    /// Retries after the first attempt.
    pub attempts: Option<u32>,
    /// The base of the delays.
    pub base: Option<Duration>,
    /// Codes that are tried again because the caller lists them.
    pub codes: Box<[SqlState]>,
    /// Whether it was taken back; none: it cannot be.
    pub withdrawal: Option<Withdrawal>,
}

impl Wish {
    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawal.as_ref().is_some_and(|withdrawal| withdrawal.0.load(Ordering::Acquire))
    }
}

/// Takes a request back that is, at this moment, between two places where it could be found: a grant and
/// its connection, a failure and the next attempt. It is remembered, and heeded at the next place.
#[derive(Debug, Clone, Default)]
pub struct Withdrawal(Arc<AtomicBool>);

impl Withdrawal {
    /// Comes before the request is looked for.
    pub fn withdraw(&self) {
        self.0.store(true, Ordering::Release);
    }
}
