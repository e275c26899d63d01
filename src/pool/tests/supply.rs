//! Making connections: how many, for whom, and what a failure does.

use super::desk::{Desk, SECOND, calm, pass, settle};
use super::gate::{Gate, Reply};
use crate::pool::{CloseReason, Refusal, Settings};

#[tokio::test(start_paused = true)]
async fn nothing_is_made_before_it_is_asked_for() {
    let desk = Desk::new(Gate::default(), Settings { min: 2, ..calm() });
    pass(SECOND).await;
    assert_eq!((desk.gate.attempts(), desk.pool.counts().total), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn connects_under_way_exceed_neither_claims_nor_max() {
    let mut desk = Desk::new(Gate::default(), Settings { max: 3, ..calm() });
    for expected in [1, 2, 3, 3, 3] {
        desk.claim();
        settle().await;
        assert_eq!(desk.gate.attempts(), expected);
        assert_eq!(desk.pool.counts().connecting, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_connect_refuses_the_oldest_claim_and_another_is_begun() {
    let mut desk = Desk::new(Gate::default(), Settings { max: 1, ..calm() });
    let keys = [desk.claim(), desk.claim()];
    settle().await;
    desk.gate.answer(Reply::Fail);
    settle().await;
    assert!(matches!(desk.refusal(keys[0]), Some(Refusal::Connect("refused"))));
    assert!(!desk.is_settled(keys[1]));
    assert_eq!(desk.gate.attempts(), 1);
    desk.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(desk.connection(keys[1]), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_failed_connect_nobody_waits_for_is_not_repeated() {
    let mut desk = Desk::new(Gate::default(), calm());
    let key = desk.claim();
    settle().await;
    desk.withdraw(key);
    desk.gate.answer(Reply::Fail);
    pass(10 * SECOND).await;
    assert_eq!((desk.gate.attempts(), desk.pool.counts().total), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn claims_wait_out_failures_where_fail_fast_is_off() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let mut desk = Desk::new(gate.clone(), Settings { fail_fast: false, ..calm() });
    let keys = [desk.claim(), desk.claim()];
    for _ in 0..100 {
        pass(SECOND / 10).await;
    }
    assert!(!desk.is_settled(keys[0]) && !desk.is_settled(keys[1]));
    let failures = desk.pool.statistics().connect_failures;
    assert!((6..200).contains(&failures), "{failures} attempts in 10 s");
    gate.connects(Some(Reply::Succeed));
    pass(2 * SECOND).await;
    settle().await;
    assert!(desk.connection(keys[0]).is_some() && desk.connection(keys[1]).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_told_to_all_whom_no_returned_connection_can_serve() {
    let gate = Gate::default();
    gate.connects(Some(Reply::FailForGood));
    let mut desk = Desk::new(gate, Settings { fail_fast: false, ..calm() });
    let keys = [desk.claim(), desk.claim(), desk.claim()];
    settle().await;
    for key in keys {
        assert!(matches!(desk.refusal(key), Some(Refusal::Connect("refused for good"))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_spares_who_may_get_a_returned_connection() {
    let mut desk = Desk::new(Gate::open(), Settings { fail_fast: false, ..calm() });
    let first = desk.claim();
    settle().await;
    desk.gate.connects(Some(Reply::FailForGood));
    let keys = [desk.claim(), desk.claim()];
    settle().await;
    assert!(desk.refusal(keys[0]).is_some());
    desk.give_back(first);
    assert_eq!(desk.connection(keys[1]), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_claim_names_the_last_connect_error() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let mut desk = Desk::new(gate, Settings { fail_fast: false, ..calm() });
    let key = desk.claim_within(Some(SECOND));
    for _ in 0..10 {
        pass(SECOND / 10).await;
    }
    let Some(Refusal::Timeout { last_connect_error, waiting, .. }) = desk.refusal(key) else {
        panic!("not timed out: {:?}", desk.refusal(key));
    };
    assert_eq!((last_connect_error, waiting), (Some("refused"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_prefilled_pool_makes_min_connections_and_replaces_them() {
    let desk = Desk::new(Gate::open(), Settings { max: 10, min: 6, prefill: true, ..calm() });
    settle().await;
    assert_eq!(desk.pool.counts().idle, 6);
    assert_eq!(desk.pool.forget(|&connection| connection == 3, CloseReason::Broken), 1);
    settle().await;
    assert_eq!(desk.pool.counts().idle, 6);
    assert_eq!(desk.gate.closed(), [(3, CloseReason::Broken)]);
}

#[tokio::test(start_paused = true)]
async fn filling_makes_four_at_a_time_and_one_after_a_failure() {
    let desk = Desk::new(Gate::default(), Settings { max: 10, min: 8, prefill: true, ..calm() });
    settle().await;
    assert_eq!(desk.gate.attempts(), 4);
    for _ in 0..4 {
        desk.gate.answer(Reply::Fail);
    }
    settle().await;
    for expected in [1, 2, 4] {
        for _ in 0..20 {
            pass(SECOND / 10).await;
        }
        assert_eq!(desk.gate.attempts(), expected);
        // One success widens; the others of this round are still waiting.
        desk.gate.answer(Reply::Succeed);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn retiring_a_generation_closes_idle_now_lent_when_returned_and_unmade_when_ready() {
    let gate = Gate::open();
    let mut desk = Desk::new(gate.clone(), Settings { max: 3, ..calm() });
    let keys = [desk.claim(), desk.claim()];
    settle().await;
    let held = keys.map(|key| desk.connection(key).unwrap());
    gate.connects(None);
    let waiting = desk.claim();
    settle().await;
    desk.withdraw(waiting);
    desk.give_back(keys[0]);
    desk.pool.retire_generation();
    assert_eq!(gate.closed(), [(held[0], CloseReason::Retired)]);
    gate.answer(Reply::Succeed);
    settle().await;
    desk.give_back(keys[1]);
    let retired = [held[0], 3, held[1]].map(|connection| (connection, CloseReason::Retired));
    assert_eq!(gate.closed(), retired);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_connection_was_retired_unmade_gets_another() {
    let mut desk = Desk::new(Gate::default(), calm());
    let key = desk.claim();
    settle().await;
    desk.pool.retire_generation();
    desk.gate.answer(Reply::Succeed);
    settle().await;
    assert!(!desk.is_settled(key));
    desk.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(desk.connection(key), Some(2));
}

#[tokio::test(start_paused = true)]
async fn retiring_some_connections_spares_the_others() {
    let gate = Gate::open();
    let mut desk = Desk::new(gate.clone(), Settings { max: 4, ..calm() });
    let keys = [desk.claim(), desk.claim(), desk.claim(), desk.claim()];
    settle().await;
    let held = keys.map(|key| desk.connection(key).unwrap());
    desk.give_back(keys[0]);
    desk.give_back(keys[1]);
    let is_meant = |&connection: &u64| connection == held[0] || connection == held[2];
    assert_eq!(desk.pool.retire(is_meant), 2);
    assert_eq!(desk.pool.retire(is_meant), 0, "each is retired once");
    assert_eq!(gate.closed(), [(held[0], CloseReason::Retired)]);
    desk.give_back(keys[2]);
    desk.give_back(keys[3]);
    assert_eq!(gate.closed(), [(held[0], CloseReason::Retired), (held[2], CloseReason::Retired)]);
    assert_eq!(desk.pool.counts().idle, 2);
}

#[tokio::test(start_paused = true)]
async fn claims_that_waited_out_an_outage_are_served_by_one_then_two_then_four_attempts() {
    let mut desk = Desk::new(Gate::default(), Settings { max: 20, fail_fast: false, ..calm() });
    for _ in 0..12 {
        desk.claim();
    }
    settle().await;
    assert_eq!(desk.gate.attempts(), 12, "nothing has failed yet");
    for _ in 0..12 {
        desk.gate.answer(Reply::Fail);
    }
    for (expected, answered) in [(1, 1), (2, 2), (4, 4), (4, 4)] {
        for _ in 0..20 {
            pass(SECOND / 10).await;
        }
        assert_eq!(desk.gate.attempts(), expected);
        for _ in 0..answered {
            desk.gate.answer(Reply::Succeed);
        }
        settle().await;
    }
    assert_eq!(desk.holders().len(), 11);
    desk.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(desk.holders().len(), 12);
    for _ in 0..8 {
        desk.claim();
    }
    settle().await;
    assert_eq!(desk.gate.attempts(), 8, "the outage is over");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_told_the_outage_is_over_does_not_wait_for_its_next_attempt() {
    let desk = Desk::new(Gate::default(), Settings { max: 4, min: 2, prefill: true, ..calm() });
    settle().await;
    while desk.gate.answer(Reply::Fail) {
        settle().await;
    }
    assert_eq!(desk.gate.attempts(), 0);
    desk.pool.resume();
    settle().await;
    assert_eq!(desk.gate.attempts(), 1);
}
