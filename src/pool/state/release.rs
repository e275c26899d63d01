//! The release of a connection: it goes to a claim, to the idle stack, to a check or reset, or is closed.
//!
//! Every connection that becomes free passes through `hand_on_locked` or `close_locked`.

use std::time::Duration;

use tokio::time::Instant;

use super::super::slots::{Entry, Slot};
use super::{
    AcquireError, Actions, CloseReason, Condition, Connector, EntryState, PoolState, Purpose, Recycle,
    Source, Waiter,
};

/// The generation of a connection that was retired alone. No pool gets there by counting.
const RETIRED: u64 = u64::MAX;
/// How long nobody asks a connection that was just made whether it is well.
const NEW_FOR: Duration = Duration::from_secs(1);

impl<C: Connector> PoolState<C> {
    /// The time that this connection has been leased, if it is.
    pub(in super::super) fn held_locked(&self, slot: usize, number: u64, now: Instant) -> Option<Duration> {
        let entry = self.slots.live(slot).filter(|entry| entry.number == number)?;
        match entry.state {
            EntryState::Leased { since, .. } => Some(now.saturating_duration_since(since)),
            _ => None,
        }
    }

    /// Ends a lease.
    pub(in super::super) fn release_locked(
        &mut self,
        slot: usize,
        number: u64,
        condition: Condition,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        // A drain may have closed the connection meanwhile; then the number is gone.
        let Some(entry) = self.slots.entry_mut(slot, number) else { return };
        entry.uses += 1;
        entry.idle_since = now;
        entry.verified = now;
        self.dispose_locked(slot, condition, now, actions);
    }

    /// Closes a connection that is leased, or being checked or reset.
    pub(in super::super) fn destroy_locked(
        &mut self,
        slot: usize,
        number: u64,
        reason: CloseReason,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        if self.slots.entry_mut(slot, number).is_some() {
            self.close_locked(slot, reason, actions);
            self.supply_locked(now, actions);
        }
    }

    pub(in super::super) fn found_unfit_locked(
        &mut self,
        waiter: Waiter<C>,
        slot: usize,
        number: u64,
        condition: Condition,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        self.statistics.grants -= 1;
        if self.is_open() {
            self.note_deadline_locked(waiter.deadline, actions);
            self.waiters.insert_locked(waiter);
        } else {
            actions.refuse(waiter, AcquireError::Closed { last_connect_error: None });
        }
        if self.slots.entry_mut(slot, number).is_some() {
            self.dispose_locked(slot, condition, now, actions);
        }
        self.supply_locked(now, actions);
    }

    /// Ends a check or reset that succeeded.
    pub(in super::super) fn recycled_locked(
        &mut self,
        slot: usize,
        number: u64,
        purpose: Purpose,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        let Some(entry) = self.slots.entry_mut(slot, number) else { return };
        entry.verified = now;
        if purpose == Purpose::Reset {
            entry.idle_since = now;
        }
        self.dispose_locked(slot, Condition::Fit, now, actions);
    }

    /// Closes an idle connection, if it is still idle.
    pub(in super::super) fn forget_locked(
        &mut self,
        slot: usize,
        number: u64,
        reason: CloseReason,
        actions: &mut Actions<C>,
    ) -> bool {
        let is_idle = self.slots.entry_mut(slot, number).is_some_and(|entry| entry.state == EntryState::Idle);
        if is_idle {
            self.close_locked(slot, reason, actions);
        }
        is_idle
    }

    /// Checks a connection, if it is still idle. One that was just made is known to be well: to check it would
    /// lose it again where a pooler lets everybody in and has no server, and so on without end.
    pub(in super::super) fn check_locked(
        &mut self,
        slot: usize,
        number: u64,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        let is_new = |entry: &Entry<_>| entry.uses == 0 && now < entry.verified + NEW_FOR;
        let entry = self.slots.entry_mut(slot, number);
        if entry.is_some_and(|entry| entry.state == EntryState::Idle && !is_new(entry)) {
            self.recycle_locked(slot, Purpose::Check, actions);
        }
    }

    /// Retires a connection: closes it at once if it is idle, else when its lease ends. False: it has left,
    /// or is retired already.
    pub(in super::super) fn retire_locked(
        &mut self,
        slot: usize,
        number: u64,
        actions: &mut Actions<C>,
    ) -> bool {
        let current = self.generation;
        let Some(entry) = self.slots.entry_mut(slot, number) else { return false };
        if entry.generation != current {
            return false;
        }
        entry.generation = RETIRED;
        if entry.state == EntryState::Idle {
            self.close_locked(slot, CloseReason::Retired, actions);
        }
        true
    }

