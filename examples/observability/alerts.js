'use strict';

// The rule file for Prometheus: the four rules of the monitor with the same limits and the same hysteresis, and
// what is worth a call whatever its value.

const { table, POOL, BY, FAULTS, series, quantile, limits } = require('./table');

const POOL_NAME = `{{ $labels.${POOL} }}`;
const WHERE = `${POOL_NAME} of {{ $labels.instance }}`;

/** What a rule looks at, and the condition under which that says something. */
const VALUES = {
  waiting: {
    name: 'PgpoolWaiting',
    value: series('db.client.connection.pending_requests'),
    tells: `{{ $value }} requests wait for a connection of ${WHERE}`,
  },
  acquire: {
    name: 'PgpoolAcquire',
    value: `(${quantile(0.95, 'db.client.connection.wait_time', '1m')} >= ${series('pgpool_rs.connection.oldest_wait')} or ${series('pgpool_rs.connection.oldest_wait')})`,
    tells: `getting a connection of ${WHERE} takes {{ $value | humanizeDuration }}`,
  },
  error_rate: {
    name: 'PgpoolErrorRate',
    value: `(sum by (${BY}) (rate(${count({ where: FAULTS })}[1m])) / sum by (${BY}) (rate(${count()}[1m])))`,
    unless: `sum by (${BY}) (increase(${count()}[1m])) < ${table.thresholds.leastOperations}`,
    tells: `{{ $value | humanizePercentage }} of the operations of ${WHERE} fail`,
  },
  utilisation: {
    name: 'PgpoolUtilisation',
    value: `(sum by (${BY}) (${series('db.client.connection.count', { where: { 'db.client.connection.state': '="used"' } })}) / sum by (${BY}) (${series('pgpool_rs.connection.limit')}))`,
    tells: `{{ $value | humanizePercentage }} of the connections of ${WHERE} are in use`,
  },
};

function count(options) {
  return series('db.client.operation.duration', { part: 'count', ...options });
}

// Fires above one limit, and once it fires stays until the value is below the other.
function ofMonitor({ rule }) {
  const { name, value, unless, tells } = VALUES[rule];
  const { above, below, fires, clears } = limits(rule);
  const suffix = unless ? ` unless ${unless}` : '';
  const firing = `ALERTS{alertname="${name}", alertstate="firing"}`;
  return {
    alert: name,
    expr: `(${value} > ${above}${suffix}) or (${value} >= ${below} and on (${BY}) ${firing})`,
    for: fires,
    keep_firing_for: clears,
    labels: { severity: 'critical', rule },
    annotations: {
      summary: tells,
      description: 'The live page of the application, and its /health, tell the likely cause.',
    },
  };
}

const increases = (name, options) => `increase(${series(name, options)}[5m]) > 0`;
const at = (alert, severity, expr, summary, time) => ({
  alert,
  expr,
  ...(time && { for: time }),
  labels: { severity },
  annotations: { summary },
});

function rules() {
  return [
    ...table.rules.map(ofMonitor),
    at(
      'PgpoolBreakerOpen',
      'critical',
      `min by (${BY}) (${series('pgpool_rs.breaker.state')}) == 2`,
      `the circuit breaker of every host of ${WHERE} is open: its requests fail at once`,
    ),
    at(
      'PgpoolNoConnection',
      'critical',
      `sum by (${BY}) (${series('db.client.connection.count', { where: { 'db.client.connection.state': '=~"idle|used"' } })}) == 0 and on (${BY}) rate(${series('pgpool_rs.connection.connect_failures')}[1m]) > 0`,
      `${WHERE} has no connection and cannot make one`,
      '1m',
    ),
    at(
      'PgpoolCommitUnknown',
      'critical',
      increases('pgpool_rs.commit.unknown'),
      `nobody knows whether a transaction of ${WHERE} was committed`,
    ),
    at(
      'PgpoolLeak',
      'warning',
      increases('pgpool_rs.connection.leaks'),
      `${WHERE} leaks: {{ $labels.kind }}`,
    ),
    at(
      'PgpoolFailover',
      'warning',
      increases('pgpool_rs.failovers'),
      `${WHERE} has left its host for another one`,
    ),
    at(
      'PgpoolRetryBudget',
      'warning',
      increases('pgpool_rs.retry.attempts', { where: { outcome: '="denied"' } }),
      `more requests of ${WHERE} fail than its retry budget carries`,
    ),
    at(
      'PgpoolListenerFault',
      'warning',
      increases('pgpool_rs.listener.faults'),
      'a listener of logs or alerts throws in {{ $labels.instance }}',
    ),
    at(
      'PgpoolLogsDropped',
      'warning',
      increases('pgpool_rs.logs.dropped'),
      'the standard error of {{ $labels.instance }} is too slow for its log',
    ),
  ];
}

/** A string as YAML reads it: plain, else in single quotes, which escape nothing. */
function scalar(value) {
  const text = String(value);
  if (/^\w[\w -]*$/.test(text)) return text;
  return `'${text.replaceAll("'", "''")}'`;
}

/** YAML of maps, lists and scalars. */
function yaml(value, indent = '') {
  if (Array.isArray(value))
    return value.map((item) => `\n${indent}- ${yaml(item, `${indent}  `).trimStart()}`).join('');
  if (value === null || typeof value !== 'object') return scalar(value);
  const entries = Object.entries(value).map(([key, item]) => {
    const text = yaml(item, `${indent}  `);
    return `\n${indent}${key}:${text.startsWith('\n') ? '' : ' '}${text}`;
  });
  return entries.join('');
}

module.exports = {
  rules,
  file: () => yaml({ groups: [{ name: 'pgpool-rs', rules: rules() }] }).trimStart() + '\n',
};
