//! Claims and attempts whose time runs out.

use super::desk::{Desk, SECOND, calm, pass, settle};
use super::gate::{Gate, Reply};
use crate::pool::{Phase, Refusal, Settings};

#[tokio::test(start_paused = true)]
async fn a_claim_times_out_at_its_deadline_and_not_before() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    desk.claim();
    settle().await;
    let key = desk.claim_within(Some(SECOND));
    pass(SECOND * 99 / 100).await;
    assert!(!desk.is_settled(key));
    pass(SECOND / 50).await;
    let Some(Refusal::Timeout { total, idle, used, waiting, phase, .. }) = desk.refusal(key) else {
        panic!("not timed out: {:?}", desk.refusal(key));
    };
    assert_eq!((total, idle, used, waiting, phase), (1, 0, 1, 1, Phase::Waiting));
    assert_eq!(desk.pool.counts().waiting, 0);
}

#[tokio::test(start_paused = true)]
async fn claims_time_out_in_the_order_of_their_deadlines() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    desk.claim();
    settle().await;
    let late = desk.claim_within(Some(3 * SECOND));
    let early = desk.claim_within(Some(SECOND));
    let never = desk.claim();
    pass(2 * SECOND).await;
    assert!(desk.is_settled(early) && !desk.is_settled(late));
    pass(2 * SECOND).await;
    assert!(desk.is_settled(late) && !desk.is_settled(never));
}

#[tokio::test(start_paused = true)]
async fn the_acquire_timeout_bounds_a_claim_without_deadline() {
    let settings = Settings { max: 1, acquire_timeout: Some(5 * SECOND), ..calm() };
    let mut desk = Desk::new(Gate::open(), settings);
    desk.claim();
    settle().await;
    let key = desk.claim();
    pass(4 * SECOND).await;
    assert!(!desk.is_settled(key));
    pass(2 * SECOND).await;
    assert!(matches!(desk.refusal(key), Some(Refusal::Timeout { .. })));
}

#[tokio::test(start_paused = true)]
async fn the_connect_timeout_bounds_waiting_where_there_is_no_acquire_timeout() {
    let settings = Settings { max: 1, connect_timeout: Some(2 * SECOND), ..calm() };
    let mut desk = Desk::new(Gate::open(), settings);
    desk.claim();
    settle().await;
    let key = desk.claim();
    pass(3 * SECOND).await;
    assert!(matches!(desk.refusal(key), Some(Refusal::Timeout { .. })));
}

#[tokio::test(start_paused = true)]
async fn an_attempt_past_the_connect_timeout_is_stopped_and_refuses_its_claim() {
    let settings = Settings { max: 1, connect_timeout: Some(2 * SECOND), ..calm() };
    let mut desk = Desk::new(Gate::default(), settings);
    let first = desk.claim();
    pass(SECOND).await;
    let second = desk.claim();
    pass(SECOND + SECOND / 100).await;
    assert!(matches!(desk.refusal(first), Some(Refusal::ConnectTimeout)));
    assert!(!desk.is_settled(second), "one failed attempt, one failed claim");
    assert_eq!(desk.gate.attempts(), 1);
    desk.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(desk.connection(second), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_attempt_is_not_borne_by_a_claim_that_came_after_it_was_begun() {
    let settings = Settings { max: 1, connect_timeout: Some(2 * SECOND), ..calm() };
    let mut desk = Desk::new(Gate::default(), settings);
    let gone = desk.claim_within(Some(SECOND));
    pass(SECOND + SECOND / 100).await;
    assert!(matches!(desk.refusal(gone), Some(Refusal::Timeout { .. })));
    let late = desk.claim();
    pass(SECOND).await;
    assert!(!desk.is_settled(late), "the attempt was begun for another claim");
    assert_eq!(desk.gate.attempts(), 1, "and a new one has taken its place");
    desk.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(desk.connection(late), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_already_past_is_refused_at_once_unless_a_connection_is_idle() {
    let mut desk = Desk::new(Gate::open(), calm());
    let late = desk.claim_within(Some(std::time::Duration::ZERO));
    assert!(matches!(desk.refusal(late), Some(Refusal::Timeout { .. })));
    let key = desk.claim();
    settle().await;
    desk.give_back(key);
    let served = desk.claim_within(Some(std::time::Duration::ZERO));
    assert!(desk.connection(served).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_claim_without_any_limit_waits() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    desk.claim();
    settle().await;
    let key = desk.claim();
    pass(100_000 * SECOND).await;
    assert!(!desk.is_settled(key));
}
