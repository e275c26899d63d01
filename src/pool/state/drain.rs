//! The end of a pool: open, draining, closed, in this order and never back.
//!
//! A drain waits for leased connections, and for connects that are under way: as many of the oldest claims
//! are still served. It is over when every slot is free. At its deadline it has what runs on leased
//! connections cancelled, and a second later it closes them.

use std::time::Duration;

use tokio::time::Instant;

use super::super::slots::Slot;
use super::{AcquireError, Actions, CloseReason, Connector, Done, Life, PoolState, after};

/// The time that a cancelled statement has to end.
const INTERRUPTION: Duration = Duration::from_secs(1);

impl<C: Connector> PoolState<C> {
    pub(in super::super) fn end_locked(&mut self, done: Done, now: Instant, actions: &mut Actions<C>) {
        match &mut self.life {
            Life::Closed => actions.rare().done.push(done),
            Life::Draining { done: others, .. } => others.push(done),
            Life::Open => {
                let deadline = after(now, self.settings.drain);
                self.life = Life::Draining { deadline, is_interrupted: false, done: vec![done] };
                self.note_deadline_locked(deadline, actions);
                let served = self.slots.connecting();
                self.refuse_beyond_locked(served, actions);
                self.stop_attempts_beyond_locked(self.waiters.len(), actions);
                self.close_idle_locked(CloseReason::Drained, actions);
                self.finish_drain_locked(actions);
            }
        }
    }

    /// Closes at once: leased connections are closed when they come back.
    pub(in super::super) fn abandon_locked(&mut self, actions: &mut Actions<C>) {
        if let Life::Draining { done, .. } = std::mem::replace(&mut self.life, Life::Closed) {
            actions.rare().done.extend(done);
        }
        self.empty_locked(actions);
    }

    /// Ends a drain that has taken too long: first it has what runs cancelled, a second later it closes what
    /// is left.
    pub(super) fn end_drain_if_due_locked(&mut self, now: Instant, actions: &mut Actions<C>) {
        let Life::Draining { deadline: Some(at), is_interrupted, .. } = &mut self.life else { return };
        if *at > now {
            return;
        }
        if *is_interrupted {
            return self.close_out_locked(actions);
        }
        *is_interrupted = true;
        *at = now + INTERRUPTION;
        self.empty_locked(actions);
        let slots = self.slots.iter().filter_map(|(slot, _)| Some((slot, self.slots.live(slot)?)));
        let leased = slots
            .filter(|(_, entry)| entry.state.is_leased())
            .filter_map(|(slot, _)| self.slots.handle(slot));
        let leased: Vec<_> = leased.map(|handle| handle.connection).collect();
        if leased.is_empty() {
            self.close_out_locked(actions);
        } else {
            actions.rare().interrupts = leased;
        }
    }

    /// Closes the connections that are still leased.
    pub(in super::super) fn close_out_locked(&mut self, actions: &mut Actions<C>) {
        if !matches!(self.life, Life::Draining { .. }) {
            return;
        }
        self.empty_locked(actions);
        let taken: Vec<_> =
            self.slots.iter().filter_map(|(slot, _)| self.slots.live(slot).map(|_| slot)).collect();
        for slot in taken {
            self.close_locked(slot, CloseReason::Drained, actions);
        }
        self.finish_drain_locked(actions);
    }

    /// Completes a drain once no slot is taken.
    pub(super) fn finish_drain_locked(&mut self, actions: &mut Actions<C>) {
        if self.slots.total() > 0 || !matches!(self.life, Life::Draining { .. }) {
            return;
        }
        self.refuse_beyond_locked(0, actions);
        if let Life::Draining { done, .. } = std::mem::replace(&mut self.life, Life::Closed) {
            actions.rare().done.extend(done);
        }
    }

    /// Refuses all claims, stops all attempts and closes all idle connections.
    fn empty_locked(&mut self, actions: &mut Actions<C>) {
        self.refuse_beyond_locked(0, actions);
        self.stop_attempts_beyond_locked(0, actions);
        self.close_idle_locked(CloseReason::Drained, actions);
    }

    /// Refuses all claims but the `kept` oldest.
    fn refuse_beyond_locked(&mut self, kept: usize, actions: &mut Actions<C>) {
        let oldest: Vec<_> = (0..kept).map_while(|_| self.waiters.pop_oldest_locked()).collect();
        while let Some(waiter) = self.waiters.pop_oldest_locked() {
            let last_connect_error = self.connect_backoff.last_error().cloned();
            actions.refuse(waiter, AcquireError::Closed { last_connect_error });
        }
        for waiter in oldest {
            self.waiters.insert_locked(waiter);
        }
    }

    /// Stops all attempts to connect but `kept` of them.
    fn stop_attempts_beyond_locked(&mut self, kept: usize, actions: &mut Actions<C>) {
        let connecting: Vec<_> = self
            .slots
            .iter()
            .filter_map(|(slot, content)| matches!(content, Slot::Connecting(_)).then_some(slot))
            .skip(kept)
            .collect();
        for slot in connecting {
            let emptied = self.slots.free_slot_locked(slot);
            actions.rare().emptied.push(emptied);
        }
    }
}
