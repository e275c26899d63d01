'use strict';

// Monitors of our pools and of others, on a clock that the test moves.

const pg = require('pg');
const { ConnectionHealthMonitor, Pool, metrics, monitors } = require('../..');
const { open, undo } = require('../support/undo');
const { until } = require('../support/until');

const MINUTE = 60000;

function watch(pool, options) {
  const monitor = new ConnectionHealthMonitor(pool, options);
  undo.push(() => monitor.stopMonitoring());
  return monitor;
}

// What the monitor tells at which minute, when it looks every ten seconds.
function look(monitor, from, to, told) {
  for (let at = from; at <= to; at += 10000) {
    monitor.now = at;
    monitor.updateMetrics(at);
  }
  return told;
}

function listen(monitor) {
  const told = [];
  monitor.on('alert', ({ rule, reminder }) =>
    told.push([reminder ? 'reminder' : 'alert', rule, monitor.now]),
  );
  monitor.on('clear', ({ rule }) => told.push(['clear', rule, monitor.now]));
  return told;
}

describe.each([
  ['ours', Pool],
  ['pg', pg.Pool],
])('a pool of %s', (name, PoolClass) => {
  test('fires utilisation after ten minutes and clears it after five', async () => {
    const pool = open({ max: 1, tier: `utilised-${name}` }, PoolClass);
    const monitor = watch(pool);
    const told = listen(monitor);
    const client = await pool.connect();
    look(monitor, 0, 20 * MINUTE);
    client.release();
    await until(() => pool.idleCount === 1);
    look(monitor, 20 * MINUTE + 10000, 40 * MINUTE);
    expect(told).toEqual([
      ['alert', 'utilisation', 10 * MINUTE],
      ['clear', 'utilisation', 25 * MINUTE + 10000],
    ]);
    expect(monitor.metrics).toMatchObject({
      waiting: 0,
      connections: { used: 0, idle: 1, max: 1 },
      firing: [],
    });
  });

  test('fires waiting after five minutes and clears it after two', async () => {
    const pool = open({ max: 1, tier: `waiting-${name}` }, PoolClass);
    const monitor = watch(pool, { thresholds: { utilisation: { above: 2 }, acquire: { above: 1e9 } } });
    const told = listen(monitor);
    const client = await pool.connect();
    const waiting = Array.from({ length: 11 }, () => pool.query('SELECT 1'));
    look(monitor, 0, 10 * MINUTE);
    client.release();
    await Promise.all(waiting);
    look(monitor, 10 * MINUTE + 10000, 20 * MINUTE);
    expect(told).toEqual([
      ['alert', 'waiting', 5 * MINUTE],
      ['clear', 'waiting', 12 * MINUTE + 10000],
    ]);
  });
});

test('an alert says tier, value, threshold, since when and why', async () => {
  const pool = open({ max: 1, tier: 'told' });
  const monitor = watch(pool, { leakMillis: 0 });
  monitor.startMonitoring(3600000, { log: false });
  const client = await pool.connect(); // the borrower
  const alerts = [];
  monitor.on('alert', (alert) => alerts.push(alert));
  const start = 4e12;
  for (let at = start; at <= start + 10 * MINUTE; at += MINUTE) monitor.updateMetrics(at);
  client.release();
  expect(alerts).toHaveLength(1);
  const [{ causes, ...alert }] = alerts;
  expect(alert).toMatchObject({
    rule: 'utilisation',
    tier: 'told',
    value: 1,
    threshold: 0.9,
    unit: 'ratio',
    since: start,
    firedAt: start + 10 * MINUTE,
    reminder: false,
  });
  const leak = causes.find(({ kind }) => kind === 'leak');
  expect(leak.text).toContain('1 clients are not given back');
  expect(leak.text).toContain('health-monitor.test.js');
  monitor.updateMetrics(start + 11 * MINUTE);
  expect(monitor.metrics.leaks).toEqual([]);
});

test('the error rate counts statements that fail, not those that were cancelled', async () => {
  const pool = open({ max: 4, tier: 'failing' });
  const monitor = watch(pool, { thresholds: { errorRate: { forMillis: 0 } } });
  const told = listen(monitor);
  await pool.query('SELECT 1');
  look(monitor, 0, 0);
  const results = Array.from({ length: 50 }, (_, i) =>
    pool.query(i < 10 ? 'SELECT 1 / 0' : 'SELECT 1').catch(() => {}),
  );
  await Promise.all(results);
  look(monitor, 10000, 10000);
  expect(told).toEqual([['alert', 'error_rate', 10000]]);
  expect(monitor.metrics.interval).toMatchObject({ operations: 50, errors: 10, errorsByClass: { data: 10 } });
  expect(metrics().pools.find(({ name }) => name === 'failing').alerts).toEqual(['error_rate']);
});

