//! What a transition leaves to be done once the lock is released.
//!
//! Claims, the connector and tasks are called from here only. Every call into foreign code is
//! guarded: a panic is counted and ends there, so it cannot reach whoever returned a connection.

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

/// Where a granted connection comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// From the idle stack: it may have broken there, so its condition is asked first.
    Idle,
    /// Just made, returned or checked.
    Vetted,
}

pub(super) type Done = Box<dyn FnOnce() + Send>;

type Refused<C> = (Box<dyn Claim<C>>, AcquireError<<C as Connector>::Error>);

/// The usual transition grants one claim or none and does nothing else, so everything rarer is kept
/// apart: the hot path neither clears nor moves it.
pub(super) struct Actions<C: Connector> {
    grant: Option<Grant<C>>,
    /// The housekeeper sleeps past a new deadline.
    pub(super) wake: bool,
    rest: Option<Box<Rest<C>>>,
}

/// What a transition seldom leaves to be done.
pub(super) struct Rest<C: Connector> {
    grants: Vec<Grant<C>>,
    refusals: Vec<Refused<C>>,
    pub(super) closes: Vec<(C::Connection, CloseReason)>,
    pub(super) connects: Vec<ConnectTask>,
    pub(super) recycles: Vec<Recycle<C::Connection>>,
    pub(super) overdue: Vec<(C::Connection, Duration)>,
    /// Leased connections on which nothing is to run any longer.
    pub(super) interrupts: Vec<C::Connection>,
    /// Emptied slots whose content is dropped outside the lock.
    pub(super) emptied: Vec<Slot<C::Connection>>,
    pub(super) done: Vec<Done>,
}

impl<C: Connector> Actions<C> {
    pub(super) fn none() -> Self {
        Self { grant: None, wake: false, rest: None }
    }

    pub(super) fn rest(&mut self) -> &mut Rest<C> {
        self.rest.get_or_insert_with(|| {
            Box::new(Rest {
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
            self.rest().grants.push(grant);
        }
    }

    pub(super) fn refuse(&mut self, waiter: Waiter<C>, error: AcquireError<C::Error>) {
        self.rest().refusals.push((waiter.claim, error));
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
        if let Some(rest) = self.rest {
            rest.perform(pool, self.grant);
        } else if let Some(grant) = self.grant {
            settle(pool, grant);
        }
    }
}

impl<C: Connector> Rest<C> {
    /// Starts what takes long first, then settles claims.
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

/// Where nothing runs there is nothing to wait for.
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
    let lease = Lease::new(Arc::clone(pool), grant.handle);
    let claim = grant.waiter.claim;
    pool.guarded(|| claim.granted(lease));
}
