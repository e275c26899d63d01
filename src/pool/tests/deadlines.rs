//! Claims and attempts whose time runs out.

use super::gate::{Gate, Reply};
use super::harness::{Harness, SECOND, calm, pass, settle};
use crate::pool::{AcquireError, AcquirePhase, PoolSettings};

#[tokio::test(start_paused = true)]
async fn a_claim_times_out_at_its_deadline_and_not_before() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    harness.claim();
    settle().await;
    let key = harness.claim_within(Some(SECOND));
    pass(SECOND * 99 / 100).await;
    assert!(!harness.is_settled(key));
    pass(SECOND / 50).await;
    let Some(AcquireError::Timeout { total, idle, used, waiting, phase, .. }) = harness.error(key) else {
        panic!("not timed out: {:?}", harness.error(key));
    };
    assert_eq!((total, idle, used, waiting, phase), (1, 0, 1, 1, AcquirePhase::Waiting));
    assert_eq!(harness.pool.counts().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn claims_time_out_in_the_order_of_their_deadlines() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    harness.claim();
    settle().await;
    let late = harness.claim_within(Some(3 * SECOND));
    let early = harness.claim_within(Some(SECOND));
    let never = harness.claim();
    pass(2 * SECOND).await;
    assert!(harness.is_settled(early) && !harness.is_settled(late));
    pass(2 * SECOND).await;
    assert!(harness.is_settled(late) && !harness.is_settled(never));
}

#[tokio::test(start_paused = true)]
async fn the_acquire_timeout_bounds_a_claim_without_deadline() {
    let settings = PoolSettings { max: 1, acquire_timeout: Some(5 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    harness.claim();
    settle().await;
    let key = harness.claim();
    pass(4 * SECOND).await;
    assert!(!harness.is_settled(key));
    pass(2 * SECOND).await;
    assert!(matches!(harness.error(key), Some(AcquireError::Timeout { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_bounds_waiting_where_there_is_no_acquire_timeout() {
    let settings = PoolSettings { max: 1, connect_timeout: Some(2 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    harness.claim();
    settle().await;
    let key = harness.claim();
    pass(3 * SECOND).await;
    assert!(matches!(harness.error(key), Some(AcquireError::Timeout { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_past_the_connect_timeout_is_stopped_and_refuses_its_claim() {
    let settings = PoolSettings { max: 1, connect_timeout: Some(2 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::default(), settings);
    let first = harness.claim();
    pass(SECOND).await;
    let second = harness.claim();
    pass(SECOND + SECOND / 100).await;
    assert!(matches!(harness.error(first), Some(AcquireError::ConnectTimeout)));
    assert!(!harness.is_settled(second), "one failed attempt, one failed claim");
    assert_eq!(harness.gate.attempts(), 1);
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(harness.connection(second), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_not_borne_by_a_claim_that_came_after_it_was_begun() {
    let settings = PoolSettings { max: 1, connect_timeout: Some(2 * SECOND), ..calm() };
    let mut harness = Harness::new(Gate::default(), settings);
    let gone = harness.claim_within(Some(SECOND));
    pass(SECOND + SECOND / 100).await;
    assert!(matches!(harness.error(gone), Some(AcquireError::Timeout { .. })));
    let late = harness.claim();
    pass(SECOND).await;
    assert!(!harness.is_settled(late), "the attempt was begun for another claim");
    assert_eq!(harness.gate.attempts(), 1, "and a new one has taken its place");
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(harness.connection(late), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_already_past_is_refused_at_once_unless_a_connection_is_idle() {
    let mut harness = Harness::new(Gate::open(), calm());
    let late = harness.claim_within(Some(std::time::Duration::ZERO));
    assert!(matches!(harness.error(late), Some(AcquireError::Timeout { .. })));
    let key = harness.claim();
    settle().await;
    harness.release(key);
    let served = harness.claim_within(Some(std::time::Duration::ZERO));
    assert!(harness.connection(served).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_claim_without_any_limit_waits() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, ..calm() });
    harness.claim();
    settle().await;
    let key = harness.claim();
    pass(100_000 * SECOND).await;
    assert!(!harness.is_settled(key));
}
