'use strict';

// OpenTelemetry, where the application has it: the metrics of this package as observable instruments, and the
// spans of `@opentelemetry/instrumentation-pg`. This package depends on neither; `@opentelemetry/api` is required
// only when this is called.

const native = () => require('../native').Telemetry;

/**
 * @param classes `Client` and `Pool` of index.js
 * @param {{ meterProvider?: object, instrumentation?: object }} [options] `meterProvider`: default the global one,
 *   which has to be set before; `instrumentation`: a PgInstrumentation that is to trace this package's classes; only
 *   where they are installed as `pg` it does so by itself
 * @returns a function that ends both
 */
function useOpenTelemetry(classes, { meterProvider, instrumentation } = {}) {
  const undo = [observe(meterProvider || globalProvider())];
  if (instrumentation) undo.push(patch(instrumentation, classes));
  return () => undo.splice(0).forEach((step) => step());
}

function globalProvider() {
  let api;
  try {
    api = require('@opentelemetry/api');
  } catch (cause) {
    throw new Error('useOpenTelemetry() needs @opentelemetry/api, or a meterProvider', { cause });
  }
  return api.metrics.getMeterProvider();
}

// Observable instruments know no histograms, so a histogram becomes three counters, as in Prometheus.
function instrumentsOf(meter, { name, kind, unit, help }) {
  const options = { unit, description: help };
  if (kind === 'counter') return { value: meter.createObservableCounter(name, options) };
  // Values that can be summed over pools are up-down counters; states and delays are gauges.
  if (kind === 'gauge' && unit.startsWith('{'))
    return { value: meter.createObservableUpDownCounter(name, options) };
  if (kind === 'gauge') return { value: meter.createObservableGauge(name, options) };
  return {
    count: meter.createObservableCounter(`${name}.count`, { unit: '1', description: `${help} How many.` }),
    sum: meter.createObservableCounter(`${name}.sum`, { unit, description: `${help} Their sum.` }),
    bucket: meter.createObservableCounter(`${name}.bucket`, {
      unit: '1',
      description: `${help} How many are at most \`le\`.`,
    }),
  };
}

function observe(provider) {
  const meter = provider.getMeter('pgpool-rs', require('../../package.json').version);
  const { metrics } = require('./metrics').metricsTable();
  const instruments = new Map(metrics.map((metric) => [metric.name, instrumentsOf(meter, metric)]));
  const all = [...instruments.values()].flatMap((own) => Object.values(own));
  const callback = (result) => {
    for (const { name, points } of JSON.parse(native().series())) {
      for (const point of points) observePoint(result, instruments.get(name), point);
    }
  };
  meter.addBatchObservableCallback(callback, all);
  return () => meter.removeBatchObservableCallback(callback, all);
}

function observePoint(result, { value, count, sum, bucket }, point) {
  const { attributes } = point;
  if (value) return result.observe(value, point.value, attributes);
  result.observe(count, point.count, attributes);
  result.observe(sum, point.sum, attributes);
  for (const [bound, below] of [...point.buckets, ['+Inf', point.count]]) {
    result.observe(bucket, below, { ...attributes, le: String(bound) });
  }
  return undefined;
}

// The instrumentation patches what an application requires as `pg` and `pg-pool`; here it gets our classes.
function patch(instrumentation, { Client, Pool }) {
  const undo = [];
  for (const { name, patch: wrap, unpatch } of instrumentation.getModuleDefinitions()) {
    const target = { pg: { Client }, 'pg-pool': Pool }[name];
    if (target === undefined || !wrap) continue;
    wrap(target);
    undo.push(() => unpatch(target));
  }
  return () => undo.forEach((step) => step());
}

module.exports = { useOpenTelemetry };
