//! A limit of leases below `max`.

use std::time::Duration;

use super::gate::Gate;
use super::harness::{Harness, SECOND, calm, pass, settle};
use crate::pool::{AcquireError, CloseReason, Condition, LeaseLimit, PoolChanges, PoolSettings, SharedQuota};

fn at_most(most: usize) -> LeaseLimit {
    LeaseLimit { most, closes_surplus: false }
}

fn of_four() -> PoolSettings {
    PoolSettings { max: 4, ..calm() }
}

/// A pool whose four connections are idle.
async fn idle_pool(settings: PoolSettings) -> Harness {
    let mut harness = Harness::new(Gate::open(), settings);
    let keys: Vec<_> = (0..4).map(|_| harness.claim()).collect();
    settle().await;
    for key in keys {
        harness.release(key);
    }
    assert_eq!(harness.pool.counts().idle, 4);
    harness
}

#[tokio::test(start_paused = true)]
async fn claims_above_the_limit_wait_although_connections_are_idle() {
    let mut harness = idle_pool(of_four()).await;
    harness.pool.limit_leases(at_most(2));
    let keys: Vec<_> = (0..4).map(|_| harness.claim()).collect();
    settle().await;
    let counts = harness.pool.counts();
    assert_eq!((counts.used, counts.idle, counts.queued), (2, 2, 2));
    assert_eq!(harness.pool.sizes().limit, 2);
    harness.release(keys[0]);
    assert!(harness.is_settled(keys[2]) && !harness.is_settled(keys[3]));
    harness.pool.check_invariants();
}

#[tokio::test(start_paused = true)]
async fn leases_above_a_lowered_limit_go_on_and_are_not_leased_again() {
    let mut harness = idle_pool(of_four()).await;
    let keys: Vec<_> = (0..6).map(|_| harness.claim()).collect();
    harness.pool.limit_leases(at_most(2));
    assert_eq!(harness.pool.counts().used, 4);
    for (returned, still_used) in [(keys[0], 3), (keys[1], 2)] {
        harness.release(returned);
        assert_eq!((harness.pool.counts().used, harness.pool.counts().queued), (still_used, 2));
    }
    harness.release(keys[2]);
    assert_eq!((harness.pool.counts().used, harness.pool.counts().queued), (2, 1));
    harness.pool.check_invariants();
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_serves_claims_at_once() {
    let mut harness = idle_pool(of_four()).await;
    harness.pool.limit_leases(at_most(1));
    let keys: Vec<_> = (0..4).map(|_| harness.claim()).collect();
    harness.pool.limit_leases(at_most(3));
    assert_eq!(keys.iter().filter(|&&key| harness.is_settled(key)).count(), 3);
    harness.pool.limit_leases(LeaseLimit::NONE);
    assert!(harness.is_settled(keys[3]));
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_made_that_could_not_be_leased() {
    let mut harness = Harness::new(Gate::open(), of_four());
    harness.pool.limit_leases(at_most(1));
    let _: Vec<_> = (0..4).map(|_| harness.claim()).collect();
    settle().await;
    assert_eq!(harness.gate.opened(), 1);
    harness.pool.limit_leases(at_most(2));
    settle().await;
    assert_eq!(harness.gate.opened(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_closed_or_reset_makes_way_for_an_idle_connection() {
    for condition in [Condition::Broken, Condition::Dirty] {
        let mut harness = idle_pool(of_four()).await;
        harness.pool.limit_leases(at_most(1));
        let keys = [harness.claim(), harness.claim()];
        let lease = harness.take(keys[0]);
        harness.gate.set(*lease, condition);
        drop(lease);
        assert!(harness.is_settled(keys[1]), "{condition:?}");
        settle().await;
        assert_eq!(harness.pool.counts().used, 1);
        harness.pool.check_invariants();
    }
}

#[tokio::test(start_paused = true)]
async fn a_surplus_stays_idle_to_its_timeout_unless_it_is_to_be_closed() {
    let settings = PoolSettings { idle_timeout: Some(5 * SECOND), ..of_four() };
    let mut harness = idle_pool(settings).await;
    let keys = [harness.claim(), harness.claim()];
    harness.pool.limit_leases(at_most(1));
    assert_eq!(harness.pool.counts().total, 4);
    harness.pool.limit_leases(LeaseLimit { most: 1, closes_surplus: true });
    assert_eq!(harness.pool.counts().total, 2);
    harness.release(keys[0]);
    assert_eq!(harness.pool.counts().total, 1);
    assert!(harness.gate.closed().iter().all(|&(_, reason)| reason == CloseReason::Retired));
    harness.release(keys[1]);
    assert_eq!(harness.pool.counts().idle, 1);
    pass(6 * SECOND).await;
    assert_eq!(harness.pool.counts().total, 0);
}

#[tokio::test(start_paused = true)]
async fn the_queue_before_a_limit_is_bounded_and_its_claims_time_out() {
    let settings =
        PoolSettings { max_waiting: Some(1), acquire_timeout: Some(Duration::from_secs(3)), ..of_four() };
    let mut harness = idle_pool(settings).await;
    harness.pool.limit_leases(at_most(1));
    let keys = [harness.claim(), harness.claim(), harness.claim()];
    assert!(matches!(harness.error(keys[2]), Some(AcquireError::Full { waiting: 1, most: 1 })));
    pass(4 * SECOND).await;
    assert!(matches!(harness.error(keys[1]), Some(AcquireError::Timeout { idle: 3, used: 1, .. })));
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_ends_keeps_no_limit() {
    let mut harness = Harness::new(Gate::default(), of_four());
    let keys = [harness.claim(), harness.claim()];
    settle().await;
    harness.pool.limit_leases(at_most(1));
    harness.pool.end(|| ());
    while harness.gate.answer(super::gate::Reply::Succeed) {
        settle().await;
    }
    assert!(keys.iter().all(|&key| harness.connection(key).is_some()));
}

#[tokio::test(start_paused = true)]
async fn changed_sizes_and_the_limit_hold_together() {
    let mut harness = idle_pool(of_four()).await;
    harness.pool.limit_leases(at_most(3));
    harness.pool.configure(PoolChanges { max: Some(2), ..PoolChanges::default() });
    assert_eq!((harness.pool.sizes().limit, harness.pool.counts().total), (2, 2));
    harness.pool.configure(PoolChanges { max: Some(8), ..PoolChanges::default() });
    assert_eq!(harness.pool.sizes().limit, 3);
    let _: Vec<_> = (0..8).map(|_| harness.claim()).collect();
    settle().await;
    assert_eq!(harness.pool.counts().used, 3);
}

#[tokio::test(start_paused = true)]
async fn a_limited_pool_claims_nothing_of_a_shared_quota_that_it_may_not_lease() {
    let quota = SharedQuota::idle(4, Vec::new());
    let share = quota.join(0, 1);
    let settings = PoolSettings { quota: Some(share), ..of_four() };
    let mut harness = Harness::new(Gate::open(), settings);
    harness.pool.limit_leases(at_most(1));
    let _: Vec<_> = (0..4).map(|_| harness.claim()).collect();
    settle().await;
    assert_eq!((harness.pool.counts().total, harness.pool.sizes().limit), (1, 1));
}
