//! The shared quota by itself, with members that only count, and under real pools.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use proptest::prelude::*;
use tokio::runtime::Handle;
use tokio::time::Instant;

use super::gate::{Gate, Reply};
use super::harness::{Harness, SECOND, calm, pass, settle};
use crate::pool::shared_quota::LONG_WAIT;
use crate::pool::{CloseReason, Need, PoolSettings, Quota, QuotaShare, SharedQuota};

/// Members and what they hold, as they see it.
struct Table {
    total: usize,
    quota: Arc<SharedQuota>,
    members: Vec<Arc<QuotaShare>>,
    held: Vec<usize>,
    guarantees: Vec<usize>,
}

impl Table {
    fn new(total: usize, guarantees: &[usize]) -> Self {
        let quota = SharedQuota::idle(total, Vec::new());
        let members: Vec<_> =
            guarantees.iter().enumerate().map(|(rank, &guarantee)| quota.join(guarantee, rank)).collect();
        let guarantees = members.iter().map(|member| member.guarantee()).collect();
        Self { total, quota, held: vec![0; members.len()], members, guarantees }
    }

    fn take(&mut self, index: usize) -> bool {
        let may = self.members[index].take();
        self.held[index] += usize::from(may);
        may
    }

    fn report(&self, index: usize, wanted: usize, idle: usize) {
        let since = (wanted > 0).then(Instant::now);
        self.members[index].report(Need { wanted, since, idle });
    }

    fn release(&mut self, index: usize) {
        self.members[index].release();
        self.held[index] -= 1;
    }

    /// Makes room, and lets each member that is asked give one up.
    fn make_room(&mut self, now: Instant) {
        self.quota.make_room(now);
        for index in 0..self.members.len() {
            while self.held[index] > 0 && self.members[index].asks_one_back() {
                self.release(index);
            }
        }
    }

    fn check(&self) {
        let held: usize = self.held.iter().sum();
        assert!(held <= self.total, "{held} of {}", self.total);
        let reserved: usize =
            self.held.iter().zip(&self.guarantees).map(|(held, guarantee)| held.max(guarantee)).sum();
        assert!(reserved <= self.total, "a guarantee was given away");
    }
}

#[tokio::test(start_paused = true)]
async fn a_guarantee_is_never_taken_by_others() {
    let mut table = Table::new(5, &[1, 2]);
    let taken = (0..9).filter(|_| table.take(0)).count();
    assert_eq!(taken, 3);
    assert!(table.take(1) && table.take(1));
    assert!(!table.take(1) && !table.take(0));
}

