//! The actions of a transition, carried out after the lock is released.
//!
//! Claims, the connector and tasks are called from here only. Every call into foreign code is guarded: a
//! panic is counted and goes no further, so it cannot reach the thread that returned a connection.

use std::sync::Arc;
use std::time::Duration;

use super::connect_task::{self, ConnectTask};
use super::inner::PoolInner;
use super::recycle::{self, Recycle};
use super::slots::EntryHandle;
use super::slots::Slot;
use super::waiters::Waiter;
use super::{AcquireError, Claim, CloseReason, Condition, Connector, Lease, trampoline};

/// A claim and the connection it gets.
pub(super) struct Grant<C: Connector> {
    pub(super) waiter: Waiter<C>,
    pub(super) handle: EntryHandle<C::Connection>,
    pub(super) source: Source,
    pub(super) waited: Duration,
}

/// The origin of a granted connection.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// The idle stack: it may have broken there, so its condition is asked first.
    Idle,
    /// A connect, a return or a check of this moment.
    Vetted,
}

pub(super) type Done = Box<dyn FnOnce() + Send>;

type Refused<C> = (Box<dyn Claim<C>>, AcquireError<<C as Connector>::Error>);

/// The actions of one transition. The usual one grants one claim or none and does nothing else; everything
/// rarer is kept apart in a box, so that the hot path neither clears nor moves it.
pub(super) struct Actions<C: Connector> {
    grant: Option<Grant<C>>,
    /// Whether the housekeeper is to be woken, because it would sleep past a new deadline.
    pub(super) wake: bool,
    rare: Option<Box<RareActions<C>>>,
}

/// The actions that few transitions have.
pub(super) struct RareActions<C: Connector> {
    grants: Vec<Grant<C>>,
    refusals: Vec<Refused<C>>,
    pub(super) closes: Vec<(C::Connection, CloseReason)>,
    pub(super) connects: Vec<ConnectTask>,
    pub(super) recycles: Vec<Recycle<C::Connection>>,
    pub(super) overdue: Vec<(C::Connection, Duration)>,
    /// Leased connections whose statements are to be cancelled.
    pub(super) interrupts: Vec<C::Connection>,
    /// Contents of freed slots, to be dropped outside the lock.
    pub(super) emptied: Vec<Slot<C::Connection>>,
    pub(super) done: Vec<Done>,
}

impl<C: Connector> Actions<C> {
    pub(super) fn none() -> Self {
        Self { grant: None, wake: false, rare: None }
    }

    pub(super) fn rare(&mut self) -> &mut RareActions<C> {
        self.rare.get_or_insert_with(|| {
            Box::new(RareActions {
                grants: Vec::new(),
                refusals: Vec::new(),
                closes: Vec::new(),
                connects: Vec::new(),
                recycles: Vec::new(),
                overdue: Vec::new(),
                interrupts: Vec::new(),
                emptied: Vec::new(),
                done: Vec::new(),
            })
        })
    }

    pub(super) fn grant(&mut self, grant: Grant<C>) {
        if self.grant.is_none() {
            self.grant = Some(grant);
        } else {
            self.rare().grants.push(grant);
        }
    }

    pub(super) fn refuse(&mut self, waiter: Waiter<C>, error: AcquireError<C::Error>) {
        self.rare().refusals.push((waiter.claim, error));
    }

    pub(super) fn carry_out(self, pool: &Arc<PoolInner<C>>) {
        trampoline::run(
            self,
            |actions| actions.perform(pool),
            |actions| {
                let pool = Arc::clone(pool);
                Box::new(move || actions.perform(&pool))
            },
        );
    }

    fn perform(self, pool: &Arc<PoolInner<C>>) {
        if self.wake {
            pool.wakeup.notify_one();
        }
        if let Some(rare) = self.rare {
            rare.perform(pool, self.grant);
        } else if let Some(grant) = self.grant {
            settle(pool, grant);
        }
    }
}

impl<C: Connector> RareActions<C> {
    /// Starts tasks first, since they take long, then settles claims.
    fn perform(self, pool: &Arc<PoolInner<C>>, grant: Option<Grant<C>>) {
        for task in self.connects {
            connect_task::start(pool, task);
        }
        for recycle in self.recycles {
            recycle::start(pool, recycle);
        }
        for (connection, reason) in self.closes {
            pool.guarded(|| pool.connector.close(connection, reason));
        }
        for (connection, held) in self.overdue {
            pool.guarded(|| pool.connector.overdue(&connection, held));
        }
        for emptied in self.emptied {
            pool.guarded(|| drop(emptied));
        }
        for (claim, error) in self.refusals {
            pool.guarded(|| claim.refused(error));
        }
        for grant in grant.into_iter().chain(self.grants) {
            settle(pool, grant);
        }
        for done in self.done {
            pool.guarded(done);
        }
        if !self.interrupts.is_empty() {
            interrupt(pool, &self.interrupts);
        }
    }
}

/// Cancels what runs on leased connections. Where nothing runs there is nothing to wait for, and the drain
/// ends.
fn interrupt<C: Connector>(pool: &Arc<PoolInner<C>>, leased: &[C::Connection]) {
    let interrupted = leased
        .iter()
        .filter(|leased| pool.guarded(|| pool.connector.interrupt(leased)).unwrap_or(false))
        .count();
    if interrupted == 0 {
        pool.close_out();
    }
}

fn settle<C: Connector>(pool: &Arc<PoolInner<C>>, grant: Grant<C>) {
    if grant.source == Source::Idle {
        let condition = pool.condition(&grant.handle.connection);
        if condition != Condition::Fit {
            pool.found_unfit(grant, condition);
            return;
        }
    }
    pool.connector.leased(grant.waited);
    let lease = Lease::new(Arc::clone(pool), grant.handle, grant.waited);
    let claim = grant.waiter.claim;
    pool.guarded(|| claim.granted(lease));
}
