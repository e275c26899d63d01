//! A lease: the right to use one connection, given back by dropping it.
//!
//! The slot table stays the owner of the connection; a lease names its slot and its number. So a
//! drain can close a connection whose lease never comes back, and a lease that comes back after
//! that finds its number gone and does nothing.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use super::{CloseReason, Connector, inner::Shared};

/// One connection taken out of the pool's table: which slot, which connection, and a handle.
pub(super) struct Loan<K> {
    pub(super) slot: usize,
    pub(super) number: u64,
    pub(super) connection: K,
}

/// The right to use one connection. Dropping it returns the connection to the pool.
pub struct Lease<C: Connector> {
    shared: Arc<Shared<C>>,
    loan: Loan<C::Connection>,
    close: Option<CloseReason>,
}

impl<C: Connector> Lease<C> {
    pub(super) fn new(shared: Arc<Shared<C>>, loan: Loan<C::Connection>) -> Self {
        Self { shared, loan, close: None }
    }

    /// Closes the connection instead of returning it.
    pub fn close(mut self, reason: CloseReason) {
        self.close = Some(reason);
    }

    /// The number of this connection, unique within its pool.
    pub fn number(&self) -> u64 {
        self.loan.number
    }
}

impl<C: Connector> Deref for Lease<C> {
    type Target = C::Connection;

    fn deref(&self) -> &C::Connection {
        &self.loan.connection
    }
}

impl<C: Connector> Drop for Lease<C> {
    fn drop(&mut self) {
        match self.close {
            None => self.shared.give_back(&self.loan),
            Some(reason) => self.shared.destroy(&self.loan, reason),
        }
    }
}

impl<C: Connector> fmt::Debug for Lease<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease").field("number", &self.loan.number).finish_non_exhaustive()
    }
}
