//! Every transition of the breaker, on a clock of the test's own.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const OPEN: Stage = Stage::Open { next_probe: None };

fn breaker(mode: Mode) -> (Breaker, Instant) {
    let now = Instant::now();
    (Breaker::new(mode, Limits::default(), now), now)
}

/// Fails one connect a second, each a round of its own, until the breaker opens.
fn opened(breaker: &Breaker, now: Instant) -> (Probes, Instant) {
    (0..20)
        .map(|second| now + second * SECOND)
        .find_map(|at| Some((breaker.connect_failed(at, at)?.probes?, at)))
        .expect("it does not open")
}

#[test]
fn it_opens_after_five_rounds_and_five_seconds_and_names_the_next_probe() {
    let (breaker, now) = breaker(Mode::Enforce);
    let (_, at) = opened(&breaker, now);
    assert_eq!(at, now + 5 * SECOND);
    assert!(breaker.bars());
    let Stage::Open { next_probe: Some(probe) } = breaker.stage() else { panic!("not open") };
    assert!(probe > at && probe <= at + SECOND / 2);
}

#[test]
fn five_rounds_within_a_second_are_a_short_outage() {
    let (breaker, now) = breaker(Mode::Enforce);
    for step in 0..50 {
        let at = now + step * Duration::from_millis(20);
        assert_eq!(breaker.connect_failed(at, at), None);
    }
    assert!(!breaker.bars());
}

#[test]
fn connects_under_way_at_the_same_time_are_one_round() {
    let (breaker, now) = breaker(Mode::Enforce);
    for round in [0, 3, 6, 9] {
        let begun = now + round * SECOND;
        for delay in 1..=30 {
            assert_eq!(breaker.connect_failed(begun, begun + delay * Duration::from_millis(60)), None);
        }
    }
    let fifth = now + 12 * SECOND;
    assert_eq!(breaker.connect_failed(fifth, fifth).unwrap().from, Stage::Closed);
}

#[test]
fn an_answer_of_any_connection_begins_the_count_anew() {
    let (breaker, now) = breaker(Mode::Enforce);
    for second in 0..60 {
        let at = now + second * SECOND;
        assert_eq!(breaker.connect_failed(at, at), None);
        if second % 4 == 0 {
            assert_eq!(breaker.call_answered(at), None);
        }
    }
    assert!(!breaker.bars());
}

#[test]
fn half_of_the_calls_open_it_only_where_nothing_is_answered() {
    let (breaker, now) = breaker(Mode::Enforce);
    breaker.call_answered(now);
    for _ in 0..100 {
        assert_eq!(breaker.call_failed(now + SECOND / 2), None);
    }
    assert_eq!(breaker.call_failed(now + SECOND).unwrap().from, Stage::Closed);
}

#[test]
fn calls_that_fail_open_it_although_connects_are_answered() {
    let (breaker, now) = breaker(Mode::Enforce);
    for step in 0..300 {
        breaker.call_answered(now - SECOND * 30 + SECOND / 10 * step);
    }
    let opens_at = (0..100).map(|step| now + SECOND / 5 * step).find_map(|at| {
        breaker.connect_answered(at);
        Some((breaker.call_failed(at)?.probes?, at))
    });
    let (_, at) = opens_at.unwrap();
    assert_eq!(at, now + 5 * SECOND);
    assert_eq!(breaker.connect_answered(at), None);
    assert_eq!(breaker.probe_answered(at).unwrap().to, Stage::Closed);
}

#[test]
fn calls_of_which_some_are_answered_begin_the_count_anew() {
    let (breaker, now) = breaker(Mode::Enforce);
    for second in 0..19 {
        let at = now + SECOND * second;
        let result = if second % 4 == 0 { breaker.call_answered(at) } else { breaker.call_failed(at) };
        assert_eq!((result, breaker.connect_answered(at)), (None, None), "second {second}");
    }
}

#[test]
fn the_first_answer_closes_it_whoever_got_it() {
    for answer in [Breaker::call_answered, Breaker::connect_answered, Breaker::probe_answered] {
        let (breaker, now) = breaker(Mode::Enforce);
        let (probes, at) = opened(&breaker, now);
        assert_eq!(answer(&breaker, at).unwrap().to, Stage::Closed);
        assert!(!breaker.bars());
        assert_eq!(breaker.next_probe(probes), None);
        assert!(!breaker.begin_probe(probes, at));
        assert_eq!(breaker.connect_failed(at, at), None);
    }
}

#[test]
fn late_failures_change_nothing() {
    let (breaker, now) = breaker(Mode::Enforce);
    let (_, at) = opened(&breaker, now);
    let stage = breaker.stage();
    for _ in 0..50 {
        assert_eq!(breaker.call_failed(at), None);
        assert_eq!(breaker.connect_failed(now, at), None);
    }
    assert_eq!(breaker.stage(), stage);
}

#[test]
fn probes_go_on_until_an_answer_comes() {
    let (breaker, now) = breaker(Mode::Enforce);
    let (probes, opened_at) = opened(&breaker, now);
    let mut at = opened_at;
    for _ in 0..300 {
        let next = breaker.next_probe(probes).unwrap();
        let is_early = at < opened_at + 60 * SECOND;
        assert!(next > at && next <= at + if is_early { SECOND / 2 } else { 5 * SECOND });
        assert!(breaker.begin_probe(probes, next));
        at = next;
    }
    assert!(at > opened_at + 600 * SECOND);
}

