//! A quota of connections that several pools share.
//!
//! Each member has a guarantee; the connections beyond the guarantees go to members that wait, by rank. A
//! member that has waited for long is served before all others, so that nobody starves. To make room, idle
//! connections of lower ranks are given up first, then those that are returned.
//!
//! Invariant: the sum of `max(held, guarantee)` over the members never exceeds the total, so a guarantee can
//! always be taken up.

use std::{
    fmt,
    sync::{
        Arc, OnceLock, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Need, Quota};

/// A member that has waited this long goes first.
pub(super) const LONG_WAIT: Duration = Duration::from_secs(2);
/// Room is made again after this time while a member waits, even if no report has come.
const TICK: Duration = Duration::from_millis(100);

/// A quota, which lives as long as one of its members.
pub struct SharedQuota {
    total: usize,
    /// Connections kept by rank for members that have not joined yet, or have left.
    reserved: Vec<usize>,
    members: Mutex<Vec<Option<MemberState>>>,
    /// Wakes the task that makes room.
    wakeup: Arc<Notify>,
}

/// A member, as the quota knows it.
struct MemberState {
    guarantee: usize,
    rank: usize,
    held: usize,
    /// Connects that it would begin at once.
    wanted: usize,
    /// The value of `wanted` when room was last made.
    planned: usize,
    /// Connections that nobody uses.
    idle: usize,
    /// Since when its oldest claim waits.
    since: Option<Instant>,
    /// When it last got a connection beyond its guarantee.
    served: Option<Instant>,
    share: Weak<QuotaShare>,
}

impl MemberState {
    fn is_waiting(&self) -> bool {
        self.wanted > 0 && self.held >= self.guarantee
    }

    /// When it will have waited for long. Each connection that it gets restarts this time, so that a member
    /// whose queue is always long is served at intervals and does not get everything.
    fn has_waited_long_at(&self) -> Option<Instant> {
        let since = self.since.filter(|_| self.is_waiting())?;
        since.max(self.served.unwrap_or(since)).checked_add(LONG_WAIT)
    }

    fn has_waited_long(&self, now: Instant) -> bool {
        self.has_waited_long_at().is_some_and(|at| at <= now)
    }

    /// The order in which members are served, least first: those that have waited for long by age, the others
    /// by rank.
    fn precedence(&self, now: Instant) -> (bool, Option<Instant>, usize) {
        let has_waited_long = self.has_waited_long(now);
        (!has_waited_long, self.has_waited_long_at().filter(|_| has_waited_long), self.rank)
    }

    fn surplus(&self) -> usize {
        self.held.saturating_sub(self.guarantee)
    }
}

impl SharedQuota {
    /// A quota of `total` connections, of which `reserved` are kept, by rank, for members that have
    /// yet to join. The task that makes room runs on `runtime`.
    pub fn new(total: usize, reserved: Vec<usize>, runtime: &Handle) -> Arc<Self> {
        let quota = Self::idle(total, reserved);
        let (weak, wakeup) = (Arc::downgrade(&quota), Arc::clone(&quota.wakeup));
        drop(runtime.spawn(async move {
            while let Some(quota) = weak.upgrade() {
                let next = quota.make_room(Instant::now());
                drop(quota);
                match next {
                    None => wakeup.notified().await,
                    Some(at) => tokio::select! {
                        () = wakeup.notified() => {}
                        () = sleep_until(at) => {}
                    },
                }
            }
        }));
        quota
    }

    /// A quota without the task that makes room.
    pub(super) fn idle(total: usize, reserved: Vec<usize>) -> Arc<Self> {
        Arc::new(Self { total, reserved, members: Mutex::default(), wakeup: Arc::default() })
    }

    /// A new member. Its guarantee is cut to what is left for its rank; rank 0 goes first.
    pub fn join(self: &Arc<Self>, guarantee: usize, rank: usize) -> Arc<QuotaShare> {
        let mut members = self.members.lock();
        let guarantee = guarantee.min(self.free(&members) + self.reserved_for(rank, &members));
        let index = members.iter().position(Option::is_none).unwrap_or(members.len());
        let share = Arc::new(QuotaShare {
            quota: Arc::clone(self),
            index,
            idle: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            reconsider: OnceLock::new(),
        });
        let member = MemberState {
            guarantee,
            rank,
            held: 0,
            wanted: 0,
            planned: 0,
            idle: 0,
            since: None,
            served: None,
            share: Arc::downgrade(&share),
        };
        if index == members.len() {
            members.push(Some(member));
        } else {
            members[index] = Some(member);
        }
        share
    }

    /// The connections that nobody holds and nobody is guaranteed.
    fn free(&self, members: &[Option<MemberState>]) -> usize {
        let taken: usize = members.iter().flatten().map(|member| member.held.max(member.guarantee)).sum();
        let kept: usize = (0..self.reserved.len()).map(|rank| self.reserved_for(rank, members)).sum();
        self.total.saturating_sub(taken + kept)
    }

    fn reserved_for(&self, rank: usize, members: &[Option<MemberState>]) -> usize {
        let is_there = members.iter().flatten().any(|member| member.rank == rank);
        if is_there { 0 } else { self.reserved.get(rank).copied().unwrap_or(0) }
    }

    /// Wakes the members that may take what is free, and asks for connections back where that is not enough.
    /// Returns when a member will have waited for long.
    pub(super) fn make_room(&self, now: Instant) -> Option<Instant> {
        let mut members = self.members.lock();
        // Dropped after the lock is released: a member that nobody else holds takes the lock as it goes.
        let present: Vec<_> = members.iter().map(|member| member.as_ref()?.share.upgrade()).collect();
        let mut free = self.free(&members);
        let mut asked = vec![0; members.len()];
        let mut awake = vec![false; members.len()];
        let mut waiting: Vec<_> = (0..members.len()).filter(|&index| is_waiting(&members, index)).collect();
        waiting.sort_by_key(|&index| members[index].as_ref().map(|member| member.precedence(now)));
        for &index in &waiting {
            let Some(member) = &members[index] else { continue };
            let has_waited_long = member.has_waited_long(now);
            let mut missing = if has_waited_long { 1 } else { member.wanted };
            let served = missing.min(free);
            free -= served;
            missing -= served;
            awake[index] |= served > 0;
            while missing > 0
                && let Some(giver) = giver_for(&members, &present, index, has_waited_long, &asked)
            {
                asked[giver] += 1;
                missing -= 1;
            }
        }
        let mut calls = Vec::new();
        for (index, share) in present.iter().enumerate() {
            let Some(share) = share else { continue };
            share.asked.store(asked[index], Ordering::Relaxed);
            if awake[index] || (asked[index] > 0 && share.idle() > 0) {
                calls.push(share);
            }
        }
        for member in members.iter_mut().flatten() {
            member.planned = member.wanted;
        }
        let long_waits =
            members.iter().flatten().filter_map(MemberState::has_waited_long_at).filter(|&at| at > now);
        let tick = if waiting.is_empty() { None } else { now.checked_add(TICK) };
        let next = long_waits.chain(tick).min();
        drop(members);
        for share in calls {
            share.reconsider();
        }
        next
    }
}

impl fmt::Debug for SharedQuota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedQuota").field("total", &self.total).finish_non_exhaustive()
    }
}

