//! The observer of a tier: what the outside hears of its connections, retries and breakers. In production it is the
//! JavaScript side.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use super::classify::Phase;
use crate::{
    pool::CloseReason,
    postgres::{Connection, Error, Event},
    resilience::Stage,
};

/// The observer of a tier.
pub trait Observer: Send + Sync + 'static {
    /// A connect is about to begin. An error stops it; a number: the attempt is intercepted, and each
    /// outcome of it is reported under that number.
    fn before_connect(&self) -> Pin<Box<dyn Future<Output = Result<Option<u32>, Error>> + Send + '_>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// An intercepted attempt has failed; returns the error that it fails with.
    fn connect_failed(&self, attempt: u32, error: Error) -> Pin<Box<dyn Future<Output = Error> + Send + '_>> {
        let _ = attempt;
        Box::pin(std::future::ready(error))
    }
    /// An intercepted attempt was given up before its outcome was reported.
    fn connect_given_up(&self, attempt: u32) {
        let _ = attempt;
    }
    /// A connection was made. Nobody gets it before the future is done; an error closes it.
    fn on_connect<'a>(
        &'a self,
        connection: &'a Arc<Connection>,
        attempt: Option<u32>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send + 'a>>;
    /// A notice, a notification or a change of a setting.
    fn event(&self, connection: u32, event: Event);
    /// Backpressure: pending while no more events can be taken.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;
    /// The pool is closing a connection.
    fn closing(&self, connection: u32, reason: CloseReason);
    /// A connection is closed. `error`: this side did not close it. `idle`: nobody used it.
    fn closed(&self, connection: u32, error: Option<Error>, idle: bool);
    /// A lease is held for longer than `leak_after`.
    fn overdue(&self, connection: u32, held: Duration) {
        let _ = (connection, held);
    }
    /// A request runs again.
    fn retrying(&self, notice: &RetryNotice) {
        let _ = notice;
    }
    /// A breaker has changed its state.
    fn breaker(&self, notice: &BreakerNotice) {
        let _ = notice;
    }
}

/// The notice of a request that runs again.
#[derive(Debug, Clone)]
pub struct RetryNotice {
    /// The number of the retry, from 1.
    pub attempt: u32,
    /// The most retries; none: until the deadline.
    pub of: Option<u32>,
    /// The delay before it.
    pub delay: Duration,
    /// The code of the failure.
    pub code: Option<String>,
    /// The phase in which it failed.
    pub phase: Phase,
}

/// The notice of a breaker that has changed.
#[derive(Debug, Clone)]
pub struct BreakerNotice {
    /// The host it guards, with its port.
    pub host: String,
    /// The stage before.
    pub from: Stage,
    /// The stage after.
    pub to: Stage,
    /// When the next probe begins.
    pub next_probe: Option<SystemTime>,
    /// The last failure that counted.
    pub cause: Option<Error>,
}
