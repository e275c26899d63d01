//! The invariants of the state, recounted for the tests: the counters agree with the slots.

use super::super::slots::{EntryState, Slot};
use super::{Connector, Instant, PoolState};

impl<C: Connector> PoolState<C> {
    pub(in super::super) fn check_invariants_locked(&mut self) {
        let next = self.next_deadline_locked(Instant::now());
        assert!(
            next.is_none() || self.wakes_at.is_some_and(|wakes_at| Some(wakes_at) <= next),
            "the housekeeper sleeps past a deadline: {:?} > {next:?}",
            self.wakes_at
        );
        let mut connecting = 0;
        let mut used = 0;
        let mut checking = 0;
        let mut idle = Vec::new();
        for (slot, content) in self.slots.iter() {
            match content {
                Slot::Free => {}
                Slot::Connecting(_) => connecting += 1,
                Slot::Live(entry) => match entry.state {
                    EntryState::Idle => idle.push((slot, entry.idle_since)),
                    EntryState::Checking => {
                        checking += 1;
                        used += 1;
                    }
                    EntryState::Leased { .. } | EntryState::Resetting => used += 1,
                },
            }
        }
        let counts = self.counts_locked(Instant::now());
        assert_eq!((connecting, used, idle.len()), (counts.connecting, counts.used, counts.idle));
        assert_eq!(checking, self.slots.checking());
        assert_eq!(counts.total, connecting + used + idle.len());
        // Above a `max` that was lowered there are only connections that somebody has.
        assert!(
            counts.total <= self.settings.max || idle.is_empty(),
            "more connections than max: {counts:?}"
        );
        let mut stacked = self.slots.idle().to_vec();
        assert!(stacked.is_sorted_by_key(|&slot| self.slots.live(slot).map(|entry| entry.idle_since)));
        stacked.sort_unstable();
        assert!(stacked.iter().copied().eq(idle.iter().map(|entry| entry.0)));
        let present = self.waiters.count_impatient();
        assert_eq!(self.waiters.impatient(), present, "claims that bear the first failure");
        if self.is_open() && self.waiters.impatient() == self.waiters.len() {
            let is_served = self.waiters.is_empty()
                || self.is_denied
                || counts.total >= self.slots.most()
                || self.under_way() >= self.waiters.len();
            assert!(is_served, "claims wait although there is room: {counts:?}");
            assert!(
                idle.is_empty() || !self.slots.may_lease(None) || self.waiters.len() <= self.under_way(),
                "claims wait beside idle connections: {counts:?}"
            );
        }
    }
}