impl Drop for SharedQuota {
    fn drop(&mut self) {
        self.wakeup.notify_one();
    }
}

fn is_waiting(members: &[Option<MemberState>], index: usize) -> bool {
    members[index].as_ref().is_some_and(MemberState::is_waiting)
}

/// The member that gives a connection up: of those below the taker (one that has waited for long takes from
/// all), first those with an idle connection, then the lowest rank.
fn giver_for(
    members: &[Option<MemberState>],
    present: &[Option<Arc<QuotaShare>>],
    taker: usize,
    has_waited_long: bool,
    asked: &[usize],
) -> Option<usize> {
    let rank = members[taker].as_ref()?.rank;
    let candidates = members.iter().enumerate().filter_map(|(index, member)| {
        let member = member.as_ref()?;
        let may =
            index != taker && (has_waited_long || member.rank > rank) && member.surplus() > asked[index];
        let idle = present[index].as_ref().map_or(0, |share| share.idle());
        may.then_some((idle > asked[index], member.rank, index))
    });
    candidates.max().map(|(_, _, index)| index)
}

/// The share of one pool.
pub struct QuotaShare {
    quota: Arc<SharedQuota>,
    index: usize,
    idle: AtomicUsize,
    /// Connections that it is to give up as they become free.
    asked: AtomicUsize,
    reconsider: OnceLock<Box<dyn Fn() + Send + Sync>>,
}

