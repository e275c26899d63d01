'use strict';

// What applications build around pg's pool, as they write it: a pool with many options, pools by priority, functions
// that retry, and a monitor for each pool. Each piece runs on pg, with the application's own lines for what pg does not
// have, and on this package, with one import changed and those lines gone.

const pg = require('pg');
const pgpool = require('../../index.js');
const { admin, config } = require('../support/server');
const { until } = require('../support/until');

const { host, port, database, user, password } = config();

// The environment of the tiers, in which the application runs.
Object.assign(process.env, {
  DB_HOST: host,
  DB_PORT: String(port),
  DB_NAME: database,
  DB_USER: user,
  DB_PASSWORD: password,
  DB_HIGH_PRIORITY_MAX: '5',
  DB_LOW_PRIORITY_MAX: '3',
  DB_ADMIN_MAX: '2',
});

/** pg, and the application's own lines. */
function withOwnLines({ Pool }) {
  const place = { host, port, database, user, password };
  const pools = {
    highPriority: new Pool({ ...place, max: 5 }),
    lowPriority: new Pool({ ...place, max: 3 }),
    admin: new Pool({ ...place, max: 2 }),
  };
  const getPool = (name) => pools[name] || pools.highPriority;
  const isPassing = ({ code }) => ['40001', '40P01', 'ECONNREFUSED', 'ECONNRESET'].includes(code);
  const withRetry = async (work, { maxRetries = 3, baseDelay = 1000 } = {}) => {
    for (let attempt = 0; ; attempt++) {
      try {
        return await work();
      } catch (error) {
        if (attempt >= maxRetries || !isPassing(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, baseDelay * 2 ** attempt));
      }
    }
  };
  const executeQueryWithRetry = (text, params, options) =>
    withRetry(() => getPool().query(text, params), options);
  const executeTransactionWithRetry = (queries, options) =>
    withRetry(async () => {
      const client = await getPool().connect();
      try {
        await client.query('BEGIN');
        const results = [];
        for (const { query, values } of queries) results.push(await client.query(query, values));
        await client.query('COMMIT');
        return results;
      } catch (error) {
        await client.query('ROLLBACK');
        throw error;
      } finally {
        client.release();
      }
    }, options);
  class ConnectionHealthMonitor {
    constructor(pool, name) {
      Object.assign(this, { pool, name, errors: 0, lastError: null });
      pool.on('error', (error) => this.recordError(error));
      this.updateMetrics();
    }
    startMonitoring(interval = 30000, { log = console } = {}) {
      this.log = log;
      this.updateMetrics();
      this.intervalId = setInterval(() => this.updateMetrics(), interval).unref();
    }
    stopMonitoring() {
      clearInterval(this.intervalId);
    }
    updateMetrics() {
      const { totalCount, idleCount, waitingCount, options } = this.pool;
      const { errors, lastError } = this;
      const counts = {
        totalConnections: totalCount,
        idleConnections: idleCount,
        waitingRequests: waitingCount,
      };
      this.metrics = { ...counts, errors, lastError };
      if (!this.log) return;
      this.log.log(
        `[${this.name}] connections ${totalCount}, idle ${idleCount}, waiting ${waitingCount}, errors ${errors}`,
      );
      if ((totalCount - idleCount) / options.max > 0.9)
        this.log.warn(`[${this.name}] alert utilisation fired`);
    }
    recordError(error) {
      this.errors++;
      this.lastError = { message: error.message, timestamp: new Date() };
    }
  }
  const monitors = Object.fromEntries(
    Object.entries(pools).map(([name, pool]) => [name, new ConnectionHealthMonitor(pool, name)]),
  );
  return {
    Pool,
    pools,
    getPool,
    executeQueryWithRetry,
    executeTransactionWithRetry,
    ConnectionHealthMonitor,
    monitors,
  };
}

const theirs = withOwnLines(pg);
const ours = pgpool;

beforeAll(() =>
  admin('CREATE TABLE plan_articles (id int PRIMARY KEY, title text); CREATE SEQUENCE plan_calls'),
);

