'use strict';

// Adaptive limits on a real server: a lower tier is let in by steps, gives way to readers that it slows and to a server
// that is full, and gets back what it gave. What a reader feels is made here: a statement that takes no time in calm and
// long in a flood.

const pgpool = require('../..');
const { environmentTiers } = require('../../lib/config/environment');
const Tiers = require('../../lib/pool/tiers');
const { admin, config } = require('../support/server');
const { until } = require('../support/until');

const READ = 'SELECT pg_sleep($1)';
const REPORT = 'SELECT pg_sleep(60)';
const MAX = 6;

let opened = [];

function tiersOf(more) {
  const { host, port, user, password, database } = config();
  const env = {
    DB_HOST: host,
    DB_PORT: String(port),
    DB_NAME: database,
    DB_USER: user,
    DB_PASSWORD: password,
    DB_CONNECTION_TIMEOUT: '60000',
    DB_ADAPTIVE: 'on',
    DB_LOW_PRIORITY_MAX: String(MAX),
    DB_LOW_PRIORITY_MIN: '1',
    DB_HIGH_PRIORITY_MIN: '1',
    DB_HIGH_PRIORITY_MAX: '5',
    ...more,
  };
  const tiers = new Tiers(pgpool.Pool, environmentTiers(env), 'adaptive');
  opened.push(tiers);
  return tiers;
}

/** What `metrics()` tells of the newest pool of a tier. */
function told(tier) {
  return pgpool
    .metrics()
    .pools.filter(({ name }) => name.split('#')[0] === tier)
    .at(-1);
}

const adaptive = () => told('lowPriority').adaptive;

/** Calm, long enough for the times of reads to be known: what is learnt is learnt at the end of a tenth of a second. */
async function calm(pool, how) {
  for (let turn = 0; turn < 2; turn++) {
    await read(pool, 50, 0, how);
    await pool.query('SELECT pg_sleep(0.2) AS pause');
  }
}

/** Reads of `highPriority`; `how`: by the pool, or on a client that is checked out. */
async function read(pool, count, seconds, how) {
  if (how === 'query') return Promise.all(Array.from({ length: count }, () => pool.query(READ, [seconds])));
  const client = await pool.connect();
  for (let index = 0; index < count; index++) await client.query(READ, [seconds]);
  client.release();
}

/** Reports that run until they are cancelled. */
function flood(pool, how = 'query') {
  const controllers = [];
  const one = async () => {
    const { signal } = controllers[controllers.push(new AbortController()) - 1];
    if (how === 'query') return pool.query({ text: REPORT, signal });
    const client = await pool.connect({ signal });
    try {
      await client.query({ text: REPORT, signal });
    } finally {
      client.release();
    }
  };
  const reports = Promise.allSettled(Array.from({ length: 20 }, one));
  return {
    end: () => {
      for (const controller of controllers) controller.abort();
      return reports;
    },
  };
}

afterEach(async () => {
  await Promise.all(opened.map((tiers) => tiers.end()));
  opened = [];
});

test('a flood is let in by steps, from the minimum to the maximum', async () => {
  const low = tiersOf().getPool('lowPriority');
  const reports = flood(low);
  expect([low.totalCount, adaptive().limit]).toEqual([1, 1]);
  await until(() => adaptive().limit === MAX && low.totalCount === MAX);
  expect(told('lowPriority').connections.limit).toBe(MAX);
  await reports.end();
});

test.each(['query', 'connect'])(
  'slow answers to %s lower the limit, for query and connect alike',
  async (how) => {
    const tiers = tiersOf();
    const [high, low] = ['highPriority', 'lowPriority'].map((name) => tiers.getPool(name));
    await calm(high, how);
    const reports = flood(low, how);
    await until(() => low.totalCount === MAX && told('lowPriority').connections.used === MAX);
    await read(high, 10, 0.3, how);
    await until(() => adaptive().limit < MAX);
    const { slow, limit } = adaptive();
    expect(slow).toBe(1);
    expect(told('lowPriority').connections).toMatchObject({ used: MAX, max: MAX, limit });
    expect(pgpool.metricsText()).toMatch(/pgpool_rs_adaptive_reductions_total\{.*reason="slow".*\} 1/);
    await reports.end();
  },
);