#[tokio::test(start_paused = true)]
async fn guarantees_beyond_the_total_are_cut() {
    let table = Table::new(3, &[2, 2, 2]);
    assert_eq!(table.guarantees, [2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_free_goes_by_rank() {
    let mut table = Table::new(1, &[0, 0, 0]);
    assert!(table.take(1));
    for member in [2, 0] {
        assert!(!table.take(member));
        table.report(member, 1, 0);
    }
    table.release(1);
    assert!(!table.take(2), "a higher rank waits");
    assert!(table.take(0));
}

#[tokio::test(start_paused = true)]
async fn a_lower_rank_is_asked_for_what_is_above_its_guarantee() {
    let mut table = Table::new(4, &[0, 1]);
    while table.take(1) {}
    assert_eq!(table.held, [0, 4]);
    table.report(0, 9, 0);
    table.make_room(Instant::now());
    assert_eq!(table.held, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_asked_for_first() {
    let mut table = Table::new(4, &[0, 0, 0]);
    for member in [1, 1, 2, 2] {
        assert!(table.take(member));
    }
    table.report(1, 0, 1);
    table.report(0, 1, 0);
    table.make_room(Instant::now());
    assert_eq!(table.held, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_need_that_has_passed_takes_nothing() {
    let mut table = Table::new(2, &[0, 0]);
    while table.take(1) {}
    table.report(0, 2, 0);
    table.quota.make_room(Instant::now());
    table.report(0, 0, 0);
    table.make_room(Instant::now());
    assert_eq!(table.held, [0, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_lowest_rank_is_served_after_its_age_whatever_the_others_want() {
    let mut table = Table::new(3, &[0, 0]);
    while table.take(0) {}
    table.report(1, 5, 0);
    assert!(!table.take(1));
    table.make_room(Instant::now());
    assert_eq!(table.held, [3, 0], "not before its time");
    tokio::time::advance(LONG_WAIT).await;
    table.report(0, 7, 0);
    table.make_room(Instant::now());
    assert_eq!(table.held, [2, 0]);
    assert!(!table.take(0), "it is the other's turn");
    assert!(table.take(1));
    // Its time was restarted: now the higher rank has precedence again.
    table.release(0);
    assert!(!table.take(1));
    assert!(table.take(0));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_leaves_makes_room() {
    let mut table = Table::new(2, &[0, 2]);
    assert!(!table.take(0));
    table.members.pop();
    assert!(table.take(0) && table.take(0));
}

/// A member that is dropped takes the lock under which room is made.
#[test]
fn members_leave_on_another_thread_while_room_is_made() {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let quota = SharedQuota::idle(1, Vec::new());
        let waiting = quota.join(0, 0);
        waiting.report(Need { wanted: 2, since: None, idle: 0 });
        let (sender, leaving) = mpsc::sync_channel::<[Arc<QuotaShare>; 8]>(0);
        thread::spawn(move || leaving.into_iter().for_each(drop));
        for _ in 0..30_000 {
            let members = std::array::from_fn(|_| quota.join(0, 1));
            sender.send(members).expect("the other thread takes members");
            for _ in 0..10 {
                quota.make_room(Instant::now());
            }
        }
        done.send(())
    });
    // Far longer than it takes.
    assert_eq!(is_done.recv_timeout(Duration::from_secs(60)), Ok(()), "the threads are stuck");
}

#[tokio::test(start_paused = true)]
async fn a_guarantee_is_kept_for_who_has_yet_to_join_and_for_who_has_left() {
    let quota = SharedQuota::idle(5, vec![2, 1]);
    let low = quota.join(1, 1);
    assert_eq!((0..9).filter(|_| low.take()).count(), 3);
    let high = quota.join(2, 0);
    assert_eq!((high.guarantee(), (0..9).filter(|_| high.take()).count()), (2, 2));
    high.release();
    high.release();
    drop(high);
    assert!(!low.take());
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_what_a_member_could_have_now() {
    let mut table = Table::new(10, &[2, 1, 3]);
    let limits = |table: &Table| table.members.iter().map(|member| member.limit()).collect::<Vec<_>>();
    assert_eq!(limits(&table), [6, 5, 7]);
    for _ in 0..4 {
        assert!(table.take(1));
    }
    assert_eq!(limits(&table), [3, 5, 4], "what others use is gone");
    table.report(1, 0, 2);
    assert_eq!(limits(&table), [5, 5, 4], "what a lower rank does not use could be had");
}

#[tokio::test(start_paused = true)]
async fn a_guarantee_may_change_as_far_as_there_is_room() {
    let mut table = Table::new(5, &[3, 1]);
    table.members[0].set_guarantee(0);
    assert_eq!((0..9).filter(|_| table.take(1)).count(), 5);
    table.members[0].set_guarantee(2);
    assert_eq!(table.members[0].guarantee(), 0);
    table.release(1);
    table.members[0].set_guarantee(2);
    assert_eq!(table.members[0].guarantee(), 1);
}

#[derive(Clone, Debug)]
enum Step {
    Guarantee(usize, usize),
    Take(usize),
    GiveBack(usize),
    Report(usize, usize, usize),
    MakeRoom,
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (0..3_usize, 0..5_usize).prop_map(|(who, min)| Step::Guarantee(who, min)),
        8 => (0..3_usize).prop_map(Step::Take),
        5 => (0..3_usize).prop_map(Step::GiveBack),
        5 => (0..3_usize, 0..4_usize, 0..3_usize).prop_map(|(who, wanted, idle)| Step::Report(who, wanted, idle)),
        5 => Just(Step::MakeRoom),
        2 => (0..3000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_history_breaks_the_quota(
        total in 1..12_usize,
        guarantees in prop::array::uniform3(0..5_usize),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut table = Table::new(total, &guarantees);
            for step in steps {
                match step {
                    Step::Guarantee(who, min) => {
                        table.members[who].set_guarantee(min);
                        table.guarantees[who] = table.members[who].guarantee();
                    }
                    Step::Take(who) => {
                        let is_guaranteed = table.held[who] < table.guarantees[who];
                        assert!(table.take(who) || !is_guaranteed, "a guarantee was refused");
                    }
                    Step::GiveBack(who) if table.held[who] > 0 => table.release(who),
                    Step::GiveBack(_) => {}
                    Step::Report(who, wanted, idle) => table.report(who, wanted, idle),
                    Step::MakeRoom => {
                        let before = table.held.clone();
                        table.make_room(Instant::now());
                        for (who, &before) in before.iter().enumerate() {
                            assert!(
                                table.held[who] >= before.min(table.guarantees[who]),
                                "a guarantee was asked back"
                            );
                        }
                    }
                    Step::Pass(millis) => tokio::time::advance(Duration::from_millis(millis)).await,
                }
                table.check();
            }
            // A member that wants one more gets it in the end, unless only guarantees are left.
            for hungry in 0..3 {
                for who in 0..3 {
                    table.report(who, usize::from(who == hungry), 0);
                }
                tokio::time::advance(2 * LONG_WAIT).await;
                table.make_room(Instant::now());
                let all: usize = table.guarantees.iter().sum();
                let has_all = table.held[hungry] + all - table.guarantees[hungry] >= total;
                assert!(table.take(hungry) || has_all, "member {hungry} starves: {:?}", table.held);
            }
        });
    }
}

fn harnesses<const N: usize>(total: usize, settings: [PoolSettings; N]) -> [Harness; N] {
    let quota = SharedQuota::new(total, Vec::new(), &Handle::current());
    let mut rank = 0;
    settings.map(|settings| {
        let member = quota.join(settings.min, rank);
        rank += 1;
        let quota: Option<Arc<dyn Quota>> = Some(Arc::clone(&member) as _);
        let harness = Harness::new(Gate::open(), PoolSettings { quota, ..settings });
        let pool = harness.pool.downgrade();
        member.attach(move || {
            if let Some(pool) = pool.upgrade() {
                pool.reconsider();
            }
        });
        harness
    })
}

fn wide() -> PoolSettings {
    PoolSettings { max: 10, ..calm() }
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_of_a_lower_pool_makes_room() {
    let [mut high, mut low] = harnesses(3, [wide(), wide()]);
    let keys = [low.claim(), low.claim(), low.claim()];
    settle().await;
    low.release(keys[0]);
    let key = high.claim();
    settle().await;
    assert!(high.connection(key).is_some());
    assert_eq!(low.gate.closed().len(), 1);
    assert_eq!(low.gate.closed()[0].1, CloseReason::Yielded);
    assert_eq!((high.pool.counts().total, low.pool.counts().total), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_returned_connection_of_a_lower_pool_makes_room_even_where_its_own_wait() {
    let [mut high, mut low] = harnesses(2, [wide(), wide()]);
    let keys = [low.claim(), low.claim(), low.claim()];
    settle().await;
    let key = high.claim();
    settle().await;
    assert!(!high.is_settled(key));
    low.release(keys[0]);
    settle().await;
    assert!(high.connection(key).is_some());
    assert!(!low.is_settled(keys[2]));
    low.release(keys[1]);
    settle().await;
    assert!(low.connection(keys[2]).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_lower_pool_gets_its_turn_under_constant_load_of_a_higher_one() {
    let [mut high, mut low] = harnesses(2, [wide(), wide()]);
    let mut held = vec![high.claim(), high.claim()];
    let waiting = low.claim();
    for _ in 0..60 {
        let key = high.claim();
        pass(SECOND / 10).await;
        let oldest = held.remove(0);
        if high.connection(oldest).is_some() {
            high.release(oldest);
        }
        held.push(key);
    }
    settle().await;
    assert!(low.connection(waiting).is_some(), "starved");
}

#[tokio::test(start_paused = true)]
async fn pools_fill_to_their_guarantees_and_never_beyond_the_quota() {
    let prefilled = |min| PoolSettings { min, prefill: true, ..wide() };
    let [mut high, mut low] = harnesses(8, [prefilled(3), prefilled(2)]);
    settle().await;
    assert_eq!((high.pool.counts().total, low.pool.counts().total), (3, 2));
    for _ in 0..20 {
        high.claim();
        low.claim();
        settle().await;
    }
    pass(SECOND).await;
    assert_eq!(high.pool.counts().total + low.pool.counts().total, 8);
    for key in low.holders() {
        low.release(key);
        settle().await;
    }
    let totals = (high.pool.counts().total, low.pool.counts().total);
    assert_eq!(totals, (6, 2), "what is left goes to the higher rank");
}

#[tokio::test(start_paused = true)]
async fn a_failed_connect_and_an_ended_pool_give_their_part_back() {
    let [mut high, mut low] = harnesses(1, [wide(), wide()]);
    high.gate.connects(Some(Reply::Fail));
    let failing = high.claim();
    settle().await;
    assert!(high.error(failing).is_some());
    let key = low.claim();
    settle().await;
    assert!(low.connection(key).is_some());
    low.release(key);
    low.pool.end(|| {});
    high.gate.connects(Some(Reply::Succeed));
    let key = high.claim();
    settle().await;
    assert!(high.connection(key).is_some());
}
