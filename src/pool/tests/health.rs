//! Connections that broke, do not answer, or came back with a transaction open.

use super::gate::{Gate, Reply};
use super::harness::{Harness, SECOND, calm, pass, settle, stand_still};
use crate::pool::{CloseReason, Condition, PoolSettings};

fn checked() -> PoolSettings {
    PoolSettings { check_after: Some(SECOND), ..calm() }
}

/// A harness whose pool holds connection 1, idle.
async fn with_one_idle(settings: PoolSettings) -> Harness {
    let mut harness = Harness::new(Gate::open(), settings);
    let key = harness.claim();
    settle().await;
    harness.release(key);
    harness
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_a_moment_is_lent_without_a_check() {
    let mut harness = with_one_idle(checked()).await;
    pass(SECOND / 2).await;
    let key = harness.claim();
    assert_eq!(harness.connection(key), Some(1));
    assert!(harness.gate.checked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_longer_is_checked_before_it_is_lent() {
    let mut harness = with_one_idle(checked()).await;
    pass(2 * SECOND).await;
    let key = harness.claim();
    assert!(!harness.is_settled(key));
    let counts = harness.pool.counts();
    assert_eq!((counts.idle, counts.used, counts.connecting), (0, 1, 0));
    settle().await;
    assert_eq!(harness.connection(key), Some(1));
    assert_eq!(harness.gate.checked(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_sends_the_claim_to_a_new_connection() {
    for reply in [Reply::Fail, Reply::Hang, Reply::Panic] {
        let mut harness = with_one_idle(checked()).await;
        pass(2 * SECOND).await;
        harness.gate.checks(reply);
        let key = harness.claim();
        pass(SECOND + SECOND / 10).await;
        assert_eq!(harness.connection(key), Some(2), "{reply:?}");
        assert_eq!(harness.gate.closed().len(), 1, "{reply:?}");
        assert!(!harness.gate.is_open(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_beside_one_that_is_served_by_a_check_does_not_miss_the_end_of_a_backoff() {
    let mut harness = with_one_idle(PoolSettings { fail_fast: false, ..checked() }).await;
    pass(2 * SECOND).await;
    harness.gate.checks(Reply::SucceedLate);
    harness.gate.connects(Some(Reply::Fail));
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    harness.gate.connects(Some(Reply::Succeed));
    pass(SECOND / 2).await;
    assert_eq!(harness.connection(keys[0]), Some(1));
    pass(3 * SECOND).await;
    assert_eq!(harness.connection(keys[1]), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_check_goes_on_when_its_claim_leaves() {
    let mut harness = with_one_idle(checked()).await;
    pass(2 * SECOND).await;
    let key = harness.claim();
    assert!(harness.withdraw(key));
    settle().await;
    assert_eq!(harness.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_found_broken_is_closed_and_the_claim_keeps_its_rank() {
    let mut harness = with_one_idle(PoolSettings { max: 1, ..calm() }).await;
    harness.gate.set(1, Condition::Broken);
    let first = harness.claim();
    let second = harness.claim();
    settle().await;
    assert_eq!(harness.connection(first), Some(2));
    assert!(!harness.is_settled(second));
    assert_eq!(harness.gate.closed(), [(1, CloseReason::Broken)]);
    assert_eq!(harness.pool.statistics().grants, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_returned_broken_is_closed_and_replaced_for_a_claim() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let first = harness.claim();
    settle().await;
    let second = harness.claim();
    harness.gate.set(1, Condition::Broken);
    harness.release(first);
    settle().await;
    assert_eq!(harness.connection(second), Some(2));
}

#[tokio::test(start_paused = true)]
async fn an_unwanted_connection_is_retired_wherever_it_is_looked_at() {
    let mut idle = with_one_idle(calm()).await;
    idle.gate.set(1, Condition::Unwanted);
    let key = idle.claim();
    settle().await;
    assert_eq!(idle.connection(key), Some(2));
    let mut returned = with_one_idle(calm()).await;
    let key = returned.claim();
    returned.gate.set(1, Condition::Unwanted);
    returned.release(key);
    let mut checked = with_one_idle(checked()).await;
    pass(2 * SECOND).await;
    let key = checked.claim();
    checked.gate.set(1, Condition::Unwanted);
    settle().await;
    assert_eq!(checked.connection(key), Some(2));
    let mut made = Harness::new(Gate::open(), calm());
    made.gate.set(1, Condition::Unwanted);
    let key = made.claim();
    settle().await;
    assert_eq!(made.connection(key), Some(2));
    for harness in [idle, returned, checked, made] {
        assert_eq!(harness.gate.closed(), [(1, CloseReason::Retired)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_returned_dirty_is_reset_before_anybody_gets_it() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    let first = harness.claim();
    settle().await;
    let second = harness.claim();
    harness.gate.set(1, Condition::Dirty);
    harness.release(first);
    assert!(!harness.is_settled(second));
    assert_eq!(harness.pool.counts().used, 1);
    settle().await;
    assert_eq!(harness.connection(second), Some(1));
    assert_eq!(harness.pool.statistics().leaked_transactions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_reset_is_closed() {
    for (reply, reason) in [
        (Reply::Fail, CloseReason::Leak),
        (Reply::Hang, CloseReason::Leak),
        (Reply::Panic, CloseReason::Broken),
    ] {
        let mut harness = with_one_idle(calm()).await;
        let key = harness.claim();
        harness.gate.set(1, Condition::Dirty);
        harness.gate.resets(reply);
        harness.release(key);
        pass(SECOND + SECOND / 10).await;
        assert_eq!(harness.gate.closed(), [(1, reason)]);
        assert_eq!(harness.pool.counts().total, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn forgetting_closes_idle_connections_only() {
    let mut harness = Harness::new(Gate::open(), calm());
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    let idle = harness.connection(keys[0]).unwrap();
    harness.release(keys[0]);
    assert_eq!(harness.pool.forget(|_| true, CloseReason::Broken), 1);
    assert_eq!(harness.gate.closed(), [(idle, CloseReason::Broken)]);
    assert_eq!(harness.pool.counts().used, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_lent_without_a_check_however_long_it_was_idle() {
    let mut harness = with_one_idle(calm()).await;
    pass(3600 * SECOND).await;
    let key = harness.claim();
    assert_eq!(harness.connection(key), Some(1));
    assert!(harness.gate.checked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_checked_in_the_background_all_at_the_same_time() {
    let settings = PoolSettings { max: 3, keepalive_after: Some(30 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    settle().await;
    for key in keys {
        harness.release(key);
    }
    harness.gate.checks(Reply::Hang);
    pass(30 * SECOND + 2 * SECOND).await;
    assert_eq!(harness.gate.checked().len(), 3);
    assert_eq!(harness.pool.counts().total, 0);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_meant_are_checked_at_once_and_lent_ones_are_left_alone() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 3, ..calm() });
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    settle().await;
    harness.release(keys[0]);
    harness.release(keys[1]);
    let leased = harness.connection(keys[2]).unwrap();
    harness.gate.checks(Reply::Fail);
    harness.pool.check_idle(|_| true);
    settle().await;
    assert!(harness.gate.is_open(leased));
    assert_eq!(harness.gate.open_connections(), [leased]);
}

#[tokio::test(start_paused = true)]
async fn connections_just_made_are_not_checked_before_a_second_has_passed() {
    let harness = Harness::new(Gate::open(), PoolSettings { min: 2, prefill: true, ..calm() });
    settle().await;
    assert_eq!(harness.pool.counts().idle, 2);
    harness.pool.check_idle(|_| true);
    settle().await;
    assert!(harness.gate.checked().is_empty());
    pass(SECOND).await;
    harness.pool.check_idle(|_| true);
    settle().await;
    assert_eq!(harness.gate.checked().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_claim_after_the_process_stood_still_gets_a_connection_that_was_checked() {
    let mut harness = Harness::new(Gate::open(), calm());
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    for key in keys {
        harness.release(key);
    }
    stand_still(60 * SECOND).await;
    harness.gate.checks(Reply::Hang);
    let key = harness.claim();
    assert!(!harness.is_settled(key));
    assert_eq!(harness.pool.counts().idle, 0);
    pass(SECOND + SECOND / 10).await;
    assert_eq!(harness.connection(key), Some(3));
    assert_eq!(harness.gate.checked().len(), 2);
}
