//! The Prometheus text format, from the same series as everything else.

use std::fmt::Write;

use super::{
    buckets::buckets,
    metrics::{Metric, MetricKind},
    snapshot::{self, Point, PointValue, Series},
};

/// All metrics as text.
pub fn text() -> String {
    let mut text = String::with_capacity(32 * 1024);
    for series in snapshot::series().iter().filter(|series| !series.points.is_empty()) {
        write_series(&mut text, series);
    }
    text
}

fn write_series(text: &mut String, series: &Series) {
    let name = series.metric.prometheus();
    let kind = match series.metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Histogram => "histogram",
    };
    let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {kind}", series.metric.help);
    for point in &series.points {
        let labels = labels(point);
        match &point.value {
            PointValue::Number(value) => {
                let _ = writeln!(text, "{name}{} {value}", braced(&labels, None));
            }
            PointValue::Distribution(_) => write_histogram(text, &name, &labels, series.metric, point),
        }
    }
}

fn write_histogram(text: &mut String, name: &str, labels: &str, metric: &Metric, point: &Point) {
    let PointValue::Distribution(read) = &point.value else { return };
    let scale = metric.scale();
    for (bound, count) in buckets(metric, read) {
        let _ = writeln!(text, "{name}_bucket{} {count}", braced(labels, Some(&bound.to_string())));
    }
    let _ = writeln!(text, "{name}_bucket{} {}", braced(labels, Some("+Inf")), read.count);
    #[expect(clippy::cast_precision_loss, reason = "a sum as Prometheus knows numbers")]
    let sum = read.sum as f64 * scale;
    let _ = writeln!(
        text,
        "{name}_sum{} {sum}\n{name}_count{} {}",
        braced(labels, None),
        braced(labels, None),
        read.count
    );
}

fn braced(labels: &str, bound: Option<&str>) -> String {
    match (labels, bound) {
        ("", None) => String::new(),
        ("", Some(bound)) => format!("{{le=\"{bound}\"}}"),
        (labels, None) => format!("{{{labels}}}"),
        (labels, Some(bound)) => format!("{{{labels},le=\"{bound}\"}}"),
    }
}

fn labels(point: &Point) -> String {
    let pairs = point.attributes.iter().map(|(name, value)| {
        let value = value.replace('\\', r"\\").replace('"', "\\\"").replace('\n', r"\n");
        format!("{}=\"{value}\"", name.replace('.', "_"))
    });
    pairs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::registry;

    #[test]
    fn a_histogram_is_told_in_seconds_with_growing_buckets() {
        let metrics = registry::open("exposition \"quoted\"");
        metrics.wait_time.record(2_000_000);
        metrics.wait_time.record(200_000_000_000);
        let text = text();
        let label = r#"db_client_connection_pool_name="exposition \"quoted\"""#;
        for line in [
            "# TYPE db_client_connection_wait_time_seconds histogram".to_owned(),
            format!(r#"db_client_connection_wait_time_seconds_bucket{{{label},le="0.001"}} 0"#),
            format!(r#"db_client_connection_wait_time_seconds_bucket{{{label},le="0.0025"}} 1"#),
            format!(r#"db_client_connection_wait_time_seconds_bucket{{{label},le="+Inf"}} 2"#),
            format!("db_client_connection_wait_time_seconds_sum{{{label}}} 200.002"),
            format!(r#"db_client_connection_count{{{label},db_client_connection_state="idle"}} 0"#),
        ] {
            assert!(text.lines().any(|told| told == line), "{line}\nis not in\n{text}");
        }
    }
}
