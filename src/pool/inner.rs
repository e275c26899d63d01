//! The inside of a pool, which its handles, leases and tasks share: the connector, the state behind its lock,
//! the wakeup of the housekeeper.
//!
//! Each method is one transition: it takes the time, changes the state under the lock, and carries the
//! actions out after.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::actions::{Actions, Done, Grant};
use super::connect_task::ConnectFailure;
use super::recycle::{Purpose, Recycle};
use super::slots::EntryHandle;
use super::state::PoolState;
use super::{
    AcquireError, Claim, CloseReason, Condition, Connector, Counts, LeaseLimit, Outlook, PoolChanges,
    PoolSettings, Sizes, Statistics, Ticket,
};

pub(super) struct PoolInner<C: Connector> {
    pub(super) connector: Arc<C>,
    pub(super) runtime: Handle,
    /// Wakes the housekeeper.
    pub(super) wakeup: Arc<Notify>,
    pub(super) state: Mutex<PoolState<C>>,
    panics: AtomicU64,
}

impl<C: Connector> PoolInner<C> {
    pub(super) fn new(connector: C, settings: PoolSettings, runtime: Handle) -> Arc<Self> {
        let timeout_error = connector.timeout_error();
        Arc::new(Self {
            connector: Arc::new(connector),
            runtime,
            wakeup: Arc::new(Notify::new()),
            state: Mutex::new(PoolState::new(settings, timeout_error)),
            panics: AtomicU64::new(0),
        })
    }

    fn step<R>(
        self: &Arc<Self>,
        transition: impl FnOnce(&mut PoolState<C>, Instant, &mut Actions<C>) -> R,
    ) -> R {
        let now = Instant::now();
        let mut actions = Actions::none();
        let mut state = self.state.lock();
        let result = transition(&mut state, now, &mut actions);
        state.report_locked(now);
        drop(state);
        actions.carry_out(self);
        result
    }

    pub(super) fn acquire(self: &Arc<Self>, claim: Box<dyn Claim<C>>, deadline: Option<Instant>) -> Ticket {
        Ticket(self.step(|state, now, actions| state.acquire_locked(claim, deadline, now, actions)))
    }

    pub(super) fn withdraw(self: &Arc<Self>, ticket: Ticket) -> bool {
        self.step(|state, _, actions| match state.withdraw_locked(ticket.0) {
            Some(waiter) => {
                actions.refuse(waiter, AcquireError::Withdrawn);
                true
            }
            None => false,
        })
    }

    pub(super) fn release(self: &Arc<Self>, handle: &EntryHandle<C::Connection>) {
        let condition = self.condition(&handle.connection);
        let held = self.step(|state, now, actions| {
            let held = state.held_locked(handle.slot, handle.number, now);
            state.release_locked(handle.slot, handle.number, condition, now, actions);
            held
        });
        self.tell_returned(held);
    }

    pub(super) fn destroy(self: &Arc<Self>, handle: &EntryHandle<C::Connection>, reason: CloseReason) {
        let held = self.step(|state, now, actions| {
            let held = state.held_locked(handle.slot, handle.number, now);
            state.destroy_locked(handle.slot, handle.number, reason, now, actions);
            held
        });
        self.tell_returned(held);
    }

    fn tell_returned(&self, held: Option<Duration>) {
        if let Some(held) = held {
            self.connector.returned(held);
        }
    }

    /// The idle connection of a grant is unfit: the claim waits again, at its rank.
    pub(super) fn found_unfit(self: &Arc<Self>, grant: Grant<C>, condition: Condition) {
        let Grant { waiter, handle, .. } = grant;
        self.step(|state, now, actions| {
            state.found_unfit_locked(waiter, handle.slot, handle.number, condition, now, actions);
        });
    }

    pub(super) fn connected(self: &Arc<Self>, slot: usize, number: u64, connection: C::Connection) {
        // A new connection that is broken already goes to its first user: making another one at once might
        // never end.
        let condition = match self.condition(&connection) {
            Condition::Unwanted => Condition::Unwanted,
            Condition::Fit | Condition::Dirty | Condition::Broken => Condition::Fit,
        };
        self.step(|state, now, actions| {
            state.connected_locked(slot, number, connection, condition, now, actions);
        });
    }

    pub(super) fn attempt_failed(
        self: &Arc<Self>,
        slot: usize,
        number: u64,
        failure: ConnectFailure<C::Error>,
    ) {
        let outlook = match &failure {
            ConnectFailure::Error(error) => {
                self.guarded(|| self.connector.outlook(error)).unwrap_or(Outlook::Lasts)
            }
            ConnectFailure::Timeout => Outlook::Passes,
            // Nobody is left to make connections: waiting is pointless.
            ConnectFailure::Lost => Outlook::Lasts,
        };
        self.step(|state, now, actions| {
            state.attempt_failed_locked(slot, number, failure, outlook, now, actions);
            state.supply_locked(now, actions);
        });
    }

    pub(super) fn recycled(self: &Arc<Self>, recycle: &Recycle<C::Connection>, succeeded: bool) {
        let Recycle { purpose, handle } = recycle;
        let condition = self.condition(&handle.connection);
        self.step(|state, now, actions| {
            if succeeded && condition == Condition::Fit {
                state.recycled_locked(handle.slot, handle.number, *purpose, now, actions);
            } else {
                let reason = match purpose {
                    _ if condition == Condition::Unwanted => CloseReason::Retired,
                    Purpose::Check => CloseReason::Unresponsive,
                    Purpose::Reset => CloseReason::Leak,
                };
                state.destroy_locked(handle.slot, handle.number, reason, now, actions);
            }
        });
    }

