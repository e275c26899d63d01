//! The end of a pool: by `end`, by dropping it, by losing its runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::gate::{Gate, Reply};
use super::harness::{Harness, SECOND, calm, pass, settle};
use crate::pool::{AcquireError, CloseReason, Condition, Patience, Pool, PoolSettings};

fn end(harness: &Harness) -> Arc<AtomicUsize> {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    harness.pool.end(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    ended
}

#[tokio::test(start_paused = true)]
async fn claims_in_an_outage_are_told_its_cause_when_the_pool_ends() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let mut harness = Harness::new(gate, PoolSettings { fail_fast: false, ..calm() });
    let key = harness.claim();
    pass(SECOND).await;
    assert!(!harness.is_settled(key));
    let ended = end(&harness);
    settle().await;
    assert!(matches!(harness.error(key), Some(AcquireError::Closed { last_connect_error: Some("refused") })));
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    let late = harness.claim();
    assert!(matches!(harness.error(late), Some(AcquireError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_ends_at_once_and_every_caller_is_told() {
    let mut harness = Harness::new(Gate::open(), calm());
    assert_eq!(end(&harness).load(Ordering::SeqCst), 1);
    assert_eq!(end(&harness).load(Ordering::SeqCst), 1);
    let key = harness.claim();
    assert!(matches!(harness.error(key), Some(AcquireError::Closed { .. })));
}

#[tokio::test(start_paused = true)]
async fn end_refuses_claims_closes_idle_and_waits_for_lent() {
    let mut harness = Harness::new(Gate::open(), calm());
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    let waiting = harness.claim();
    harness.release(keys[0]);
    let idle = harness.connection(waiting).unwrap();
    harness.release(waiting);
    let ended = end(&harness);
    assert_eq!(harness.gate.closed(), [(idle, CloseReason::Drained)]);
    pass(5 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    harness.release(keys[1]);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(harness.gate.open_connections().is_empty());
    pass(100 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn end_serves_claims_whose_connection_is_being_made_and_rejects_the_rest() {
    let mut harness = Harness::new(Gate::default(), calm());
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    settle().await;
    let ended = end(&harness);
    assert!(matches!(harness.error(keys[2]), Some(AcquireError::Closed { .. })));
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert!(harness.connection(keys[0]).is_some());
    harness.gate.answer(Reply::Fail);
    settle().await;
    assert!(matches!(harness.error(keys[1]), Some(AcquireError::Connect(_))));
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    harness.release(keys[0]);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(harness.gate.open_connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_drain_stops_connects_and_refuses_their_claims() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { drain: Some(10 * SECOND), ..calm() });
    let key = harness.claim();
    settle().await;
    let ended = end(&harness);
    pass(11 * SECOND).await;
    assert!(matches!(harness.error(key), Some(AcquireError::Closed { .. })));
    assert_eq!((ended.load(Ordering::SeqCst), harness.gate.attempts()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_made_for_the_minimum_that_is_ready_after_the_end_is_closed() {
    let harness = Harness::new(Gate::default(), PoolSettings { min: 1, prefill: true, ..calm() });
    settle().await;
    harness.gate.answer(Reply::Succeed);
    let ended = end(&harness);
    settle().await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(harness.gate.open_connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn end_closes_a_lent_connection_that_never_comes_back() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { drain: Some(10 * SECOND), ..calm() });
    let key = harness.claim();
    settle().await;
    let ended = end(&harness);
    let also = end(&harness);
    pass(9 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    pass(2 * SECOND).await;
    assert_eq!((ended.load(Ordering::SeqCst), also.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(harness.gate.closed(), [(1, CloseReason::Drained)]);
    assert_eq!(harness.pool.counts().total, 0);
    harness.release(key);
    assert_eq!(harness.gate.closed().len(), 1, "a lease that comes back late changes nothing");
}

#[tokio::test(start_paused = true)]
async fn end_interrupts_what_runs_and_closes_it_a_moment_later_if_it_does_not_come_back() {
    for comes_back in [true, false] {
        let mut harness = Harness::new(Gate::open(), PoolSettings { drain: Some(10 * SECOND), ..calm() });
        let key = harness.claim();
        settle().await;
        harness.gate.run(1);
        let ended = end(&harness);
        pass(9 * SECOND).await;
        assert!(harness.gate.interrupted().is_empty());
        pass(SECOND).await;
        assert_eq!((harness.gate.interrupted(), harness.gate.closed().len()), (vec![1], 0));
        if comes_back {
            harness.release(key);
        } else {
            pass(SECOND).await;
        }
        assert_eq!(harness.gate.closed(), [(1, CloseReason::Drained)]);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn end_waits_for_a_reset_under_way() {
    let mut harness = Harness::new(Gate::open(), calm());
    let key = harness.claim();
    settle().await;
    harness.gate.set(1, Condition::Dirty);
    harness.gate.resets(Reply::Hang);
    harness.release(key);
    let ended = end(&harness);
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    pass(2 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(harness.gate.open_connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_refuses_claims_and_closes_connections_as_they_come_back() {
    let Harness { gate, pool, .. } = Harness::new(Gate::open(), calm());
    let held = pool.lease(None, Patience::AsPool).await.unwrap();
    drop(pool.lease(None, Patience::AsPool).await.unwrap());
    drop(pool);
    assert_eq!(gate.closed().len(), 1);
    drop(held);
    assert!(gate.open_connections().is_empty());
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_when_the_pool_is_dropped() {
    let harness = Harness::new(Gate::open(), calm());
    let held = harness.pool.lease(None, Patience::AsPool).await.unwrap();
    let ended = end(&harness);
    let gate = harness.gate.clone();
    drop(harness);
    pass(5 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    pass(6 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(gate.open_connections().is_empty());
    drop(held);
}

#[test]
fn a_lost_runtime_closes_the_pool_and_refuses_its_claims() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let gate = Gate::default();
    let mut harness = {
        let _inside = runtime.enter();
        Harness::new(gate.clone(), calm())
    };
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    runtime.block_on(settle());
    assert_eq!(gate.attempts(), 2);
    runtime.shutdown_timeout(Duration::ZERO);
    for key in keys {
        assert!(harness.error(key).is_some());
    }
    assert_eq!(harness.pool.counts().total, 0);
    let key = harness.claim();
    assert!(matches!(harness.error(key), Some(AcquireError::Closed { .. })));
}

#[test]
fn a_pool_made_for_a_runtime_that_is_gone_is_closed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let pool = Pool::new(Gate::open(), PoolSettings { min: 2, prefill: true, ..calm() }, handle);
    assert_eq!(pool.counts().total, 0);
}
