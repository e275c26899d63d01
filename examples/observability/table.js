'use strict';

// The names and limits that the core itself uses, in the notation of Prometheus. A name that does not exist is an
// error here, so what is generated cannot name one.

const { metricsTable } = require('../../lib/monitor/metrics');

const table = metricsTable();
const label = (attribute) => attribute.replaceAll('.', '_');

/** The label that names the pool. */
const POOL = label(table.pool);

/** What tells the pools of one process from those of another. */
const BY = ['job', 'instance', POOL].join(', ');

/** The metric behind a dotted name. */
function metric(name) {
  const found = table.metrics.find((entry) => entry.name === name);
  if (found === undefined) throw new Error(`there is no metric ${name}`);
  return found;
}

/** A selector: the metric, and matchers of its own attributes. `part`: `bucket`, `count` or `sum` of a histogram. */
function series(name, { part, where = {}, matchers = [] } = {}) {
  const { prometheus, attributes, kind } = metric(name);
  if ((kind === 'histogram') !== (part !== undefined)) throw new Error(`${name} is a ${kind}`);
  const own = Object.entries(where).map(([attribute, match]) => {
    if (!attributes.includes(attribute)) throw new Error(`${name} has no attribute ${attribute}`);
    return `${label(attribute)}${match}`;
  });
  const all = [...matchers, ...own];
  return prometheus + (part ? `_${part}` : '') + (all.length > 0 ? `{${all.join(', ')}}` : '');
}

/** The quantile of a histogram over `span`. */
function quantile(share, name, span, options, by = BY) {
  return `histogram_quantile(${share}, sum by (${by}, le) (rate(${series(name, { ...options, part: 'bucket' })}[${span}])))`;
}

/** The failures that speak against a tier: no success, and nothing that the caller wanted. */
const FAULTS = { 'error.type': `!~"${['', ...table.notFaults].join('|')}"` };

/** The limits of a rule, times as Prometheus writes them. */
function limits(rule) {
  const { setting, unit } = table.rules.find((entry) => entry.rule === rule);
  const { above, below, forMillis, clearMillis } = table.thresholds[setting];
  const scale = unit === 'ms' ? 1 / 1000 : 1;
  return {
    above: above * scale,
    below: below * scale,
    fires: duration(forMillis),
    clears: duration(clearMillis),
  };
}

function duration(millis) {
  const seconds = millis / 1000;
  return seconds > 0 && seconds % 60 === 0 ? `${seconds / 60}m` : `${seconds}s`;
}

module.exports = { table, POOL, BY, FAULTS, metric, series, quantile, limits };
