//! The retry budget of a pool: 10% of its requests and 1 per second, both over 10 s. In an outage every
//! request fails; without a budget each would come several times.
//!
//! A request costs one relaxed increment and no reading of the clock. Requests since the last retry are
//! entered when the next one asks; if that took longer than the window, only the share of the window.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

const BUCKETS: usize = 10;
const BUCKET: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(10);
/// Retries per request.
const SHARE: f64 = 0.1;
/// Retries a window allows without any request: 1 per second.
const FLOOR: f64 = 10.0;

/// The retries of one pool.
#[derive(Debug)]
pub struct Budget {
    /// Requests that are not entered yet.
    fresh: AtomicU32,
    counts: Mutex<Counts>,
}

#[derive(Debug)]
struct Counts {
    requests: [u32; BUCKETS],
    retries: [u32; BUCKETS],
    current: usize,
    /// When the current bucket began.
    since: Instant,
    entered: Instant,
}

impl Budget {
    /// A full budget.
    pub fn new(now: Instant) -> Self {
        let counts =
            Counts { requests: [0; BUCKETS], retries: [0; BUCKETS], current: 0, since: now, entered: now };
        Self { fresh: AtomicU32::new(0), counts: Mutex::new(counts) }
    }

    /// Counts a request.
    pub fn deposit(&self) {
        self.fresh.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes out one retry; false: none is left.
    pub fn withdraw(&self, now: Instant) -> bool {
        let mut counts = self.counts.lock();
        counts.advance(now);
        counts.enter(self.fresh.swap(0, Ordering::Relaxed), now);
        let spent: u32 = counts.retries.iter().sum();
        let requests: u32 = counts.requests.iter().sum();
        if f64::from(spent) + 1.0 > FLOOR + f64::from(requests) * SHARE {
            return false;
        }
        let current = counts.current;
        counts.retries[current] += 1;
        true
    }
}

impl Counts {
    /// Moves on to the bucket of `now`, and empties those in between.
    fn advance(&mut self, now: Instant) {
        for _ in 0..BUCKETS {
            if now.saturating_duration_since(self.since) < BUCKET {
                return;
            }
            self.current = (self.current + 1) % BUCKETS;
            self.requests[self.current] = 0;
            self.retries[self.current] = 0;
            self.since += BUCKET;
        }
        if now.saturating_duration_since(self.since) >= BUCKET {
            self.since = now;
        }
    }

    fn enter(&mut self, fresh: u32, now: Instant) {
        let elapsed = now.saturating_duration_since(self.entered);
        self.entered = now;
        let counted = if elapsed > WINDOW { share(fresh, elapsed) } else { fresh };
        self.requests[self.current] = self.requests[self.current].saturating_add(counted);
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most `fresh`")]
fn share(fresh: u32, elapsed: Duration) -> u32 {
    (f64::from(fresh) * WINDOW.as_secs_f64() / elapsed.as_secs_f64()) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spend(budget: &Budget, now: Instant) -> u32 {
        let mut spent = 0;
        while budget.withdraw(now) {
            spent += 1;
        }
        spent
    }

    #[test]
    fn without_requests_ten_retries_are_allowed_in_ten_seconds() {
        let now = Instant::now();
        let budget = Budget::new(now);
        assert_eq!(spend(&budget, now), 10);
        assert_eq!(spend(&budget, now + Duration::from_secs(9)), 0);
        assert_eq!(spend(&budget, now + Duration::from_secs(10)), 10);
    }

    #[test]
    fn each_ten_requests_allow_one_retry_more() {
        let now = Instant::now();
        let budget = Budget::new(now);
        (0..1000).for_each(|_| budget.deposit());
        assert_eq!(spend(&budget, now), 110);
    }

    #[test]
    fn requests_of_long_ago_count_by_their_share() {
        let now = Instant::now();
        let budget = Budget::new(now);
        (0..1000).for_each(|_| budget.deposit());
        assert_eq!(spend(&budget, now + Duration::from_secs(100)), 20);
    }

    proptest! {
        #[test]
        fn a_window_never_exceeds_its_allowance(
            steps in proptest::collection::vec((0_u64..3_000, 0_u32..50, 0_u32..40), 1..60),
        ) {
            let begin = Instant::now();
            let budget = Budget::new(begin);
            let mut now = begin;
            let mut requests = 0_u32;
            let mut retries: Vec<Instant> = Vec::new();
            for (pause, deposits, wishes) in steps {
                now += Duration::from_millis(pause);
                (0..deposits).for_each(|_| budget.deposit());
                requests += deposits;
                for _ in 0..wishes {
                    if budget.withdraw(now) {
                        retries.push(now);
                    }
                }
                // Buckets are a second wide, so the last nine seconds are inside the window for sure.
                let recent = retries.iter().filter(|at| now.duration_since(**at) < Duration::from_secs(9)).count();
                prop_assert!(f64::from(u32::try_from(recent).unwrap()) <= FLOOR + f64::from(requests) * SHARE);
            }
        }

        #[test]
        fn a_spent_budget_is_full_again_after_a_window(wishes in 0_u32..100, pause in 10_000_u64..100_000) {
            let now = Instant::now();
            let budget = Budget::new(now);
            (0..wishes).for_each(|_| {
                budget.withdraw(now);
            });
            prop_assert_eq!(spend(&budget, now + Duration::from_millis(pause)), 10);
        }
    }
}
