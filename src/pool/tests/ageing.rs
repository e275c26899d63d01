//! Idle timeout, lifetime, uses, keepalive, and leases that last too long.

use super::gate::{Gate, Reply};
use super::harness::{Harness, SECOND, calm, pass, settle};
use crate::pool::{CloseReason, PoolSettings};

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed_after_the_idle_timeout_down_to_min() {
    let settings = PoolSettings { min: 1, idle_timeout: Some(10 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    let first = harness.connection(keys[0]).unwrap();
    harness.release(keys[0]);
    pass(5 * SECOND).await;
    harness.release(keys[1]);
    pass(4 * SECOND).await;
    assert!(harness.gate.closed().is_empty());
    pass(2 * SECOND).await;
    assert_eq!(harness.gate.closed(), [(first, CloseReason::Idle)]);
    pass(100 * SECOND).await;
    assert_eq!(harness.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_closed_for_idling_within_the_turn_in_which_it_came_back() {
    let settings = PoolSettings { idle_timeout: Some(SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let key = harness.claim();
    settle().await;
    harness.pool.hold_idle_timeout(true);
    harness.release(key);
    pass(5 * SECOND).await;
    assert_eq!(harness.pool.counts().idle, 1);
    harness.pool.hold_idle_timeout(false);
    settle().await;
    assert_eq!(harness.pool.counts().total, 0, "its time was over when the hold ended");
}

#[tokio::test(start_paused = true)]
async fn use_postpones_the_idle_timeout() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { idle_timeout: Some(10 * SECOND), ..calm() });
    for _ in 0..5 {
        let key = harness.claim();
        settle().await;
        harness.release(key);
        pass(8 * SECOND).await;
    }
    assert_eq!(harness.gate.opened(), 1);
    pass(3 * SECOND).await;
    assert_eq!(harness.gate.closed(), [(1, CloseReason::Idle)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_past_its_lifetime_is_closed_when_idle_and_counted_while_lent() {
    let settings = PoolSettings { max_lifetime: Some(60 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    let idle = harness.connection(keys[0]).unwrap();
    harness.release(keys[0]);
    pass(59 * SECOND).await;
    assert_eq!((harness.pool.counts().expired, harness.gate.closed().len()), (0, 0));
    pass(2 * SECOND).await;
    assert_eq!(harness.pool.counts().expired, 1);
    assert_eq!(harness.gate.closed(), [(idle, CloseReason::Lifetime)]);
    harness.release(keys[1]);
    assert_eq!(harness.pool.counts().expired, 0);
    assert_eq!(harness.gate.closed()[1].1, CloseReason::Lifetime);
}

fn filled(max: usize) -> PoolSettings {
    PoolSettings { max, min: 2, prefill: true, max_lifetime: Some(60 * SECOND), ..calm() }
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_the_minimum_is_replaced_before_it_goes() {
    let mut harness = Harness::new(Gate::open(), filled(4));
    settle().await;
    harness.gate.connects(None);
    pass(61 * SECOND).await;
    assert_eq!((harness.gate.attempts(), harness.pool.counts().idle, harness.gate.closed().len()), (2, 2, 0));
    for gone in [1, 2] {
        harness.gate.answer(Reply::Succeed);
        settle().await;
        assert_eq!((harness.gate.closed().len(), harness.pool.counts().idle), (gone, 2));
    }
    assert_eq!(harness.pool.statistics().closed(CloseReason::Lifetime), 2);
    // A claim that comes meanwhile gets what is there.
    pass(60 * SECOND).await;
    let key = harness.claim();
    assert!(harness.is_settled(key));
    harness.release(key);
    assert_eq!(harness.pool.statistics().closed(CloseReason::Lifetime), 3);
}

#[tokio::test(start_paused = true)]
async fn a_connection_past_its_lifetime_goes_at_last_where_it_cannot_be_replaced() {
    let full = Harness::new(Gate::open(), filled(2));
    pass(61 * SECOND).await;
    assert_eq!(full.pool.statistics().closed(CloseReason::Lifetime), 2);
    assert_eq!(full.pool.counts().idle, 2);
    let away = Harness::new(Gate::open(), filled(4));
    settle().await;
    away.gate.connects(Some(Reply::Fail));
    pass(61 * SECOND).await;
    assert_eq!(away.pool.counts().idle, 2);
    pass(30 * SECOND).await;
    assert_eq!(away.pool.statistics().closed(CloseReason::Lifetime), 2);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_lifetimes_by_at_most_its_share() {
    let settings = PoolSettings { max: 8, max_lifetime: Some(100 * SECOND), lifetime_jitter: 0.25, ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let keys: Vec<_> = (0..8).map(|_| harness.claim()).collect();
    settle().await;
    for key in keys {
        harness.release(key);
    }
    pass(74 * SECOND).await;
    assert!(harness.gate.closed().is_empty());
    pass(27 * SECOND).await;
    assert_eq!(harness.pool.statistics().closed(CloseReason::Lifetime), 8);
}

#[tokio::test(start_paused = true)]
async fn a_connection_is_closed_at_the_return_that_reaches_max_uses() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max_uses: Some(3), ..calm() });
    for uses in 1..=3 {
        let key = harness.claim();
        settle().await;
        assert_eq!(harness.connection(key), Some(1));
        harness.release(key);
        assert_eq!(harness.pool.counts().total, usize::from(uses < 3));
    }
    assert_eq!(harness.gate.closed(), [(1, CloseReason::Uses)]);
}

#[tokio::test(start_paused = true)]
async fn the_slot_of_a_closed_connection_serves_a_waiting_claim() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let first = harness.claim();
    settle().await;
    let second = harness.claim();
    harness.take(first).close(CloseReason::Released);
    settle().await;
    assert_eq!(harness.connection(second), Some(2));
    assert_eq!(harness.gate.closed(), [(1, CloseReason::Released)]);
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_long_is_kept_alive_and_closed_if_it_does_not_answer() {
    let settings = PoolSettings { keepalive_after: Some(120 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let key = harness.claim();
    settle().await;
    harness.release(key);
    pass(119 * SECOND).await;
    assert!(harness.gate.checked().is_empty());
    pass(2 * SECOND).await;
    assert_eq!((harness.gate.checked(), harness.pool.counts().idle), (vec![1], 1));
    harness.gate.checks(Reply::Hang);
    pass(121 * SECOND).await;
    pass(2 * SECOND).await;
    assert_eq!(harness.gate.closed(), [(1, CloseReason::Unresponsive)]);
}

#[tokio::test(start_paused = true)]
async fn keepalive_does_not_postpone_the_idle_timeout() {
    let settings =
        PoolSettings { keepalive_after: Some(4 * SECOND), idle_timeout: Some(10 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let key = harness.claim();
    settle().await;
    harness.release(key);
    for _ in 0..11 {
        pass(SECOND).await;
    }
    assert_eq!(harness.gate.checked(), [1, 1]);
    assert_eq!(harness.gate.closed(), [(1, CloseReason::Idle)]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_lasts_too_long_is_reported_once() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { leak_after: Some(30 * SECOND), ..calm() });
    let key = harness.claim();
    settle().await;
    for _ in 0..100 {
        pass(SECOND).await;
    }
    let connection = *harness.take(key);
    let overdue = harness.gate.overdue();
    assert_eq!(overdue.len(), 1);
    assert_eq!(overdue[0].0, connection);
    assert!(overdue[0].1 >= 30 * SECOND && overdue[0].1 < 32 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_long_lease_that_ends_by_itself_is_no_leak() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { leak_after: Some(30 * SECOND), ..calm() });
    let key = harness.claim_briefly();
    settle().await;
    for _ in 0..100 {
        pass(SECOND).await;
    }
    harness.release(key);
    assert_eq!(harness.gate.overdue(), []);
}