test('timeouts of the server are errors, statements that the caller took back are not', async () => {
  const pool = open({ max: 2, tier: 'timed out' });
  await pool.query('CREATE TABLE IF NOT EXISTS timed_out ()');
  const monitor = watch(pool);
  monitor.updateMetrics(0);
  const locker = await pool.connect();
  await locker.query('BEGIN');
  await locker.query('LOCK TABLE timed_out');
  const failing = (texts) =>
    pool.query(texts).then(
      () => null,
      ({ code }) => code,
    );
  expect(await failing('SET statement_timeout = 1; SELECT pg_sleep(10)')).toBe('57014');
  expect(await failing('SET lock_timeout = 1; LOCK TABLE timed_out')).toBe('55P03');
  await locker.query('ROLLBACK');
  locker.release();
  const signal = AbortSignal.timeout(10);
  await expect(pool.query({ text: 'SELECT pg_sleep(10)', signal })).rejects.toMatchObject({
    name: 'TimeoutError',
  });
  const victim = await pool.connect();
  const { rows } = await victim.query('SELECT pg_backend_pid() AS pid');
  const running = victim.query('SELECT pg_sleep(10)').catch(({ code }) => code);
  await until(
    async () =>
      (
        await pool.query(
          'SELECT pg_cancel_backend($1) AS hit FROM pg_stat_activity WHERE pid = $1 AND state = $2',
          [rows[0].pid, 'active'],
        )
      ).rowCount === 1,
  );
  expect(await running).toBe('57014');
  victim.release();
  const { interval } = monitor.updateMetrics(1000);
  expect(interval.errorsByClass).toEqual({ query_timeout: 2, cancelled: 2 });
  expect(interval.errors).toBe(2);
  await pool.query('DROP TABLE timed_out');
});

test('errors of a foreign pool are those that it releases with and those that are recorded', async () => {
  const pool = open({ max: 1 }, pg.Pool);
  const monitor = watch(pool, 'theirs');
  await pool.query('SELECT 1 / 0').catch(() => {});
  await pool.query('SELECT 1');
  monitor.recordError(new Error('seen by the application'));
  const seen = monitor.updateMetrics(0);
  expect(seen).toMatchObject({ name: 'theirs', recordedErrors: 2 });
  expect(monitor.updateMetrics(5000).interval).toMatchObject({ operations: 0, errors: 0 });
});

test('any object with the counts of a pool can be watched', () => {
  const monitor = watch({ totalCount: 10, idleCount: 1, waitingCount: 3, options: { max: 10 } }, 'plain');
  expect(monitor.updateMetrics(0)).toMatchObject({ waiting: 3, values: { utilisation: 0.9, waiting: 3 } });
});

test('a pool that was not used yet can be watched, and is seen once it is open', async () => {
  const pool = open({ max: 2, tier: 'lazy' });
  const monitor = watch(pool);
  expect(monitor.updateMetrics(0).connections).toBeNull();
  await pool.query('SELECT 1');
  expect(monitor.updateMetrics(1000).connections).toMatchObject({ total: 1 });
});

test('a listener that throws is counted, and the others hear it', async () => {
  const pool = open({ max: 1, tier: 'throwing' });
  const monitor = watch(pool);
  const faults = () =>
    metrics().series.find(({ name }) => name === 'pgpool_rs.listener.faults').points[0].value;
  const before = faults();
  let heard = 0;
  monitor.on('metrics', () => {
    throw new Error('listener');
  });
  monitor.on('metrics', async () => {
    throw new Error('asynchronous listener');
  });
  monitor.on('metrics', () => heard++);
  monitor.updateMetrics(0);
  expect(heard).toBe(1);
  await until(() => faults() === before + 2);
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
});

test('startMonitoring looks by itself, stopMonitoring ends it', async () => {
  const pool = open({ max: 1, tier: 'regular' });
  const monitor = watch(pool);
  let looks = 0;
  monitor.on('metrics', () => looks++);
  monitor.startMonitoring(5, { log: false });
  await until(() => looks > 3);
  expect(monitor.metrics.eventLoopLag === null || monitor.metrics.eventLoopLag >= 0).toBe(true);
  monitor.stopMonitoring();
  const seen = looks;
  await new Promise((resolve) => setTimeout(resolve, 30));
  expect(looks).toBe(seen);
});

