//! Alerts: a value held above its limit fires, held below a lower one clears.
//!
//! Time is an argument, never read from a clock, so that all of it is tested on virtual time. A sample
//! without a value changes nothing: no alert fires or clears, and the time until the next value does not
//! count. There is one event per change, and reminders while an alert fires.

use std::time::Duration;

use super::{AlertThresholds, rule::Rule, thresholds::Threshold};

/// A value per rule; none: unknown.
pub(super) type Values = [Option<f64>; Rule::ALL.len()];

/// The transition of an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transition {
    /// The alert fires.
    Fired,
    /// The alert still fires.
    Reminded,
    /// The alert fires no longer.
    Cleared,
}

/// A change of an alert, or a reminder.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct AlertChange {
    /// The rule.
    pub(super) rule: Rule,
    /// The transition.
    pub(super) transition: Transition,
    /// The value of this sample.
    pub(super) value: f64,
    /// The limit that it passed.
    pub(super) threshold: f64,
    /// When the limit was passed first.
    pub(super) since: Duration,
    /// When it fired.
    pub(super) fired_at: Duration,
}

/// The alerts of one tier.
pub(super) struct Alerts {
    thresholds: AlertThresholds,
    tracks: [Track; Rule::ALL.len()],
}

impl Alerts {
    /// Alerts of which none fires.
    pub(super) fn new(thresholds: AlertThresholds) -> Self {
        Self { thresholds, tracks: std::array::from_fn(|_| Track { phase: Phase::Calm, last: None }) }
    }

    /// Takes a sample and returns the changes. `at` is of any clock that only goes forward.
    pub(super) fn observe(&mut self, at: Duration, values: &Values) -> Vec<AlertChange> {
        let mut changes = Vec::new();
        for (rule, track) in Rule::ALL.into_iter().zip(&mut self.tracks) {
            let limits = *self.thresholds.of(rule);
            let value = values[rule as usize].filter(|value| value.is_finite());
            let elapsed = track.elapsed(at, value.is_some(), self.thresholds.longest_gap);
            if let Some(value) = value
                && let Some((transition, since, fired_at)) = track.step(at, value, elapsed, &limits)
            {
                let threshold = if transition == Transition::Cleared { limits.below } else { limits.above };
                changes.push(AlertChange { rule, transition, value, threshold, since, fired_at });
            }
            if let Some((value, since, fired_at)) = track.remind(at, self.thresholds.reminder) {
                let transition = Transition::Reminded;
                changes.push(AlertChange {
                    rule,
                    transition,
                    value,
                    threshold: limits.above,
                    since,
                    fired_at,
                });
            }
        }
        changes
    }

    /// The alerts that fire.
    pub(super) fn firing(&self) -> impl Iterator<Item = Rule> + '_ {
        let tracks = Rule::ALL.into_iter().zip(&self.tracks);
        tracks.filter_map(|(rule, track)| matches!(track.phase, Phase::Firing { .. }).then_some(rule))
    }
}

/// The state of one rule of one tier.
struct Track {
    phase: Phase,
    /// When the last sample was, if it had a value.
    last: Option<Duration>,
}

enum Phase {
    Calm,
    /// Above the limit, since when, and for how long as far as is known.
    Rising {
        since: Duration,
        held: Duration,
    },
    Firing {
        since: Duration,
        fired_at: Duration,
        reminded: Duration,
        value: f64,
        /// The time that it has been below the lower limit.
        falling: Option<Duration>,
    },
}

impl Track {
    fn elapsed(&mut self, at: Duration, has_value: bool, longest_gap: Duration) -> Duration {
        let last = std::mem::replace(&mut self.last, has_value.then_some(at));
        last.map(|last| at.saturating_sub(last)).filter(|gap| *gap <= longest_gap).unwrap_or_default()
    }

    fn step(
        &mut self,
        at: Duration,
        value: f64,
        elapsed: Duration,
        limits: &Threshold,
    ) -> Option<(Transition, Duration, Duration)> {
        match &mut self.phase {
            Phase::Calm | Phase::Rising { .. } if value <= limits.above => {
                self.phase = Phase::Calm;
                None
            }
            Phase::Calm => self.rise(at, at, Duration::ZERO, value, limits),
            Phase::Rising { since, held } => {
                let (since, held) = (*since, *held + elapsed);
                self.rise(at, since, held, value, limits)
            }
            Phase::Firing { value: last, falling, .. } if value >= limits.below => {
                *last = value;
                *falling = None;
                None
            }
            Phase::Firing { since, fired_at, value: last, falling, .. } => {
                *last = value;
                let held = falling.map_or(Duration::ZERO, |held| held + elapsed);
                *falling = Some(held);
                let told = (Transition::Cleared, *since, *fired_at);
                (held >= limits.clears_after).then(|| {
                    self.phase = Phase::Calm;
                    told
                })
            }
        }
    }

    fn rise(
        &mut self,
        at: Duration,
        since: Duration,
        held: Duration,
        value: f64,
        limits: &Threshold,
    ) -> Option<(Transition, Duration, Duration)> {
        if held < limits.fires_after {
            self.phase = Phase::Rising { since, held };
            return None;
        }
        self.phase = Phase::Firing { since, fired_at: at, reminded: at, value, falling: None };
        Some((Transition::Fired, since, at))
    }

