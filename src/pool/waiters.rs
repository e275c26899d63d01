//! The waiters: claims that wait, oldest first, and their deadlines.
//!
//! A claim that leaves early leaves a gap in the queue and a stale element in the heap of deadlines. Both are
//! swept once they outnumber the claims, so every operation is cheap on average, and no claim needs a timer
//! of its own.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tokio::time::Instant;

use super::{Claim, Connector, Patience};

/// Gaps that are not worth a sweep.
const SLACK: usize = 64;

pub(super) struct Waiter<C: Connector> {
    pub(super) ticket: u64,
    pub(super) since: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) patience: Patience,
    /// Whether it has a connect attempt of its own and bears its failure.
    pub(super) is_impatient: bool,
    /// The slot and the number of that attempt, of the last one where there were several.
    pub(super) attempt: Option<(usize, u64)>,
    pub(super) claim: Box<dyn Claim<C>>,
}

pub(super) struct Waiters<C: Connector> {
    /// Sorted by ticket.
    queue: VecDeque<(u64, Option<Waiter<C>>)>,
    present: usize,
    /// How many of them bear the failure of their own attempt.
    impatient: usize,
    deadlines: BinaryHeap<Reverse<(Instant, u64)>>,
}

impl<C: Connector> Waiters<C> {
    pub(super) fn new() -> Self {
        Self { queue: VecDeque::new(), present: 0, impatient: 0, deadlines: BinaryHeap::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.present
    }

    /// Whether claims without a patience of their own bear the failure of an attempt.
    pub(super) fn set_fail_fast_locked(&mut self, fail_fast: bool) {
        let waiters = self.queue.iter_mut().filter_map(|(_, waiter)| waiter.as_mut());
        self.impatient = waiters.fold(0, |count, waiter| {
            waiter.is_impatient = fail_fast && waiter.patience == Patience::AsPool;
            count + usize::from(waiter.is_impatient)
        });
    }

    /// From now on no claim bears the failure of an attempt: those who did have this patience.
    pub(super) fn calm_locked(&mut self, patience: Patience) {
        let waiters = self.queue.iter_mut().filter_map(|(_, waiter)| waiter.as_mut());
        for waiter in waiters.filter(|waiter| waiter.is_impatient) {
            waiter.is_impatient = false;
            waiter.patience = patience;
        }
        self.impatient = 0;
    }

    /// How many claims bear the failure of their own attempt.
    pub(super) fn impatient(&self) -> usize {
        self.impatient
    }

    /// Gives the attempt to the oldest claim that bears failures and whose own attempt, if it has one, is not
    /// `awaited`. Returns whether there was one.
    pub(super) fn assign_attempt_locked(
        &mut self,
        attempt: (usize, u64),
        awaited: impl Fn((usize, u64)) -> bool,
    ) -> bool {
        let mut waiters = self.queue.iter_mut().filter_map(|(_, waiter)| waiter.as_mut());
        let unserved = |waiter: &&mut Waiter<C>| waiter.is_impatient && !waiter.attempt.is_some_and(&awaited);
        let Some(waiter) = waiters.find(unserved) else { return false };
        waiter.attempt = Some(attempt);
        true
    }

    /// The same, counted anew.
    #[cfg(test)]
    pub(super) fn count_impatient(&self) -> usize {
        let waiters = self.queue.iter().filter_map(|(_, waiter)| waiter.as_ref());
        waiters.filter(|waiter| waiter.is_impatient).count()
    }

    /// Since when the oldest claim waits.
    pub(super) fn oldest_since(&self) -> Option<Instant> {
        self.queue.iter().find_map(|(_, waiter)| Some(waiter.as_ref()?.since))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.present == 0
    }

    /// Queues a claim at the rank of its ticket: new ones last, returning ones where they were.
    pub(super) fn insert_locked(&mut self, waiter: Waiter<C>) {
        let ticket = waiter.ticket;
        if let Some(deadline) = waiter.deadline {
            self.deadlines.push(Reverse((deadline, ticket)));
        }
        self.present += 1;
        self.impatient += usize::from(waiter.is_impatient);
        let entry = (ticket, Some(waiter));
        if self.queue.back().is_none_or(|last| last.0 < ticket) {
            self.queue.push_back(entry);
        } else {
            match self.queue.binary_search_by_key(&ticket, |entry| entry.0) {
                Ok(gap) => self.queue[gap] = entry,
                Err(rank) => self.queue.insert(rank, entry),
            }
        }
        self.sweep_locked();
    }

    pub(super) fn pop_oldest_locked(&mut self) -> Option<Waiter<C>> {
        if self.present == 0 {
            return None;
        }
        while let Some((_, entry)) = self.queue.pop_front() {
            if let Some(waiter) = entry {
                self.count_out_locked(&waiter);
                return Some(waiter);
            }
        }
        None
    }

    /// Takes out all claims for which `is_meant` holds.
    pub(super) fn drain_where_locked(&mut self, is_meant: impl Fn(&Waiter<C>) -> bool) -> Vec<Waiter<C>> {
        let entries = self.queue.iter_mut();
        let meant: Vec<_> =
            entries.filter_map(|(_, entry)| entry.take_if(|waiter| is_meant(waiter))).collect();
        for waiter in &meant {
            self.count_out_locked(waiter);
        }
        meant
    }

    /// Takes out the oldest claim for which `is_meant` holds.
    pub(super) fn pop_where_locked(&mut self, is_meant: impl Fn(&Waiter<C>) -> bool) -> Option<Waiter<C>> {
        let meant = |entry: &&(u64, Option<Waiter<C>>)| entry.1.as_ref().is_some_and(&is_meant);
        let ticket = self.queue.iter().find(meant)?.0;
        self.remove_locked(ticket)
    }

    fn count_out_locked(&mut self, waiter: &Waiter<C>) {
        self.present -= 1;
        self.impatient -= usize::from(waiter.is_impatient);
    }

    pub(super) fn remove_locked(&mut self, ticket: u64) -> Option<Waiter<C>> {
        let rank = self.queue.binary_search_by_key(&ticket, |entry| entry.0).ok()?;
        let waiter = self.queue[rank].1.take()?;
        self.count_out_locked(&waiter);
        Some(waiter)
    }

    /// The next claim whose deadline has passed; none: no such claim is left.
    pub(super) fn pop_expired_locked(&mut self, now: Instant) -> Option<Waiter<C>> {
        while self.next_deadline_locked()? <= now {
            let Reverse((_, ticket)) = self.deadlines.pop()?;
            if let Some(waiter) = self.remove_locked(ticket) {
                return Some(waiter);
            }
        }
        None
    }

    pub(super) fn next_deadline_locked(&mut self) -> Option<Instant> {
        while let Some(&Reverse((deadline, ticket))) = self.deadlines.peek() {
            if self.is_waiting(ticket) {
                return Some(deadline);
            }
            self.deadlines.pop();
        }
        None
    }

    fn is_waiting(&self, ticket: u64) -> bool {
        self.queue
            .binary_search_by_key(&ticket, |entry| entry.0)
            .is_ok_and(|rank| self.queue[rank].1.is_some())
    }

    fn sweep_locked(&mut self) {
        let most = 2 * self.present + SLACK;
        if self.queue.len() > most {
            self.queue.retain(|entry| entry.1.is_some());
        }
        if self.deadlines.len() > most {
            let mut deadlines = std::mem::take(&mut self.deadlines);
            deadlines.retain(|Reverse((_, ticket))| self.is_waiting(*ticket));
            self.deadlines = deadlines;
        }
    }
}
