//! A claim: somebody who wants a connection and will be told exactly once how that went.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{AcquireError, Connector, Lease, inner::PoolInner};

/// Somebody who wants a connection.
///
/// Exactly one of the two methods is called, exactly once, never under the pool's lock, possibly
/// inside [`Pool::acquire`](super::Pool::acquire) on the caller's thread or on a thread that returns a connection. A
/// panic inside is caught and counted.
pub trait Claim<C: Connector>: Send + 'static {
    /// The claim is served. Dropping the lease returns the connection.
    fn granted(self: Box<Self>, lease: Lease<C>);
    /// The claim gets no connection.
    fn refused(self: Box<Self>, error: AcquireError<C::Error>);
    /// Whether its user has to give the connection back. A lease that ends by itself, however long it
    /// takes, is no leak.
    fn may_leak(&self) -> bool {
        true
    }
}

/// Names a claim, to withdraw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

impl Ticket {
    /// The ticket as a number; later claims have greater ones.
    pub const fn number(self) -> u64 {
        self.0
    }
}

/// The outcome of a claim.
pub(super) type LeaseResult<C> = Result<Lease<C>, AcquireError<<C as Connector>::Error>>;

/// The claim behind [`Pool::lease`](super::Pool::lease). If the future is gone, sending hands the lease back and it
/// returns to the pool.
pub(super) struct Awaited<C: Connector>(pub(super) oneshot::Sender<LeaseResult<C>>);

impl<C: Connector> Claim<C> for Awaited<C> {
    fn granted(self: Box<Self>, lease: Lease<C>) {
        drop(self.0.send(Ok(lease)));
    }

    fn refused(self: Box<Self>, error: AcquireError<C::Error>) {
        drop(self.0.send(Err(error)));
    }
}

/// Withdraws the claim of a future that is dropped before it was settled.
pub(super) struct WithdrawOnDrop<'a, C: Connector> {
    pub(super) pool: &'a Arc<PoolInner<C>>,
    pub(super) ticket: Option<Ticket>,
}

impl<C: Connector> Drop for WithdrawOnDrop<'_, C> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.pool.withdraw(ticket);
        }
    }
}
