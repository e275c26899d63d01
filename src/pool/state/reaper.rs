//! The sweep of the housekeeper, for everything that happens because time passed: timeouts, reaping, checks
//! of idle connections, reports of leaks, the end of a drain.

use std::time::SystemTime;

use tokio::time::Instant;

use super::super::connect_task::ConnectFailure;
use super::super::slots::Slot;
use super::supply::SUCCESSION;
use super::{Actions, CloseReason, Connector, EntryState, Life, Outlook, PoolState, Purpose, after};

impl<C: Connector> PoolState<C> {
    /// Whether a sweep is due.
    pub(in super::super) fn is_due(&self, now: Instant) -> bool {
        self.wakes_at.is_some_and(|at| at <= now)
    }

    /// Does everything that is due, and returns when the next sweep is.
    ///
    /// Attempts go first: a claim whose connect timed out fails with that, even where its deadline is the
    /// same instant.
    pub(in super::super) fn sweep_locked(
        &mut self,
        now: Instant,
        actions: &mut Actions<C>,
    ) -> Option<Instant> {
        self.stop_attempts_locked(now, actions);
        while let Some(waiter) = self.waiters.pop_expired_locked(now) {
            let waiting = self.waiters.len() + 1;
            self.time_out_locked(waiter, waiting, actions);
        }
        self.look_at_clock_locked(now, actions);
        self.reap_locked(now, actions);
        self.report_overdue_locked(now, actions);
        self.end_drain_if_due_locked(now, actions);
        self.restart_if_stalled_locked(now);
        self.supply_locked(now, actions);
        self.wakes_at = self.next_deadline_locked(now);
        // The housekeeper is the caller and needs no waking.
        actions.wake = false;
        self.wakes_at
    }

    fn stop_attempts_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        let overdue: Vec<_> = self
            .slots
            .iter()
            .filter_map(|(slot, content)| match content {
                Slot::Connecting(attempt) if attempt.deadline.is_some_and(|at| at <= now) => {
                    Some((slot, attempt.number))
                }
                _ => None,
            })
            .collect();
        for (slot, number) in overdue {
            self.attempt_failed_locked(slot, number, ConnectFailure::Timeout, Outlook::Passes, now, actions);
        }
    }

    /// Closes idle connections past their lifetime or, above `min`, past the idle timeout; checks those that
    /// a firewall may soon forget.
    fn reap_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        let is_due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        // The longest idle go first.
        for slot in self.slots.idle().to_vec() {
            let Some(entry) = self.slots.live(slot) else { continue };
            if self.is_over(slot, now) {
                self.close_locked(slot, CloseReason::Lifetime, actions);
            } else if self.may_reap_idle() && is_due(after(entry.idle_since, self.settings.idle_timeout)) {
                self.close_locked(slot, CloseReason::Idle, actions);
            } else if is_due(after(entry.verified, self.settings.keepalive_after)) {
                self.recycle_locked(slot, Purpose::Check, actions);
            }
        }
    }

    /// Looks whether the process has stood still; then no idle connection is trusted.
    fn look_at_clock_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        if self.slots.idle().is_empty() {
            self.clock_gap.stop();
        } else if self.clock_gap.due().is_some_and(|at| at <= now)
            && self.clock_gap.look(now, SystemTime::now())
        {
            self.check_all_idle_locked(now, actions);
        }
    }

    /// Checks every idle connection, all at the same time.
    pub(super) fn check_all_idle_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        self.thawed_at = Some(now);
        self.clock_gap.stop();
        for slot in self.slots.idle().to_vec() {
            self.recycle_locked(slot, Purpose::Check, actions);
        }
    }

    fn may_reap_idle(&self) -> bool {
        self.slots.total() > self.settings.min && !self.idle_timeout_held
    }

    /// Suspends the idle timeout while `held`.
    pub(in super::super) fn hold_idle_timeout_locked(
        &mut self,
        held: bool,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        self.idle_timeout_held = held;
        for slot in self.slots.idle().to_vec() {
            let deadline = self.idle_deadline(slot, now);
            self.note_deadline_locked(deadline, actions);
        }
    }

    /// Closes idle connections past their lifetime whose successor is there.
    pub(super) fn close_replaced_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        if self.settings.max_lifetime.is_none() {
            return;
        }
        for slot in self.slots.idle().to_vec() {
            if self.is_over(slot, now) {
                self.close_locked(slot, CloseReason::Lifetime, actions);
            }
        }
    }

    /// Whether an idle connection is past its lifetime and waits for no successor.
    pub(super) fn is_over(&self, slot: usize, now: Instant) -> bool {
        let expires = self.slots.live(slot).and_then(|entry| entry.expires);
        expires.is_some_and(|at| at <= now && !self.awaits_successor(at, now))
    }

    fn report_overdue_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        if self.settings.leak_after.is_none() {
            return;
        }
        let mut reported = Vec::new();
        for (slot, entry) in self.slots.iter().filter_map(|(slot, _)| Some((slot, self.slots.live(slot)?))) {
            if let EntryState::Leased { since, report_at: Some(at) } = entry.state
                && at <= now
            {
                reported.push((slot, since));
                let held = now.saturating_duration_since(since);
                actions.rare().overdue.push((entry.connection.clone(), held));
            }
        }
        for (slot, since) in reported {
            self.slots.set_state_locked(slot, EntryState::Leased { since, report_at: None });
        }
    }

    pub(super) fn next_deadline_locked(&mut self, now: Instant) -> Option<Instant> {
        let drain = match self.life {
            Life::Draining { deadline, .. } => deadline,
            Life::Open | Life::Closed => None,
        };
        let claims = self.waiters.next_deadline_locked();
        let supply = if self.is_open() { self.supply_deadline_locked(now) } else { None };
        let slots = self.slots.iter().filter_map(|(slot, content)| match content {
            Slot::Free => None,
            Slot::Connecting(attempt) => attempt.deadline,
            Slot::Live(entry) => match entry.state {
                EntryState::Idle => self.idle_deadline(slot, now),
                EntryState::Leased { report_at, .. } => report_at,
                EntryState::Checking | EntryState::Resetting => None,
            },
        });
        let clock = self.clock_gap.due().filter(|_| !self.slots.idle().is_empty());
        slots.chain(drain).chain(claims).chain(supply).chain(clock).min()
    }

    /// When an idle connection is to be closed or checked. Its idle timeout counts only above `min`; it
    /// cannot begin to count later without this being asked again, since nothing is idle while a further
    /// connection is made.
    pub(super) fn idle_deadline(&self, slot: usize, now: Instant) -> Option<Instant> {
        let entry = self.slots.live(slot)?;
        let timeout = after(entry.idle_since, self.settings.idle_timeout).filter(|_| self.may_reap_idle());
        let keepalive = after(entry.verified, self.settings.keepalive_after);
        let expires = entry.expires.map(|at| if at <= now { at + SUCCESSION } else { at });
        expires.into_iter().chain(timeout).chain(keepalive).min()
    }
}
