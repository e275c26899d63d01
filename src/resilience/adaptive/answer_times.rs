//! The times that statements take on one server: what is usual for each while nothing disturbs them, and how many
//! are slow by that measure.
//!
//! A statement is known by the hash of its text, so a change in the mix of statements is no change in their times.
//! Each has the times of its own calm stretches, as a histogram that forgets; slow is what takes more than twice
//! their p99, and at least 2 ms more. Times are held back for a turn: only its end tells whether it was calm.

use std::time::Duration;

use tokio::time::Instant;

/// The length of a turn, at least.
const TURN: Duration = Duration::from_millis(100);
/// Statements are told apart by so many classes. Texts that share one share its times.
const CLASSES: usize = 128;
/// Fewer calm times than this say nothing about a class.
const LEAST: u32 = 30;
/// At so many times a class forgets half of them.
const MOST: u32 = 4096;
/// The most times of one turn that are learnt.
const MOST_IN_A_TURN: usize = 1024;
/// The share of the calm times that count as usual.
const USUAL: f64 = 0.99;
/// Slow is what takes more than so many times the longest usual time.
const SLOW: f64 = 2.0;
/// And at least so much longer: what is lost below that is not worth the reports that would have to wait for it.
const NOTICEABLE: Duration = Duration::from_millis(2);

/// What was felt, counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Felt {
    /// Answers whose usual time is known.
    pub judged: u64,
    /// Those of them that were slow.
    pub slow: u64,
    /// Answers whose usual time is not known yet.
    pub unknown: u64,
}

impl Felt {
    /// What was felt since `before`.
    #[must_use]
    pub fn since(self, before: Self) -> Self {
        Self {
            judged: self.judged.saturating_sub(before.judged),
            slow: self.slow.saturating_sub(before.slow),
            unknown: self.unknown.saturating_sub(before.unknown),
        }
    }

    /// Both together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            judged: self.judged + other.judged,
            slow: self.slow + other.slow,
            unknown: self.unknown + other.unknown,
        }
    }
}

/// What the times of a turn teach, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lesson {
    /// Nothing: it was not calm.
    Nothing,
    /// The usual times of statements of which none are known.
    Unknown,
    /// The usual times of all statements.
    All,
}

/// The times of one server.
#[derive(Debug)]
pub struct AnswerTimes {
    classes: Box<[Class]>,
    /// The times of this turn.
    held: Vec<(usize, Duration)>,
    turn_began: Instant,
    felt: Felt,
}

impl AnswerTimes {
    /// Nothing is known.
    pub fn new(now: Instant) -> Self {
        let classes = (0..CLASSES).map(|_| Class::default()).collect();
        Self { classes, held: Vec::new(), turn_began: now, felt: Felt::default() }
    }

    /// Records the time of a statement. `text`: the hash of its text.
    pub fn record(&mut self, text: u64, took: Duration) {
        let class = class_of(text);
        match self.classes[class].slow_above {
            None => self.felt.unknown += 1,
            Some(limit) => {
                self.felt.judged += 1;
                self.felt.slow += u64::from(took > limit);
            }
        }
        if self.held.len() < MOST_IN_A_TURN {
            self.held.push((class, took));
        }
    }

    /// Whether the turn is over, and its end due.
    pub fn is_turn_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.turn_began) >= TURN
    }

    /// Ends a turn. What its times do not teach is forgotten.
    pub fn end_turn(&mut self, lesson: Lesson, now: Instant) {
        self.turn_began = now;
        let classes = &self.classes;
        match lesson {
            Lesson::Nothing => self.held.clear(),
            Lesson::Unknown => self.held.retain(|&(class, _)| classes[class].slow_above.is_none()),
            Lesson::All => {}
        }
        self.held.sort_unstable_by_key(|&(class, _)| class);
        for times in self.held.chunk_by(|one, other| one.0 == other.0) {
            if let Some(&(class, _)) = times.first() {
                self.classes[class].learn(times.iter().map(|&(_, took)| took));
            }
        }
        self.held.clear();
    }

    /// What was felt so far.
    pub fn felt(&self) -> Felt {
        self.felt
    }
}

