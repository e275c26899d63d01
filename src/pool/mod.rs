//! The pool: slots, waiters, leases. Generic over a connector, so it knows nothing of Postgres.
//!
//! All state sits behind one lock, and every transition of it is a `_locked` method of `state`: synchronous,
//! without callbacks. A transition collects `actions` to be carried out after the lock is released: claims to
//! settle, connections to close, tasks to start. A connection that becomes free, whether returned or newly
//! made, goes to the oldest claim; a connect goes on when its claim leaves.
//!
//! ```text
//! acquire ─► idle? granted here ─► Lease ─ drop ─► fit? oldest waiter, else idle
//!        └─► wait ◄─ connect task, recycle (check, reset), housekeeper (deadlines, reaping)
//! ```

mod acquire_error;
mod actions;
mod claim;
mod clock_gap;
mod connect_backoff;
mod connect_task;
mod connector;
mod housekeeper;
mod inner;
mod lease;
mod quota;
mod recycle;
mod settings;
mod shared_quota;
mod slots;
mod state;
mod stats;
#[cfg(test)]
mod tests;
mod trampoline;
mod waiters;

use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

pub use self::acquire_error::{AcquireError, AcquirePhase};
pub use self::claim::{Claim, Patience, Ticket};
pub use self::connector::{CloseReason, Condition, Connector, Outlook};
pub use self::lease::Lease;
pub use self::quota::{Need, Quota};
pub use self::settings::{LeaseLimit, PoolChanges, PoolSettings};
pub use self::shared_quota::{QuotaShare, SharedQuota};
pub use self::stats::{Counts, Sizes, Statistics};

use self::claim::{Awaited, WithdrawOnDrop};
use self::inner::PoolInner;

/// A pool of connections. Clones are the same pool. When the last one is dropped, waiting claims are refused,
/// idle connections are closed, and leased ones are closed as they come back.
pub struct Pool<C: Connector>(Arc<LastHandle<C>>);

/// Abandons the pool when no `Pool` is left; leases and tasks hold [`PoolInner`] only.
struct LastHandle<C: Connector>(Arc<PoolInner<C>>);

impl<C: Connector> Pool<C> {
    /// Makes a pool whose tasks and timers run on `runtime`.
    pub fn new(connector: C, settings: PoolSettings, runtime: Handle) -> Self {
        let pool = PoolInner::new(connector, settings, runtime);
        housekeeper::start(&pool);
        pool.prefill();
        Self(Arc::new(LastHandle(pool)))
    }

    /// Claims a connection. The claim waits until `deadline` or the pool's own limit, whichever comes first; a
    /// claim with a patience of its own until `deadline` alone, if it brings one. May be called on any thread;
    /// the claim may be settled before this returns.
    pub fn acquire(&self, claim: Box<dyn Claim<C>>, deadline: Option<Instant>) -> Ticket {
        self.0.0.acquire(claim, deadline)
    }

    /// Claims a connection and waits for it. Dropping the future withdraws the claim.
    pub async fn lease(
        &self,
        deadline: Option<Instant>,
        patience: Patience,
    ) -> Result<Lease<C>, AcquireError<C::Error>> {
        let (sender, receiver) = oneshot::channel();
        let ticket = self.acquire(Box::new(Awaited { sender, patience }), deadline);
        let mut guard = WithdrawOnDrop { pool: &self.0.0, ticket: Some(ticket) };
        let outcome = receiver.await;
        guard.ticket = None;
        outcome.unwrap_or(Err(AcquireError::Closed { last_connect_error: None }))
    }

    /// Withdraws a claim. True: it was still waiting, and has been refused as withdrawn. False: it is
    /// settled, or is being settled at this moment.
    pub fn withdraw(&self, ticket: Ticket) -> bool {
        self.0.0.withdraw(ticket)
    }

    /// The connections and claims of this moment.
    pub fn counts(&self) -> Counts {
        self.0.0.counts()
    }

    /// The totals since the pool was made.
    pub fn statistics(&self) -> Statistics {
        self.0.0.statistics()
    }

    /// The connections that exist now, idle or leased.
    pub fn connections(&self) -> Vec<C::Connection> {
        self.0.0.connections()
    }

    /// Closes the idle connections for which `is_gone` holds, and returns how many. For the owner of the
    /// connector, who learns first that an idle connection died.
    pub fn forget(&self, is_gone: impl Fn(&C::Connection) -> bool, reason: CloseReason) -> usize {
        self.0.0.forget(is_gone, reason)
    }

    /// Checks the idle connections for which `is_meant` holds, all at the same time. For the owner of the
    /// connector, who learns first that a connection was lost, and that others may be.
    pub fn check_idle(&self, is_meant: impl Fn(&C::Connection) -> bool) {
        self.0.0.check_idle(is_meant);
    }

    /// Suspends the idle timeout while `held`. So a connection that the application gives back is still
    /// there, and still counted, to the end of this turn of its event loop, however short the timeout.
    pub fn hold_idle_timeout(&self, held: bool) {
        self.0.0.hold_idle_timeout(held);
    }

    /// Closes every present connection: idle ones now, leased ones when returned, those being made
    /// when they are ready.
    pub fn retire_generation(&self) {
        self.0.0.retire_generation();
    }

    /// Closes the connections for which `is_meant` holds, idle ones now, leased ones when returned, and
    /// returns how many those are.
    pub fn retire(&self, is_meant: impl Fn(&C::Connection) -> bool) -> usize {
        self.0.0.retire(is_meant)
    }

    /// Connects again without waiting for the backoff: the cause of the failures is known to be over.
    pub fn resume(&self) {
        self.0.0.resume();
    }

    /// Changes settings while the pool runs.
    pub fn configure(&self, changes: PoolChanges) {
        self.0.0.configure(changes);
    }

    /// Limits the leases, or lifts the limit.
    pub fn limit_leases(&self, limit: LeaseLimit) {
        self.0.0.limit_leases(limit);
    }

    /// The sizes in force at this moment.
    pub fn sizes(&self) -> Sizes {
        self.0.0.sizes()
    }

    /// Serves claims and gives up connections as the quota now wants it. To be called when the quota has
    /// changed.
    pub fn reconsider(&self) {
        self.0.0.reconsider();
    }

    /// Ends the pool: refuses new and waiting claims, closes idle connections, waits for leased ones
    /// up to `PoolSettings::drain`, then closes them too. `done` is called exactly once; each call of
    /// `end` may bring its own.
    pub fn end(&self, done: impl FnOnce() + Send + 'static) {
        self.0.0.end(Box::new(done));
    }

    /// A weak handle, which does not keep the pool open.
    pub fn downgrade(&self) -> WeakPool<C> {
        WeakPool(Arc::downgrade(&self.0))
    }

    /// The connector this pool was made with.
    pub fn connector(&self) -> &C {
        &self.0.0.connector
    }
}

impl<C: Connector> Clone for Pool<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

/// A weak handle to a pool that may be gone.
pub struct WeakPool<C: Connector>(Weak<LastHandle<C>>);

impl<C: Connector> WeakPool<C> {
    /// The pool, if it is still there.
    pub fn upgrade(&self) -> Option<Pool<C>> {
        self.0.upgrade().map(Pool)
    }
}

impl<C: Connector> Drop for LastHandle<C> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

#[cfg(test)]
impl<C: Connector> Pool<C> {
    /// Recounts the state and fails where its counters disagree with it.
    fn check_invariants(&self) {
        self.0.0.state.lock().check_invariants_locked();
    }
}