    pub(in super::super) fn retire_generation_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        self.generation += 1;
        self.close_idle_locked(CloseReason::Retired, actions);
        self.supply_locked(now, actions);
    }

    /// Decides where a connection goes that nobody uses any more.
    pub(super) fn dispose_locked(
        &mut self,
        slot: usize,
        condition: Condition,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        if let Some(reason) = self.reason_to_close(slot, condition, now) {
            self.close_locked(slot, reason, actions);
            self.supply_locked(now, actions);
        } else if condition == Condition::Dirty {
            self.statistics.leaked_transactions += 1;
            self.recycle_locked(slot, Purpose::Reset, actions);
            // Where leases are limited, an idle connection may take the place of this one.
            self.supply_locked(now, actions);
        } else if self.has_served(slot) && self.slots.is_one_asked_back() {
            self.close_locked(slot, CloseReason::Yielded, actions);
            self.supply_locked(now, actions);
        } else {
            self.hand_on_locked(slot, now, actions);
        }
    }

    /// Whether it has been leased. A connection that was just made goes to its claim, even if the quota wants
    /// one back.
    fn has_served(&self, slot: usize) -> bool {
        self.slots.live(slot).is_some_and(|entry| entry.uses > 0)
    }

    /// Gives up idle connections for other pools, the longest idle first.
    pub(in super::super) fn yield_idle_locked(&mut self, actions: &mut Actions<C>) {
        while let Some(&slot) = self.slots.idle().first()
            && self.slots.is_one_asked_back()
        {
            self.close_locked(slot, CloseReason::Yielded, actions);
        }
    }

    pub(super) fn reason_to_close(
        &self,
        slot: usize,
        condition: Condition,
        now: Instant,
    ) -> Option<CloseReason> {
        let entry = self.slots.live(slot)?;
        if condition == Condition::Broken {
            Some(CloseReason::Broken)
        } else if !self.is_open() && self.waiters.is_empty() {
            Some(CloseReason::Drained)
        } else if condition == Condition::Unwanted
            || entry.generation != self.generation
            || self.slots.is_over_full()
        {
            Some(CloseReason::Retired)
        } else if self.settings.max_uses.is_some_and(|max| entry.uses >= max) {
            Some(CloseReason::Uses)
        } else if entry.has_expired(now) && (entry.state != EntryState::Idle || self.is_over(slot, now)) {
            Some(CloseReason::Lifetime)
        } else {
            None
        }
    }

    /// Hands a free connection to the oldest claim, if it may be leased, else to the idle stack. A pool that ends
    /// keeps no limit: the claims that are left wait for this connection.
    fn hand_on_locked(&mut self, slot: usize, now: Instant, actions: &mut Actions<C>) {
        let may_lease = !self.is_open() || self.slots.may_lease(Some(slot));
        if may_lease && let Some(waiter) = self.waiters.pop_oldest_locked() {
            self.lease_locked(waiter, slot, Source::Vetted, now, actions);
        } else {
            self.slots.set_state_locked(slot, EntryState::Idle);
            self.clock_gap.begin(now);
            let deadline = self.idle_deadline(slot, now).into_iter().chain(self.clock_gap.due()).min();
            self.note_deadline_locked(deadline, actions);
        }
    }

    pub(super) fn recycle_locked(&mut self, slot: usize, purpose: Purpose, actions: &mut Actions<C>) {
        let state = match purpose {
            Purpose::Check => EntryState::Checking,
            Purpose::Reset => EntryState::Resetting,
        };
        self.slots.set_state_locked(slot, state);
        if let Some(handle) = self.slots.handle(slot) {
            actions.rare().recycles.push(Recycle { purpose, handle });
        }
    }

    /// Closes a connection in whatever state. Its slot may serve a claim: `supply_locked` is to follow.
    pub(super) fn close_locked(&mut self, slot: usize, reason: CloseReason, actions: &mut Actions<C>) {
        match self.slots.free_slot_locked(slot) {
            Slot::Live(entry) => {
                self.statistics.count_closed(reason);
                actions.rare().closes.push((entry.connection, reason));
            }
            rest => actions.rare().emptied.push(rest),
        }
        self.finish_drain_locked(actions);
    }

    pub(super) fn close_idle_locked(&mut self, reason: CloseReason, actions: &mut Actions<C>) {
        while let Some(&slot) = self.slots.idle().last() {
            self.close_locked(slot, reason, actions);
        }
    }
}
