//! Who gets which connection, and when.

use super::desk::{Desk, calm, settle};
use super::gate::{Gate, Reply};
use crate::pool::{Refusal, Settings};

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_granted_before_acquire_returns() {
    let mut desk = Desk::new(Gate::open(), calm());
    let first = desk.claim();
    assert!(!desk.is_settled(first));
    settle().await;
    desk.give_back(first);
    let second = desk.claim();
    assert_eq!(desk.connection(second), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_returned_connection_is_granted_before_the_return_ends() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    let first = desk.claim();
    settle().await;
    let second = desk.claim();
    desk.give_back(first);
    assert_eq!(desk.connection(second), Some(1));
}

#[tokio::test(start_paused = true)]
async fn claims_are_served_oldest_first() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    let holder = desk.claim();
    settle().await;
    let waiting = [desk.claim(), desk.claim(), desk.claim()];
    desk.give_back(holder);
    for (rank, key) in waiting.into_iter().enumerate() {
        let settled: Vec<_> = waiting.iter().map(|&key| desk.is_settled(key)).collect();
        assert_eq!(settled.iter().filter(|settled| **settled).count(), rank + 1);
        assert_eq!(desk.connection(key), Some(1));
        desk.give_back(key);
    }
    assert_eq!(desk.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn the_connection_returned_last_is_lent_first() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 3, ..calm() });
    let keys = [desk.claim(), desk.claim(), desk.claim()];
    settle().await;
    let held = keys.map(|key| desk.connection(key).unwrap());
    for key in [keys[1], keys[2], keys[0]] {
        desk.give_back(key);
    }
    let again = [desk.claim(), desk.claim(), desk.claim()].map(|key| desk.connection(key).unwrap());
    assert_eq!(again, [held[0], held[2], held[1]]);
}

#[tokio::test(start_paused = true)]
async fn a_claim_takes_a_returned_connection_while_its_own_is_being_made() {
    let gate = Gate::default();
    let mut desk = Desk::new(gate.clone(), calm());
    let first = desk.claim();
    settle().await;
    gate.answer(Reply::Succeed);
    settle().await;
    let second = desk.claim();
    settle().await;
    assert_eq!(gate.attempts(), 1);
    desk.give_back(first);
    assert_eq!(desk.connection(second), Some(1));
    gate.answer(Reply::Succeed);
    settle().await;
    let counts = desk.pool.counts();
    assert_eq!((counts.idle, counts.used, counts.connecting), (1, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connect_goes_on_when_its_claim_leaves_and_serves_the_next() {
    let gate = Gate::default();
    let mut desk = Desk::new(gate.clone(), calm());
    let leaver = desk.claim();
    settle().await;
    assert!(desk.withdraw(leaver));
    assert!(!desk.withdraw(leaver));
    assert!(matches!(desk.refusal(leaver), Some(Refusal::Withdrawn)));
    let next = desk.claim();
    settle().await;
    assert_eq!(gate.attempts(), 1, "the connect under way is enough for the next claim");
    gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(desk.connection(next), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_connect_nobody_waits_for_becomes_idle() {
    let gate = Gate::default();
    let mut desk = Desk::new(gate.clone(), calm());
    let leaver = desk.claim();
    settle().await;
    desk.withdraw(leaver);
    gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(desk.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_future_withdraws_its_claim() {
    let desk = Desk::new(Gate::default(), calm());
    let waiting = tokio::spawn({
        let pool = desk.pool.clone();
        async move { pool.lease(None).await.map(drop) }
    });
    settle().await;
    assert_eq!(desk.pool.counts().waiting, 1);
    waiting.abort();
    settle().await;
    assert_eq!(desk.pool.counts().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn a_granted_lease_whose_future_is_gone_returns() {
    let desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    let held = desk.pool.lease(None).await.unwrap();
    let mut waiting = Box::pin(desk.pool.lease(None));
    assert!(tokio::time::timeout(super::desk::SECOND, &mut waiting).await.is_err());
    drop(held);
    assert_eq!(desk.pool.counts().used, 1);
    drop(waiting);
    assert_eq!(desk.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn a_long_queue_of_claims_that_return_at_once_needs_no_deep_stack() {
    struct Brief;
    impl crate::pool::Claim<Gate> for Brief {
        fn granted(self: Box<Self>, lease: crate::pool::Lease<Gate>) {
            drop(lease);
        }
        fn refused(self: Box<Self>, _: Refusal<&'static str>) {}
    }
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    let holder = desk.claim();
    settle().await;
    for _ in 0..100_000 {
        desk.pool.acquire(Box::new(Brief), None);
    }
    desk.give_back(holder);
    let counts = desk.pool.counts();
    assert_eq!((counts.waiting, counts.idle), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_further_claims() {
    let mut desk = Desk::new(Gate::default(), Settings { max: 1, max_waiting: Some(1), ..calm() });
    let keys = [desk.claim(), desk.claim(), desk.claim()];
    assert!(!desk.is_settled(keys[0]));
    assert!(!desk.is_settled(keys[1]));
    assert!(matches!(desk.refusal(keys[2]), Some(Refusal::Full { waiting: 2, most: 1 })));
    let counts = desk.pool.counts();
    assert_eq!((counts.waiting, counts.queued), (2, 1));
}
