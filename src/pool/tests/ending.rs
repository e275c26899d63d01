//! The end of a pool: by `end`, by dropping it, by losing its runtime.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::desk::{Desk, SECOND, calm, pass, settle};
use super::gate::{Gate, Reply};
use crate::pool::{CloseReason, Condition, Pool, Refusal, Settings};

fn end(desk: &Desk) -> Arc<AtomicUsize> {
    let ended = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&ended);
    desk.pool.end(move || {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    ended
}

#[tokio::test(start_paused = true)]
async fn an_empty_pool_ends_at_once_and_every_caller_is_told() {
    let mut desk = Desk::new(Gate::open(), calm());
    assert_eq!(end(&desk).load(Ordering::SeqCst), 1);
    assert_eq!(end(&desk).load(Ordering::SeqCst), 1);
    let key = desk.claim();
    assert!(matches!(desk.refusal(key), Some(Refusal::Closed)));
}

#[tokio::test(start_paused = true)]
async fn end_refuses_claims_closes_idle_and_waits_for_lent() {
    let mut desk = Desk::new(Gate::open(), calm());
    let keys = [desk.claim(), desk.claim()];
    settle().await;
    let waiting = desk.claim();
    desk.give_back(keys[0]);
    let idle = desk.connection(waiting).unwrap();
    desk.give_back(waiting);
    let ended = end(&desk);
    assert_eq!(desk.gate.closed(), [(idle, CloseReason::Drained)]);
    pass(5 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    desk.give_back(keys[1]);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(desk.gate.open_connections().is_empty());
    pass(100 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn end_serves_claims_whose_connection_is_being_made_and_rejects_the_rest() {
    let mut desk = Desk::new(Gate::default(), calm());
    let keys = [desk.claim(), desk.claim(), desk.claim()];
    settle().await;
    let ended = end(&desk);
    assert!(matches!(desk.refusal(keys[2]), Some(Refusal::Closed)));
    desk.gate.answer(Reply::Succeed);
    settle().await;
    assert!(desk.connection(keys[0]).is_some());
    desk.gate.answer(Reply::Fail);
    settle().await;
    assert!(matches!(desk.refusal(keys[1]), Some(Refusal::Connect(_))));
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    desk.give_back(keys[0]);
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(desk.gate.open_connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_drain_stops_connects_and_refuses_their_claims() {
    let mut desk = Desk::new(Gate::default(), Settings { drain: Some(10 * SECOND), ..calm() });
    let key = desk.claim();
    settle().await;
    let ended = end(&desk);
    pass(11 * SECOND).await;
    assert!(matches!(desk.refusal(key), Some(Refusal::Closed)));
    assert_eq!((ended.load(Ordering::SeqCst), desk.gate.attempts()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_connection_made_for_the_minimum_that_is_ready_after_the_end_is_closed() {
    let desk = Desk::new(Gate::default(), Settings { min: 1, prefill: true, ..calm() });
    settle().await;
    desk.gate.answer(Reply::Succeed);
    let ended = end(&desk);
    settle().await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(desk.gate.open_connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn end_closes_a_lent_connection_that_never_comes_back() {
    let mut desk = Desk::new(Gate::open(), Settings { drain: Some(10 * SECOND), ..calm() });
    let key = desk.claim();
    settle().await;
    let ended = end(&desk);
    let also = end(&desk);
    pass(9 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    pass(2 * SECOND).await;
    assert_eq!((ended.load(Ordering::SeqCst), also.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(desk.gate.closed(), [(1, CloseReason::Drained)]);
    assert_eq!(desk.pool.counts().total, 0);
    desk.give_back(key);
    assert_eq!(desk.gate.closed().len(), 1, "a lease that comes back late changes nothing");
}

#[tokio::test(start_paused = true)]
async fn end_interrupts_what_runs_and_closes_it_a_moment_later_if_it_does_not_come_back() {
    for comes_back in [true, false] {
        let mut desk = Desk::new(Gate::open(), Settings { drain: Some(10 * SECOND), ..calm() });
        let key = desk.claim();
        settle().await;
        desk.gate.run(1);
        let ended = end(&desk);
        pass(9 * SECOND).await;
        assert!(desk.gate.interrupted().is_empty());
        pass(SECOND).await;
        assert_eq!((desk.gate.interrupted(), desk.gate.closed().len()), (vec![1], 0));
        if comes_back {
            desk.give_back(key);
        } else {
            pass(SECOND).await;
        }
        assert_eq!(desk.gate.closed(), [(1, CloseReason::Drained)]);
        assert_eq!(ended.load(Ordering::SeqCst), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn end_waits_for_a_reset_under_way() {
    let mut desk = Desk::new(Gate::open(), calm());
    let key = desk.claim();
    settle().await;
    desk.gate.set(1, Condition::Dirty);
    desk.gate.resets(Reply::Hang);
    desk.give_back(key);
    let ended = end(&desk);
    assert_eq!(ended.load(Ordering::SeqCst), 0);
    pass(2 * SECOND).await;
    assert_eq!(ended.load(Ordering::SeqCst), 1);
    assert!(desk.gate.open_connections().is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_refuses_claims_and_closes_connections_as_they_come_back() {
    let Desk { gate, pool, .. } = Desk::new(Gate::open(), calm());
    let held = pool.lease(None).await.unwrap();
    drop(pool.lease(None).await.unwrap());
    drop(pool);
    assert_eq!(gate.closed().len(), 1);
    drop(held);
    assert!(gate.open_connections().is_empty());
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_when_the_pool_is_dropped() {
    let desk = Desk::new(Gate::open(), calm());
    let held = desk.pool.lease(None).await.unwrap();
    let ended = end(&desk);
    let gate = desk.gate.clone();
    drop(desk);
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
    let mut desk = {
        let _inside = runtime.enter();
        Desk::new(gate.clone(), calm())
    };
    let keys = [desk.claim(), desk.claim(), desk.claim()];
    runtime.block_on(settle());
    assert_eq!(gate.attempts(), 2);
    runtime.shutdown_timeout(Duration::ZERO);
    for key in keys {
        assert!(desk.refusal(key).is_some());
    }
    assert_eq!(desk.pool.counts().total, 0);
    let key = desk.claim();
    assert!(matches!(desk.refusal(key), Some(Refusal::Closed)));
}

#[test]
fn a_pool_made_for_a_runtime_that_is_gone_is_closed() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    let pool = Pool::new(Gate::open(), Settings { min: 2, prefill: true, ..calm() }, handle);
    assert_eq!(pool.counts().total, 0);
}
