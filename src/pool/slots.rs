//! The slot table: the connections of a pool, the state of each, and the idle stack.
//!
//! A slot is free, reserved for an attempt to connect, or holds the entry of a connection.
//! `reserve_slot_locked` and `free_slot_locked` are the only ways in and out, so `total <= max` is decided
//! here alone. An entry is in exactly one [`EntryState`]; its number tells it from former entries of its
//! slot.

use std::mem;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{LeaseLimit, Quota};

pub(super) enum Slot<K> {
    Free,
    Connecting(ConnectAttempt),
    Live(Entry<K>),
}

/// An attempt to connect. Dropping `abort` stops its task.
pub(super) struct ConnectAttempt {
    pub(super) number: u64,
    pub(super) begun: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) generation: u64,
    #[expect(dead_code, reason = "kept to be dropped: that stops the attempt")]
    pub(super) abort: oneshot::Sender<()>,
}

/// A connection of the table, with its history as far as its future depends on it.
pub(super) struct Entry<K> {
    pub(super) number: u64,
    pub(super) connection: K,
    pub(super) generation: u64,
    pub(super) uses: u64,
    pub(super) expires: Option<Instant>,
    /// When its last lease ended.
    pub(super) idle_since: Instant,
    /// When the server last answered on it.
    pub(super) verified: Instant,
    pub(super) state: EntryState,
}

