//! Every transition of the breaker, on a clock of the test's own.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn breaker(mode: Mode) -> (Breaker, Instant) {
    let now = Instant::now();
    (Breaker::new(mode, Thresholds::default(), now), now)
}

fn opened(breaker: &Breaker, now: Instant) -> Probe {
    let mut last = None;
    for _ in 0..5 {
        last = breaker.connect_failed(now);
    }
    last.unwrap().probe.unwrap()
}

#[test]
fn it_opens_on_the_fifth_failed_connect_and_names_the_next_probe() {
    let (breaker, now) = breaker(Mode::Enforce);
    for _ in 0..4 {
        assert_eq!(breaker.connect_failed(now), None);
    }
    let change = breaker.connect_failed(now).unwrap();
    assert_eq!((change.from, change.to), (Stage::Closed, Stage::Open(Some(now + 5 * SECOND))));
    assert_eq!(breaker.admit(), Err(Barred { next_probe: Some(now + 5 * SECOND) }));
}

#[test]
fn a_connect_that_succeeds_breaks_the_row() {
    let (breaker, now) = breaker(Mode::Enforce);
    for _ in 0..4 {
        breaker.connect_failed(now);
    }
    breaker.connect_succeeded(now);
    assert_eq!(breaker.connect_failed(now), None);
    assert_eq!(breaker.admit(), Ok(()));
}

#[test]
fn three_successes_of_the_probe_close_it() {
    let (breaker, now) = breaker(Mode::Enforce);
    let probe = opened(&breaker, now);
    assert_eq!(breaker.begin_probe(probe).unwrap().to, Stage::HalfOpen);
    assert!(breaker.admit().is_err());
    assert_eq!(breaker.probed(probe, true, probe.at), None);
    assert_eq!(breaker.probed(probe, true, probe.at), None);
    assert_eq!(breaker.probed(probe, true, probe.at).unwrap().to, Stage::Closed);
    assert_eq!(breaker.admit(), Ok(()));
}

#[test]
fn a_failed_probe_opens_it_for_twice_as_long() {
    let (breaker, now) = breaker(Mode::Enforce);
    let first = opened(&breaker, now);
    breaker.begin_probe(first);
    breaker.probed(first, true, first.at);
    let second = breaker.probed(first, false, first.at).unwrap().probe.unwrap();
    assert_eq!(second.at, first.at + 10 * SECOND);
    assert_eq!(breaker.begin_probe(first), None);
    assert!(breaker.begin_probe(second).is_some());
}

#[test]
fn late_results_change_nothing() {
    let (breaker, now) = breaker(Mode::Enforce);
    let probe = opened(&breaker, now);
    for _ in 0..50 {
        assert_eq!(breaker.call_succeeded(now), None);
        assert_eq!(breaker.connect_failed(now), None);
    }
    assert_eq!(breaker.stage(), Stage::Open(Some(probe.at)));
    breaker.begin_probe(probe);
    assert_eq!(breaker.call_failed(now), None);
    assert_eq!(breaker.stage(), Stage::HalfOpen);
}

#[test]
fn metrics_goes_through_the_states_and_stops_nobody() {
    let (breaker, now) = breaker(Mode::Metrics);
    for _ in 0..5 {
        breaker.connect_failed(now);
    }
    assert_eq!(breaker.stage(), Stage::Open(Some(now + 5 * SECOND)));
    assert_eq!(breaker.admit(), Ok(()));
    assert_eq!(breaker.on_time_passed(now + 4 * SECOND), None);
    let turned = breaker.on_time_passed(now + 5 * SECOND).unwrap();
    assert_eq!((turned.from, turned.to), (Stage::Open(Some(now + 5 * SECOND)), Stage::HalfOpen));
    assert_eq!(breaker.on_time_passed(now + 5 * SECOND), None);
    for _ in 0..2 {
        assert_eq!(breaker.call_succeeded(now + 5 * SECOND), None);
    }
    assert_eq!(breaker.call_succeeded(now + 5 * SECOND).unwrap().to, Stage::Closed);
}

#[test]
fn off_counts_nothing_and_forced_open_stops_everything() {
    let (breaker, now) = breaker(Mode::Off);
    for _ in 0..50 {
        assert_eq!(breaker.connect_failed(now), None);
    }
    assert_eq!(breaker.admit(), Ok(()));
    assert_eq!(breaker.set_mode(Mode::ForcedOpen, now).unwrap().to, Stage::Open(None));
    assert_eq!(breaker.admit(), Err(Barred { next_probe: None }));
    assert_eq!(breaker.call_succeeded(now), None);
    assert_eq!(breaker.set_mode(Mode::Enforce, now).unwrap().to, Stage::Closed);
    assert_eq!(breaker.admit(), Ok(()));
}

#[test]
fn a_mode_that_changes_ends_the_probe() {
    let (breaker, now) = breaker(Mode::Enforce);
    let probe = opened(&breaker, now);
    breaker.set_mode(Mode::Off, now);
    assert_eq!(breaker.begin_probe(probe), None);
    assert!(!breaker.awaits(probe));
}