describe('a monitor in the shape of an application’s own', () => {
  const lines = (method, written) => ({ [method]: (line) => written.push(`${method} ${line}`) });

  function consoleOf(written) {
    return { ...lines('log', written), ...lines('warn', written) };
  }

  test('has metrics with the usual names from the start', async () => {
    const pool = open({ max: 2, tier: 'shaped' });
    const monitor = watch(pool);
    const counts = {
      totalConnections: 0,
      idleConnections: 0,
      waitingRequests: 0,
      errors: 0,
      lastError: null,
    };
    expect(monitor.metrics).toMatchObject({ ...counts, at: null, connections: null, firing: [], leaks: [] });
    await pool.query('SELECT 1 / 0').catch(() => {});
    monitor.recordError(new Error('seen by the application'));
    expect(monitor.updateMetrics(0)).toMatchObject({
      totalConnections: 1,
      idleConnections: 1,
      waitingRequests: 0,
      errors: 1,
      lastError: { message: 'seen by the application', timestamp: expect.any(Date) },
    });
  });

  test('has the timer as intervalId while it runs', () => {
    const monitor = watch({ totalCount: 0, idleCount: 0, waitingCount: 0 });
    expect(monitor.intervalId).toBeNull();
    monitor.startMonitoring(undefined, { log: false });
    expect(monitor.intervalId).toMatchObject({ _idleTimeout: 30000 });
    expect(monitor.intervalId.hasRef()).toBe(false);
    monitor.stopMonitoring();
    expect(monitor.intervalId).toBeNull();
  });

  test('writes a line per sample and per change of an alert to a console', () => {
    const written = [];
    const pool = { totalCount: 10, idleCount: 0, waitingCount: 3, options: { max: 10 } };
    const monitor = watch(pool, {
      name: 'news',
      thresholds: { utilisation: { forMillis: 0, clearMillis: 0 } },
    });
    monitor.startMonitoring(3600000, { log: consoleOf(written) });
    pool.idleCount = 10;
    pool.waitingCount = 0;
    monitor.recordError(new Error('out of luck\n\u009b\u202e'));
    monitor.updateMetrics(performance.timeOrigin + performance.now() + 1000);
    expect(written).toEqual([
      'log [news] connections 10, idle 0, waiting 3, errors 0',
      'warn [news] alert utilisation fired: 100%, limit 90%; all 10 connections are in use and 3 requests wait',
      'log [news] connections 10, idle 10, waiting 0, errors 1, last error: out of luck\\u000a\\u009b\\u202e',
      'log [news] alert utilisation cleared: 0%, limit 80%',
    ]);
  });

  test('writes to the global console unless PGPOOL_LOG is off, and not to one that throws twice', () => {
    const before = process.env.PGPOOL_LOG;
    const written = [];
    const spies = ['log', 'warn'].map((method) =>
      jest.spyOn(console, method).mockImplementation((line) => written.push(line)),
    );
    const monitor = watch({ totalCount: 1, idleCount: 1, waitingCount: 0 }, 'quiet');
    try {
      delete process.env.PGPOOL_LOG;
      monitor.startMonitoring(3600000);
      expect(written).toEqual(['[quiet] connections 1, idle 1, waiting 0, errors 0']);
      process.env.PGPOOL_LOG = 'off';
      monitor.startMonitoring(3600000);
      expect(written).toHaveLength(1);
      const fails = () => {
        throw new Error('no console');
      };
      monitor.startMonitoring(3600000, { log: { log: fails, warn: fails } });
    } finally {
      if (before === undefined) delete process.env.PGPOOL_LOG;
      else process.env.PGPOOL_LOG = before;
      spies.forEach((spy) => spy.mockRestore());
    }
    expect(() => monitor.startMonitoring(3600000, { log: 'console' })).toThrow(TypeError);
  });
});

test('the enumerable properties of monitors are the monitors, and start one by one', () => {
  const { Monitors } = require('../../lib/monitor/monitors');
  const pools = { highPriority: 1, lowPriority: 2, admin: 3 };
  const own = new Monitors(Object.keys(pools), (tier) => ({
    totalCount: pools[tier],
    idleCount: 0,
    waitingCount: 0,
    options: { tier },
  }));
  undo.push(() => own.stopMonitoring());
  expect(Object.keys(own)).toEqual(['highPriority', 'lowPriority', 'admin']);
  Object.values(own).forEach((monitor) => monitor.startMonitoring(30000, { log: false }));
  own.on('alert', () => {});
  own.removeAllListeners();
  expect(Object.entries(own).map(([name, { metrics }]) => [name, metrics.totalConnections])).toEqual(
    Object.entries(pools),
  );
});

test('monitors hears of every pool it watches', () => {
  const monitor = monitors.watch(
    { totalCount: 1, idleCount: 0, waitingCount: 0, options: { max: 1 } },
    'heard',
  );
  undo.push(() => monitor.stopMonitoring());
  const heard = [];
  const listener = (seen, from) => heard.push([seen.name, from === monitor]);
  monitors.on('metrics', listener);
  monitor.updateMetrics(0);
  monitors.off('metrics', listener);
  expect(heard).toEqual([['heard', true]]);
});

test('limits come from options before the environment before the defaults, and senseless ones are named', () => {
  const { thresholdsFor } = require('../../lib/config/alert-thresholds');
  const env = { DB_ALERT_WAITING: '20', DB_ALERT_WAITING_FOR: '60', DB_ALERT_ACQUIRE: '100' };
  expect(
    JSON.parse(thresholdsFor({ waiting: { above: 30 } }, { waiting: { above: 20, below: 8 } }, env)),
  ).toMatchObject({
    waiting: { above: 30, forMillis: 60000 },
    acquire: { above: 100 },
  });
  const senseless = () => thresholdsFor({}, {}, { DB_ALERT_WAITING: 'many', DB_ALERT_REMINDER: '-1' });
  expect(senseless).toThrow(/DB_ALERT_WAITING.*DB_ALERT_REMINDER/s);
  const monitor = watch(
    { totalCount: 0, idleCount: 0, waitingCount: 0 },
    { thresholds: { waiting: { above: 1, below: 2 } } },
  );
  expect(() => monitor.updateMetrics(0)).toThrow(/waiting/);
});
