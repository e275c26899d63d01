//! Making connections: how many, for whom, and what a failure does.

use std::time::Duration;

use super::gate::{Gate, Reply};
use super::harness::{Harness, SECOND, calm, pass, settle};
use crate::pool::{AcquireError, CloseReason, Condition, Patience, PoolChanges, PoolSettings};

#[tokio::test(start_paused = true)]
async fn nothing_is_made_before_it_is_asked_for() {
    let harness = Harness::new(Gate::default(), PoolSettings { min: 2, ..calm() });
    pass(SECOND).await;
    assert_eq!((harness.gate.attempts(), harness.pool.counts().total), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn connects_under_way_exceed_neither_claims_nor_max() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 3, ..calm() });
    for expected in [1, 2, 3, 3, 3] {
        harness.claim();
        settle().await;
        assert_eq!(harness.gate.attempts(), expected);
        assert_eq!(harness.pool.counts().connecting, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_connect_refuses_the_oldest_claim_and_another_is_begun() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 1, ..calm() });
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    harness.gate.answer(Reply::Fail);
    settle().await;
    assert!(matches!(harness.error(keys[0]), Some(AcquireError::Connect("refused"))));
    assert!(!harness.is_settled(keys[1]));
    assert_eq!(harness.gate.attempts(), 1);
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(harness.connection(keys[1]), Some(1));
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_connect_for_a_claim_that_has_gone_is_nobodys() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 1, ..calm() });
    let gone = harness.claim();
    let next = harness.claim();
    settle().await;
    harness.withdraw(gone);
    harness.gate.answer(Reply::Fail);
    settle().await;
    assert!(!harness.is_settled(next));
    assert_eq!(harness.gate.attempts(), 1);
    harness.gate.answer(Reply::Fail);
    settle().await;
    assert!(matches!(harness.error(next), Some(AcquireError::Connect("refused"))));
}

