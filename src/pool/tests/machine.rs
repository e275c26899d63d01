//! Random histories of a pool: after every step the invariants hold, at the end everything is settled.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use proptest::prelude::*;

use super::gate::{Gate, Reply};
use super::harness::{Harness, pass, settle};
use crate::pool::{CloseReason, Condition, LeaseLimit, Patience, PoolChanges, PoolSettings};

#[derive(Clone, Debug)]
enum Step {
    Acquire(Option<u16>, Patience),
    Withdraw(usize),
    Return(usize, Condition),
    Close(usize),
    Connect(Reply),
    Checks(Reply),
    Resets(Reply),
    /// An idle connection dies; its owner tells the pool, or does not.
    BreakIdle(usize, bool),
    Retire,
    Configure(PoolChanges),
    LimitLeases(LeaseLimit),
    Pass(u16),
    End,
}

/// Attempts that nobody answers do not count during an outage.
const HUNG: usize = 3;

fn reply() -> impl Strategy<Value = Reply> {
    prop_oneof![6 => Just(Reply::Succeed), 3 => Just(Reply::Fail), 1 => Just(Reply::FailForGood), 1 => Just(Reply::Hang)]
}

fn patience() -> impl Strategy<Value = Patience> {
    prop_oneof![
        3 => Just(Patience::AsPool),
        1 => (0..4_u64).prop_map(|seconds| Patience::For(Duration::from_secs(seconds))),
        1 => Just(Patience::ToDeadline),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![6 => Just(Condition::Fit), 1 => Just(Condition::Dirty), 1 => Just(Condition::Unwanted), 1 => Just(Condition::Broken)]
}

fn changes() -> impl Strategy<Value = PoolChanges> {
    (prop::option::of(1..5_usize), prop::option::of(0..3_usize), prop::option::of(any::<bool>()))
        .prop_map(|(max, min, fail_fast)| PoolChanges { max, min, fail_fast })
}

fn lease_limit() -> impl Strategy<Value = LeaseLimit> {
    prop_oneof![
        (1..5_usize, any::<bool>()).prop_map(|(most, closes_surplus)| LeaseLimit { most, closes_surplus }),
        Just(LeaseLimit::NONE),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (prop::option::of(0..5000_u16), patience()).prop_map(|(limit, patience)| Step::Acquire(limit, patience)),
        3 => any::<usize>().prop_map(Step::Withdraw),
        10 => (any::<usize>(), condition()).prop_map(|(which, condition)| Step::Return(which, condition)),
        2 => any::<usize>().prop_map(Step::Close),
        10 => reply().prop_map(Step::Connect),
        2 => reply().prop_map(Step::Checks),
        2 => reply().prop_map(Step::Resets),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(which, told)| Step::BreakIdle(which, told)),
        1 => Just(Step::Retire),
        1 => changes().prop_map(Step::Configure),
        1 => lease_limit().prop_map(Step::LimitLeases),
        8 => (0..4000_u16).prop_map(Step::Pass),
        1 => Just(Step::End),
    ]
}

prop_compose! {
    fn settings()(
        max in 1..5_usize,
        min in 0..3_usize,
        prefill in any::<bool>(),
        fail_fast in any::<bool>(),
        limits in prop::array::uniform7(prop::option::of(1..8_u64)),
        max_uses in prop::option::of(1..6_u64),
        max_waiting in prop::option::of(0..4_usize),
    ) -> PoolSettings {
        let [idle, connect, acquire, lifetime, check, keepalive, leak] =
            limits.map(|limit| limit.map(Duration::from_secs));
        PoolSettings {
            max,
            min,
            idle_timeout: idle,
            connect_timeout: connect,
            acquire_timeout: acquire,
            max_uses,
            max_lifetime: lifetime,
            lifetime_jitter: 0.25,
            max_waiting,
            check_after: check,
            drain: Some(Duration::from_secs(10)),
            prefill,
            keepalive_after: keepalive,
            leak_after: leak,
            fail_fast,
            quota: None,
        }
    }
}

struct History {
    harness: Harness,
    max: usize,
    min: usize,
    ended: Arc<AtomicUsize>,
    ends: usize,
}

impl History {
    fn holder(&self, which: usize) -> Option<u64> {
        let holders = self.harness.holders();
        (!holders.is_empty()).then(|| holders[which % holders.len()])
    }

