//! The one task that watches all deadlines of a pool.
//!
//! It sleeps until the earliest of them, sweeps, and sleeps again; a transition that sets an
//! earlier one rings the bell. Deadlines that moved away are not disarmed: the timekeeper finds
//! nothing to do and goes back to sleep, so a busy pool rings it about once per shortest timeout.

use std::sync::{Arc, Weak};

use tokio::time::sleep_until;

use super::Connector;
use super::inner::Shared;

pub(super) fn start<C: Connector>(shared: &Arc<Shared<C>>) {
    let bell = Arc::clone(&shared.bell);
    let watch = Watch(Arc::downgrade(shared));
    drop(shared.runtime.spawn(async move {
        while let Some(shared) = watch.0.upgrade() {
            let next = shared.sweep();
            drop(shared);
            match next {
                None => bell.notified().await,
                Some(at) => tokio::select! {
                    () = bell.notified() => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }));
}

/// Without a timekeeper no deadline holds, so a pool whose runtime goes away is closed.
struct Watch<C: Connector>(Weak<Shared<C>>);

impl<C: Connector> Drop for Watch<C> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.abandon();
        }
    }
}
