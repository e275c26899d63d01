//! The limit on virtual time, in front of a model of a server.

use proptest::prelude::*;

use super::*;

const TICK: Duration = Duration::from_millis(100);
const SECOND: u32 = 10;
const BOUNDS: Bounds = Bounds { min: 2, max: 10 };

/// A server that slows its readers once more than `room` reports run on it.
struct Model {
    limit: AdaptiveLimit,
    bounds: Bounds,
    now: Instant,
    room: usize,
    /// Answers of readers in a second.
    rate: u32,
    /// The share of them that is slow where all is well.
    calm_share: f64,
    /// How many ticks a report runs.
    report: u32,
    running: Vec<u32>,
    random: u64,
    answers_due: f64,
}

impl Model {
    fn new(bounds: Bounds, room: usize) -> Self {
        let now = Instant::now();
        Self {
            limit: AdaptiveLimit::new(bounds, now),
            bounds,
            now,
            room,
            rate: 200,
            calm_share: 0.001,
            report: 1,
            running: Vec::new(),
            random: 0x9E37_79B9_7F4A_7C15,
            answers_due: 0.0,
        }
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        #[expect(clippy::cast_precision_loss, reason = "a random number")]
        let drawn = (self.random >> 11) as f64 / (1_u64 << 53) as f64;
        drawn < share
    }

    /// The share of slow answers: a twentieth for each report too many.
    fn slow_share(&self) -> f64 {
        let excess = u32::try_from(self.running.len().saturating_sub(self.room)).unwrap_or(u32::MAX);
        (self.calm_share + 0.05 * f64::from(excess)).min(1.0)
    }

    /// A tick of a flood.
    fn tick(&mut self) -> usize {
        self.running.iter_mut().for_each(|left| *left -= 1);
        self.running.retain(|&left| left > 0);
        while self.running.len() < self.limit.limit() {
            self.running.push(self.report);
        }
        self.answers_due += f64::from(self.rate) * TICK.as_secs_f64();
        let (share, mut felt) = (self.slow_share(), Felt::default());
        while self.answers_due >= 1.0 {
            self.answers_due -= 1.0;
            felt.judged += 1;
            felt.slow += u64::from(self.chance(share));
        }
        self.step(felt, Usage { used: self.running.len(), waiting: 500 });
        self.limit.limit()
    }

    fn step(&mut self, felt: Felt, usage: Usage) -> Option<Reduction> {
        self.now += TICK;
        self.limit.step(self.bounds, usage, felt, self.now)
    }

    /// The limit at the end of each tick.
    fn flood(&mut self, ticks: u32) -> Vec<usize> {
        (0..ticks).map(|_| self.tick()).collect()
    }
}

fn felt(judged: u64, slow: u64) -> Felt {
    Felt { judged, slow, unknown: 0 }
}

/// In use as far as the limit allows, and more is wanted.
fn flooded(limit: &AdaptiveLimit) -> Usage {
    Usage { used: limit.limit(), waiting: 7 }
}

#[expect(clippy::cast_precision_loss, reason = "small counts")]
fn mean(limits: &[usize]) -> f64 {
    limits.iter().sum::<usize>() as f64 / limits.len() as f64
}

fn changes(limits: &[usize]) -> usize {
    limits.windows(2).filter(|pair| pair[0] != pair[1]).count()
}

#[test]
fn a_flood_that_slows_nobody_gets_the_maximum_within_two_seconds_by_steps() {
    let mut model = Model::new(BOUNDS, 100);
    model.calm_share = 0.0;
    let limits = model.flood(2 * SECOND);
    assert_eq!((limits[0], limits.last()), (3, Some(&10)));
    assert!(limits.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1));
}

#[test]
fn where_the_higher_tiers_are_silent_the_limit_rises() {
    let mut model = Model::new(BOUNDS, 0);
    model.rate = 0;
    assert_eq!(model.flood(2 * SECOND).last(), Some(&10));
}

#[test]
fn a_limit_that_is_not_used_up_does_not_rise() {
    let mut model = Model::new(BOUNDS, 100);
    for usage in [Usage { used: 2, waiting: 0 }, Usage { used: 1, waiting: 1 }] {
        (0..100).for_each(|_| {
            model.step(felt(20, 0), usage);
        });
        assert_eq!(model.limit.limit(), 2);
    }
}

