//! The task of one check or reset: a bounded round trip on a connection nobody uses.
//!
//! It keeps the pool alive, for a second at most. The connection of a task that is dropped or panics is
//! closed as broken.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::inner::PoolInner;
use super::slots::EntryHandle;
use super::{CloseReason, Connector};

/// The bound of a round trip. A healthy server answers in milliseconds, and a claim may be waiting.
const BOUND: Duration = Duration::from_secs(1);

/// The purpose of the round trip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Check,
    Reset,
}

pub(super) struct Recycle<K> {
    pub(super) purpose: Purpose,
    pub(super) handle: EntryHandle<K>,
}

pub(super) fn start<C: Connector>(pool: &Arc<PoolInner<C>>, recycle: Recycle<C::Connection>) {
    let connector = Arc::clone(&pool.connector);
    let mut transit = InTransit { pool: Arc::clone(pool), recycle, is_over: false };
    drop(pool.runtime.spawn(async move {
        let connection = &transit.recycle.handle.connection;
        let trip = async {
            match transit.recycle.purpose {
                Purpose::Check => connector.check(connection).await,
                Purpose::Reset => connector.reset(connection).await,
            }
        };
        let succeeded = timeout(BOUND, trip).await.unwrap_or(false);
        transit.is_over = true;
        transit.pool.recycled(&transit.recycle, succeeded);
    }));
}

/// Closes the connection unless the check or reset comes to its end.
struct InTransit<C: Connector> {
    pool: Arc<PoolInner<C>>,
    recycle: Recycle<C::Connection>,
    is_over: bool,
}

impl<C: Connector> Drop for InTransit<C> {
    fn drop(&mut self) {
        if !self.is_over {
            self.pool.destroy(&self.recycle.handle, CloseReason::Broken);
        }
    }
}