    async fn play(&mut self, step: Step) {
        let harness = &mut self.harness;
        match step {
            Step::Acquire(limit, patience) => {
                let before = harness.pool.counts().connecting;
                harness.claim_patiently(patience, limit.map(|limit| Duration::from_millis(limit.into())));
                let counts = harness.pool.counts();
                assert!(
                    counts.connecting == before || counts.connecting <= counts.waiting + self.min + HUNG,
                    "more is made than is needed: {counts:?}"
                );
            }
            Step::Withdraw(which) => {
                if harness.claims() > 0 {
                    let key = which as u64 % harness.claims();
                    let was_settled = harness.is_settled(key);
                    assert_eq!(harness.withdraw(key), !was_settled);
                    assert!(harness.is_settled(key));
                }
            }
            Step::Return(which, condition) => {
                if let Some(key) = self.holder(which) {
                    let lease = self.harness.take(key);
                    self.harness.gate.set(*lease, condition);
                    drop(lease);
                }
            }
            Step::Close(which) => {
                if let Some(key) = self.holder(which) {
                    self.harness.take(key).close(CloseReason::Released);
                }
            }
            Step::Connect(reply) => {
                harness.gate.answer(reply);
            }
            Step::Checks(reply) => harness.gate.checks(reply),
            Step::Resets(reply) => harness.gate.resets(reply),
            Step::BreakIdle(which, told) => self.break_idle(which, told),
            Step::Retire => harness.pool.retire_generation(),
            Step::Configure(changes) => {
                // A connection that somebody has outlives a lowered maximum.
                self.max = self.max.max(changes.max.unwrap_or(0));
                self.min = self.min.max(changes.min.unwrap_or(0));
                harness.pool.configure(changes);
            }
            Step::LimitLeases(limit) => harness.pool.limit_leases(limit),
            Step::Pass(millis) => pass(Duration::from_millis(millis.into())).await,
            Step::End => self.end(),
        }
    }

    fn break_idle(&self, which: usize, told: bool) {
        let held: BTreeSet<_> =
            self.harness.holders().iter().filter_map(|&key| self.harness.connection(key)).collect();
        let free: Vec<_> =
            self.harness.gate.open_connections().into_iter().filter(|open| !held.contains(open)).collect();
        if free.is_empty() {
            return;
        }
        let victim = free[which % free.len()];
        self.harness.gate.set(victim, Condition::Broken);
        if told {
            self.harness.pool.forget(|&connection| connection == victim, CloseReason::Broken);
        }
    }

    fn end(&mut self) {
        self.ends += 1;
        let ended = Arc::clone(&self.ended);
        self.harness.pool.end(move || {
            ended.fetch_add(1, Ordering::SeqCst);
        });
    }

    fn check(&self) {
        let harness = &self.harness;
        harness.pool.check_invariants();
        let counts = harness.pool.counts();
        let held: Vec<_> = harness.holders().iter().filter_map(|&key| harness.connection(key)).collect();
        let distinct: BTreeSet<_> = held.iter().collect();
        assert_eq!(distinct.len(), held.len(), "a connection has two owners");
        if self.ends == 0 {
            assert!(
                held.iter().all(|&connection| harness.gate.is_open(connection)),
                "a closed one is leased"
            );
            assert!(held.len() <= counts.used);
            let unsettled = (0..harness.claims()).filter(|&key| !harness.is_settled(key)).count();
            assert_eq!(unsettled, counts.waiting);
        }
        assert!(harness.gate.open_connections().len() <= self.max, "more connections than max");
    }

    /// After a step and once every task has run.
    fn check_at_rest(&self) {
        self.check();
        let counts = self.harness.pool.counts();
        let open = self.harness.gate.open_connections().len();
        assert_eq!(open, counts.idle + counts.used, "a connection was lost or leaked");
        assert!(self.harness.gate.attempts() <= counts.connecting);
    }

    async fn finish(mut self) {
        self.end();
        pass(Duration::from_secs(11)).await;
        assert_eq!(self.ended.load(Ordering::SeqCst), self.ends, "every end is told exactly once");
        for key in 0..self.harness.claims() {
            assert!(self.harness.is_settled(key), "claim {key} was never settled");
        }
        for key in self.harness.holders() {
            self.harness.release(key);
        }
        let gate = &self.harness.gate;
        assert!(gate.open_connections().is_empty(), "not closed");
        assert_eq!(gate.closed().len() as u64, gate.opened());
        let statistics = self.harness.pool.statistics();
        assert_eq!(statistics.closed_in_all(), statistics.opened);
        assert_eq!(statistics.panics, 0);
        assert_eq!(self.harness.pool.counts(), crate::pool::Counts::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_invariants(
        settings in settings(),
        steps in prop::collection::vec(step(), 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let PoolSettings { max, min, .. } = settings;
            let harness = Harness::new(Gate::default(), settings);
            let mut history = History { harness, max, min, ended: Arc::default(), ends: 0 };
            for step in steps {
                history.play(step).await;
                history.check();
                settle().await;
                history.check_at_rest();
            }
            history.finish().await;
        });
    }
}
