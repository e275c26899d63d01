//! The thresholds at which alerts fire and clear. Each can be set.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rule::Rule;

const MINUTE: Duration = Duration::from_secs(60);

/// The limits of one rule.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Threshold {
    /// A value above this fires the alert, after [`Self::fires_after`].
    pub above: f64,
    /// The time above that.
    pub fires_after: Duration,
    /// A value below this clears the alert, after [`Self::clears_after`].
    pub below: f64,
    /// The time below that.
    pub clears_after: Duration,
}

/// The limits of all rules.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertThresholds {
    rules: [Threshold; Rule::ALL.len()],
    /// The fewest operations in a window from which an error rate is computed. Default 50.
    pub least_operations: u64,
    /// The time between reminders of an alert that fires. Default 30 min.
    pub reminder: Duration,
    /// The longest time between two samples that counts. Default 2 min.
    pub longest_gap: Duration,
}

impl Default for AlertThresholds {
    fn default() -> Self {
        let rules = Rule::ALL.map(|rule| match rule {
            // Requests.
            Rule::Waiting => limits(10.0, 5 * MINUTE, 5.0, 2 * MINUTE),
            // Milliseconds.
            Rule::Acquire => limits(5000.0, Duration::ZERO, 2500.0, 2 * MINUTE),
            // Shares.
            Rule::ErrorRate => limits(0.05, 15 * MINUTE, 0.03, 5 * MINUTE),
            Rule::Utilisation => limits(0.9, 10 * MINUTE, 0.8, 5 * MINUTE),
        });
        Self { rules, least_operations: 50, reminder: 30 * MINUTE, longest_gap: 2 * MINUTE }
    }
}

fn limits(above: f64, fires_after: Duration, below: f64, clears_after: Duration) -> Threshold {
    Threshold { above, fires_after, below, clears_after }
}

impl AlertThresholds {
    /// The limits of a rule.
    pub fn of(&self, rule: Rule) -> &Threshold {
        &self.rules[rule as usize]
    }

    /// Reads JSON in the form of [`JsonThresholds`]; an absent value keeps its default.
    pub fn from_json(json: &str) -> Result<Self, String> {
        let told: JsonThresholds = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let mut thresholds = Self::default();
        let mut faults = Vec::new();
        let rules = [told.waiting, told.acquire, told.error_rate, told.utilisation];
        for (rule, told) in Rule::ALL.into_iter().zip(rules) {
            let Some(told) = told else { continue };
            let limits = &mut thresholds.rules[rule as usize];
            told.apply(limits);
            if !(limits.above.is_finite() && limits.below.is_finite() && limits.below <= limits.above) {
                faults.push(format!("{}: it must clear at or below where it fires", rule.name()));
            }
        }
        if let Some(least) = told.least_operations {
            thresholds.least_operations = least;
        }
        set(&mut thresholds.reminder, told.reminder_millis);
        set(&mut thresholds.longest_gap, told.longest_gap_millis);
        if faults.is_empty() { Ok(thresholds) } else { Err(faults.join("; ")) }
    }

    /// JSON in the form that [`Self::from_json`] reads.
    pub fn to_json(&self) -> serde_json::Value {
        let told = |rule| JsonThreshold::from(self.of(rule));
        serde_json::json!(JsonThresholds {
            waiting: Some(told(Rule::Waiting)),
            acquire: Some(told(Rule::Acquire)),
            error_rate: Some(told(Rule::ErrorRate)),
            utilisation: Some(told(Rule::Utilisation)),
            least_operations: Some(self.least_operations),
            reminder_millis: Some(self.reminder.as_secs_f64() * 1000.0),
            longest_gap_millis: Some(self.longest_gap.as_secs_f64() * 1000.0),
        })
    }
}

fn set(duration: &mut Duration, millis: Option<f64>) {
    if let Some(told) = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1000.0).ok()) {
        *duration = told;
    }
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonThresholds {
    waiting: Option<JsonThreshold>,
    acquire: Option<JsonThreshold>,
    error_rate: Option<JsonThreshold>,
    utilisation: Option<JsonThreshold>,
    least_operations: Option<u64>,
    reminder_millis: Option<f64>,
    longest_gap_millis: Option<f64>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct JsonThreshold {
    above: Option<f64>,
    for_millis: Option<f64>,
    below: Option<f64>,
    clear_millis: Option<f64>,
}

impl JsonThreshold {
    fn apply(&self, limits: &mut Threshold) {
        limits.above = self.above.unwrap_or(limits.above);
        limits.below = self.below.unwrap_or(limits.below.min(limits.above));
        set(&mut limits.fires_after, self.for_millis);
        set(&mut limits.clears_after, self.clear_millis);
    }
}

impl From<&Threshold> for JsonThreshold {
    fn from(limits: &Threshold) -> Self {
        Self {
            above: Some(limits.above),
            for_millis: Some(limits.fires_after.as_secs_f64() * 1000.0),
            below: Some(limits.below),
            clear_millis: Some(limits.clears_after.as_secs_f64() * 1000.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_replaces_defaults_and_nothing_else() {
        let told = r#"{"waiting":{"above":3,"forMillis":1000},"leastOperations":5}"#;
        let thresholds = AlertThresholds::from_json(told).unwrap_or_default();
        let waiting = thresholds.of(Rule::Waiting);
        assert_eq!((waiting.above, waiting.below), (3.0, 3.0));
        assert_eq!(waiting.fires_after, Duration::from_secs(1));
        assert_eq!(waiting.clears_after, 2 * MINUTE);
        assert_eq!(thresholds.least_operations, 5);
        assert_eq!(thresholds.of(Rule::Acquire), AlertThresholds::default().of(Rule::Acquire));
    }

    #[test]
    fn json_of_the_defaults_reads_back_as_the_defaults() {
        let json = AlertThresholds::default().to_json().to_string();
        assert_eq!(AlertThresholds::from_json(&json), Ok(AlertThresholds::default()));
    }

    #[test]
    fn every_senseless_limit_is_named() {
        let told = r#"{"waiting":{"above":1,"below":2},"utilisation":{"below":2}}"#;
        let error = AlertThresholds::from_json(told).err().unwrap_or_default();
        assert!(error.contains("waiting") && error.contains("utilisation"), "{error}");
    }
}
