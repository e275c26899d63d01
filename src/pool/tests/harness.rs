//! The harness: makes claims under keys of its own and keeps the outcome of each.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::yield_now;
use tokio::time::{Instant, advance};

use super::gate::Gate;
use crate::pool::{AcquireError, Claim, Lease, Patience, Pool, PoolSettings, Ticket};

type Outcome = Result<Lease<Gate>, AcquireError<&'static str>>;

/// A pool behind a gate, and the claims made to it.
pub(super) struct Harness {
    pub(super) gate: Gate,
    pub(super) pool: Pool<Gate>,
    outcomes: Arc<Mutex<BTreeMap<u64, Outcome>>>,
    tickets: Vec<Ticket>,
}

struct Entry {
    key: u64,
    outcomes: Arc<Mutex<BTreeMap<u64, Outcome>>>,
    may_leak: bool,
    patience: Patience,
}

impl Entry {
    fn enter(self, outcome: Outcome) {
        let former = self.outcomes.lock().insert(self.key, outcome);
        assert!(former.is_none(), "claim {} settled twice", self.key);
    }
}

impl Claim<Gate> for Entry {
    fn may_leak(&self) -> bool {
        self.may_leak
    }

    fn patience(&self) -> Patience {
        self.patience
    }

    fn granted(self: Box<Self>, lease: Lease<Gate>) {
        assert!(Self::is_alive(&lease), "a closed connection was leased");
        self.enter(Ok(lease));
    }

    fn refused(self: Box<Self>, error: AcquireError<&'static str>) {
        self.enter(Err(error));
    }
}

impl Entry {
    fn is_alive(lease: &Lease<Gate>) -> bool {
        **lease > 0
    }
}

/// Settings under which nothing happens unless a test asks for it.
pub(super) fn calm() -> PoolSettings {
    PoolSettings {
        max: 2,
        idle_timeout: None,
        check_after: None,
        keepalive_after: None,
        ..PoolSettings::default()
    }
}

pub(super) const SECOND: Duration = Duration::from_secs(1);

impl Harness {
    pub(super) fn new(gate: Gate, settings: PoolSettings) -> Self {
        let pool = Pool::new(gate.clone(), settings, Handle::current());
        Self { gate, pool, outcomes: Arc::default(), tickets: Vec::new() }
    }

    /// Makes a claim and returns its key.
    pub(super) fn claim(&mut self) -> u64 {
        self.claim_within(None)
    }

    pub(super) fn claim_within(&mut self, limit: Option<Duration>) -> u64 {
        self.enter(limit, true, Patience::AsPool)
    }

    /// Makes a claim that ends its lease by itself.
    pub(super) fn claim_briefly(&mut self) -> u64 {
        self.enter(None, false, Patience::AsPool)
    }

    /// A claim that waits while connects fail.
    pub(super) fn claim_patiently(&mut self, patience: Patience, limit: Option<Duration>) -> u64 {
        self.enter(limit, true, patience)
    }

    fn enter(&mut self, limit: Option<Duration>, may_leak: bool, patience: Patience) -> u64 {
        let key = self.tickets.len() as u64;
        let entry = Entry { key, outcomes: Arc::clone(&self.outcomes), may_leak, patience };
        let deadline = limit.map(|limit| Instant::now() + limit);
        self.tickets.push(self.pool.acquire(Box::new(entry), deadline));
        key
    }

    pub(super) fn claims(&self) -> u64 {
        self.tickets.len() as u64
    }

    pub(super) fn withdraw(&self, key: u64) -> bool {
        self.pool.withdraw(self.tickets[usize::try_from(key).unwrap()])
    }

    pub(super) fn is_settled(&self, key: u64) -> bool {
        self.outcomes.lock().contains_key(&key)
    }

    /// The connection this claim holds.
    pub(super) fn connection(&self, key: u64) -> Option<u64> {
        match self.outcomes.lock().get(&key) {
            Some(Ok(lease)) => Some(**lease),
            _ => None,
        }
    }

    pub(super) fn error(&self, key: u64) -> Option<AcquireError<&'static str>> {
        match self.outcomes.lock().get(&key) {
            Some(Err(error)) => Some(error.clone()),
            _ => None,
        }
    }

    /// The claims that hold a lease.
    pub(super) fn holders(&self) -> Vec<u64> {
        let outcomes = self.outcomes.lock();
        outcomes.iter().filter(|entry| entry.1.is_ok()).map(|entry| *entry.0).collect()
    }

    /// Takes the lease of a claim; the claim stays settled.
    pub(super) fn take(&self, key: u64) -> Lease<Gate> {
        self.outcomes.lock().insert(key, Err(AcquireError::Withdrawn)).unwrap().unwrap()
    }

    /// Returns the lease of a claim.
    pub(super) fn release(&self, key: u64) {
        drop(self.take(key));
    }
}

/// Lets every task run until it waits.
pub(super) async fn settle() {
    for _ in 0..32 {
        yield_now().await;
    }
}

/// Moves the paused clock, and lets every task run before and after.
pub(super) async fn pass(time: Duration) {
    settle().await;
    let mut left = time;
    while !left.is_zero() {
        let step = left.min(SECOND);
        advance(step).await;
        settle().await;
        left -= step;
    }
}

/// Moves the paused clock as if the process had been frozen meanwhile: no task runs.
pub(super) async fn stand_still(time: Duration) {
    settle().await;
    advance(time).await;
}
