//! Who gets which connection, and when.

use super::gate::{Gate, Reply};
use super::harness::{Harness, calm, settle};
use crate::pool::{AcquireError, Patience, PoolSettings};

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_granted_before_acquire_returns() {
    let mut harness = Harness::new(Gate::open(), calm());
    let first = harness.claim();
    assert!(!harness.is_settled(first));
    settle().await;
    harness.release(first);
    let second = harness.claim();
    assert_eq!(harness.connection(second), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_returned_connection_is_granted_before_the_return_ends() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let first = harness.claim();
    settle().await;
    let second = harness.claim();
    harness.release(first);
    assert_eq!(harness.connection(second), Some(1));
}

#[tokio::test(start_paused = true)]
async fn claims_are_served_oldest_first() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let holder = harness.claim();
    settle().await;
    let waiting = [harness.claim(), harness.claim(), harness.claim()];
    harness.release(holder);
    for (rank, key) in waiting.into_iter().enumerate() {
        let settled: Vec<_> = waiting.iter().map(|&key| harness.is_settled(key)).collect();
        assert_eq!(settled.iter().filter(|settled| **settled).count(), rank + 1);
        assert_eq!(harness.connection(key), Some(1));
        harness.release(key);
    }
    assert_eq!(harness.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn the_connection_returned_last_is_lent_first() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 3, ..calm() });
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    settle().await;
    let held = keys.map(|key| harness.connection(key).unwrap());
    for key in [keys[1], keys[2], keys[0]] {
        harness.release(key);
    }
    let again =
        [harness.claim(), harness.claim(), harness.claim()].map(|key| harness.connection(key).unwrap());
    assert_eq!(again, [held[0], held[2], held[1]]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_takes_a_returned_connection_while_its_own_is_being_made() {
    let gate = Gate::default();
    let mut harness = Harness::new(gate.clone(), calm());
    let first = harness.claim();
    settle().await;
    gate.answer(Reply::Succeed);
    settle().await;
    let second = harness.claim();
    settle().await;
    assert_eq!(gate.attempts(), 1);
    harness.release(first);
    assert_eq!(harness.connection(second), Some(1));
    gate.answer(Reply::Succeed);
    settle().await;
    let counts = harness.pool.counts();
    assert_eq!((counts.idle, counts.used, counts.connecting), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connect_goes_on_when_its_claim_leaves_and_serves_the_next() {
    let gate = Gate::default();
    let mut harness = Harness::new(gate.clone(), calm());
    let leaver = harness.claim();
    settle().await;
    assert!(harness.withdraw(leaver));
    assert!(!harness.withdraw(leaver));
    assert!(matches!(harness.error(leaver), Some(AcquireError::Withdrawn)));
    let next = harness.claim();
    settle().await;
    assert_eq!(gate.attempts(), 1, "the connect under way is enough for the next claim");
    gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(harness.connection(next), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_connect_nobody_waits_for_becomes_idle() {
    let gate = Gate::default();
    let mut harness = Harness::new(gate.clone(), calm());
    let leaver = harness.claim();
    settle().await;
    harness.withdraw(leaver);
    gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(harness.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_future_withdraws_its_claim() {
    let harness = Harness::new(Gate::default(), calm());
    let waiting = tokio::spawn({
        let pool = harness.pool.clone();
        async move { pool.lease(None, Patience::AsPool).await.map(drop) }
    });
    settle().await;
    assert_eq!(harness.pool.counts().waiting, 1);
    waiting.abort();
    settle().await;
    assert_eq!(harness.pool.counts().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_granted_lease_whose_future_is_gone_returns() {
    let harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let held = harness.pool.lease(None, Patience::AsPool).await.unwrap();
    let mut waiting = Box::pin(harness.pool.lease(None, Patience::AsPool));
    assert!(tokio::time::timeout(super::harness::SECOND, &mut waiting).await.is_err());
    drop(held);
    assert_eq!(harness.pool.counts().used, 1);
    drop(waiting);
    assert_eq!(harness.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_of_claims_that_return_at_once_needs_no_deep_stack() {
    struct Brief;
    impl crate::pool::Claim<Gate> for Brief {
        fn granted(self: Box<Self>, lease: crate::pool::Lease<Gate>) {
            drop(lease);
        }
        fn refused(self: Box<Self>, _: AcquireError<&'static str>) {}
    }
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let holder = harness.claim();
    settle().await;
    for _ in 0..100_000 {
        harness.pool.acquire(Box::new(Brief), None);
    }
    harness.release(holder);
    let counts = harness.pool.counts();
    assert_eq!((counts.waiting, counts.idle), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_further_claims() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 1, max_waiting: Some(1), ..calm() });
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    assert!(!harness.is_settled(keys[0]));
    assert!(!harness.is_settled(keys[1]));
    assert!(matches!(harness.error(keys[2]), Some(AcquireError::Full { waiting: 2, most: 1 })));
    let counts = harness.pool.counts();
    assert_eq!((counts.waiting, counts.queued), (2, 1));
}
