//! The housekeeper: the one task that watches all deadlines of a pool.
//!
//! It sleeps until the earliest deadline, sweeps, and sleeps again; a transition that sets an earlier one
//! wakes it. A deadline that moves away is not disarmed: the housekeeper finds nothing to do and sleeps
//! again. So in a busy pool it runs about once per shortest timeout.

use std::sync::{Arc, Weak};

use tokio::time::sleep_until;

use super::Connector;
use super::inner::PoolInner;

pub(super) fn start<C: Connector>(pool: &Arc<PoolInner<C>>) {
    let wakeup = Arc::clone(&pool.wakeup);
    let watched = WatchedPool(Arc::downgrade(pool));
    drop(pool.runtime.spawn(async move {
        while let Some(pool) = watched.0.upgrade() {
            let next = pool.sweep();
            drop(pool);
            match next {
                None => wakeup.notified().await,
                Some(at) => tokio::select! {
                    () = wakeup.notified() => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }));
}

/// The pool that the housekeeper watches. Without a housekeeper no deadline holds, so a pool whose runtime
/// goes away is closed.
struct WatchedPool<C: Connector>(Weak<PoolInner<C>>);

impl<C: Connector> Drop for WatchedPool<C> {
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            pool.abandon();
        }
    }
}