afterAll(async () => {
  Object.values(ours.monitors).forEach((monitor) => monitor.stopMonitoring());
  Object.values(theirs.monitors).forEach((monitor) => monitor.stopMonitoring());
  await Promise.all(Object.values(theirs.pools).map((pool) => pool.end()));
  await ours.endPools();
  await admin('DROP TABLE plan_articles; DROP SEQUENCE plan_calls; DROP FUNCTION IF EXISTS plan_conflict');
});

/** Declares a test: `body` comes to the same on pg with the application's own lines and here. */
function same(name, body) {
  test(name, async () => {
    const expected = await body(theirs);
    expect(expected).toBeDefined();
    expect(await body(ours)).toEqual(expected);
  });
}

describe('a pool with many options', () => {
  const options = {
    host,
    port,
    database,
    user,
    password,
    max: 20,
    min: 5,
    idleTimeoutMillis: 30000,
    connectionTimeoutMillis: 2000,
    acquireTimeoutMillis: 30000,
    retryAttempts: 3,
    retryDelay: 1000,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10000,
  };

  same('serves queries and clients, and tells its events', async ({ Pool }) => {
    const pool = new Pool(options);
    const events = [];
    const seen = new Set();
    pool.on('connect', (client) => seen.add(client));
    pool.on('acquire', (client) => events.push(`acquire of a client that was told: ${seen.has(client)}`));
    pool.on('remove', (client) => events.push(`remove of a client that was told: ${seen.has(client)}`));
    pool.on('error', (error) => events.push(`error ${error.code}`));

    const { rows } = await pool.query('SELECT $1::int + 1 AS next', [41]);
    const client = await pool.connect();
    const { rows: own } = await client.query('SELECT pg_backend_pid() AS pid');
    client.release();
    await until(() => pool.idleCount === pool.totalCount);
    // An idle connection dies: the pool tells it, and goes on.
    await admin('SELECT pg_terminate_backend($1)', [own[0].pid]);
    await until(() => events.some((event) => event.startsWith('error')));
    const after = await pool.query('SELECT 1 AS one');
    const counts = { max: pool.options.max, min: pool.options.min, waiting: pool.waitingCount };
    await pool.end();
    return {
      rows,
      after: after.rows,
      events: events.filter((event) => !event.startsWith('remove')),
      removed: events.filter((event) => event.startsWith('remove')).every((event) => event.endsWith('true')),
      ended: [pool.totalCount, pool.idleCount],
      counts,
    };
  });
});

describe('pools by priority', () => {
  same('are one pool per name, and highPriority for any other', async ({ getPool, pools }) => {
    const names = ['highPriority', 'lowPriority', 'admin'];
    const answers = await Promise.all(
      names.map((name) => getPool(name).query('SELECT $1::text AS name', [name])),
    );
    return {
      rows: answers.map(({ rows }) => rows),
      distinct: new Set(names.map(getPool)).size,
      other: [getPool('nobody'), getPool()].every((pool) => pool === getPool('highPriority')),
      properties: names.every((name) => pools[name] === getPool(name)),
      names: Object.keys(pools),
    };
  });

  same('do not take connections from each other', async ({ getPool }) => {
    const reports = Array.from({ length: 10 }, () => getPool('lowPriority').query('SELECT pg_sleep(0.05)'));
    await getPool('highPriority').query('SELECT 1');
    const waiting = getPool('highPriority').waitingCount;
    await Promise.all(reports);
    return { waiting, most: getPool('lowPriority').totalCount <= 3 };
  });
});

