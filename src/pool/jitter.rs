//! Randomness for backoff and lifetimes: cheap, seeded per pool, nothing secret depends on it.

use std::hash::{BuildHasher, RandomState};

/// A generator of the splitmix64 family.
pub(super) struct Jitter(u64);

impl Jitter {
    pub(super) fn new() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }

    /// A number of at least 0 and below 1.
    pub(super) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((bits ^ (bits >> 31)) >> 32).map_or(0.0, |high| f64::from(high) / 2_f64.powi(32))
    }
}