impl<K> Entry<K> {
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

/// A handle to an entry: its slot, its number, and the connection.
pub(super) struct EntryHandle<K> {
    pub(super) slot: usize,
    pub(super) number: u64,
    pub(super) connection: K,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EntryState {
    Idle,
    /// Leased; reported as overdue if it still is at `report_at`.
    Leased {
        since: Instant,
        report_at: Option<Instant>,
    },
    Checking,
    Resetting,
}

impl EntryState {
    pub(super) fn is_leased(self) -> bool {
        matches!(self, Self::Leased { .. })
    }
}

pub(super) struct Slots<K> {
    table: Vec<Slot<K>>,
    free: Vec<usize>,
    /// Idle slots by `idle_since`; the last is leased first.
    idle: Vec<usize>,
    max: usize,
    lease_limit: LeaseLimit,
    quota: Option<Arc<dyn Quota>>,
    next_number: u64,
    connecting: usize,
    leased: usize,
    checking: usize,
    resetting: usize,
}

impl<K: Clone> Slots<K> {
    pub(super) fn new(max: usize, quota: Option<Arc<dyn Quota>>) -> Self {
        Self {
            table: Vec::new(),
            free: Vec::new(),
            idle: Vec::new(),
            max,
            lease_limit: LeaseLimit::NONE,
            quota,
            next_number: 1,
            connecting: 0,
            leased: 0,
            checking: 0,
            resetting: 0,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.table.len() - self.free.len()
    }

    pub(super) fn used(&self) -> usize {
        self.leased + self.checking + self.resetting
    }

    pub(super) fn connecting(&self) -> usize {
        self.connecting
    }

    pub(super) fn checking(&self) -> usize {
        self.checking
    }

    pub(super) fn idle(&self) -> &[usize] {
        &self.idle
    }

    pub(super) fn set_max_locked(&mut self, max: usize) {
        self.max = max;
    }

    /// Sets the limit of leases; whether it is another one.
    pub(super) fn set_lease_limit_locked(&mut self, limit: LeaseLimit) -> bool {
        mem::replace(&mut self.lease_limit, limit) != limit
    }

    /// How many connections may be made: more than may be leased would serve nobody.
    pub(super) fn most(&self) -> usize {
        self.max.min(self.lease_limit.most)
    }

    /// How many connections there may be at this moment.
    pub(super) fn limit(&self) -> usize {
        self.quota.as_ref().map_or(self.most(), |quota| quota.limit().min(self.most()))
    }

    /// Whether a further connection may be leased, beside those that are. `returning`: this one comes back.
    pub(super) fn may_lease(&self, returning: Option<usize>) -> bool {
        let is_leased = |slot| self.live(slot).is_some_and(|entry| entry.state.is_leased());
        let leased = self.leased - usize::from(returning.is_some_and(is_leased));
        leased < self.lease_limit.most
    }

    /// Whether there are more connections than are to be kept, since `max` or the limit of leases was lowered.
    pub(super) fn is_over_full(&self) -> bool {
        self.total() > if self.lease_limit.closes_surplus { self.most() } else { self.max }
    }

    pub(super) fn has_room(&self) -> bool {
        self.total() < self.most()
    }

    /// Whether the quota asks for a connection back. True: one is to be closed now.
    pub(super) fn is_one_asked_back(&self) -> bool {
        self.quota.as_ref().is_some_and(|quota| quota.asks_one_back())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Slot<K>)> {
        self.table.iter().enumerate()
    }

    /// Reserves a slot for an attempt to connect, if there is room. Returns the slot and the number of the
    /// connection to be.
    pub(super) fn reserve_slot_locked(
        &mut self,
        begun: Instant,
        deadline: Option<Instant>,
        generation: u64,
        abort: oneshot::Sender<()>,
    ) -> Option<(usize, u64)> {
        if !self.has_room() || self.quota.as_ref().is_some_and(|quota| !quota.take()) {
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.connecting += 1;
        let attempt = Slot::Connecting(ConnectAttempt { number, begun, deadline, generation, abort });
        let slot = if let Some(slot) = self.free.pop() {
            self.table[slot] = attempt;
            slot
        } else {
            self.table.push(attempt);
            self.table.len() - 1
        };
        Some((slot, number))
    }

    /// Frees a slot and returns its content, to be dropped outside the lock.
    pub(super) fn free_slot_locked(&mut self, slot: usize) -> Slot<K> {
        let former = mem::replace(&mut self.table[slot], Slot::Free);
        match &former {
            Slot::Free => return former,
            Slot::Connecting(_) => self.connecting -= 1,
            Slot::Live(entry) => self.leave_state_locked(slot, entry.state),
        }
        self.free.push(slot);
        if let Some(quota) = &self.quota {
            quota.release();
        }
        former
    }

    /// Inserts a new connection into the slot that its attempt reserved, as being checked: the caller sets
    /// its state next.
    pub(super) fn insert_locked(&mut self, slot: usize, entry: Entry<K>) -> Slot<K> {
        self.connecting -= 1;
        self.checking += 1;
        mem::replace(&mut self.table[slot], Slot::Live(Entry { state: EntryState::Checking, ..entry }))
    }

    pub(super) fn attempts(&self) -> impl Iterator<Item = &ConnectAttempt> {
        self.table.iter().filter_map(|content| match content {
            Slot::Connecting(attempt) => Some(attempt),
            Slot::Free | Slot::Live(_) => None,
        })
    }

    pub(super) fn attempt(&self, slot: usize, number: u64) -> Option<&ConnectAttempt> {
        match self.table.get(slot) {
            Some(Slot::Connecting(attempt)) if attempt.number == number => Some(attempt),
            _ => None,
        }
    }

    pub(super) fn live(&self, slot: usize) -> Option<&Entry<K>> {
        match self.table.get(slot) {
            Some(Slot::Live(entry)) => Some(entry),
            _ => None,
        }
    }

    /// The entry of that number, unless it has left.
    pub(super) fn entry_mut(&mut self, slot: usize, number: u64) -> Option<&mut Entry<K>> {
        match self.table.get_mut(slot) {
            Some(Slot::Live(entry)) if entry.number == number => Some(entry),
            _ => None,
        }
    }

    /// A handle to the entry of that slot.
    pub(super) fn handle(&self, slot: usize) -> Option<EntryHandle<K>> {
        self.live(slot).map(|entry| EntryHandle {
            slot,
            number: entry.number,
            connection: entry.connection.clone(),
        })
    }

    /// Moves an entry to another state.
    pub(super) fn set_state_locked(&mut self, slot: usize, state: EntryState) {
        let Some(Slot::Live(entry)) = self.table.get_mut(slot) else { return };
        let former = mem::replace(&mut entry.state, state);
        self.leave_state_locked(slot, former);
        match state {
            EntryState::Idle => self.stack_locked(slot),
            EntryState::Leased { .. } => self.leased += 1,
            EntryState::Checking => self.checking += 1,
            EntryState::Resetting => self.resetting += 1,
        }
    }

    fn leave_state_locked(&mut self, slot: usize, state: EntryState) {
        match state {
            EntryState::Idle => {
                if let Some(position) = self.idle.iter().rposition(|&other| other == slot) {
                    self.idle.remove(position);
                }
            }
            EntryState::Leased { .. } => self.leased -= 1,
            EntryState::Checking => self.checking -= 1,
            EntryState::Resetting => self.resetting -= 1,
        }
    }

    /// Puts a slot on the idle stack, which stays sorted: a connection back from a check gets its old rank
    /// again.
    fn stack_locked(&mut self, slot: usize) {
        let since = |slot: usize| self.live(slot).map(|entry| entry.idle_since);
        let rank = match self.idle.last() {
            Some(&top) if since(top) > since(slot) => {
                self.idle.partition_point(|&other| since(other) <= since(slot))
            }
            _ => self.idle.len(),
        };
        self.idle.insert(rank, slot);
    }
}

impl<K> Drop for Slots<K> {
    fn drop(&mut self) {
        if let Some(quota) = &self.quota {
            let taken = self.table.len() - self.free.len();
            (0..taken).for_each(|_| quota.release());
        }
    }
}
