'use strict';

// Health as JavaScript sees it: names, nothing else.

const { ConnectionHealthMonitor } = require('./health-monitor');
const { monitorServer } = require('./server');
const { useOpenTelemetry } = require('./opentelemetry');
const { metrics, metricsText } = require('./metrics');

module.exports = { ConnectionHealthMonitor, metrics, metricsText, monitorServer, useOpenTelemetry };
