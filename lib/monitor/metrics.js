'use strict';

// Metrics of the whole process, worker threads included: as a snapshot, and as text for Prometheus. The native
// core counts; nothing is kept here.

const native = () => require('../native').Telemetry;

/**
 * Everything at one moment. `pools` is for people (times in milliseconds), `series` for machines (names
 * and units of OpenTelemetry, times in seconds).
 */
function metrics() {
  return JSON.parse(native().snapshot());
}

/** The same in the text format of Prometheus. */
function metricsText() {
  return native().text();
}

let table;

/** The table of metrics, alert rules and their default thresholds. */
function metricsTable() {
  if (table === undefined) table = JSON.parse(native().table());
  return table;
}

module.exports = { metrics, metricsText, metricsTable };
