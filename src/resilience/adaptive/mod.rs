//! The adaptive limit: how many connections of a lower tier may be in use at a time while higher tiers on the same
//! server feel it.
//!
//! It rises by steps while it is used up and nobody above is slowed, and falls by a fifth as soon as answers are slow
//! more often than calm explains; by half where most of them are. A limit at which somebody was slowed is not tried
//! again for a while, and each time in vain for twice as long: so it settles below instead of swinging. A server
//! that is full halves it at once. It never leaves `min` to `max`.

mod answer_times;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tokio::time::Instant;

pub use self::answer_times::{AnswerTimes, Felt, Lesson};

/// So many answers in a hundred may be slow.
const ALLOWED: f64 = 0.01;
/// Slow answers beyond what is allowed, at which the limit falls. Where 3 in 1000 are slow, chance brings so many
/// together once in 20,000 answers; where 3 in 100 are, 130 answers suffice.
const TOO_MANY: f64 = 2.5;
/// As many at once: it falls by half.
const FAR_TOO_MANY: f64 = 6.0;
/// The answers of one step weigh as so many at most, so that chance does not decide where there are thousands.
const WEIGHT: f64 = 40.0;
/// Slow answers count half after this time.
const FADES: Duration = Duration::from_secs(5);
/// Between two steps up while nothing is known to hurt.
const STEP: Duration = Duration::from_millis(100);
/// The same for a while after a step down.
const CAREFUL_STEP: Duration = Duration::from_secs(1);
const CAREFUL_FOR: Duration = Duration::from_secs(30);
/// After a step down nothing is felt of it for so long: what runs ends first.
const SETTLING: Duration = Duration::from_millis(200);
/// After a step down the limit stays for so long at least.
const REST: Duration = Duration::from_secs(2);
/// A limit that hurt is tried again after this time at first, and at last.
const FIRST_HOLD: Duration = Duration::from_secs(10);
const LAST_HOLD: Duration = Duration::from_secs(80);
/// A limit that has held for so long does not hurt any more.
const PROVEN: Duration = Duration::from_secs(10);
/// What was not used in this time is taken back.
const UNUSED: Duration = Duration::from_secs(10);
/// Refusals of a full server within this time are one.
const SAME_REFUSAL: Duration = Duration::from_millis(500);
/// The server counts as full for so long after a refusal.
const FULL: Duration = Duration::from_secs(10);

/// The sizes of the lower tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The limit is never below, nor below 1.
    pub min: usize,
    /// The limit is never above.
    pub max: usize,
}

impl Bounds {
    fn floor(self) -> usize {
        self.min.max(1).min(self.ceiling())
    }

    fn ceiling(self) -> usize {
        self.max.max(1)
    }
}

/// The use that the lower tier makes of its limit at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Connections in use.
    pub used: usize,
    /// Requests that wait for one.
    pub waiting: usize,
}

/// Why a limit has fallen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Answers of higher tiers were slow.
    Slow,
    /// The server had no place for a further connection.
    Full,
}

/// The adaptive limit of one tier.
#[derive(Debug)]
pub struct AdaptiveLimit {
    bounds: Bounds,
    limit: usize,
    /// Slow answers beyond what is allowed.
    suspicion: f64,
    stepped: Instant,
    /// When the limit last rose or fell.
    changed: Instant,
    fell: Option<Instant>,
    /// The limit that last hurt.
    hurt: Option<usize>,
    /// How long it is not tried again.
    hold: Duration,
    refused: Option<Instant>,
    at_floor_since: Option<Instant>,
    /// The most connections in use since `peak_since`.
    peak: usize,
    peak_since: Instant,
}

impl AdaptiveLimit {
    /// Begins at the smallest limit: the first flood is let in by steps.
    pub fn new(bounds: Bounds, now: Instant) -> Self {
        Self {
            bounds,
            limit: bounds.floor(),
            suspicion: 0.0,
            stepped: now,
            changed: now,
            fell: None,
            hurt: None,
            hold: FIRST_HOLD,
            refused: None,
            at_floor_since: Some(now),
            peak: 0,
            peak_since: now,
        }
    }

    /// The limit in force.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Since when it cannot fall any further; none: it can.
    pub fn at_floor_since(&self) -> Option<Instant> {
        self.at_floor_since
    }

    /// Whether the server was full a short while ago: connections above the limit are better closed than kept.
    pub fn is_full(&self, now: Instant) -> bool {
        is_within(self.refused, FULL, now)
    }

