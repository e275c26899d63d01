//! The state behind the pool's lock, and its transitions: all are synchronous, none calls foreign code.
//!
//! Here: claims and leases. In [`release`]: where a connection goes next. In [`supply`]: making
//! connections. In [`reaper`]: everything that happens because time passed. In [`drain`]: the end.

mod drain;
#[cfg(test)]
mod invariants;
mod reaper;
mod release;
mod supply;

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::actions::{Actions, Done, Grant, Source};
use super::clock_gap::ClockGap;
use super::connect_backoff::ConnectBackoff;
use super::recycle::{Purpose, Recycle};
use super::slots::EntryHandle;
use super::slots::{EntryState, Slots};
use super::waiters::{Waiter, Waiters};
use super::{
    AcquireError, AcquirePhase, Claim, CloseReason, Condition, Connector, Counts, LeaseLimit, Need, Outlook,
    Patience, PoolChanges, PoolSettings, Sizes, Statistics,
};
use crate::resilience::Jitter;

/// How long claims that fail fast and have no deadline wait where waiting helps, and how long a failover is waited for
/// of which nothing was heard since.
const CALM_FOR: Duration = Duration::from_secs(30);
/// The patience of claims that fail fast where waiting helps: to their deadline, or so long where they have none.
const CALM: Patience = Patience::For(CALM_FOR);

pub(super) struct PoolState<C: Connector> {
    settings: PoolSettings,
    slots: Slots<C::Connection>,
    waiters: Waiters<C>,
    life: Life,
    connect_backoff: ConnectBackoff<C::Error>,
    timeout_error: Option<C::Error>,
    /// When the last connect told that no server serves until another one takes over, if it did.
    failing_over_at: Option<Instant>,
    jitter: Jitter,
    generation: u64,
    next_ticket: u64,
    /// When the housekeeper wakes next.
    wakes_at: Option<Instant>,
    /// Whether the quota has refused the last slot that was wanted.
    is_denied: bool,
    /// Whether the idle timeout is suspended: the application's event loop is still in the turn in which a
    /// connection was given back.
    idle_timeout_held: bool,
    clock_gap: ClockGap,
    /// When the process was last found to have stood still: a connection idle since before is checked before
    /// it is leased.
    thawed_at: Option<Instant>,
    /// The last report to the quota.
    reported: Need,
    /// Since when claims wait, there is room, and nothing is being made.
    stalled_since: Option<Instant>,
    pub(super) statistics: Statistics,
}

/// The phases of a pool's life.
enum Life {
    Open,
    Draining { deadline: Option<Instant>, is_interrupted: bool, done: Vec<Done> },
    Closed,
}

impl<C: Connector> PoolState<C> {
    /// `timeout_error`: the error of a connect that took too long.
    pub(super) fn new(settings: PoolSettings, timeout_error: Option<C::Error>) -> Self {
        Self {
            slots: Slots::new(settings.max, settings.quota.clone()),
            settings,
            waiters: Waiters::new(),
            life: Life::Open,
            connect_backoff: ConnectBackoff::new(),
            timeout_error,
            failing_over_at: None,
            jitter: Jitter::new(),
            generation: 0,
            next_ticket: 1,
            wakes_at: None,
            is_denied: false,
            idle_timeout_held: false,
            clock_gap: ClockGap::default(),
            thawed_at: None,
            reported: Need::default(),
            stalled_since: None,
            statistics: Statistics::default(),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.life, Life::Open)
    }

