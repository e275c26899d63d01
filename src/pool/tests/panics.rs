//! Panics in claims, attempts and closing: the counts stay right and nobody else is hurt.

use super::gate::{Gate, Reply};
use super::harness::{Harness, SECOND, calm, pass, settle};
use crate::pool::{AcquireError, Claim, Lease, PoolSettings};

struct Fragile;

impl Claim<Gate> for Fragile {
    fn granted(self: Box<Self>, _: Lease<Gate>) {
        panic!("on command");
    }

    fn refused(self: Box<Self>, _: AcquireError<&'static str>) {
        panic!("on command");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_granted_returns_the_connection() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    harness.pool.acquire(Box::new(Fragile), None);
    settle().await;
    let counts = harness.pool.counts();
    assert_eq!((counts.idle, counts.used, counts.waiting), (1, 0, 0));
    harness.pool.acquire(Box::new(Fragile), None);
    assert_eq!(harness.pool.counts().idle, 1);
    assert_eq!(harness.pool.statistics().panics, 2);
    let key = harness.claim();
    assert_eq!(harness.connection(key), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_claim_does_not_reach_whoever_returns_a_connection() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let holder = harness.claim();
    settle().await;
    harness.pool.acquire(Box::new(Fragile), None);
    let next = harness.claim();
    harness.release(holder);
    assert_eq!(harness.connection(next), Some(1));
    harness.pool.statistics();
    assert_eq!(harness.pool.statistics().panics, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_refused_leaves_the_other_claims_to_be_refused() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 1, ..calm() });
    harness.claim();
    harness.pool.acquire(Box::new(Fragile), None);
    let key = harness.claim();
    harness.pool.end(|| {});
    assert!(matches!(harness.error(key), Some(AcquireError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_connect_frees_the_slot_and_refuses_the_claim() {
    for fail_fast in [true, false] {
        let mut harness = Harness::new(Gate::default(), PoolSettings { max: 1, fail_fast, ..calm() });
        let keys = [harness.claim(), harness.claim()];
        settle().await;
        harness.gate.answer(Reply::Panic);
        pass(SECOND / 10).await;
        assert!(matches!(harness.error(keys[0]), Some(AcquireError::ConnectLost)));
        assert!(!harness.is_settled(keys[1]));
        assert_eq!(harness.gate.attempts(), 1);
        harness.gate.answer(Reply::Succeed);
        settle().await;
        assert!(harness.connection(keys[1]).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_done_is_counted() {
    let harness = Harness::new(Gate::open(), calm());
    harness.pool.end(|| panic!("on command"));
    assert_eq!(harness.pool.statistics().panics, 1);
}
