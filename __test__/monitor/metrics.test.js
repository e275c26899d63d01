'use strict';

// What the core counts, as the snapshot and as Prometheus' text tell it.

const parsePrometheus = require('parse-prometheus-text-format');
const { metrics, metricsText } = require('../..');
const { config } = require('../support/server');
const { open, undo } = require('../support/undo');
const { until } = require('../support/until');

const pool = (tier, options) => open({ tier, ...options });
const told = (name) => metrics().pools.find((entry) => entry.name === name);

// The parser has no labels for histograms, so their lines are looked up as they are.
function line(start) {
  const found = metricsText()
    .split('\n')
    .find((candidate) => candidate.startsWith(start + ' '));
  return found && Number(found.slice(start.length));
}

function value(name, labels) {
  const family = parsePrometheus(metricsText()).find((entry) => entry.name === name);
  const found = family?.metrics.find((metric) =>
    Object.entries(labels).every(([label, wanted]) => metric.labels?.[label] === wanted),
  );
  return found;
}

test('queries, their rows and their failures are counted once', async () => {
  const news = pool('counted');
  await news.query('SELECT generate_series(1, 7)');
  await news.query('SELECT $1::int', [1]);
  await expect(news.query('SELECT nothing FROM nowhere')).rejects.toThrow();
  await expect(news.query('SELECT 1 / 0')).rejects.toThrow();
  const seen = told('counted');
  expect(seen).toMatchObject({
    operations: 4,
    errors: 2,
    errorsByClass: { statement: 1, data: 1 },
    rows: 8,
    opened: 1,
    connections: { total: 1, idle: 1, used: 0, connecting: 0, max: 2, min: 0 },
    waiting: 0,
    breaker: 'closed',
    alerts: [],
  });
  expect(seen.operation.count).toBe(4);
  expect(seen.acquire.count).toBe(4);
  expect(seen.use.count).toBe(4);
  expect(seen.connect.count).toBe(1);
  expect(seen.operation.p50).toBeGreaterThan(0);
});

test('queries on a lent client are operations, the lease is one wait and one use', async () => {
  const news = pool('lent');
  const client = await news.connect();
  await client.query('SELECT 1');
  await client.query('SELECT 2');
  expect(told('lent')).toMatchObject({
    operations: 2,
    connections: { used: 1, idle: 0 },
    use: { count: 0 },
    acquire: { count: 1 },
  });
  client.release();
  await until(() => told('lent').use.count === 1);
});

test('statements of ours are no operations', async () => {
  const news = pool('own');
  await news.transaction(
    async (client) => {
      await client.query('SELECT 1');
      await client.transaction((inner) => inner.query('SELECT 2'));
      await client.transaction((inner) => inner.query('SELECT 1 / 0')).catch(() => {});
    },
    { set: { 'app.tenant': 1 } },
  );
  await news.transaction(() => Promise.reject(new Error('rolled back'))).catch(() => {});
  expect(told('own')).toMatchObject({ operations: 3, errors: 1 });
  const client = await news.connect();
  await client.query('BEGIN');
  await client.query('COMMIT');
  client.release();
  expect(told('own')).toMatchObject({ operations: 5, errors: 1 });
});

test('who waits is seen while waiting', async () => {
  const news = pool('queue', { max: 1 });
  const client = await news.connect();
  const waiting = news.query('SELECT 1');
  await until(() => told('queue').oldestWait > 1);
  expect(told('queue').waiting).toBe(1);
  client.release();
  await waiting;
  expect(told('queue')).toMatchObject({ waiting: 0, oldestWait: null });
});

test('the text is read by a parser of Prometheus, and tells the same numbers', async () => {
  const news = pool('scraped');
  await news.query('SELECT generate_series(1, 3)');
  const labels = { db_client_connection_pool_name: 'scraped' };
  expect(Number(value('db_client_connection_max', labels).value)).toBe(2);
  expect(
    Number(value('db_client_connection_count', { ...labels, db_client_connection_state: 'idle' }).value),
  ).toBe(1);
  expect(line('db_client_operation_duration_seconds_count{db_client_connection_pool_name="scraped"}')).toBe(
    1,
  );
  expect(
    line('db_client_operation_duration_seconds_bucket{db_client_connection_pool_name="scraped",le="+Inf"}'),
  ).toBe(1);
  expect(line('db_client_response_returned_rows_sum{db_client_connection_pool_name="scraped"}')).toBe(3);
});

test('closed connections are counted by reason, and an ended pool is not listed', async () => {
  const news = pool('closing');
  const client = await news.connect();
  client.release(true);
  await until(() => told('closing').closed.released === 1);
  undo.pop();
  await news.end();
  expect(told('closing')).toBeUndefined();
});

test('a failed connect is counted, and told without the password', async () => {
  const nobody = pool('refused', { user: 'nobody_at_all', password: 'planted-secret' });
  await expect(nobody.query('SELECT 1')).rejects.toThrow();
  const seen = told('refused');
  expect(seen).toMatchObject({ connectFailures: 1, operations: 1, errorsByClass: { authentication: 1 } });
  expect(seen.lastConnectError).toContain('28P01');
  expect(JSON.stringify(metrics()) + metricsText()).not.toContain('planted-secret');
});

test('a pool tells its database and its application, and the server of its latest connection', async () => {
  const news = pool('placed', { application_name: 'the newspaper', slowQueryMillis: 250 });
  const { database, host, port } = config();
  const { rows } = await news.query('SHOW server_version');
  expect(told('placed')).toMatchObject({
    database,
    application: 'the newspaper',
    server: { host: `${host}:${port}`, version: rows[0].server_version.split(' ')[0] },
    slowQueryMillis: 250,
  });
  const nobody = pool('placed-nowhere', { host: '127.0.0.1', port: 1 });
  await expect(nobody.query('SELECT 1')).rejects.toThrow();
  expect(told('placed-nowhere')).toMatchObject({ application: null, server: null, slowQueryMillis: null });
});

test('pools without a tier are named by where they lead', async () => {
  const first = pool(undefined);
  const second = pool(undefined);
  await Promise.all([first.query('SELECT 1'), second.query('SELECT 1')]);
  const { host, port, database } = config();
  const names = metrics().pools.map((entry) => entry.name);
  expect(names).toEqual(
    expect.arrayContaining([`${host}:${port}/${database}`, `${host}:${port}/${database}#2`]),
  );
});

test('switched off, a pool is not measured', async () => {
  const quiet = pool('quiet', { monitor: false });
  await quiet.query('SELECT 1');
  expect(told('quiet')).toBeUndefined();
  process.env.DB_MONITOR = 'off';
  try {
    const off = pool('off');
    await off.query('SELECT 1');
    expect(told('off')).toBeUndefined();
    expect(off.totalCount).toBe(1);
  } finally {
    delete process.env.DB_MONITOR;
  }
});