test('a tier follows only what is felt on its own server', async () => {
  const elsewhere = config().host === 'localhost' ? '127.0.0.1' : 'localhost';
  const apart = tiersOf({ DB_LOW_PRIORITY_HOST: elsewhere });
  const [high, low] = ['highPriority', 'lowPriority'].map((name) => apart.getPool(name));
  await calm(high, 'query');
  const reports = flood(low);
  await until(() => told('lowPriority').connections.used === MAX);
  await read(high, 20, 0.3, 'query');
  expect(adaptive()).toEqual({ limit: MAX, slow: 0, full: 0 });
  await reports.end();
});

test('admin is not spared: its work has no usual times', async () => {
  const tiers = tiersOf();
  const [above, low] = ['admin', 'lowPriority'].map((name) => tiers.getPool(name));
  await calm(above, 'query');
  const reports = flood(low);
  await until(() => told('lowPriority').connections.used === MAX);
  await read(above, 20, 0.3, 'query');
  expect(adaptive()).toEqual({ limit: MAX, slow: 0, full: 0 });
  await reports.end();
});

test('it is off by default, and switched while the tiers run', async () => {
  const tiers = tiersOf({ DB_ADAPTIVE: undefined });
  const low = tiers.getPool('lowPriority');
  await low.query('SELECT 1');
  expect(adaptive()).toBeNull();
  tiers.configure({ adaptive: 'on' });
  const reports = flood(low);
  expect(adaptive().limit).toBe(1);
  tiers.configure({ adaptive: 'off' });
  await until(() => adaptive() === null && low.totalCount === MAX);
  expect(told('lowPriority').connections.limit).toBe(MAX);
  await reports.end();
});

test('configure refuses what is no switch', () => {
  expect(() => pgpool.configure({ adaptive: 'perhaps' })).toThrow('adaptive must be on or off');
  expect(() => new pgpool.Pool({ adaptive: 'perhaps' })).toThrow('adaptive must be on or off');
});

test('a full server has idle connections of a lower tier closed, and the higher tier gets them', async () => {
  await admin("CREATE ROLE crowded LOGIN PASSWORD 'crowded' CONNECTION LIMIT 8");
  try {
    const tiers = tiersOf({ DB_USER: 'crowded', DB_PASSWORD: 'crowded' });
    const [high, low] = ['highPriority', 'lowPriority'].map((name) => tiers.getPool(name));
    const reports = flood(low);
    await until(() => low.totalCount === MAX);
    await reports.end();
    await until(() => low.idleCount === MAX);
    await Promise.all(Array.from({ length: 5 }, () => high.query('SELECT pg_sleep(0.2)')));
    expect(adaptive().full).toBeGreaterThan(0);
    expect(low.totalCount).toBeLessThan(MAX);
  } finally {
    await Promise.all(opened.map((tiers) => tiers.end()));
    opened = [];
    await admin('DROP ROLE crowded');
  }
});

test('of tiers with names of the application the last gives way', async () => {
  const { host, port, user, password, database } = config();
  const tiers = pgpool.createTiers({
    tiers: { web: { max: 5, min: 1 }, jobs: { max: MAX, min: 1 } },
    shared: { host, port, user, password, database, adaptive: 'on' },
  });
  opened.push(tiers);
  await Promise.all(['web', 'jobs'].map((name) => tiers.getPool(name).query('SELECT 1')));
  expect([told('web').adaptive, told('jobs').adaptive]).toEqual([null, { limit: 1, slow: 0, full: 0 }]);
});
