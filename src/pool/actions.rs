//! What a transition leaves to be done once the lock is released.
//!
//! Claims, the connector and tasks are called from here only. Every call into foreign code is
//! guarded: a panic is counted and ends there, so it cannot reach whoever returned a connection.

use std::sync::Arc;
use std::time::Duration;

use super::connect_task::{self, Order};
use super::inner::Shared;
use super::lease::Loan;
use super::recycle::{self, Errand};
use super::slots::Slot;
use super::waiters::Waiter;
use super::{Claim, CloseReason, Condition, Connector, Lease, Refusal, trampoline};

/// A claim and the connection it gets.
pub(super) struct Grant<C: Connector> {
    pub(super) waiter: Waiter<C>,
    pub(super) loan: Loan<C::Connection>,
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

type Refused<C> = (Box<dyn Claim<C>>, Refusal<<C as Connector>::Error>);

/// The usual transition grants one claim or none and does nothing else, so everything rarer is kept
/// apart: the hot path neither clears nor moves it.
pub(super) struct Actions<C: Connector> {
    grant: Option<Grant<C>>,
    /// The timekeeper sleeps past a new deadline.
    pub(super) wake: bool,
    rest: Option<Box<Rest<C>>>,
}

/// What a transition seldom leaves to be done.
pub(super) struct Rest<C: Connector> {
    grants: Vec<Grant<C>>,
    refusals: Vec<Refused<C>>,
    pub(super) closes: Vec<(C::Connection, CloseReason)>,
    pub(super) orders: Vec<Order>,
    pub(super) errands: Vec<Errand<C::Connection>>,
    pub(super) overdue: Vec<(C::Connection, Duration)>,
    /// Lent connections on which nothing is to run any longer.
    pub(super) interrupts: Vec<C::Connection>,
    /// Emptied slots whose content is dropped outside the lock.
    pub(super) remains: Vec<Slot<C::Connection>>,
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
                orders: Vec::new(),
                errands: Vec::new(),
                overdue: Vec::new(),
                interrupts: Vec::new(),
                remains: Vec::new(),
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

    pub(super) fn refuse(&mut self, waiter: Waiter<C>, refusal: Refusal<C::Error>) {
        self.rest().refusals.push((waiter.claim, refusal));
    }

    pub(super) fn carry_out(self, shared: &Arc<Shared<C>>) {
        trampoline::run(
            self,
            |actions| actions.perform(shared),
            |actions| {
                let shared = Arc::clone(shared);
                Box::new(move || actions.perform(&shared))
            },
        );
    }

    fn perform(self, shared: &Arc<Shared<C>>) {
        if self.wake {
            shared.bell.notify_one();
        }
        if let Some(rest) = self.rest {
            rest.perform(shared, self.grant);
        } else if let Some(grant) = self.grant {
            settle(shared, grant);
        }
    }
}

impl<C: Connector> Rest<C> {
    /// Starts what takes long first, then settles claims.
    fn perform(self, shared: &Arc<Shared<C>>, grant: Option<Grant<C>>) {
        for order in self.orders {
            connect_task::start(shared, order);
        }
        for errand in self.errands {
            recycle::start(shared, errand);
        }
        for (connection, reason) in self.closes {
            shared.guarded(|| shared.connector.close(connection, reason));
        }
        for (connection, held) in self.overdue {
            shared.guarded(|| shared.connector.overdue(&connection, held));
        }
        for remains in self.remains {
            shared.guarded(|| drop(remains));
        }
        for (claim, refusal) in self.refusals {
            shared.guarded(|| claim.refused(refusal));
        }
        for grant in grant.into_iter().chain(self.grants) {
            settle(shared, grant);
        }
        for done in self.done {
            shared.guarded(done);
        }
        if !self.interrupts.is_empty() {
            interrupt(shared, &self.interrupts);
        }
    }
}

/// Where nothing runs there is nothing to wait for.
fn interrupt<C: Connector>(shared: &Arc<Shared<C>>, lent: &[C::Connection]) {
    let interrupted = lent
        .iter()
        .filter(|lent| shared.guarded(|| shared.connector.interrupt(lent)).unwrap_or(false))
        .count();
    if interrupted == 0 {
        shared.close_out();
    }
}

fn settle<C: Connector>(shared: &Arc<Shared<C>>, grant: Grant<C>) {
    if grant.source == Source::Idle {
        let condition = shared.condition(&grant.loan.connection);
        if condition != Condition::Fit {
            shared.turn_down(grant, condition);
            return;
        }
    }
    shared.connector.lent(grant.waited);
    let lease = Lease::new(Arc::clone(shared), grant.loan);
    let claim = grant.waiter.claim;
    shared.guarded(|| claim.granted(lease));
}
