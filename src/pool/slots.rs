//! The slot table: which connections exist, where each of them is, and the idle stack.
//!
//! A slot is free, reserved for an attempt to connect, or holds a connection. `reserve_slot_locked`
//! and `free_slot_locked` are the only ways in and out, so `total <= max` is decided here alone. A
//! connection is in exactly one [`Place`]; its number tells it from the former tenants of its slot.

use std::mem;
use std::sync::Arc;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Allowance;
use super::lease::Loan;

pub(super) enum Slot<K> {
    Free,
    Connecting(Attempt),
    Live(Tenant<K>),
}

/// An attempt to connect. Dropping `abort` stops it.
pub(super) struct Attempt {
    pub(super) number: u64,
    pub(super) begun: Instant,
    pub(super) deadline: Option<Instant>,
    pub(super) generation: u64,
    #[expect(dead_code, reason = "kept to be dropped: that stops the attempt")]
    pub(super) abort: oneshot::Sender<()>,
}

/// A connection and what decides over its future.
pub(super) struct Tenant<K> {
    pub(super) number: u64,
    pub(super) connection: K,
    pub(super) generation: u64,
    pub(super) uses: u64,
    pub(super) expires: Option<Instant>,
    /// When its last user left.
    pub(super) idle_since: Instant,
    /// When it was last known to answer.
    pub(super) verified: Instant,
    pub(super) place: Place,
}

impl<K> Tenant<K> {
    pub(super) fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Idle,
    /// Lent, to be reported at `report_at` if still lent then.
    Lent {
        since: Instant,
        report_at: Option<Instant>,
    },
    Checking,
    Resetting,
}

impl Place {
    pub(super) fn is_lent(self) -> bool {
        matches!(self, Self::Lent { .. })
    }
}

pub(super) struct Slots<K> {
    table: Vec<Slot<K>>,
    free: Vec<usize>,
    /// Idle slots by `idle_since`; the end is lent first.
    idle: Vec<usize>,
    max: usize,
    allowance: Option<Arc<dyn Allowance>>,
    next_number: u64,
    connecting: usize,
    lent: usize,
    checking: usize,
    resetting: usize,
}

impl<K: Clone> Slots<K> {
    pub(super) fn new(max: usize, allowance: Option<Arc<dyn Allowance>>) -> Self {
        Self {
            table: Vec::new(),
            free: Vec::new(),
            idle: Vec::new(),
            max,
            allowance,
            next_number: 1,
            connecting: 0,
            lent: 0,
            checking: 0,
            resetting: 0,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.table.len() - self.free.len()
    }

    pub(super) fn used(&self) -> usize {
        self.lent + self.checking + self.resetting
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

    pub(super) fn has_room(&self) -> bool {
        self.total() < self.max
    }

    /// Whether a connection that is free is to be given up for other pools.
    pub(super) fn is_one_claimed_back(&self) -> bool {
        self.allowance.as_ref().is_some_and(|allowance| allowance.claims_one_back())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Slot<K>)> {
        self.table.iter().enumerate()
    }

    /// Takes a slot for an attempt to connect, if there is room. Returns the slot and the number
    /// the connection will have.
    pub(super) fn reserve_slot_locked(
        &mut self,
        begun: Instant,
        deadline: Option<Instant>,
        generation: u64,
        abort: oneshot::Sender<()>,
    ) -> Option<(usize, u64)> {
        if !self.has_room() || self.allowance.as_ref().is_some_and(|allowance| !allowance.take()) {
            return None;
        }
        let number = self.next_number;
        self.next_number += 1;
        self.connecting += 1;
        let attempt = Slot::Connecting(Attempt { number, begun, deadline, generation, abort });
        let slot = if let Some(slot) = self.free.pop() {
            self.table[slot] = attempt;
            slot
        } else {
            self.table.push(attempt);
            self.table.len() - 1
        };
        Some((slot, number))
    }

    /// Empties a slot and returns what it held, to be disposed of outside the lock.
    pub(super) fn free_slot_locked(&mut self, slot: usize) -> Slot<K> {
        let former = mem::replace(&mut self.table[slot], Slot::Free);
        match &former {
            Slot::Free => return former,
            Slot::Connecting(_) => self.connecting -= 1,
            Slot::Live(tenant) => self.depart_locked(slot, tenant.place),
        }
        self.free.push(slot);
        if let Some(allowance) = &self.allowance {
            allowance.give_back();
        }
        former
    }

    /// Puts a new connection into the slot its attempt reserved, as being checked: the caller
    /// places it next.
    pub(super) fn move_in_locked(&mut self, slot: usize, tenant: Tenant<K>) -> Slot<K> {
        self.connecting -= 1;
        self.checking += 1;
        mem::replace(&mut self.table[slot], Slot::Live(Tenant { place: Place::Checking, ..tenant }))
    }

    pub(super) fn attempt(&self, slot: usize, number: u64) -> Option<&Attempt> {
        match self.table.get(slot) {
            Some(Slot::Connecting(attempt)) if attempt.number == number => Some(attempt),
            _ => None,
        }
    }

    pub(super) fn live(&self, slot: usize) -> Option<&Tenant<K>> {
        match self.table.get(slot) {
            Some(Slot::Live(tenant)) => Some(tenant),
            _ => None,
        }
    }

    /// The connection of that number, unless it has left.
    pub(super) fn tenant_mut(&mut self, slot: usize, number: u64) -> Option<&mut Tenant<K>> {
        match self.table.get_mut(slot) {
            Some(Slot::Live(tenant)) if tenant.number == number => Some(tenant),
            _ => None,
        }
    }

    /// A handle to the connection in that slot.
    pub(super) fn loan(&self, slot: usize) -> Option<Loan<K>> {
        self.live(slot).map(|tenant| Loan {
            slot,
            number: tenant.number,
            connection: tenant.connection.clone(),
        })
    }

    /// Moves a connection to another place.
    pub(super) fn place_locked(&mut self, slot: usize, place: Place) {
        let Some(Slot::Live(tenant)) = self.table.get_mut(slot) else { return };
        let former = mem::replace(&mut tenant.place, place);
        self.depart_locked(slot, former);
        match place {
            Place::Idle => self.stack_locked(slot),
            Place::Lent { .. } => self.lent += 1,
            Place::Checking => self.checking += 1,
            Place::Resetting => self.resetting += 1,
        }
    }

    fn depart_locked(&mut self, slot: usize, place: Place) {
        match place {
            Place::Idle => {
                if let Some(position) = self.idle.iter().rposition(|&other| other == slot) {
                    self.idle.remove(position);
                }
            }
            Place::Lent { .. } => self.lent -= 1,
            Place::Checking => self.checking -= 1,
            Place::Resetting => self.resetting -= 1,
        }
    }

    /// Keeps the idle stack sorted: a connection back from a check resumes its old rank.
    fn stack_locked(&mut self, slot: usize) {
        let since = |slot: usize| self.live(slot).map(|tenant| tenant.idle_since);
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
        if let Some(allowance) = &self.allowance {
            let taken = self.table.len() - self.free.len();
            (0..taken).for_each(|_| allowance.give_back());
        }
    }
}