#[test]
fn probes_of_an_earlier_opening_are_not_wanted() {
    let (breaker, now) = breaker(Mode::Enforce);
    let (first, at) = opened(&breaker, now);
    breaker.connect_answered(at);
    let (second, at) = opened(&breaker, at + SECOND);
    assert!(!breaker.begin_probe(first, at));
    assert!(breaker.begin_probe(second, at));
}

#[test]
fn metrics_goes_through_the_states_and_bars_nothing() {
    let (breaker, now) = breaker(Mode::Metrics);
    let changes: Vec<_> = (0..9)
        .filter_map(|second| breaker.connect_failed(now + second * SECOND, now + second * SECOND))
        .collect();
    assert_eq!(changes, [Change { from: Stage::Closed, to: OPEN, probes: None }]);
    assert!(!breaker.bars());
    assert_eq!(breaker.connect_answered(now + 9 * SECOND).unwrap().to, Stage::Closed);
}

#[test]
fn off_counts_nothing_and_forced_open_bars_everything() {
    let (breaker, now) = breaker(Mode::Off);
    for second in 0..50 {
        assert_eq!(breaker.connect_failed(now + second * SECOND, now + second * SECOND), None);
    }
    assert!(!breaker.bars());
    assert_eq!(breaker.set_mode(Mode::ForcedOpen, now).unwrap().to, OPEN);
    assert!(breaker.bars());
    assert_eq!(breaker.call_answered(now), None);
    assert_eq!(breaker.set_mode(Mode::Enforce, now).unwrap().to, Stage::Closed);
    assert!(!breaker.bars());
}

#[test]
fn a_mode_that_changes_ends_the_probes() {
    let (breaker, now) = breaker(Mode::Enforce);
    let (probes, at) = opened(&breaker, now);
    breaker.set_mode(Mode::Off, at);
    assert!(!breaker.begin_probe(probes, at));
}

#[test]
fn other_limits_hold_from_the_next_failure_on() {
    let (breaker, now) = breaker(Mode::Enforce);
    breaker.connect_failed(now, now);
    breaker.set_limits(Limits { failed_rounds: 1, failing_for: Duration::ZERO, ..Limits::default() }, now);
    let at = now + SECOND;
    assert!(breaker.connect_failed(at, at).is_some());
}

#[derive(Debug, Clone, Copy)]
enum Event {
    CallAnswered,
    CallFailed,
    ConnectAnswered,
    /// A connect that took so many milliseconds.
    ConnectFailed(u64),
}

fn events() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::CallAnswered),
        3 => Just(Event::CallFailed),
        1 => Just(Event::ConnectAnswered),
        6 => (0_u64..3_000).prop_map(Event::ConnectFailed),
    ]
}

proptest! {
    /// Whatever happens: it opens only where the host has been silent, and an answer finds it closed.
    #[test]
    fn a_host_that_answers_is_never_barred(
        steps in proptest::collection::vec((0_u64..1_500, events()), 1..200),
        mode in prop_oneof![Just(Mode::Enforce), Just(Mode::Metrics)],
    ) {
        let (breaker, mut now) = breaker(mode);
        let mut last_answer: Option<Instant> = None;
        let mut calls_fail = false;
        let mut is_opened_by_calls = false;
        let mut failed: Vec<(Instant, Instant)> = Vec::new();
        for (pause, event) in steps {
            now += Duration::from_millis(pause);
            let change = match event {
                Event::CallAnswered => breaker.call_answered(now),
                Event::ConnectAnswered => breaker.connect_answered(now),
                Event::CallFailed => breaker.call_failed(now),
                Event::ConnectFailed(took) => {
                    let begun = now.checked_sub(Duration::from_millis(took)).unwrap_or(now);
                    failed.push((begun, now));
                    breaker.connect_failed(begun, now)
                }
            };
            match event {
                Event::ConnectAnswered if is_opened_by_calls => prop_assert_eq!(change, None),
                Event::CallAnswered | Event::ConnectAnswered => {
                    if let Event::CallAnswered = event {
                        calls_fail = false;
                        is_opened_by_calls = false;
                    }
                    calls_fail &= change.is_none();
                    prop_assert_eq!(breaker.stage(), Stage::Closed);
                    prop_assert!(!breaker.bars());
                    if !calls_fail {
                        last_answer = Some(now);
                    }
                    failed.clear();
                }
                Event::CallFailed if change.is_some() => {
                    is_opened_by_calls = true;
                    prop_assert!(last_answer.is_none_or(|at| now - at >= SECOND));
                }
                Event::ConnectFailed(_) if change.is_some() => {
                    // At least five of them did not overlap, and the first of them is five seconds old.
                    prop_assert!(now - failed[0].1 >= 5 * SECOND);
                    let mut over = None;
                    let rounds = failed.iter().filter(|(begun, ended)| {
                        let counts = over.is_none_or(|over| *begun >= over);
                        if counts { over = Some(*ended); }
                        counts
                    });
                    prop_assert!(rounds.count() >= 5);
                }
                Event::CallFailed => calls_fail |= breaker.stage() == Stage::Closed,
                Event::ConnectFailed(_) => {}
            }
            prop_assert_eq!(breaker.bars(), mode == Mode::Enforce && breaker.stage() != Stage::Closed);
        }
    }
}