/// The calm times of a class, in buckets of a quarter of an octave.
#[derive(Debug)]
struct Class {
    counts: [u16; BUCKETS],
    total: u32,
    /// Longer is slow; none: too little is known.
    slow_above: Option<Duration>,
}

/// The first bucket ends at 2 to this power, in nanoseconds.
const SHORTEST: u32 = 10;
/// From a microsecond to 17 s.
const BUCKETS: usize = 4 * 24;

impl Default for Class {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], total: 0, slow_above: None }
    }
}

impl Class {
    fn learn(&mut self, times: impl Iterator<Item = Duration>) {
        for took in times {
            self.counts[bucket_of(took)] += 1;
            self.total += 1;
            if self.total >= MOST {
                self.forget_half();
            }
        }
        self.slow_above = (self.total >= LEAST).then(|| {
            let usual = self.longest_usual();
            usual.mul_f64(SLOW).max(usual + NOTICEABLE)
        });
    }

    fn forget_half(&mut self) {
        self.total = 0;
        for count in &mut self.counts {
            *count /= 2;
            self.total += u32::from(*count);
        }
    }

    fn longest_usual(&self) -> Duration {
        let rank = f64::from(self.total) * USUAL;
        let mut below = 0.0;
        for (bucket, &count) in self.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(count);
            if below + count >= rank {
                let (from, to) = (lower_bound(bucket), lower_bound(bucket + 1));
                return from + to.saturating_sub(from).mul_f64(((rank - below) / count).clamp(0.0, 1.0));
            }
            below += count;
        }
        lower_bound(BUCKETS)
    }
}