#[test]
fn while_the_usual_times_of_readers_are_unknown_the_limit_stays() {
    let mut model = Model::new(BOUNDS, 100);
    for _ in 0..100 {
        let usage = flooded(&model.limit);
        model.step(Felt { judged: 0, slow: 0, unknown: 20 }, usage);
    }
    assert_eq!(model.limit.limit(), 2);
}

#[test]
fn what_is_not_used_is_taken_back_and_given_again_by_steps() {
    let mut model = Model::new(BOUNDS, 100);
    model.flood(3 * SECOND);
    let idle = Usage { used: 0, waiting: 0 };
    (0..25 * SECOND).for_each(|_| {
        model.step(felt(20, 0), idle);
    });
    assert_eq!(model.limit.limit(), 2);
}

#[test]
fn slow_answers_while_nothing_of_the_lower_tier_runs_lower_nothing() {
    let mut model = Model::new(BOUNDS, 100);
    model.flood(3 * SECOND);
    for used in [0, 2] {
        assert_eq!(model.step(felt(20, 20), Usage { used, waiting: 0 }), None);
        assert_eq!(model.limit.limit(), 10);
    }
}

#[test]
fn readers_that_are_slow_altogether_halve_the_limit_at_once() {
    let mut model = Model::new(BOUNDS, 100);
    model.flood(3 * SECOND);
    let usage = flooded(&model.limit);
    assert_eq!(model.step(felt(20, 20), usage), Some(Reduction::Slow));
    assert_eq!(model.limit.limit(), 5);
}

#[test]
fn while_more_runs_than_the_limit_allows_it_falls_no_further() {
    let mut model = Model::new(BOUNDS, 100);
    model.flood(3 * SECOND);
    let running = Usage { used: 10, waiting: 7 };
    assert_eq!(model.step(felt(20, 3), running), Some(Reduction::Slow));
    (0..100).for_each(|_| assert_eq!(model.step(felt(20, 3), running), None));
    assert_eq!(model.limit.limit(), 8);
    let usage = flooded(&model.limit);
    assert_eq!(model.step(felt(20, 3), usage), Some(Reduction::Slow));
}

#[test]
fn a_full_server_halves_the_limit_at_once_and_it_comes_back_by_steps() {
    let mut model = Model::new(BOUNDS, 100);
    model.calm_share = 0.0;
    model.flood(3 * SECOND);
    assert_eq!(model.limit.refused(8, model.now), Some(Reduction::Full));
    assert_eq!(model.limit.limit(), 4);
    assert!(model.limit.is_full(model.now));
    // The same burst of refused connects.
    assert_eq!(model.limit.refused(8, model.now + Duration::from_millis(300)), None);
    let limits = model.flood(60 * SECOND);
    assert!(!model.limit.is_full(model.now));
    assert_eq!(limits.last(), Some(&10));
    assert!(limits.windows(2).all(|pair| pair[1] == pair[0] || pair[1] == pair[0] + 1));
}

#[test]
fn refusals_that_go_on_leave_the_lower_tier_its_minimum() {
    let mut model = Model::new(BOUNDS, 100);
    model.flood(3 * SECOND);
    for _ in 0..20 {
        model.limit.refused(model.limit.limit(), model.now);
        model.now += Duration::from_secs(1);
    }
    assert_eq!(model.limit.limit(), 2);
}

#[test]
fn changed_sizes_bound_the_limit_at_once() {
    let mut model = Model::new(BOUNDS, 100);
    model.flood(3 * SECOND);
    model.bounds = Bounds { min: 1, max: 4 };
    assert_eq!(model.tick(), 4);
    model.bounds = Bounds { min: 6, max: 20 };
    assert_eq!(model.tick(), 6);
    model.bounds = Bounds { min: 9, max: 3 };
    assert_eq!(model.tick(), 3);
}

#[test]
fn a_server_that_lost_its_room_and_got_it_back_is_followed() {
    let mut model = Model::new(BOUNDS, 9);
    model.flood(120 * SECOND);
    model.room = 3;
    let lost = model.flood(120 * SECOND);
    assert!(mean(&lost[600..]) <= 4.0);
    model.room = 100;
    model.calm_share = 0.0;
    assert_eq!(model.flood(200 * SECOND).last(), Some(&10));
}

