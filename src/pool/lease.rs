//! A lease: the right to use one connection, given back by dropping it.
//!
//! The slot table stays the owner of the connection; a lease knows its slot and number. So a drain can close
//! a connection whose lease never comes back. A lease that comes back later finds its number gone and does
//! nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::{CloseReason, Connector, inner::PoolInner, slots::EntryHandle};

/// The right to use one connection. Dropping it returns the connection to the pool.
pub struct Lease<C: Connector> {
    pool: Arc<PoolInner<C>>,
    handle: EntryHandle<C::Connection>,
    waited: Duration,
    close: Option<CloseReason>,
}

impl<C: Connector> Lease<C> {
    pub(super) fn new(pool: Arc<PoolInner<C>>, handle: EntryHandle<C::Connection>, waited: Duration) -> Self {
        Self { pool, handle, waited, close: None }
    }

    /// Closes the connection instead of returning it.
    pub fn close(mut self, reason: CloseReason) {
        self.close = Some(reason);
    }

    /// How long the claim waited for it.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The number of this connection, unique within its pool.
    pub fn number(&self) -> u64 {
        self.handle.number
    }
}

impl<C: Connector> Deref for Lease<C> {
    type Target = C::Connection;

    fn deref(&self) -> &C::Connection {
        &self.handle.connection
    }
}

impl<C: Connector> Drop for Lease<C> {
    fn drop(&mut self) {
        match self.close {
            None => self.pool.release(&self.handle),
            Some(reason) => self.pool.destroy(&self.handle, reason),
        }
    }
}

impl<C: Connector> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("number", &self.handle.number).finish_non_exhaustive()
    }
}