impl QuotaShare {
    /// Sets the call by which the pool serves its claims again. It is called without any lock.
    pub fn attach(&self, reconsider: impl Fn() + Send + Sync + 'static) {
        let _ = self.reconsider.set(Box::new(reconsider));
        // A decision of before is told now.
        self.quota.wakeup.notify_one();
    }

    /// The guarantee, which may be cut to what earlier members have left.
    #[cfg(test)]
    pub(super) fn guarantee(&self) -> usize {
        self.quota.members.lock()[self.index].as_ref().map_or(0, |member| member.guarantee)
    }

    fn reconsider(&self) {
        if let Some(reconsider) = self.reconsider.get() {
            reconsider();
        }
    }

    fn idle(&self) -> usize {
        self.idle.load(Ordering::Relaxed)
    }
}

impl Quota for QuotaShare {
    fn take(&self) -> bool {
        let now = Instant::now();
        let mut members = self.quota.members.lock();
        let free = self.quota.free(&members);
        let Some(member) = &members[self.index] else { return false };
        let may = member.held < member.guarantee
            || (free > 0
                && members.iter().enumerate().all(|(index, other)| {
                    index == self.index
                        || other.as_ref().is_none_or(|other| {
                            !other.is_waiting() || other.precedence(now) >= member.precedence(now)
                        })
                }));
        if may && let Some(member) = &mut members[self.index] {
            member.served = Some(now);
            member.held += 1;
        }
        may
    }

    fn release(&self) {
        let mut members = self.quota.members.lock();
        if let Some(member) = &mut members[self.index] {
            member.held = member.held.saturating_sub(1);
        }
        let is_awaited = members.iter().flatten().any(MemberState::is_waiting);
        drop(members);
        if is_awaited {
            self.quota.wakeup.notify_one();
        }
    }

    fn report(&self, need: Need) {
        let before = self.idle.swap(need.idle, Ordering::Relaxed);
        let mut members = self.quota.members.lock();
        let Some(member) = &mut members[self.index] else { return };
        // A queue that only grows and shrinks a little wakes nobody.
        let has_changed = need.wanted > member.planned || (need.wanted == 0 && member.wanted > 0);
        member.wanted = need.wanted;
        member.idle = need.idle;
        member.since = need.since;
        let is_awaited =
            has_changed || (need.idle > before && members.iter().flatten().any(MemberState::is_waiting));
        drop(members);
        if is_awaited {
            self.quota.wakeup.notify_one();
        }
    }

    fn limit(&self) -> usize {
        let members = self.quota.members.lock();
        let Some(member) = &members[self.index] else { return 0 };
        // Whoever ranks lower closes idle connections for this member when it asks.
        let spare: usize = members
            .iter()
            .flatten()
            .filter(|other| other.rank > member.rank)
            .map(|other| other.surplus().min(other.idle))
            .sum();
        member.held.max(member.guarantee) + self.quota.free(&members) + spare
    }

    fn set_guarantee(&self, min: usize) {
        let mut members = self.quota.members.lock();
        if let Some(member) = &mut members[self.index] {
            member.guarantee = 0;
        }
        let free = self.quota.free(&members);
        if let Some(member) = &mut members[self.index] {
            member.guarantee = min.min(member.held + free);
        }
        drop(members);
        self.quota.wakeup.notify_one();
    }

    fn asks_one_back(&self) -> bool {
        self.asked.load(Ordering::Relaxed) > 0
            && self
                .asked
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |asked| asked.checked_sub(1))
                .is_ok()
    }
}

impl fmt::Debug for QuotaShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("QuotaShare").field("index", &self.index).finish_non_exhaustive()
    }
}

impl Drop for QuotaShare {
    fn drop(&mut self) {
        self.quota.members.lock()[self.index] = None;
        self.quota.wakeup.notify_one();
    }
}
