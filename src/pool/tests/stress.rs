//! Real threads that claim, release, close and withdraw at the same time, while connections are made on a
//! runtime of their own.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::gate::Gate;
use crate::pool::{AcquireError, Claim, CloseReason, Condition, Lease, Pool, PoolSettings};

const THREADS: u64 = 8;
const ROUNDS: u64 = 4_000;
/// Far longer than a round takes; a round that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

struct Reporter(mpsc::Sender<Option<Lease<Gate>>>);

impl Claim<Gate> for Reporter {
    fn granted(self: Box<Self>, lease: Lease<Gate>) {
        drop(self.0.send(Some(lease)));
    }

    fn refused(self: Box<Self>, _: AcquireError<&'static str>) {
        drop(self.0.send(None));
    }
}

/// Fails when two leases hold a connection at the same time.
#[derive(Default)]
struct Occupancy(Mutex<std::collections::BTreeSet<u64>>);

fn work(thread: u64, pool: &Pool<Gate>, gate: &Gate, occupancy: &Occupancy, granted: &AtomicU64) {
    for round in 0..ROUNDS {
        let (sender, outcome) = mpsc::channel();
        let deadline = (round % 5 == 0).then(|| Instant::now() + Duration::from_millis(2));
        let ticket = pool.acquire(Box::new(Reporter(sender)), deadline);
        if round % 7 == thread % 7 {
            pool.withdraw(ticket);
        }
        let Some(lease) = outcome.recv_timeout(PATIENCE).expect("a claim was never settled") else {
            continue;
        };
        granted.fetch_add(1, Ordering::Relaxed);
        assert!(occupancy.0.lock().insert(*lease), "a connection has two owners");
        if round % 16 == 0 {
            thread::yield_now();
        }
        occupancy.0.lock().remove(&*lease);
        match (round + thread) % 97 {
            0 => lease.close(CloseReason::Released),
            1 => {
                gate.set(*lease, Condition::Dirty);
                drop(lease);
            }
            2 => {
                gate.set(*lease, Condition::Broken);
                drop(lease);
            }
            _ => drop(lease),
        }
        assert!(pool.counts().total <= 3);
    }
}

#[test]
fn threads_that_share_a_pool_never_share_a_connection() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let gate = Gate::open();
    let settings = PoolSettings {
        max: 3,
        min: 1,
        prefill: true,
        idle_timeout: Some(Duration::from_millis(1)),
        max_uses: Some(50),
        ..PoolSettings::default()
    };
    let pool = Pool::new(gate.clone(), settings, runtime.handle().clone());
    let driver = thread::spawn(move || runtime.block_on(stopped).is_ok());
    let occupancy = Occupancy::default();
    let granted = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (pool, gate, occupancy, granted) = (&pool, &gate, &occupancy, &granted);
            scope.spawn(move || work(thread, pool, gate, occupancy, granted));
        }
    });
    let (done, told) = mpsc::channel();
    pool.end(move || assert!(done.send(()).is_ok()));
    told.recv_timeout(PATIENCE).expect("the end was never told");
    assert!(granted.load(Ordering::Relaxed) > THREADS * ROUNDS / 4);
    pool.check_invariants();
    assert_eq!(pool.counts().total, 0);
    let opened = gate.opened();
    assert!(stop.send(()).is_ok());
    assert!(driver.join().unwrap());
    assert_eq!(gate.closed().len() as u64, opened);
    assert_eq!(pool.statistics().panics, 0);
}
