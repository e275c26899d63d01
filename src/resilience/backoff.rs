//! Backoff: the delay before the n-th retry, doubling and with full jitter, `random(0, min(cap, base *
//! 2^n))`, so that callers that failed together do not come back together. It serves statements, connects of
//! the pool and breakers.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// A delay that doubles from `base` to `cap`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first delay.
    pub base: Duration,
    /// The longest delay of all.
    pub cap: Duration,
}

impl Backoff {
    /// For statements: quick, because the connection is there.
    pub const STATEMENT: Self = Self { base: Duration::from_millis(50), cap: Duration::from_secs(2) };
    /// For connecting to a server that is away.
    pub const CONNECT: Self = Self { base: Duration::from_secs(1), cap: Duration::from_secs(20) };

    /// The same with another base; a base above the cap raises the cap.
    #[must_use]
    pub fn with_base(self, base: Duration) -> Self {
        Self { base, cap: self.cap.max(base) }
    }

    /// The delay before retry `n`, counted from 0.
    pub fn delay(self, n: u32, jitter: &mut Jitter) -> Duration {
        self.longest(n).mul_f64(jitter.share())
    }

    /// The longest delay before retry `n`.
    pub fn longest(self, n: u32) -> Duration {
        2_u32.checked_pow(n).map_or(self.cap, |factor| self.base.saturating_mul(factor).min(self.cap))
    }
}

/// Random numbers of the splitmix64 family. Nothing secret depends on them.
#[derive(Debug)]
pub struct Jitter(u64);

impl Jitter {
    /// A generator with a random seed.
    pub fn new() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }

    /// A generator that gives the same numbers for the same seed.
    pub const fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// A number of at least 0 and below 1.
    pub fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((bits ^ (bits >> 31)) >> 32).map_or(0.0, |high| f64::from(high) / 2_f64.powi(32))
    }
}

impl Default for Jitter {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_delay_doubles_from_the_base_to_the_cap() {
        let millis: Vec<_> =
            [0, 1, 2, 5, 6, 31, 32, u32::MAX].map(|n| Backoff::STATEMENT.longest(n).as_millis()).to_vec();
        assert_eq!(millis, [50, 100, 200, 1600, 2000, 2000, 2000, 2000]);
    }

    #[test]
    fn a_base_above_the_cap_is_the_cap() {
        let backoff = Backoff::STATEMENT.with_base(Duration::from_secs(5));
        assert_eq!(backoff.longest(0), Duration::from_secs(5));
        assert_eq!(backoff.longest(9), Duration::from_secs(5));
    }

    proptest! {
        #[test]
        fn a_delay_never_exceeds_its_bound(seed: u64, n: u32, base in 0_u64..10_000, cap in 0_u64..60_000) {
            let backoff = Backoff { base: Duration::from_millis(base), cap: Duration::from_millis(cap) };
            prop_assert!(backoff.delay(n, &mut Jitter::seeded(seed)) <= backoff.longest(n));
            prop_assert!(backoff.longest(n) <= backoff.cap);
        }

        #[test]
        fn the_same_seed_gives_the_same_delays(seed: u64) {
            let delays = |mut jitter: Jitter| (0..8).map(|n| Backoff::CONNECT.delay(n, &mut jitter)).collect::<Vec<_>>();
            prop_assert_eq!(delays(Jitter::seeded(seed)), delays(Jitter::seeded(seed)));
        }

        #[test]
        fn delays_spread_over_the_whole_range(seed: u64) {
            let mut jitter = Jitter::seeded(seed);
            let rolls: Vec<_> = (0..200).map(|_| jitter.share()).collect();
            prop_assert!(rolls.iter().all(|roll| (0.0..1.0).contains(roll)));
            prop_assert!(rolls.iter().any(|roll| *roll < 0.25) && rolls.iter().any(|roll| *roll > 0.75));
        }
    }
}
