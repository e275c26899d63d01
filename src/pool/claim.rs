//! A claim: a request for a connection. It is settled exactly once, with a lease or an error.

use std::{sync::Arc, time::Duration};

use tokio::sync::oneshot;

use super::{AcquireError, Connector, Lease, inner::PoolInner};

/// A request for a connection.
///
/// Exactly one of `granted` and `refused` is called, exactly once, never under the pool's lock, possibly
/// inside [`Pool::acquire`](super::Pool::acquire) on the caller's thread, or on a thread that returns a
/// connection. A panic in it is caught and counted.
pub trait Claim<C: Connector>: Send + 'static {
    /// The claim is served. Dropping the lease returns the connection.
    fn granted(self: Box<Self>, lease: Lease<C>);
    /// The claim gets no connection.
    fn refused(self: Box<Self>, error: AcquireError<C::Error>);
    /// How long it waits while connects fail.
    fn patience(&self) -> Patience {
        Patience::AsPool
    }
    /// Whether its lease may leak, because the application has to end it. A lease that ends by itself is no
    /// leak, however long it takes.
    fn may_leak(&self) -> bool {
        true
    }
}

/// How long a claim waits while connects fail and no connection is there that may become free for it.
/// Leased connections are waited for in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patience {
    /// As `PoolSettings::fail_fast` says: not at all, or to its deadline.
    #[default]
    AsPool,
    /// So long where it has no deadline, or where the pool never had a connection; else to its deadline.
    For(Duration),
    /// To its deadline.
    ToDeadline,
}

/// The name of a claim, to withdraw it.
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

/// The claim of [`Pool::lease`](super::Pool::lease). If the future is gone, the lease cannot be sent, is
/// dropped, and so returns to the pool.
pub(super) struct Awaited<C: Connector> {
    pub(super) sender: oneshot::Sender<LeaseResult<C>>,
    pub(super) patience: Patience,
}

impl<C: Connector> Claim<C> for Awaited<C> {
    fn granted(self: Box<Self>, lease: Lease<C>) {
        drop(self.sender.send(Ok(lease)));
    }

    fn refused(self: Box<Self>, error: AcquireError<C::Error>) {
        drop(self.sender.send(Err(error)));
    }

    fn patience(&self) -> Patience {
        self.patience
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
