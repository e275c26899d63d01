//! Connections that broke, do not answer, or came back with a transaction open.

use super::desk::{Desk, SECOND, calm, pass, settle};
use super::gate::{Gate, Reply};
use crate::pool::{CloseReason, Condition, Settings};

fn checked() -> Settings {
    Settings { check_after: Some(SECOND), ..calm() }
}

/// A desk whose pool holds connection 1, idle.
async fn with_one_idle(settings: Settings) -> Desk {
    let mut desk = Desk::new(Gate::open(), settings);
    let key = desk.claim();
    settle().await;
    desk.give_back(key);
    desk
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_a_moment_is_lent_without_a_check() {
    let mut desk = with_one_idle(checked()).await;
    pass(SECOND / 2).await;
    let key = desk.claim();
    assert_eq!(desk.connection(key), Some(1));
    assert!(desk.gate.checked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_connection_idle_for_longer_is_checked_before_it_is_lent() {
    let mut desk = with_one_idle(checked()).await;
    pass(2 * SECOND).await;
    let key = desk.claim();
    assert!(!desk.is_settled(key));
    let counts = desk.pool.counts();
    assert_eq!((counts.idle, counts.used, counts.connecting), (0, 1, 0));
    settle().await;
    assert_eq!(desk.connection(key), Some(1));
    assert_eq!(desk.gate.checked(), [1]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_sends_the_claim_to_a_new_connection() {
    for reply in [Reply::Fail, Reply::Hang, Reply::Panic] {
        let mut desk = with_one_idle(checked()).await;
        pass(2 * SECOND).await;
        desk.gate.checks(reply);
        let key = desk.claim();
        pass(SECOND + SECOND / 10).await;
        assert_eq!(desk.connection(key), Some(2), "{reply:?}");
        assert_eq!(desk.gate.closed().len(), 1, "{reply:?}");
        assert!(!desk.gate.is_open(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_beside_one_that_is_served_by_a_check_does_not_miss_the_end_of_a_backoff() {
    let mut desk = with_one_idle(Settings { fail_fast: false, ..checked() }).await;
    pass(2 * SECOND).await;
    desk.gate.checks(Reply::SucceedLate);
    desk.gate.connects(Some(Reply::Fail));
    let keys = [desk.claim(), desk.claim()];
    settle().await;
    desk.gate.connects(Some(Reply::Succeed));
    pass(SECOND / 2).await;
    assert_eq!(desk.connection(keys[0]), Some(1));
    pass(3 * SECOND).await;
    assert_eq!(desk.connection(keys[1]), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_check_goes_on_when_its_claim_leaves() {
    let mut desk = with_one_idle(checked()).await;
    pass(2 * SECOND).await;
    let key = desk.claim();
    assert!(desk.withdraw(key));
    settle().await;
    assert_eq!(desk.pool.counts().idle, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_found_broken_is_closed_and_the_claim_keeps_its_rank() {
    let mut desk = with_one_idle(Settings { max: 1, ..calm() }).await;
    desk.gate.set(1, Condition::Broken);
    let first = desk.claim();
    let second = desk.claim();
    settle().await;
    assert_eq!(desk.connection(first), Some(2));
    assert!(!desk.is_settled(second));
    assert_eq!(desk.gate.closed(), [(1, CloseReason::Broken)]);
    assert_eq!(desk.pool.statistics().grants, 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_returned_broken_is_closed_and_replaced_for_a_claim() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    let first = desk.claim();
    settle().await;
    let second = desk.claim();
    desk.gate.set(1, Condition::Broken);
    desk.give_back(first);
    settle().await;
    assert_eq!(desk.connection(second), Some(2));
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
    returned.give_back(key);
    let mut checked = with_one_idle(checked()).await;
    pass(2 * SECOND).await;
    let key = checked.claim();
    checked.gate.set(1, Condition::Unwanted);
    settle().await;
    assert_eq!(checked.connection(key), Some(2));
    let mut made = Desk::new(Gate::open(), calm());
    made.gate.set(1, Condition::Unwanted);
    let key = made.claim();
    settle().await;
    assert_eq!(made.connection(key), Some(2));
    for desk in [idle, returned, checked, made] {
        assert_eq!(desk.gate.closed(), [(1, CloseReason::Retired)]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_returned_dirty_is_reset_before_anybody_gets_it() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    let first = desk.claim();
    settle().await;
    let second = desk.claim();
    desk.gate.set(1, Condition::Dirty);
    desk.give_back(first);
    assert!(!desk.is_settled(second));
    assert_eq!(desk.pool.counts().used, 1);
    settle().await;
    assert_eq!(desk.connection(second), Some(1));
    assert_eq!(desk.pool.statistics().leaked_transactions, 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_cannot_be_reset_is_closed() {
    for (reply, reason) in [
        (Reply::Fail, CloseReason::Leak),
        (Reply::Hang, CloseReason::Leak),
        (Reply::Panic, CloseReason::Broken),
    ] {
        let mut desk = with_one_idle(calm()).await;
        let key = desk.claim();
        desk.gate.set(1, Condition::Dirty);
        desk.gate.resets(reply);
        desk.give_back(key);
        pass(SECOND + SECOND / 10).await;
        assert_eq!(desk.gate.closed(), [(1, reason)]);
        assert_eq!(desk.pool.counts().total, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn forgetting_closes_idle_connections_only() {
    let mut desk = Desk::new(Gate::open(), calm());
    let keys = [desk.claim(), desk.claim()];
    settle().await;
    let idle = desk.connection(keys[0]).unwrap();
    desk.give_back(keys[0]);
    assert_eq!(desk.pool.forget(|_| true, CloseReason::Broken), 1);
    assert_eq!(desk.gate.closed(), [(idle, CloseReason::Broken)]);
    assert_eq!(desk.pool.counts().used, 1);
}
