//! The task of one attempt to connect.
//!
//! It holds the pool weakly, and reports exactly once: the connection, the error, or that it was lost,
//! because it panicked or its runtime went away. The pool stops it by dropping the other end of `aborted`.

use std::sync::{Arc, Weak};

use tokio::sync::oneshot;

use super::inner::PoolInner;
use super::{CloseReason, Connector};

/// An attempt that is to be started, and its slot.
pub(super) struct ConnectTask {
    pub(super) slot: usize,
    pub(super) number: u64,
    pub(super) aborted: oneshot::Receiver<()>,
}

/// The failure of an attempt.
pub(super) enum ConnectFailure<E> {
    Error(E),
    Timeout,
    Lost,
}

pub(super) fn start<C: Connector>(pool: &Arc<PoolInner<C>>, task: ConnectTask) {
    let connector = Arc::clone(&pool.connector);
    let ConnectTask { slot, number, aborted } = task;
    let report_on_drop = ReportOnDrop { pool: Arc::downgrade(pool), slot, number, is_reported: false };
    drop(pool.runtime.spawn(async move {
        let outcome = tokio::select! {
            biased;
            _ = aborted => None,
            outcome = connector.connect() => Some(outcome),
        };
        report_on_drop.report(&connector, outcome);
    }));
}

/// Reports the attempt as lost unless it reports itself.
struct ReportOnDrop<C: Connector> {
    pool: Weak<PoolInner<C>>,
    slot: usize,
    number: u64,
    is_reported: bool,
}

impl<C: Connector> ReportOnDrop<C> {
    fn report(mut self, connector: &C, outcome: Option<Result<C::Connection, C::Error>>) {
        self.is_reported = true;
        match (outcome, self.pool.upgrade()) {
            (Some(Ok(connection)), Some(pool)) => {
                pool.connected(self.slot, self.number, connection);
            }
            (Some(Ok(connection)), None) => connector.close(connection, CloseReason::Drained),
            (Some(Err(error)), Some(pool)) => {
                pool.attempt_failed(self.slot, self.number, ConnectFailure::Error(error));
            }
            // A stopped attempt is settled already.
            (Some(Err(_)), None) | (None, _) => {}
        }
    }
}

impl<C: Connector> Drop for ReportOnDrop<C> {
    fn drop(&mut self) {
        if !self.is_reported
            && let Some(pool) = self.pool.upgrade()
        {
            pool.attempt_failed(self.slot, self.number, ConnectFailure::Lost);
        }
    }
}