    /// Admits a claim: serves it from the idle stack, or queues it and begins a connect for it.
    pub(super) fn acquire_locked(
        &mut self,
        claim: Box<dyn Claim<C>>,
        deadline: Option<Instant>,
        now: Instant,
        actions: &mut Actions<C>,
    ) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let mut patience = claim.patience();
        let limit = after(now, self.settings.longest_wait());
        let deadline = match patience {
            Patience::AsPool => earlier(deadline, limit),
            Patience::For(_) | Patience::ToDeadline => deadline.or(limit),
        };
        let mut is_impatient = patience == Patience::AsPool && self.settings.fail_fast;
        if is_impatient && self.failing_over_at.is_some_and(|at| now < at + CALM_FOR) {
            is_impatient = false;
            patience = CALM;
        }
        let waiter = Waiter { ticket, since: now, deadline, patience, is_impatient, attempt: None, claim };
        if !self.slots.idle().is_empty() && self.clock_gap.is_open(now, SystemTime::now()) {
            self.check_all_idle_locked(now, actions);
        }
        if !self.is_open() {
            actions.refuse(waiter, AcquireError::Closed { last_connect_error: None });
        } else if self.waiters.is_empty()
            && self.slots.may_lease(None)
            && let Some(slot) = self.ready_idle(now)
        {
            self.lease_locked(waiter, slot, Source::Idle, now, actions);
        } else if let Some(most) = self.reached_limit(is_impatient) {
            actions.refuse(waiter, AcquireError::Full { waiting: self.waiters.len(), most });
        } else if waiter.deadline.is_some_and(|at| at <= now) {
            self.time_out_locked(waiter, 1, actions);
        } else {
            self.note_deadline_locked(waiter.deadline, actions);
            self.waiters.insert_locked(waiter);
            self.supply_locked(now, actions);
        }
        ticket
    }

    /// Takes over changed settings, and does at once what follows from them.
    pub(super) fn configure_locked(&mut self, changes: PoolChanges, now: Instant, actions: &mut Actions<C>) {
        let PoolChanges { max, min, fail_fast } = changes;
        if let Some(fail_fast) = fail_fast {
            self.settings.fail_fast = fail_fast;
            self.waiters.set_fail_fast_locked(fail_fast);
        }
        self.settings.max = max.unwrap_or(self.settings.max);
        self.slots.set_max_locked(self.settings.max);
        if let Some(min) = min {
            self.settings.min = min;
            if let Some(quota) = &self.settings.quota {
                quota.set_guarantee(min.min(self.settings.max));
            }
        }
        self.close_surplus_locked(actions);
        // Idle timeouts that did not count below the former `min` may count now.
        for slot in self.slots.idle().to_vec() {
            let deadline = self.idle_deadline(slot, now);
            self.note_deadline_locked(deadline, actions);
        }
        self.supply_locked(now, actions);
    }

    /// Sets the limit of leases, and serves claims that a raised limit admits.
    pub(super) fn limit_leases_locked(&mut self, limit: LeaseLimit, now: Instant, actions: &mut Actions<C>) {
        if !self.slots.set_lease_limit_locked(limit) {
            return;
        }
        self.close_surplus_locked(actions);
        self.supply_locked(now, actions);
    }

    /// Closes idle connections above what is to be kept, the longest idle first.
    fn close_surplus_locked(&mut self, actions: &mut Actions<C>) {
        while self.slots.is_over_full()
            && let Some(&slot) = self.slots.idle().first()
        {
            self.close_locked(slot, CloseReason::Retired, actions);
        }
    }

    pub(super) fn sizes_locked(&self) -> Sizes {
        Sizes { max: self.settings.max, min: self.settings.min, limit: self.slots.limit() }
    }

    pub(super) fn withdraw_locked(&mut self, ticket: u64) -> Option<Waiter<C>> {
        self.waiters.remove_locked(ticket)
    }

    pub(super) fn idle_handles_locked(&self) -> Vec<EntryHandle<C::Connection>> {
        self.slots.idle().iter().filter_map(|&slot| self.slots.handle(slot)).collect()
    }

    pub(super) fn live_handles_locked(&self) -> Vec<EntryHandle<C::Connection>> {
        self.slots.iter().filter_map(|(slot, _)| self.slots.handle(slot)).collect()
    }

    pub(super) fn counts_locked(&self, now: Instant) -> Counts {
        let slots = &self.slots;
        let expired = || {
            let live = slots.iter().filter_map(|(slot, _)| slots.live(slot));
            live.filter(|entry| entry.state.is_leased() && entry.has_expired(now)).count()
        };
        Counts {
            total: slots.total(),
            idle: slots.idle().len(),
            used: slots.used(),
            connecting: slots.connecting(),
            waiting: self.waiters.len(),
            oldest_wait: self.waiters.oldest_since().map(|since| now.saturating_duration_since(since)),
            queued: self.waiters.len().saturating_sub(self.under_way()),
            expired: if self.settings.max_lifetime.is_some() { expired() } else { 0 },
        }
    }

    fn lease_locked(
        &mut self,
        waiter: Waiter<C>,
        slot: usize,
        source: Source,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        let report_at = after(now, self.settings.leak_after).filter(|_| waiter.claim.may_leak());
        self.note_deadline_locked(report_at, actions);
        self.slots.set_state_locked(slot, EntryState::Leased { since: now, report_at });
        if let Some(handle) = self.slots.handle(slot) {
            self.statistics.grants += 1;
            let after = now.saturating_duration_since(waiter.since);
            actions.grant(Grant { waiter, handle, source, waited: after });
        }
    }

    fn time_out_locked(&mut self, waiter: Waiter<C>, waiting: usize, actions: &mut Actions<C>) {
        self.statistics.timeouts += 1;
        let phase = if self.under_way() > 0 { AcquirePhase::Connecting } else { AcquirePhase::Waiting };
        let unanswered = || self.timeout_error.clone().filter(|_| phase == AcquirePhase::Connecting);
        let last_error = self.connect_backoff.last_error().cloned();
        let last_connect_error =
            if waiter.is_impatient { last_error } else { last_error.or_else(unanswered) };
        actions.refuse(
            waiter,
            AcquireError::Timeout {
                total: self.slots.total(),
                idle: self.slots.idle().len(),
                used: self.slots.used(),
                waiting,
                last_connect_error,
                phase,
            },
        );
    }

    /// The connection on top of the idle stack, if it may be leased as it is.
    fn ready_idle(&self, now: Instant) -> Option<usize> {
        let &slot = self.slots.idle().last()?;
        let entry = self.slots.live(slot)?;
        let is_fresh = self
            .settings
            .check_after
            .is_none_or(|limit| now.saturating_duration_since(entry.verified) <= limit);
        let is_trusted = self.thawed_at.is_none_or(|at| entry.verified >= at);
        (is_fresh && is_trusted && !self.is_over(slot, now)).then_some(slot)
    }

    /// The limit of waiting claims, if a further one would exceed it. Claims with a connection under way do
    /// not count.
    fn reached_limit(&self, is_impatient: bool) -> Option<usize> {
        let queued = self.waiters.len().checked_sub(self.under_way())?;
        let has_idle = !self.slots.idle().is_empty() && self.slots.may_lease(None);
        let has_supply = has_idle || self.may_grow(is_impatient);
        self.settings.max_waiting.filter(|&most| !has_supply && queued >= most)
    }

    /// Whether a connect may be begun for a claim.
    fn may_grow(&self, is_impatient: bool) -> bool {
        let is_away = !is_impatient && self.connect_backoff.is_recovering();
        self.slots.has_room() && !self.is_denied && !is_away
    }

    /// Connections that will be free for a claim shortly.
    fn under_way(&self) -> usize {
        self.slots.connecting() + self.slots.checking()
    }

    /// Wakes the housekeeper if it would sleep past this deadline.
    fn note_deadline_locked(&mut self, deadline: Option<Instant>, actions: &mut Actions<C>) {
        if let Some(at) = deadline
            && self.wakes_at.is_none_or(|wakes_at| at < wakes_at)
        {
            self.wakes_at = Some(at);
            actions.wake = true;
        }
    }
}

fn after(now: Instant, delay: Option<Duration>) -> Option<Instant> {
    now.checked_add(delay?)
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
