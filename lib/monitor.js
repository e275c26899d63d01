'use strict';

// Health as JavaScript sees it: names, nothing else.

const { metrics, metricsText } = require('./monitor/metrics');

module.exports = { metrics, metricsText };