fn bucket_of(took: Duration) -> usize {
    let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
    let Some(octave) = nanos.checked_ilog2().and_then(|power| power.checked_sub(SHORTEST)) else { return 0 };
    let quarter = (nanos >> (octave + SHORTEST - 2)) & 3;
    let bucket = u64::from(octave) * 4 + quarter;
    usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

fn lower_bound(bucket: usize) -> Duration {
    let (octave, quarter) = (bucket / 4, bucket as u64 % 4);
    Duration::from_nanos((4 + quarter) << (octave + SHORTEST as usize - 2))
}

fn class_of(text: u64) -> usize {
    usize::try_from(text % CLASSES as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn times() -> (AnswerTimes, Instant) {
        let now = Instant::now();
        (AnswerTimes::new(now), now)
    }

    /// Records the time so many times; how many of them were slow.
    fn feel(times: &mut AnswerTimes, text: u64, took: Duration, count: usize) -> u64 {
        let before = times.felt();
        (0..count).for_each(|_| times.record(text, took));
        times.felt().since(before).slow
    }

    #[test]
    fn nothing_is_slow_before_its_usual_time_is_known() {
        let (mut times, now) = times();
        assert_eq!(feel(&mut times, 1, MILLI, 29), 0);
        times.end_turn(Lesson::All, now);
        assert_eq!(feel(&mut times, 1, 100 * MILLI, 1), 0);
        assert_eq!(times.felt(), Felt { judged: 0, slow: 0, unknown: 30 });
        times.end_turn(Lesson::Nothing, now);
        feel(&mut times, 1, MILLI, 1);
        times.end_turn(Lesson::All, now);
        assert_eq!(feel(&mut times, 1, 100 * MILLI, 1), 1);
    }

    #[test]
    fn a_loss_of_less_than_two_milliseconds_is_not_slow() {
        let (mut times, now) = times();
        feel(&mut times, 1, MILLI / 10, 100);
        times.end_turn(Lesson::All, now);
        assert_eq!((feel(&mut times, 1, 2 * MILLI, 10), feel(&mut times, 1, 3 * MILLI, 10)), (0, 10));
    }

    #[test]
    fn each_statement_is_measured_by_its_own_calm_times() {
        let (mut times, now) = times();
        feel(&mut times, 1, MILLI, 100);
        feel(&mut times, 2, 200 * MILLI, 100);
        times.end_turn(Lesson::All, now);
        // The mix turns to the slow statement: nothing has become slower.
        assert_eq!(feel(&mut times, 2, 200 * MILLI, 1000), 0);
        assert_eq!(feel(&mut times, 1, 5 * MILLI, 10), 10);
    }

    #[test]
    fn a_turn_that_was_not_calm_teaches_nothing() {
        let (mut times, now) = times();
        feel(&mut times, 1, MILLI, 100);
        times.end_turn(Lesson::All, now);
        for _ in 0..100 {
            feel(&mut times, 1, 50 * MILLI, 100);
            times.end_turn(Lesson::Nothing, now);
        }
        assert_eq!(feel(&mut times, 1, 50 * MILLI, 10), 10);
    }

    #[test]
    fn a_server_that_has_become_slower_for_good_is_calm_again_after_a_while() {
        let (mut times, now) = times();
        feel(&mut times, 1, MILLI, 1000);
        times.end_turn(Lesson::All, now);
        let mut turns = 0;
        while feel(&mut times, 1, 10 * MILLI, 20) > 0 {
            times.end_turn(Lesson::All, now);
            turns += 1;
            assert!(turns < 100, "it never learns");
        }
    }

    #[test]
    fn a_turn_that_is_hardly_calm_teaches_of_unknown_statements_alone() {
        let (mut times, now) = times();
        feel(&mut times, 1, MILLI, 100);
        times.end_turn(Lesson::All, now);
        for _ in 0..100 {
            feel(&mut times, 1, 50 * MILLI, 100);
            feel(&mut times, 2, 50 * MILLI, 100);
            times.end_turn(Lesson::Unknown, now);
        }
        assert_eq!((feel(&mut times, 1, 50 * MILLI, 10), feel(&mut times, 2, 50 * MILLI, 10)), (10, 0));
    }

    #[test]
    fn a_turn_lasts_a_tenth_of_a_second() {
        let (mut times, now) = times();
        assert!(!times.is_turn_over(now + TURN - MILLI));
        assert!(times.is_turn_over(now + TURN));
        times.end_turn(Lesson::All, now + TURN);
        assert!(!times.is_turn_over(now + TURN));
    }

    proptest! {
        #[test]
        fn a_time_lies_within_its_bucket(nanos in 0_u64..17_000_000_000) {
            let took = Duration::from_nanos(nanos);
            let bucket = bucket_of(took);
            prop_assert!(took < lower_bound(bucket + 1));
            prop_assert!(bucket == 0 || lower_bound(bucket) <= took);
        }

        #[test]
        fn of_what_is_drawn_as_in_calm_one_in_fifty_is_slow_at_most(
            drawn in proptest::collection::vec(50_u64..5_000, 200..600), seed in any::<u64>(),
        ) {
            let (mut times, now) = times();
            let calm = drawn.iter().map(|&micros| Duration::from_micros(micros));
            calm.clone().for_each(|took| times.record(seed, took));
            times.end_turn(Lesson::All, now);
            let before = times.felt();
            calm.for_each(|took| times.record(seed, took));
            let felt = times.felt().since(before);
            prop_assert!(felt.slow * 50 <= felt.judged);
        }

        #[test]
        fn what_takes_less_than_the_longest_calm_time_is_never_slow(
            drawn in proptest::collection::vec(1_u64..10_000_000, 30..99),
        ) {
            let (mut times, now) = times();
            for &micros in &drawn {
                times.record(7, Duration::from_micros(micros));
            }
            times.end_turn(Lesson::All, now);
            let longest = drawn.iter().max().copied().unwrap_or(0);
            prop_assert_eq!(feel(&mut times, 7, Duration::from_micros(longest), 1), 0);
        }

        #[test]
        fn nothing_is_lost_in_the_count(texts in proptest::collection::vec(any::<u64>(), 0..3000), calm in any::<bool>()) {
            let (mut times, now) = times();
            for (index, &text) in texts.iter().enumerate() {
                times.record(text, MILLI);
                if index % 100 == 99 {
                    times.end_turn(if calm { Lesson::All } else { Lesson::Nothing }, now);
                }
            }
            prop_assert_eq!(times.felt().judged + times.felt().unknown, texts.len() as u64);
        }
    }
}
