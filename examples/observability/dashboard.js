'use strict';

// The dashboard for Grafana: per pool what the live page shows, over any span. Limits of the alerts are lines.

const { table, POOL, FAULTS, metric, series, quantile, limits } = require('./table');

const SOURCE = { type: 'prometheus', uid: '${datasource}' };
const CHOSEN = [`${POOL}=~"$pool"`, 'instance=~"$instance"'];
const OF_PROCESS = ['instance=~"$instance"'];
const NAME = `{{${POOL}}}`;
const SPAN = '$__rate_interval';
const BY_POOL = `instance, ${POOL}`;
const UNITS = { s: 's', 1: 'none' };
const WIDTH = 24;

const chosen = (name, options = {}) =>
  series(name, { ...options, matchers: metric(name).process ? OF_PROCESS : CHOSEN });
const rate = (name, options) => `rate(${chosen(name, options)}[${SPAN}])`;
const increase = (name, options) => `increase(${chosen(name, options)}[${SPAN}])`;
const target = (expr, legendFormat) => ({ datasource: SOURCE, expr, legendFormat });

function lines(names) {
  const steps = [
    { color: 'transparent', value: null },
    ...names.map((rule) => ({ color: 'red', value: limits(rule).above })),
  ];
  return { thresholds: { mode: 'absolute', steps }, custom: { thresholdsStyle: { mode: 'line' } } };
}

function graph(title, unit, targets, { width = WIDTH / 2, limit, description } = {}) {
  const { thresholds, custom } = limit ? lines([limit]) : {};
  const defaults = {
    unit,
    min: 0,
    ...(thresholds && { thresholds }),
    custom: { fillOpacity: 8, showPoints: 'never', spanNulls: false, ...custom },
  };
  return {
    title,
    description,
    type: 'timeseries',
    datasource: SOURCE,
    size: { w: width, h: 8 },
    targets,
    fieldConfig: { defaults, overrides: [] },
    options: { legend: { displayMode: 'list', placement: 'bottom' }, tooltip: { mode: 'multi' } },
  };
}

function stat(title, targets, mappings, steps) {
  return {
    title,
    type: 'stat',
    datasource: SOURCE,
    size: { w: WIDTH / 3, h: 4 },
    targets,
    fieldConfig: {
      defaults: { mappings, thresholds: { mode: 'absolute', steps }, noValue: 'none' },
      overrides: [],
    },
    options: {
      colorMode: 'background',
      reduceOptions: { calcs: ['lastNotNull'] },
      textMode: 'value_and_name',
    },
  };
}

const GOOD_TO_BAD = [
  { color: 'green', value: null },
  { color: 'orange', value: 1 },
  { color: 'red', value: 2 },
];
const CALM_OR_NOT = [
  { color: 'green', value: null },
  { color: 'red', value: 1 },
];
const STATES = [{ type: 'value', options: { 0: { text: 'closed' }, 2: { text: 'open' } } }];
const quantiles = (name) =>
  [0.5, 0.95, 0.99].map((share) =>
    target(quantile(share, name, SPAN, { matchers: CHOSEN }, BY_POOL), `${NAME} p${share * 100}`),
  );

