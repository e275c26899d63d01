//! The task of one attempt to connect.
//!
//! It holds the pool weakly, and reports exactly once: the connection, the error, or, if it
//! panicked or its runtime went away, that it was lost. The pool bounds and stops it by dropping
//! the other end of `aborted`.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::inner::Shared;
use super::{CloseReason, Connector};

/// An attempt to be started.
pub(super) struct Order {
    pub(super) slot: usize,
    pub(super) number: u64,
    pub(super) aborted: oneshot::Receiver<()>,
}

/// How an attempt failed.
pub(super) enum Failure<E> {
    Error(E),
    Timeout,
    Lost,
}

pub(super) fn start<C: Connector>(shared: &Arc<Shared<C>>, order: Order) {
    let connector = Arc::clone(&shared.connector);
    let Order { slot, number, aborted } = order;
    let opening = Opening { pool: Arc::downgrade(shared), slot, number, is_reported: false };
    drop(shared.runtime.spawn(async move {
        let outcome = tokio::select! {
            biased;
            _ = aborted => None,
            outcome = connector.connect() => Some(outcome),
        };
        opening.report(&connector, outcome);
    }));
}

/// Reports the attempt as lost unless it reports itself.
struct Opening<C: Connector> {
    pool: Weak<Shared<C>>,
    slot: usize,
    number: u64,
    is_reported: bool,
}

impl<C: Connector> Opening<C> {
    fn report(mut self, connector: &C, outcome: Option<Result<C::Connection, C::Error>>) {
        self.is_reported = true;
        match (outcome, self.pool.upgrade()) {
            (Some(Ok(connection)), Some(shared)) => {
                shared.connected(self.slot, self.number, connection);
            }
            (Some(Ok(connection)), None) => connector.close(connection, CloseReason::Drained),
            (Some(Err(error)), Some(shared)) => {
                shared.attempt_failed(self.slot, self.number, Failure::Error(error));
            }
            // Stopped: the pool has settled this attempt already.
            (Some(Err(_)), None) | (None, _) => {}
        }
    }
}

impl<C: Connector> Drop for Opening<C> {
    fn drop(&mut self) {
        if !self.is_reported
            && let Some(shared) = self.pool.upgrade()
        {
            shared.attempt_failed(self.slot, self.number, Failure::Lost);
        }
    }
}