    /// The server had no place for a further connection, while the tier had so many.
    pub fn refused(&mut self, held: usize, now: Instant) -> Option<Reduction> {
        if is_within(self.refused, SAME_REFUSAL, now) {
            return None;
        }
        self.refused = Some(now);
        let from = self.limit.min(held.max(1));
        self.falls(from, from / 2, Reduction::Full, now)
    }

    /// Takes a step; to be called several times a second. `felt`: by the higher tiers since the last step.
    pub fn step(&mut self, bounds: Bounds, usage: Usage, felt: Felt, now: Instant) -> Option<Reduction> {
        self.take_over(bounds, now);
        self.suspect(felt, now);
        self.note_use(usage, now);
        if self.suspicion >= TOO_MANY {
            let from = self.limit.min(usage.used);
            let to = if self.suspicion >= FAR_TOO_MANY { from / 2 } else { from * 4 / 5 };
            // What is in use above the limit still runs: a further step down would not be felt either.
            let is_settled = usage.used <= self.limit && !is_within(self.fell, SETTLING, now);
            return if is_settled { self.falls(from, to, Reduction::Slow, now) } else { None };
        }
        let is_wanted = usage.waiting > 0 && usage.used >= self.limit && self.limit < self.bounds.ceiling();
        let is_known = felt.judged > 0 || felt.unknown == 0;
        if is_wanted && is_known && self.suspicion < 1.0 && self.may_rise(now) {
            self.rises(now);
        } else if self.hurt.is_some_and(|hurt| self.limit >= hurt)
            && !is_within(Some(self.changed), PROVEN, now)
        {
            self.hurt = None;
            self.hold = FIRST_HOLD;
        }
        None
    }

    fn take_over(&mut self, bounds: Bounds, now: Instant) {
        self.bounds = bounds;
        self.set(self.limit.clamp(bounds.floor(), bounds.ceiling()), now);
    }

    /// Counts slow answers beyond what is allowed.
    #[expect(clippy::cast_precision_loss, reason = "answers of a tenth of a second")]
    fn suspect(&mut self, felt: Felt, now: Instant) {
        let passed = now.saturating_duration_since(self.stepped);
        self.stepped = now;
        let (judged, slow) = (felt.judged as f64, felt.slow as f64);
        let scale = if judged > WEIGHT { WEIGHT / judged } else { 1.0 };
        let kept = 0.5_f64.powf(passed.as_secs_f64() / FADES.as_secs_f64());
        self.suspicion = (self.suspicion * kept + (slow - judged * ALLOWED) * scale).max(0.0);
        if is_within(self.fell, SETTLING, now) {
            self.suspicion = 0.0;
        }
    }

    /// Takes back what was not used for a while, so that the next flood, too, is let in by steps.
    fn note_use(&mut self, usage: Usage, now: Instant) {
        self.peak = self.peak.max(usage.used);
        if !is_within(Some(self.peak_since), UNUSED, now) {
            self.set(self.limit.min(self.peak.max(self.bounds.floor())), now);
            self.peak = usage.used;
            self.peak_since = now;
        }
    }

    fn may_rise(&self, now: Instant) -> bool {
        let pause = match self.hurt {
            Some(hurt) if self.limit + 1 >= hurt => self.hold,
            _ if is_within(self.fell, CAREFUL_FOR, now) => CAREFUL_STEP,
            _ => STEP,
        };
        let is_resting = is_within(self.fell, REST, now);
        !is_resting && !is_within(Some(self.changed), pause, now)
    }

    fn rises(&mut self, now: Instant) {
        let step = (self.limit / 8).max(1);
        let to = match self.hurt {
            Some(hurt) if self.limit + 1 < hurt => (self.limit + step).min(hurt - 1),
            Some(_) => self.limit + 1,
            None => self.limit + step,
        };
        self.set(to.min(self.bounds.ceiling()), now);
    }

    fn falls(&mut self, from: usize, to: usize, reduction: Reduction, now: Instant) -> Option<Reduction> {
        self.suspicion = 0.0;
        let to = to.max(self.bounds.floor());
        if to >= from {
            return None;
        }
        // Tried again in vain.
        if self.hurt.is_some_and(|hurt| from >= hurt) {
            self.hold = (self.hold * 2).min(LAST_HOLD);
        }
        self.hurt = Some(from);
        self.fell = Some(now);
        self.set(to, now);
        Some(reduction)
    }

    fn set(&mut self, limit: usize, now: Instant) {
        if limit != self.limit {
            self.limit = limit;
            self.changed = now;
        }
        self.at_floor_since =
            if limit <= self.bounds.floor() { self.at_floor_since.or(Some(now)) } else { None };
    }
}

fn is_within(since: Option<Instant>, time: Duration, now: Instant) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) < time)
}