proptest! {
    /// Where there is room for some reports the limit comes to rest there: it neither swings nor stays far below.
    #[test]
    fn it_converges_below_what_hurts_and_does_not_swing(
        max in 4_usize..40, share in 0.2_f64..0.9, rate in 50_u32..2000, report in 1_u32..5, seed in 1_u64..,
    ) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "small")]
        let room = ((max as f64 * share) as usize).max(3);
        let mut model = Model { rate, report, random: seed, ..Model::new(Bounds { min: 2, max }, room) };
        model.flood(120 * SECOND);
        let settled = model.flood(300 * SECOND);
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let (room, above) = (room as f64, settled.iter().filter(|&&limit| limit > room).count());
        prop_assert!(mean(&settled) <= room + 0.5, "mean {} for {room}", mean(&settled));
        prop_assert!(mean(&settled) >= room * 0.6, "mean {} for {room}", mean(&settled));
        prop_assert!(above * 10 <= settled.len(), "{above} ticks above {room}");
        prop_assert!(changes(&settled) <= 60, "{} changes", changes(&settled));
    }

    /// Whatever is felt: the lower tier keeps its minimum, and when it is over comes back to its maximum.
    #[test]
    fn it_never_starves_the_lower_tier(
        min in 0_usize..5,
        more in 0_usize..20,
        steps in proptest::collection::vec((0_u64..500, 0_u64..500, 0_usize..40, 0_usize..3, 0_u64..2000, 0_u8..20), 0..200),
    ) {
        let bounds = Bounds { min, max: (min + more).max(1) };
        let mut model = Model::new(bounds, 1000);
        for (judged, slow, used, waiting, millis, refused) in steps {
            if refused == 0 {
                model.limit.refused(used, model.now);
            }
            model.now += Duration::from_millis(millis);
            model.limit.step(bounds, Usage { used, waiting }, felt(judged, slow.min(judged)), model.now);
            prop_assert!(model.limit.limit() >= bounds.min.max(1) && model.limit.limit() <= bounds.max);
            prop_assert_eq!(model.limit.at_floor_since().is_some(), model.limit.limit() == bounds.min.max(1));
        }
        model.calm_share = 0.0;
        let back = model.flood(200 * SECOND);
        prop_assert_eq!(back.last().copied(), Some(bounds.max));
    }

    /// One slow statement, however busy the tier is, changes nothing.
    #[test]
    fn a_single_slow_statement_is_ignored(rates in proptest::collection::vec(0_u64..3000, 1..50), at in 0_usize..50) {
        let mut model = Model::new(BOUNDS, 100);
        model.calm_share = 0.0;
        model.flood(3 * SECOND);
        for (index, &rate) in rates.iter().enumerate() {
            let slow = u64::from(index == at % rates.len());
            let usage = flooded(&model.limit);
            prop_assert_eq!(model.step(felt(rate.max(slow), slow), usage), None);
        }
        prop_assert_eq!(model.limit.limit(), 10);
    }

    /// Slow statements that have nothing to do with each other change nothing either.
    #[test]
    fn slow_statements_far_apart_are_ignored(rate in 1_u64..100, seconds in 30_u32..200) {
        let mut model = Model::new(BOUNDS, 100);
        model.calm_share = 0.0;
        model.flood(3 * SECOND);
        for tick in 0..20 * seconds * SECOND {
            let slow = u64::from(tick % (seconds * SECOND) == 0);
            let usage = flooded(&model.limit);
            prop_assert_eq!(model.step(felt(rate, slow), usage), None);
        }
    }

    /// As many slow answers as in calm, of however many: the limit stays high.
    #[test]
    fn the_usual_share_of_slow_answers_is_no_reason(rate in 100_u32..20_000, seed in 1_u64..) {
        let mut model = Model { rate, random: seed, calm_share: 0.001, ..Model::new(BOUNDS, 100) };
        model.flood(60 * SECOND);
        let limits = model.flood(300 * SECOND);
        prop_assert!(mean(&limits) >= 7.0, "mean {}", mean(&limits));
    }
}
