//! Panics in claims, attempts and closing: the counts stay right and nobody else is hurt.

use super::desk::{Desk, SECOND, calm, pass, settle};
use super::gate::{Gate, Reply};
use crate::pool::{Claim, Lease, Refusal, Settings};

struct Fragile;

impl Claim<Gate> for Fragile {
    fn granted(self: Box<Self>, _: Lease<Gate>) {
        panic!("on command");
    }

    fn refused(self: Box<Self>, _: Refusal<&'static str>) {
        panic!("on command");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_granted_returns_the_connection() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    desk.pool.acquire(Box::new(Fragile), None);
    settle().await;
    let counts = desk.pool.counts();
    assert_eq!((counts.idle, counts.used, counts.waiting), (1, 0, 0));
    desk.pool.acquire(Box::new(Fragile), None);
    assert_eq!(desk.pool.counts().idle, 1);
    assert_eq!(desk.pool.statistics().panics, 2);
    let key = desk.claim();
    assert_eq!(desk.connection(key), Some(1));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_claim_does_not_reach_whoever_returns_a_connection() {
    let mut desk = Desk::new(Gate::open(), Settings { max: 1, ..calm() });
    let holder = desk.claim();
    settle().await;
    desk.pool.acquire(Box::new(Fragile), None);
    let next = desk.claim();
    desk.give_back(holder);
    assert_eq!(desk.connection(next), Some(1));
    desk.pool.statistics();
    assert_eq!(desk.pool.statistics().panics, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_refused_leaves_the_other_claims_to_be_refused() {
    let mut desk = Desk::new(Gate::default(), Settings { max: 1, ..calm() });
    desk.claim();
    desk.pool.acquire(Box::new(Fragile), None);
    let key = desk.claim();
    desk.pool.end(|| {});
    assert!(matches!(desk.refusal(key), Some(Refusal::Closed)));
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_connect_frees_the_slot_and_refuses_the_claim() {
    for fail_fast in [true, false] {
        let mut desk = Desk::new(Gate::default(), Settings { max: 1, fail_fast, ..calm() });
        let keys = [desk.claim(), desk.claim()];
        settle().await;
        desk.gate.answer(Reply::Panic);
        pass(SECOND / 10).await;
        assert!(matches!(desk.refusal(keys[0]), Some(Refusal::ConnectLost)));
        assert!(!desk.is_settled(keys[1]));
        assert_eq!(desk.gate.attempts(), 1);
        desk.gate.answer(Reply::Succeed);
        settle().await;
        assert!(desk.connection(keys[1]).is_some());
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_done_is_counted() {
    let desk = Desk::new(Gate::open(), calm());
    desk.pool.end(|| panic!("on command"));
    assert_eq!(desk.pool.statistics().panics, 1);
}