#[tokio::test(start_paused = true)]
async fn the_failure_of_a_connect_for_a_claim_that_got_another_one_is_nobodys() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 2, ..calm() });
    let [gone, served, next] = [harness.claim(), harness.claim(), harness.claim()];
    settle().await;
    harness.withdraw(gone);
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert!(harness.connection(served).is_some());
    harness.gate.answer(Reply::Fail);
    settle().await;
    assert!(!harness.is_settled(next));
    harness.gate.answer(Reply::Fail);
    settle().await;
    assert!(matches!(harness.error(next), Some(AcquireError::Connect("refused"))));
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_attempt_hangs_hears_the_failure_of_the_next_one() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 5, ..calm() });
    let first = harness.claim();
    settle().await;
    harness.gate.answer(Reply::Fail);
    settle().await;
    assert!(harness.error(first).is_some());
    let key = harness.claim();
    settle().await;
    pass(SECOND + SECOND / 2).await;
    assert_eq!(harness.gate.attempts(), 2);
    harness.gate.answer_newest(Reply::Fail);
    settle().await;
    assert!(matches!(harness.error(key), Some(AcquireError::Connect("refused"))));
    assert_eq!(harness.gate.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_connect_nobody_waits_for_is_not_repeated() {
    let mut harness = Harness::new(Gate::default(), calm());
    let key = harness.claim();
    settle().await;
    harness.withdraw(key);
    harness.gate.answer(Reply::Fail);
    pass(10 * SECOND).await;
    assert_eq!((harness.gate.attempts(), harness.pool.counts().total), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn claims_wait_out_failures_where_fail_fast_is_off() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let mut harness = Harness::new(gate.clone(), PoolSettings { fail_fast: false, ..calm() });
    let keys = [harness.claim(), harness.claim()];
    for _ in 0..100 {
        pass(SECOND / 10).await;
    }
    assert!(!harness.is_settled(keys[0]) && !harness.is_settled(keys[1]));
    let failures = harness.pool.statistics().connect_failures;
    assert!((6..200).contains(&failures), "{failures} attempts in 10 s");
    gate.connects(Some(Reply::Succeed));
    pass(2 * SECOND).await;
    settle().await;
    assert!(harness.connection(keys[0]).is_some() && harness.connection(keys[1]).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_is_told_to_all_whom_no_returned_connection_can_serve() {
    let gate = Gate::default();
    gate.connects(Some(Reply::FailForGood));
    let mut harness = Harness::new(gate, PoolSettings { fail_fast: false, ..calm() });
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    settle().await;
    for key in keys {
        assert!(matches!(harness.error(key), Some(AcquireError::Connect("refused for good"))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_lasts_spares_who_may_get_a_returned_connection() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { fail_fast: false, ..calm() });
    let first = harness.claim();
    settle().await;
    harness.gate.connects(Some(Reply::FailForGood));
    let keys = [harness.claim(), harness.claim()];
    pass(20 * SECOND).await;
    assert!(harness.pool.statistics().connect_failures > 0);
    for key in keys {
        harness.release(first.max(key.saturating_sub(1)));
        assert_eq!(harness.connection(key), Some(1));
    }
}

#[tokio::test(start_paused = true)]
async fn patience_is_the_claims_own_where_the_pool_has_none() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let mut harness = Harness::new(gate.clone(), PoolSettings { max: 3, ..calm() });
    let patient = harness.claim_patiently(Patience::For(7 * SECOND), None);
    let hasty = harness.claim();
    settle().await;
    assert!(matches!(harness.error(hasty), Some(AcquireError::Connect("refused"))));
    for _ in 0..69 {
        pass(SECOND / 10).await;
    }
    assert!(!harness.is_settled(patient));
    let failures = harness.pool.statistics().connect_failures;
    assert!(failures < 40, "{failures} attempts in 7 s");
    gate.connects(Some(Reply::Succeed));
    pass(SECOND).await;
    assert!(harness.connection(patient).is_some());
}

/// A pool that fails fast, had a connection, and has lost it in a failover.
async fn in_a_failover() -> Harness {
    let mut harness = Harness::new(Gate::open(), calm());
    let key = harness.claim();
    settle().await;
    harness.gate.set(1, Condition::Broken);
    harness.release(key);
    harness.gate.connects(Some(Reply::FailOver));
    harness
}

#[tokio::test(start_paused = true)]
async fn claims_that_fail_fast_wait_out_a_failover_to_their_deadline() {
    let mut harness = in_a_failover().await;
    let keys = [harness.claim_within(Some(2 * SECOND)), harness.claim_within(Some(9 * SECOND))];
    pass(3 * SECOND).await;
    let late = harness.claim();
    let Some(AcquireError::Timeout { last_connect_error, .. }) = harness.error(keys[0]) else {
        panic!("no timeout");
    };
    assert_eq!(last_connect_error, Some("no primary"));
    pass(3 * SECOND).await;
    let failures = harness.pool.statistics().connect_failures;
    assert!((5..80).contains(&failures), "{failures} attempts in 6 s");
    harness.gate.connects(Some(Reply::Succeed));
    pass(SECOND).await;
    assert!(harness.connection(keys[1]).is_some() && harness.connection(late).is_some());
    harness.gate.set(harness.connection(late).unwrap(), Condition::Broken);
    harness.gate.connects(Some(Reply::Fail));
    harness.release(late);
    let later = harness.claim();
    settle().await;
    assert!(matches!(harness.error(later), Some(AcquireError::Connect("refused"))));
}

#[tokio::test(start_paused = true)]
async fn a_failover_without_end_is_told_to_claims_without_a_deadline() {
    let mut harness = in_a_failover().await;
    let key = harness.claim();
    pass(29 * SECOND).await;
    assert!(!harness.is_settled(key));
    pass(2 * SECOND).await;
    assert!(matches!(harness.error(key), Some(AcquireError::Connect("no primary"))));
}

#[tokio::test(start_paused = true)]
async fn a_failover_of_which_nothing_was_heard_since_is_waited_for_no_longer() {
    let mut harness = in_a_failover().await;
    let key = harness.claim_within(Some(SECOND));
    pass(2 * SECOND).await;
    assert!(matches!(harness.error(key), Some(AcquireError::Timeout { .. })));
    pass(60 * SECOND).await;
    harness.gate.connects(Some(Reply::Fail));
    let later = harness.claim();
    settle().await;
    assert!(matches!(harness.error(later), Some(AcquireError::Connect("refused"))));
}

#[tokio::test(start_paused = true)]
async fn claims_that_fail_fast_wait_for_connections_that_are_there_where_this_machine_is_short() {
    let mut harness = Harness::new(Gate::open(), calm());
    let first = harness.claim();
    settle().await;
    harness.gate.connects(Some(Reply::FailShort));
    let second = harness.claim();
    pass(SECOND).await;
    assert!(harness.pool.statistics().connect_failures > 0 && !harness.is_settled(second));
    harness.release(first);
    assert_eq!(harness.connection(second), Some(1));
    harness.gate.set(1, Condition::Broken);
    harness.release(second);
    let third = harness.claim();
    settle().await;
    assert!(matches!(harness.error(third), Some(AcquireError::Connect("no descriptor"))));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_never_had_a_connection_waits_for_no_failover() {
    let gate = Gate::default();
    gate.connects(Some(Reply::FailOver));
    let mut harness = Harness::new(gate, calm());
    let key = harness.claim_within(Some(2 * SECOND));
    settle().await;
    assert!(matches!(harness.error(key), Some(AcquireError::Connect("no primary"))));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_never_had_a_connection_tells_why_when_patience_is_over() {
    for limit in [None, Some(30 * SECOND)] {
        let gate = Gate::default();
        gate.connects(Some(Reply::Fail));
        let mut harness = Harness::new(gate, calm());
        let key = harness.claim_patiently(Patience::For(7 * SECOND), limit);
        pass_slowly(6 * SECOND).await;
        assert!(!harness.is_settled(key));
        pass_slowly(2 * SECOND).await;
        assert!(matches!(harness.error(key), Some(AcquireError::Connect("refused"))));
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_with_a_deadline_waits_to_it_where_the_pool_once_had_a_connection() {
    let mut harness = Harness::new(Gate::open(), calm());
    let first = harness.claim();
    settle().await;
    harness.take(first).close(CloseReason::Broken);
    harness.gate.connects(Some(Reply::Fail));
    let within = harness.claim_patiently(Patience::For(SECOND), Some(30 * SECOND));
    let without = harness.claim_patiently(Patience::For(SECOND), None);
    pass_slowly(2 * SECOND).await;
    assert!(matches!(harness.error(without), Some(AcquireError::Connect("refused"))));
    pass_slowly(27 * SECOND).await;
    assert!(!harness.is_settled(within));
    pass_slowly(2 * SECOND).await;
    let error = harness.error(within);
    assert!(matches!(error, Some(AcquireError::Timeout { last_connect_error: Some("refused"), .. })));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_may_be_later_than_the_limit_of_the_pool() {
    let settings = PoolSettings { acquire_timeout: Some(SECOND), max: 1, ..calm() };
    let mut harness = Harness::new(Gate::open(), settings);
    let held = harness.claim();
    let within = harness.claim_within(Some(5 * SECOND));
    let to_deadline = harness.claim_patiently(Patience::ToDeadline, Some(5 * SECOND));
    let none = harness.claim_patiently(Patience::ToDeadline, None);
    settle().await;
    pass_slowly(2 * SECOND).await;
    for key in [within, none] {
        assert!(matches!(harness.error(key), Some(AcquireError::Timeout { .. })));
    }
    assert!(!harness.is_settled(to_deadline));
    harness.release(held);
    assert!(harness.connection(to_deadline).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_pool_serves_within_a_second_of_the_servers_return() {
    for outage in [1, 3, 17, 60] {
        let gate = Gate::default();
        gate.connects(Some(Reply::Fail));
        let mut harness = Harness::new(gate.clone(), PoolSettings { fail_fast: false, max: 30, ..calm() });
        let keys: Vec<_> = (0..30).map(|_| harness.claim()).collect();
        pass_slowly(outage * SECOND).await;
        gate.connects(Some(Reply::Succeed));
        pass_slowly(SECOND).await;
        assert!(keys.iter().all(|key| harness.connection(*key).is_some()), "after {outage} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_does_not_hold_back_the_next_for_more_than_a_second() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let settings = PoolSettings {
        fail_fast: false,
        connect_timeout: Some(4 * SECOND),
        acquire_timeout: Some(60 * SECOND),
        max: 9,
        ..calm()
    };
    let mut harness = Harness::new(gate.clone(), settings);
    let key = harness.claim();
    pass_slowly(SECOND).await;
    gate.connects(Some(Reply::Hang));
    pass_slowly(3 * SECOND + SECOND / 2).await;
    assert!((3..=4).contains(&harness.pool.counts().connecting));
    pass_slowly(20 * SECOND).await;
    gate.connects(Some(Reply::Succeed));
    pass_slowly(SECOND + SECOND / 2).await;
    assert!(harness.connection(key).is_some());
}

/// Lets time pass in small steps, as it does.
async fn pass_slowly(time: Duration) {
    for _ in 0..time.as_millis() / 20 {
        pass(Duration::from_millis(20)).await;
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_claim_names_the_last_connect_error() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let mut harness = Harness::new(gate, PoolSettings { fail_fast: false, ..calm() });
    let key = harness.claim_within(Some(SECOND));
    for _ in 0..10 {
        pass(SECOND / 10).await;
    }
    let Some(AcquireError::Timeout { last_connect_error, waiting, .. }) = harness.error(key) else {
        panic!("not timed out: {:?}", harness.error(key));
    };
    assert_eq!((last_connect_error, waiting), (Some("refused"), 1));
}

#[tokio::test(start_paused = true)]
async fn a_prefilled_pool_makes_min_connections_and_replaces_them() {
    let harness = Harness::new(Gate::open(), PoolSettings { max: 10, min: 6, prefill: true, ..calm() });
    settle().await;
    assert_eq!(harness.pool.counts().idle, 6);
    assert_eq!(harness.pool.forget(|&connection| connection == 3, CloseReason::Broken), 1);
    settle().await;
    assert_eq!(harness.pool.counts().idle, 6);
    assert_eq!(harness.gate.closed(), [(3, CloseReason::Broken)]);
}

#[tokio::test(start_paused = true)]
async fn filling_makes_four_at_a_time_and_one_after_a_failure() {
    let harness = Harness::new(Gate::default(), PoolSettings { max: 10, min: 8, prefill: true, ..calm() });
    settle().await;
    assert_eq!(harness.gate.attempts(), 4);
    for _ in 0..4 {
        harness.gate.answer(Reply::Fail);
    }
    settle().await;
    for expected in [1, 2, 4] {
        for _ in 0..20 {
            pass(SECOND / 10).await;
        }
        assert_eq!(harness.gate.attempts(), expected);
        // One success widens; the others of this round are still waiting.
        harness.gate.answer(Reply::Succeed);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn retiring_a_generation_closes_idle_now_lent_when_returned_and_unmade_when_ready() {
    let gate = Gate::open();
    let mut harness = Harness::new(gate.clone(), PoolSettings { max: 3, ..calm() });
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    let held = keys.map(|key| harness.connection(key).unwrap());
    gate.connects(None);
    let waiting = harness.claim();
    settle().await;
    harness.withdraw(waiting);
    harness.release(keys[0]);
    harness.pool.retire_generation();
    assert_eq!(gate.closed(), [(held[0], CloseReason::Retired)]);
    gate.answer(Reply::Succeed);
    settle().await;
    harness.release(keys[1]);
    let retired = [held[0], 3, held[1]].map(|connection| (connection, CloseReason::Retired));
    assert_eq!(gate.closed(), retired);
}

#[tokio::test(start_paused = true)]
async fn a_claim_whose_connection_was_retired_unmade_gets_another() {
    let mut harness = Harness::new(Gate::default(), calm());
    let key = harness.claim();
    settle().await;
    harness.pool.retire_generation();
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert!(!harness.is_settled(key));
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(harness.connection(key), Some(2));
}

#[tokio::test(start_paused = true)]
async fn retiring_some_connections_spares_the_others() {
    let gate = Gate::open();
    let mut harness = Harness::new(gate.clone(), PoolSettings { max: 4, ..calm() });
    let keys = [harness.claim(), harness.claim(), harness.claim(), harness.claim()];
    settle().await;
    let held = keys.map(|key| harness.connection(key).unwrap());
    harness.release(keys[0]);
    harness.release(keys[1]);
    let is_meant = |&connection: &u64| connection == held[0] || connection == held[2];
    assert_eq!(harness.pool.retire(is_meant), 2);
    assert_eq!(harness.pool.retire(is_meant), 0, "each is retired once");
    assert_eq!(gate.closed(), [(held[0], CloseReason::Retired)]);
    harness.release(keys[2]);
    harness.release(keys[3]);
    assert_eq!(gate.closed(), [(held[0], CloseReason::Retired), (held[2], CloseReason::Retired)]);
    assert_eq!(harness.pool.counts().idle, 2);
}

#[tokio::test(start_paused = true)]
async fn claims_that_waited_out_an_outage_are_served_by_one_then_two_then_four_attempts() {
    let mut harness = Harness::new(Gate::default(), PoolSettings { max: 20, fail_fast: false, ..calm() });
    for _ in 0..12 {
        harness.claim();
    }
    settle().await;
    assert_eq!(harness.gate.attempts(), 12, "nothing has failed yet");
    for _ in 0..12 {
        harness.gate.answer(Reply::Fail);
    }
    for (expected, answered) in [(1, 1), (2, 2), (4, 4), (4, 4)] {
        pass(SECOND / 2).await;
        assert_eq!(harness.gate.attempts(), expected);
        for _ in 0..answered {
            harness.gate.answer(Reply::Succeed);
        }
        settle().await;
    }
    assert_eq!(harness.holders().len(), 11);
    harness.gate.answer(Reply::Succeed);
    settle().await;
    assert_eq!(harness.holders().len(), 12);
    for _ in 0..8 {
        harness.claim();
    }
    settle().await;
    assert_eq!(harness.gate.attempts(), 8, "the outage is over");
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_told_the_outage_is_over_does_not_wait_for_its_next_attempt() {
    let harness = Harness::new(Gate::default(), PoolSettings { max: 4, min: 2, prefill: true, ..calm() });
    settle().await;
    while harness.gate.answer(Reply::Fail) {
        settle().await;
    }
    assert_eq!(harness.gate.attempts(), 0);
    harness.pool.resume();
    settle().await;
    assert_eq!(harness.gate.attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_raised_maximum_serves_who_waits_and_a_raised_minimum_is_filled() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 1, min: 1, prefill: true, ..calm() });
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    assert!(!harness.is_settled(keys[1]));
    harness.pool.configure(PoolChanges { max: Some(4), min: Some(4), fail_fast: None });
    settle().await;
    assert!(harness.connection(keys[1]).is_some());
    assert_eq!(harness.pool.counts().total, 4);
}

#[tokio::test(start_paused = true)]
async fn a_lowered_maximum_closes_what_is_idle_now_and_what_is_leased_when_it_comes_back() {
    let mut harness = Harness::new(Gate::open(), PoolSettings { max: 4, ..calm() });
    let keys: Vec<_> = (0..4).map(|_| harness.claim()).collect();
    settle().await;
    harness.release(keys[0]);
    let last = harness.claim();
    harness.release(keys[1]);
    settle().await;
    assert_eq!(harness.pool.counts().idle, 1);
    harness.pool.configure(PoolChanges { max: Some(1), ..PoolChanges::default() });
    assert_eq!((harness.pool.counts().total, harness.pool.counts().idle), (3, 0));
    for key in [keys[2], keys[3], last] {
        harness.release(key);
    }
    settle().await;
    assert_eq!((harness.pool.counts().total, harness.pool.counts().idle), (1, 1));
    let reasons: Vec<_> = harness.gate.closed().iter().map(|closed| closed.1).collect();
    assert_eq!(reasons, [CloseReason::Retired; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_lowered_minimum_lets_the_idle_timeout_count_again() {
    let settings = PoolSettings { min: 2, prefill: true, idle_timeout: Some(5 * SECOND), ..calm() };
    let harness = Harness::new(Gate::open(), settings);
    pass(20 * SECOND).await;
    assert_eq!(harness.pool.counts().idle, 2);
    harness.pool.configure(PoolChanges { min: Some(0), ..PoolChanges::default() });
    pass(6 * SECOND).await;
    assert_eq!(harness.pool.counts().total, 0);
}

#[tokio::test(start_paused = true)]
async fn claims_that_wait_out_failures_are_told_the_next_one_once_fail_fast_is_on() {
    let gate = Gate::default();
    gate.connects(Some(Reply::Fail));
    let mut harness = Harness::new(gate, PoolSettings { fail_fast: false, ..calm() });
    let key = harness.claim();
    pass(SECOND).await;
    assert!(!harness.is_settled(key));
    harness.pool.configure(PoolChanges { fail_fast: Some(true), ..PoolChanges::default() });
    settle().await;
    assert!(matches!(harness.error(key), Some(AcquireError::Connect("refused"))));
}
