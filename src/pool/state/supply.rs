//! The supply of connections: which are made or checked, for whom, and the outcome of that.
//!
//! Connects under way never exceed what waiting claims and `min` need, but for those that a silent server
//! does not answer. The oldest claim takes the connection. A failure is for the claim that the attempt was begun
//! for, where that one bears failures; where it waits no more, the failure is nobody's.

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::super::connect_task::{ConnectFailure, ConnectTask};
use super::super::slots::Entry;
use super::{
    AcquireError, Actions, CALM, Condition, Connector, Duration, EntryState, Need, Outlook, Patience,
    PoolState, Purpose, Source, Waiter, after,
};

/// The longest time that a connection past its lifetime waits for its successor.
pub(super) const SUCCESSION: Duration = Duration::from_secs(30);
/// An attempt that takes longer during an outage does not hold back the next one: its packets may have been
/// lost, and the server be back.
const HUNG_AFTER: Duration = Duration::from_secs(1);

impl<C: Connector> PoolState<C> {
    /// Serves claims from the idle stack, and begins the connects that are missing.
    pub(in super::super) fn supply_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        if !self.is_open() {
            return;
        }
        self.serve_from_idle_locked(now, actions);
        self.is_denied = false;
        while self.wants_attempt(now) {
            let deadline = after(now, self.settings.connect_timeout);
            let (abort, aborted) = oneshot::channel();
            let reserved = self.slots.reserve_slot_locked(now, deadline, self.generation, abort);
            let Some((slot, number)) = reserved else {
                self.is_denied = self.slots.has_room();
                break;
            };
            self.note_deadline_locked(deadline, actions);
            self.assign_attempt_locked(slot, number, now);
            actions.rare().connects.push(ConnectTask { slot, number, aborted });
        }
        if !self.has_claim_to_supply() && !self.needs_filling(now) {
            self.connect_backoff.recovered();
        }
        let deadline = self.supply_deadline_locked(now);
        self.note_deadline_locked(deadline, actions);
    }

    /// Gives an attempt to the oldest claim that bears failures and has none under way; where all have one, to the
    /// oldest whose own hangs. So somebody hears of each failure, and connecting stops with the claims.
    fn assign_attempt_locked(&mut self, slot: usize, number: u64, now: Instant) {
        if self.waiters.impatient() == 0 {
            return;
        }
        let slots = &self.slots;
        let begun = |(slot, number)| slots.attempt(slot, number).map(|attempt| attempt.begun);
        let waiters = &mut self.waiters;
        if !waiters.assign_attempt_locked((slot, number), |own| begun(own).is_some()) {
            let is_answering = |own| begun(own).is_some_and(|begun| begun + HUNG_AFTER > now);
            waiters.assign_attempt_locked((slot, number), is_answering);
        }
    }

    /// Serves claims from the idle stack: leases ready connections, checks those that were idle for long,
    /// closes expired ones.
    fn serve_from_idle_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        while !self.waiters.is_empty()
            && self.slots.may_lease(None)
            && let Some(&slot) = self.slots.idle().last()
        {
            if let Some(reason) = self.reason_to_close(slot, Condition::Fit, now) {
                self.close_locked(slot, reason, actions);
            } else if self.ready_idle(now).is_some() {
                if let Some(waiter) = self.waiters.pop_oldest_locked() {
                    self.lease_locked(waiter, slot, Source::Idle, now, actions);
                }
            } else if self.slots.checking() < self.waiters.len() {
                self.recycle_locked(slot, Purpose::Check, actions);
            } else {
                break;
            }
        }
    }

    fn wants_attempt(&self, now: Instant) -> bool {
        let connecting = self.slots.connecting();
        let in_the_way = connecting - self.hung_attempts(now);
        let is_missed = self.waiters.len() > in_the_way + self.slots.checking();
        let for_a_claim = is_missed && self.may_attempt(now, in_the_way);
        let to_fill = self.needs_filling(now) && self.connect_backoff.allows_filling(now, connecting);
        for_a_claim || to_fill
    }

    /// Whether an attempt for a claim may begin. Claims that bear the first failure do not wait for the end
    /// of a backoff: each has its attempt.
    fn may_attempt(&self, now: Instant, connecting: usize) -> bool {
        self.waiters.impatient() > connecting || self.connect_backoff.allows_attempt(now, connecting)
    }

    /// Attempts that have not been answered for long, while the number of attempts is limited.
    fn hung_attempts(&self, now: Instant) -> usize {
        let connecting = self.slots.connecting();
        if connecting == 0 || !self.connect_backoff.spares(connecting) {
            return 0;
        }
        self.slots.attempts().filter(|attempt| attempt.begun + HUNG_AFTER <= now).count()
    }

    /// When the next attempt becomes one of them.
    fn next_hung_at(&self, now: Instant) -> Option<Instant> {
        let is_waited_for = !self.waiters.is_empty() && self.slots.has_room();
        if !is_waited_for || !self.connect_backoff.spares(self.slots.connecting()) {
            return None;
        }
        self.slots.attempts().map(|attempt| attempt.begun + HUNG_AFTER).filter(|&at| at > now).min()
    }

    fn has_claim_to_supply(&self) -> bool {
        self.waiters.len() > self.under_way()
    }

    /// Reports the need to the quota, where there is one.
    pub(in super::super) fn report_locked(&mut self, now: Instant) {
        let Some(quota) = &self.settings.quota else { return };
        let connecting = self.slots.connecting();
        let wanted = if self.is_open() && self.may_attempt(now, connecting) {
            let missing = self.waiters.len().saturating_sub(self.under_way());
            missing.min(self.slots.most().saturating_sub(self.slots.total()))
        } else {
            0
        };
        let since = if wanted > 0 { self.waiters.oldest_since() } else { None };
        let need = Need { wanted, since, idle: self.slots.idle().len() };
        if std::mem::replace(&mut self.reported, need) != need {
            quota.report(need);
        }
    }

    /// Whether there are fewer connections than the minimum. Those past their lifetime do not count: they are
    /// replaced before they are closed.
    fn needs_filling(&self, now: Instant) -> bool {
        if !self.settings.prefill || !self.slots.has_room() {
            return false;
        }
        let (total, min) = (self.slots.total(), self.settings.min);
        total < min || (self.settings.max_lifetime.is_some() && total - self.expired(now) < min)
    }

    /// Connections past their lifetime, in whatever state.
    fn expired(&self, now: Instant) -> usize {
        let live = self.slots.iter().filter_map(|(slot, _)| self.slots.live(slot));
        live.filter(|entry| entry.has_expired(now)).count()
    }

    /// Whether an idle connection past its lifetime stays until its successor is there. It does not stay
    /// where there is no room for one, and not longer than [`SUCCESSION`].
    pub(super) fn awaits_successor(&self, expires: Instant, now: Instant) -> bool {
        let there = self.slots.total() - self.slots.connecting();
        let is_missed = self.settings.prefill && there <= self.settings.min;
        let may_come = self.slots.connecting() > 0 || (self.slots.has_room() && !self.is_denied);
        is_missed && may_come && now < expires + SUCCESSION
    }

    /// When `supply_locked` is to run again: at the end of a backoff, and regularly while claims wait, there
    /// is room, and nothing is being made.
    pub(super) fn supply_deadline_locked(&mut self, now: Instant) -> Option<Instant> {
        // A check serves one claim and wakes nobody else.
        let is_starved = self.has_claim_to_supply() && self.slots.has_room() && self.slots.connecting() == 0;
        if !is_starved {
            self.stalled_since = None;
            let filling_at = self.connect_backoff.retry_at(false).filter(|&at| at > now);
            let filling_at = filling_at.filter(|_| self.needs_filling(now));
            return filling_at.into_iter().chain(self.next_hung_at(now)).min();
        }
        self.stalled_since.get_or_insert(now);
        let tick = after(now, Some(Self::TICK));
        self.connect_backoff.retry_at(true).filter(|&at| at > now).into_iter().chain(tick).min()
    }

    pub(in super::super) fn forget_delay_locked(&mut self) {
        self.connect_backoff.forget_delay();
    }

    /// Restarts connecting where it has stopped although claims wait.
    pub(super) fn restart_if_stalled_locked(&mut self, now: Instant) {
        if let Some(since) = self.stalled_since
            && now.saturating_duration_since(since) >= Self::STALL
            && !self.is_denied
        {
            self.stalled_since = None;
            self.statistics.restarts += 1;
            self.connect_backoff.forget_delay();
        }
    }

    const TICK: Duration = Duration::from_secs(1);
    const STALL: Duration = Duration::from_secs(2);

    pub(in super::super) fn connected_locked(
        &mut self,
        slot: usize,
        number: u64,
        connection: C::Connection,
        condition: Condition,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        // The attempt timed out, or the pool ended, at the moment when the connection was ready.
        let Some(attempt) = self.slots.attempt(slot, number) else {
            actions.rare().closes.push((connection, super::CloseReason::Drained));
            return;
        };
        let generation = attempt.generation;
        let entry = Entry {
            number,
            connection,
            generation,
            uses: 0,
            expires: self.next_expiry_locked(now),
            idle_since: now,
            verified: now,
            state: EntryState::Checking,
        };
        actions.rare().emptied.push(self.slots.insert_locked(slot, entry));
        self.connect_backoff.succeeded();
        self.failing_over_at = None;
        self.statistics.opened += 1;
        self.dispose_locked(slot, condition, now, actions);
        self.close_replaced_locked(now, actions);
        self.supply_locked(now, actions);
    }

    /// Ends an attempt that failed. The claim that it was begun for gets the error, where it bears failures and
    /// still waits.
    pub(in super::super) fn attempt_failed_locked(
        &mut self,
        slot: usize,
        number: u64,
        failure: ConnectFailure<C::Error>,
        outlook: Outlook,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        let Some(attempt) = self.slots.attempt(slot, number) else { return };
        let begun = attempt.begun;
        let was_tried = outlook != Outlook::NotTried;
        self.statistics.connect_failures += u64::from(was_tried);
        let (error, acquire_error) = match failure {
            // Where no connect was tried, the error of the last one says more.
            ConnectFailure::Error(error) => (was_tried.then(|| error.clone()), AcquireError::Connect(error)),
            ConnectFailure::Timeout => (self.timeout_error.clone(), AcquireError::ConnectTimeout),
            ConnectFailure::Lost => (None, AcquireError::ConnectLost),
        };
        // With no further attempt to come, waiting is pointless.
        let is_hopeless = !self.is_open() || matches!(acquire_error, AcquireError::ConnectLost);
        let has_connections = self.slots.total() > self.slots.connecting();
        let is_failover = outlook == Outlook::Failover && self.statistics.opened > 0;
        self.failing_over_at = is_failover.then_some(now);
        if is_failover || (outlook == Outlook::Shortage && has_connections) {
            self.waiters.calm_locked(CALM);
        }
        self.connect_backoff.failed(begun, now, error, outlook, has_connections, &mut self.jitter);
        let emptied = self.slots.free_slot_locked(slot);
        actions.rare().emptied.push(emptied);
        let bearer = if is_hopeless {
            self.waiters.pop_oldest_locked()
        } else {
            self.waiters
                .pop_where_locked(|waiter| waiter.is_impatient && waiter.attempt == Some((slot, number)))
        };
        if let Some(waiter) = bearer {
            actions.refuse(waiter, acquire_error.clone());
        }
        // Others wait for nothing where there is nobody who could return a connection.
        if !has_connections {
            self.refuse_out_of_patience_locked(&acquire_error, outlook, now, actions);
        }
        self.finish_drain_locked(actions);
    }

    /// Refuses the claims that do not wait for the next attempt: all of them where it would fail again, else
    /// those whose patience is over.
    fn refuse_out_of_patience_locked(
        &mut self,
        acquire_error: &AcquireError<C::Error>,
        outlook: Outlook,
        now: Instant,
        actions: &mut Actions<C>,
    ) {
        let last_error = self.connect_backoff.last_error().filter(|_| outlook != Outlook::Lasts);
        let last_error = last_error.cloned().map(AcquireError::Connect);
        let is_lost = matches!(acquire_error, AcquireError::ConnectLost);
        let is_final = outlook == Outlook::Lasts && !is_lost && self.slots.connecting() == 0;
        let is_proven = self.statistics.opened > 0;
        let is_over = |waiter: &Waiter<C>| match waiter.patience {
            _ if waiter.is_impatient => false,
            _ if is_final => true,
            Patience::For(time) if !is_proven || waiter.deadline.is_none() => {
                after(waiter.since, Some(time)).is_some_and(|at| at <= now)
            }
            Patience::For(_) | Patience::AsPool | Patience::ToDeadline => false,
        };
        for waiter in self.waiters.drain_where_locked(is_over) {
            actions.refuse(waiter, last_error.as_ref().unwrap_or(acquire_error).clone());
        }
    }

    fn next_expiry_locked(&mut self, now: Instant) -> Option<Instant> {
        let lifetime = self.settings.max_lifetime?;
        let share = 1.0 - self.settings.lifetime_jitter * self.jitter.share();
        let shortened = Duration::try_from_secs_f64(lifetime.as_secs_f64() * share).unwrap_or(lifetime);
        after(now, Some(shortened))
    }
}