function panels() {
  return [
    stat(
      'Circuit breaker',
      [target(chosen('pgpool_rs.breaker.state'), `${NAME} {{server_address}}:{{server_port}}`)],
      STATES,
      GOOD_TO_BAD,
    ),
    stat(
      'Alerts of the monitor',
      [target(`${chosen('pgpool_rs.alert.active')} == 1`, `${NAME} {{rule}}`)],
      [{ type: 'value', options: { 1: { text: 'fires' } } }],
      CALM_OR_NOT,
    ),
    stat(
      'Requests that wait',
      [target(chosen('db.client.connection.pending_requests'), NAME)],
      [],
      [
        { color: 'green', value: null },
        { color: 'orange', value: limits('waiting').below },
        { color: 'red', value: limits('waiting').above },
      ],
    ),
    graph('Connections', 'none', [
      target(
        `sum by (${BY_POOL}, db_client_connection_state) (${chosen('db.client.connection.count')})`,
        `${NAME} {{db_client_connection_state}}`,
      ),
      target(chosen('db.client.connection.max'), `${NAME} max`),
      target(chosen('pgpool_rs.connection.limit'), `${NAME} at this moment`),
      target(chosen('pgpool_rs.adaptive.limit'), `${NAME} adaptive`),
      target(chosen('db.client.connection.idle.min'), `${NAME} kept idle`),
      target(chosen('db.client.connection.idle.max'), `${NAME} idle at most`),
    ]),
    graph(
      'Utilisation',
      'percentunit',
      [
        target(
          `sum by (${BY_POOL}) (${chosen('db.client.connection.count', { where: { 'db.client.connection.state': '="used"' } })}) / sum by (${BY_POOL}) (${chosen('pgpool_rs.connection.limit')})`,
          NAME,
        ),
      ],
      { limit: 'utilisation' },
    ),
    graph(
      'Requests that wait for a connection',
      'none',
      [target(chosen('db.client.connection.pending_requests'), NAME)],
      { limit: 'waiting' },
    ),
    graph(
      'Time to get a connection',
      's',
      [
        ...quantiles('db.client.connection.wait_time'),
        target(chosen('pgpool_rs.connection.oldest_wait'), `${NAME} oldest waiter`),
      ],
      { limit: 'acquire' },
    ),
    graph('Time of an operation', 's', quantiles('db.client.operation.duration')),
    graph('Operations', 'ops', [
      target(`sum by (${BY_POOL}) (${rate('db.client.operation.duration', { part: 'count' })})`, NAME),
    ]),
    graph(
      'Share of operations that fail',
      'percentunit',
      [
        target(
          `sum by (${BY_POOL}) (${rate('db.client.operation.duration', { part: 'count', where: FAULTS })}) / sum by (${BY_POOL}) (${rate('db.client.operation.duration', { part: 'count' })})`,
          NAME,
        ),
      ],
      { limit: 'error_rate' },
    ),
    graph('Failures by class', 'ops', [
      target(
        `sum by (${BY_POOL}, error_type) (${rate('db.client.operation.duration', { part: 'count', where: { 'error.type': '!=""' } })})`,
        `${NAME} {{error_type}}`,
      ),
    ]),
    graph('What the pool did', 'none', [
      target(increase('pgpool_rs.retry.attempts'), `${NAME} retry {{outcome}}`),
      target(increase('pgpool_rs.breaker.rejected'), `${NAME} refused by the breaker`),
      target(increase('pgpool_rs.failovers'), `${NAME} failover`),
      target(increase('pgpool_rs.adaptive.reductions'), `${NAME} gave way: {{reason}}`),
      target(increase('db.client.connection.timeouts'), `${NAME} waited too long`),
    ]),
    graph('Connects and closes', 'none', [
      target(increase('pgpool_rs.connection.opened'), `${NAME} opened`),
      target(increase('pgpool_rs.connection.connect_failures'), `${NAME} failed`),
      target(increase('pgpool_rs.connection.closed'), `${NAME} closed: {{reason}}`),
    ]),
    graph('Time to connect', 's', quantiles('db.client.connection.create_time')),
    graph('Time a connection is leased', 's', quantiles('db.client.connection.use_time')),
    graph('Rows', 'none', [
      target(
        `sum by (${BY_POOL}) (${rate('db.client.response.returned_rows', { part: 'sum' })})`,
        `${NAME} rows a second`,
      ),
    ]),
    graph('Needs a person', 'none', [
      target(increase('pgpool_rs.connection.leaks'), `${NAME} leaks: {{kind}}`),
      target(increase('pgpool_rs.commit.unknown'), `${NAME} commits of unknown outcome`),
      target(increase('pgpool_rs.listener.faults'), '{{instance}} listeners that threw'),
      target(increase('pgpool_rs.logs.dropped'), '{{instance}} log lines dropped'),
    ]),
    graph('Event loop lag, p99', UNITS[metric('pgpool_rs.event_loop.lag').unit], [
      target(chosen('pgpool_rs.event_loop.lag'), '{{instance}}'),
    ]),
  ];
}

/** Places the panels row by row. */
function placed(all) {
  let [x, y, tallest] = [0, 0, 0];
  return all.map(({ size, ...panel }, index) => {
    if (x + size.w > WIDTH) [x, y, tallest] = [0, y + tallest, 0];
    const gridPos = { ...size, x, y };
    x += size.w;
    tallest = Math.max(tallest, size.h);
    const targets = panel.targets.map((entry, place) => ({
      ...entry,
      refId: String.fromCharCode(65 + place),
    }));
    return { id: index + 1, gridPos, ...panel, targets };
  });
}

const choice = (name, label, query) => ({
  name,
  label,
  type: 'query',
  datasource: SOURCE,
  query,
  refresh: 2,
  multi: true,
  includeAll: true,
  current: { text: 'All', value: '$__all' },
});

function dashboard() {
  const max = metric('db.client.connection.max').prometheus;
  return {
    uid: 'pgpool-rs',
    title: 'pgpool-rs',
    tags: ['postgresql', 'pgpool-rs'],
    schemaVersion: 39,
    editable: true,
    graphTooltip: 1,
    description: `Generated from the table of ${table.metrics.length} metrics: examples/observability/generate.js`,
    time: { from: 'now-1h', to: 'now' },
    refresh: '10s',
    timezone: 'browser',
    templating: {
      list: [
        { name: 'datasource', label: 'Source', type: 'datasource', query: 'prometheus' },
        choice('instance', 'Instance', `label_values(${max}, instance)`),
        choice('pool', 'Pool', `label_values(${max}{instance=~"$instance"}, ${POOL})`),
      ],
    },
    panels: placed(panels()),
  };
}

module.exports = { dashboard, file: () => `${JSON.stringify(dashboard(), null, 2)}\n` };
