//! What the caller of one request says about running it again.

use std::time::Duration;

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
}