describe('functions that retry', () => {
  // Fails twice with a serialization failure, then gives a row.
  const conflict = `
    CREATE OR REPLACE FUNCTION plan_conflict() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
      IF nextval('plan_calls') % 3 <> 0 THEN RAISE 'conflict' USING ERRCODE = '40001'; END IF;
      RETURN 7;
    END $$`;
  const quickly = { maxRetries: 3, baseDelay: 1 };

  beforeAll(() => admin(conflict));
  beforeEach(() => admin("SELECT setval('plan_calls', 3)"));

  same('run a query again that lost a conflict', async ({ executeQueryWithRetry }) => {
    const { rows } = await executeQueryWithRetry('SELECT plan_conflict() + $1 AS value', [1], quickly);
    const refused = await executeQueryWithRetry('SELECT 1 / 0', [], quickly).catch(({ code }) => code);
    const exhausted = await executeQueryWithRetry('SELECT plan_conflict()', [], { maxRetries: 0 }).catch(
      ({ code }) => code,
    );
    await admin("SELECT setval('plan_calls', 3)");
    return { rows, refused, exhausted };
  });

  same('run a transaction again as a whole', async ({ executeTransactionWithRetry, getPool }) => {
    await getPool('admin').query('TRUNCATE plan_articles');
    const results = await executeTransactionWithRetry(
      [
        { query: 'INSERT INTO plan_articles VALUES ($1, $2)', values: [1, 'one'] },
        { query: 'SELECT plan_conflict() AS value' },
        { query: 'INSERT INTO plan_articles VALUES ($1, $2)', values: [2, 'two'] },
      ],
      quickly,
    );
    const broken = await executeTransactionWithRetry([
      { query: 'INSERT INTO plan_articles VALUES ($1, $2)', values: [3, 'three'] },
      { query: 'INSERT INTO plan_articles VALUES ($1, $2)', values: [1, 'again'] },
    ]).catch(({ code }) => code);
    const { rows } = await getPool().query('SELECT id, title FROM plan_articles ORDER BY id');
    await admin("SELECT setval('plan_calls', 3)");
    return { counts: results.map(({ rowCount }) => rowCount), value: results[1].rows, broken, rows };
  });
});

describe('a monitor for each pool', () => {
  const NAMES = ['totalConnections', 'idleConnections', 'waitingRequests', 'errors', 'lastError'];
  const shown = ({ metrics }) => Object.fromEntries(NAMES.map((name) => [name, metrics[name]]));
  const silent = { log: false };

  same('has metrics from the start, and starts with the others', async ({ monitors, getPool }) => {
    for (const name of Object.keys(monitors)) await getPool(name).query('SELECT 1');
    Object.values(monitors).forEach((monitor) => monitor.startMonitoring(60000, silent));
    const timers = Object.values(monitors).map(({ intervalId }) => typeof intervalId.hasRef);
    Object.values(monitors).forEach((monitor) => monitor.stopMonitoring());
    return {
      names: Object.keys(monitors),
      timers,
      waiting: Object.values(monitors).map(({ metrics }) => metrics.waitingRequests),
    };
  });

  same('counts connections, waiters and errors of its pool', async ({ Pool, ConnectionHealthMonitor }) => {
    const pool = new Pool({ host, port, database, user, password, max: 1 });
    const monitor = new ConnectionHealthMonitor(pool, 'news');
    const before = shown(monitor);
    const client = await pool.connect();
    const waiting = pool.query('SELECT 1');
    monitor.updateMetrics();
    const during = shown(monitor);
    client.release();
    await waiting;
    monitor.recordError(new Error('seen by the application'));
    monitor.updateMetrics();
    const { lastError, ...after } = shown(monitor);
    await pool.end();
    return {
      before,
      during,
      after,
      lastError: [lastError.message, lastError.timestamp instanceof Date],
    };
  });

  same('writes its lines to a console', async ({ Pool, ConnectionHealthMonitor }) => {
    const pool = new Pool({ host, port, database, user, password, max: 1 });
    const monitor = new ConnectionHealthMonitor(pool, 'news');
    const lines = [];
    const log = { log: (line) => lines.push(line), warn: (line) => lines.push(line) };
    await pool.query('SELECT 1');
    monitor.startMonitoring(60000, { log });
    monitor.stopMonitoring();
    await pool.end();
    return { lines };
  });
});