    fn remind(&mut self, at: Duration, every: Duration) -> Option<(f64, Duration, Duration)> {
        match &mut self.phase {
            Phase::Firing { since, fired_at, reminded, value, .. }
                if !every.is_zero() && at.saturating_sub(*reminded) >= every =>
            {
                *reminded = at;
                Some((*value, *since, *fired_at))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const TICK: Duration = Duration::from_secs(5);

    /// Samples `series` every five seconds, and returns the time of each transition.
    fn run(rule: Rule, until: u64, series: impl Fn(u64) -> Option<f64>) -> Vec<(u64, Transition)> {
        let mut alerts = Alerts::new(AlertThresholds::default());
        let mut changes = Vec::new();
        let mut at = Duration::ZERO;
        while at.as_secs() <= until {
            let mut values: Values = [None; 4];
            values[rule as usize] = series(at.as_secs());
            let seen = alerts.observe(at, &values);
            changes.extend(seen.into_iter().map(|change| (at.as_secs(), change.transition)));
            at += TICK;
        }
        changes
    }

    fn step(high: f64, from: u64, low: f64, then: u64) -> impl Fn(u64) -> Option<f64> {
        move |at| Some(if (from..then).contains(&at) { high } else { low })
    }

    #[test]
    fn waiting_fires_after_five_minutes_and_clears_after_two() {
        let changes = run(Rule::Waiting, 2000, step(11.0, 100, 4.0, 700));
        assert_eq!(changes, [(400, Transition::Fired), (820, Transition::Cleared)]);
    }

    #[test]
    fn acquire_fires_at_once_and_clears_after_two_minutes() {
        let changes = run(Rule::Acquire, 2000, step(5001.0, 100, 2499.0, 200));
        assert_eq!(changes, [(100, Transition::Fired), (320, Transition::Cleared)]);
    }

    #[test]
    fn error_rate_fires_after_fifteen_minutes_and_clears_after_five() {
        let changes = run(Rule::ErrorRate, 4000, step(0.051, 100, 0.029, 1500));
        assert_eq!(changes, [(1000, Transition::Fired), (1800, Transition::Cleared)]);
    }

    #[test]
    fn utilisation_fires_after_ten_minutes_and_clears_after_five() {
        let changes = run(Rule::Utilisation, 4000, step(0.91, 100, 0.79, 1500));
        assert_eq!(changes, [(700, Transition::Fired), (1800, Transition::Cleared)]);
    }

    #[test]
    fn a_value_at_the_limit_neither_fires_nor_clears() {
        assert_eq!(run(Rule::Waiting, 2000, |_| Some(10.0)), []);
        let changes = run(Rule::Waiting, 1500, |at| Some(if at < 400 { 11.0 } else { 5.0 }));
        assert_eq!(changes, [(300, Transition::Fired)]);
    }

    #[test]
    fn a_series_that_crosses_every_minute_never_fires() {
        for rule in [Rule::Waiting, Rule::ErrorRate, Rule::Utilisation] {
            let changes = run(rule, 36_000, |at| Some(if at / 60 % 2 == 0 { 1000.0 } else { 0.0 }));
            assert_eq!(changes, [], "{rule:?}");
        }
    }

    #[test]
    fn a_firing_alert_does_not_flap_on_a_series_that_crosses_every_minute() {
        let changes = run(Rule::Acquire, 1500, |at| Some(if at / 60 % 2 == 0 { 9000.0 } else { 0.0 }));
        assert_eq!(changes, [(0, Transition::Fired)]);
    }

    #[test]
    fn between_the_limits_a_firing_alert_stays() {
        let changes = run(Rule::Waiting, 1500, |at| Some(if at < 400 { 11.0 } else { 7.0 }));
        assert_eq!(changes, [(300, Transition::Fired)]);
    }

    #[test]
    fn no_data_holds_what_was_and_stops_the_clock() {
        // The five minutes that are needed: two before the gap, three after it.
        let series = |at| match at {
            121..1000 => None,
            _ => Some(11.0),
        };
        assert_eq!(run(Rule::Waiting, 1500, series), [(1180, Transition::Fired)]);
        let series = |at| if at <= 300 { Some(11.0) } else { None };
        assert_eq!(run(Rule::Waiting, 1500, series), [(300, Transition::Fired)]);
    }

    #[test]
    fn time_in_which_nobody_looked_does_not_count() {
        let mut alerts = Alerts::new(AlertThresholds::default());
        let values = [Some(11.0), None, None, None];
        assert_eq!(alerts.observe(Duration::ZERO, &values), []);
        assert_eq!(alerts.observe(3600 * SECOND, &values), []);
        assert_eq!(alerts.firing().count(), 0);
    }

    #[test]
    fn a_firing_alert_is_repeated_every_half_hour() {
        let changes = run(Rule::Utilisation, 4300, |_| Some(1.0));
        assert_eq!(
            changes,
            [(600, Transition::Fired), (2400, Transition::Reminded), (4200, Transition::Reminded)]
        );
    }

    #[test]
    fn a_change_tells_value_limit_and_since_when() {
        let mut alerts = Alerts::new(AlertThresholds::default());
        let mut seen = Vec::new();
        for at in 0..=60 {
            seen.extend(alerts.observe(TICK * at, &[Some(12.0), None, None, None]));
        }
        let fired_at = 300 * SECOND;
        let since = Duration::ZERO;
        let (rule, transition) = (Rule::Waiting, Transition::Fired);
        assert_eq!(seen, [AlertChange { rule, transition, value: 12.0, threshold: 10.0, since, fired_at }]);
        assert_eq!(alerts.firing().collect::<Vec<_>>(), [Rule::Waiting]);
    }
}