    pub(super) fn forget(
        self: &Arc<Self>,
        is_gone: impl Fn(&C::Connection) -> bool,
        reason: CloseReason,
    ) -> usize {
        let idle = self.state.lock().idle_handles_locked();
        let gone = self.meant(idle, is_gone);
        self.step(|state, now, actions| {
            let closed = gone
                .iter()
                .filter(|handle| state.forget_locked(handle.slot, handle.number, reason, actions))
                .count();
            state.supply_locked(now, actions);
            closed
        })
    }

    /// Those of the handles for which `is_meant` holds. Asked without the lock.
    fn meant(
        &self,
        handles: Vec<EntryHandle<C::Connection>>,
        is_meant: impl Fn(&C::Connection) -> bool,
    ) -> Vec<EntryHandle<C::Connection>> {
        let is_meant =
            |handle: &EntryHandle<_>| self.guarded(|| is_meant(&handle.connection)).unwrap_or(false);
        handles.into_iter().filter(is_meant).collect()
    }

    pub(super) fn connections(&self) -> Vec<C::Connection> {
        let live = self.state.lock().live_handles_locked();
        live.into_iter().map(|handle| handle.connection).collect()
    }

    pub(super) fn check_idle(self: &Arc<Self>, is_meant: impl Fn(&C::Connection) -> bool) {
        let idle = self.state.lock().idle_handles_locked();
        let meant = self.meant(idle, is_meant);
        self.step(|state, now, actions| {
            for handle in &meant {
                state.check_locked(handle.slot, handle.number, now, actions);
            }
        });
    }

    pub(super) fn retire(self: &Arc<Self>, is_meant: impl Fn(&C::Connection) -> bool) -> usize {
        let live = self.state.lock().live_handles_locked();
        let meant = self.meant(live, is_meant);
        self.step(|state, now, actions| {
            let retired = meant
                .iter()
                .filter(|handle| state.retire_locked(handle.slot, handle.number, actions))
                .count();
            state.supply_locked(now, actions);
            retired
        })
    }

    pub(super) fn hold_idle_timeout(self: &Arc<Self>, held: bool) {
        self.step(|state, now, actions| state.hold_idle_timeout_locked(held, now, actions));
    }

    pub(super) fn retire_generation(self: &Arc<Self>) {
        self.step(PoolState::retire_generation_locked);
    }

    pub(super) fn resume(self: &Arc<Self>) {
        self.step(|state, now, actions| {
            state.forget_delay_locked();
            state.supply_locked(now, actions);
        });
    }

    pub(super) fn configure(self: &Arc<Self>, changes: PoolChanges) {
        self.step(|state, now, actions| state.configure_locked(changes, now, actions));
    }

    pub(super) fn limit_leases(self: &Arc<Self>, limit: LeaseLimit) {
        self.step(|state, now, actions| state.limit_leases_locked(limit, now, actions));
    }

    pub(super) fn sizes(&self) -> Sizes {
        self.state.lock().sizes_locked()
    }

    pub(super) fn reconsider(self: &Arc<Self>) {
        self.step(|state, now, actions| {
            state.yield_idle_locked(actions);
            state.supply_locked(now, actions);
        });
    }

    pub(super) fn prefill(self: &Arc<Self>) {
        self.step(PoolState::supply_locked);
    }

    pub(super) fn sweep(self: &Arc<Self>) -> Option<Instant> {
        self.step(PoolState::sweep_locked)
    }

    pub(super) fn end(self: &Arc<Self>, done: Done) {
        self.step(|state, now, actions| state.end_locked(done, now, actions));
    }

    /// The last `Pool` is dropped: a drain under way goes on, otherwise the pool closes.
    pub(super) fn leave(self: &Arc<Self>) {
        self.step(|state, _, actions| {
            if state.is_open() {
                state.abandon_locked(actions);
            }
        });
    }

    /// Ends a drain.
    pub(super) fn close_out(self: &Arc<Self>) {
        self.step(|state, _, actions| state.close_out_locked(actions));
    }

    pub(super) fn abandon(self: &Arc<Self>) {
        self.step(|state, _, actions| state.abandon_locked(actions));
    }

    /// The counts, after a sweep where one is due: nobody counts a connection whose time is over.
    pub(super) fn counts(self: &Arc<Self>) -> Counts {
        let now = Instant::now();
        let state = self.state.lock();
        if !state.is_due(now) {
            return state.counts_locked(now);
        }
        drop(state);
        self.sweep();
        self.state.lock().counts_locked(now)
    }

    pub(super) fn statistics(&self) -> Statistics {
        let mut statistics = self.state.lock().statistics;
        statistics.panics = self.panics.load(Ordering::Relaxed);
        statistics
    }

    /// The condition of a connection; one whose judgement panics counts as broken.
    pub(super) fn condition(&self, connection: &C::Connection) -> Condition {
        self.guarded(|| self.connector.condition(connection)).unwrap_or(Condition::Broken)
    }

    /// Calls foreign code. A panic is counted and goes no further.
    pub(super) fn guarded<R>(&self, call: impl FnOnce() -> R) -> Option<R> {
        let result = catch_unwind(AssertUnwindSafe(call));
        if result.is_err() {
            self.panics.fetch_add(1, Ordering::Relaxed);
        }
        result.ok()
    }
}

impl<C: Connector> Drop for PoolInner<C> {
    fn drop(&mut self) {
        // Lets the housekeeper see that there is nothing left to watch.
        self.wakeup.notify_one();
    }
}
