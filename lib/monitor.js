'use strict';

// Health as JavaScript sees it: names, nothing else.

const { ConnectionHealthMonitor } = require('./monitor/health-monitor');
const { Monitors } = require('./monitor/monitors');
const { monitorServer } = require('./monitor/server');
const { useOpenTelemetry } = require('./monitor/telemetry');
const { metrics, metricsText } = require('./monitor/metrics');

module.exports = { ConnectionHealthMonitor, Monitors, metrics, metricsText, monitorServer, useOpenTelemetry };
