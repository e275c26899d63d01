'use strict';

// Tiers in code, on a real server: names, places, credentials and limits of the application's own, a shared maximum,
// the switches, and what is refused.

const { inspect } = require('node:util');
const pgpool = require('../..');
const { server, config } = require('../support/server');
const { until } = require('../support/until');

const { createTiers, ConfigurationError } = pgpool;

let sets = [];

function setOf(options) {
  const { host, port, user, password, database } = config();
  const shared = { host, port, user, password, database, connectionTimeoutMillis: 60_000, ...options.shared };
  const set = createTiers({ ...options, shared });
  sets.push(set);
  return set;
}

afterEach(async () => {
  await Promise.all(sets.map((set) => set.end()));
  sets = [];
});

const one = async (pool, text, values) => Object.values((await pool.query(text, values)).rows[0])[0];

describe('a set of tiers', () => {
  test('has one pool for each name, and its default for any other', async () => {
    const set = setOf({ tiers: { web: {}, jobs: { max: 3 } }, default: 'jobs' });
    expect(Object.keys(set.pools)).toEqual(['web', 'jobs']);
    expect(set.pools.web).toBe(set.getPool('web'));
    expect(set.getPool('web')).toBeInstanceOf(pgpool.Pool);
    for (const name of [undefined, 'reports', 'shared', '__proto__', 'constructor'])
      expect(set.getPool(name)).toBe(set.pools.jobs);
    expect(await one(set.getPool('web'), 'SELECT 1')).toBe(1);
    expect(await one({ query: set.executeQueryWithRetry }, 'SELECT $1::int', [2])).toBe(2);
    expect(set.pools.jobs.totalCount).toBeGreaterThan(0);
  });

  test('its first tier is the default where none is named', () => {
    const set = setOf({ tiers: { jobs: {}, web: {} } });
    expect(set.getPool()).toBe(set.pools.jobs);
  });

  test('takes names that JavaScript has a meaning for', async () => {
    const set = setOf({
      tiers: JSON.parse('{ "shared": { "max": 2 }, "__proto__": {}, "constructor": {} }'),
    });
    expect(Object.keys(set.pools)).toEqual(['shared', '__proto__', 'constructor']);
    const pools = Object.keys(set.pools).map((name) => set.getPool(name));
    expect(new Set(pools).size).toBe(3);
    expect(pools.map((pool) => pool.options.max)).toEqual([2, 10, 10]);
    expect(await one(set.getPool('__proto__'), 'SELECT 1')).toBe(1);
  });

  test('closes no idle connection where no time says so', () => {
    const idle = (set) => set.getPool('web').options.idleTimeoutMillis;
    const never = { idleTimeoutMillis: null };
    expect(idle(setOf({ tiers: { web: never } }))).toBe(null);
    expect(idle(setOf({ tiers: { web: {} }, shared: never }))).toBe(null);
    expect(idle(setOf({ tiers: { web: { idleTimeoutMillis: 1000 } }, shared: never }))).toBe(1000);
  });

  test('opens nothing before a pool is asked for, then its minimum', async () => {
    const set = setOf({ tiers: { web: { min: 3 }, jobs: {} } });
    expect(pgpool.metrics().pools.filter(({ tier }) => tier === 'jobs')).toEqual([]);
    const pool = set.getPool('web');
    await until(() => pool.idleCount === 3);
    expect(pool.options).toMatchObject({
      tier: 'web',
      retryAttempts: 3,
      breaker: 'enforce',
      failFast: false,
    });
  });

  test('connects each tier where it says, or where all do', async () => {
    const { host, port, user, password, database } = config();
    const url = new URL('postgres://x/');
    Object.assign(url, { username: user, password, hostname: host, port, pathname: `/${database}` });
    const set = createTiers({
      shared: { connectionString: String(url), application_name: 'all' },
      tiers: {
        web: {},
        jobs: { application_name: 'jobs', database: 'postgres' },
        tokens: { password: async () => password },
        elsewhere: {
          connectionString: `${url.protocol}//${user}:wrong@${host}:1/none`,
          retryAttempts: 0,
          failFast: true,
        },
      },
    });
    sets.push(set);
    const seen = 'SELECT current_setting($1) || current_database()';
    expect(await one(set.pools.web, seen, ['application_name'])).toBe(`all${database}`);
    expect(await one(set.pools.jobs, seen, ['application_name'])).toBe('jobspostgres');
    expect(await one(set.pools.tokens, seen, ['application_name'])).toBe(`all${database}`);
    await expect(set.pools.elsewhere.query('SELECT 1')).rejects.toMatchObject({
      code: 'ECONNREFUSED',
      port: 1,
    });
  });

  test('sets share no limit, no switch and no monitor with each other or with the tiers of the process', async () => {
    const [first, second] = [1, 2].map(() => setOf({ tiers: { web: { max: 3, min: 0 } }, totalMax: 3 }));
    const sleep = (set) => Array.from({ length: 3 }, () => set.pools.web.query('SELECT pg_sleep(0.05)'));
    const before = sleep(first).concat(sleep(second));
    await until(() => first.pools.web.totalCount === 3 && second.pools.web.totalCount === 3);
    await Promise.all(before);
    first.configure({ retry: 'off' });
    expect([first, second].map((set) => set.pools.web.options.retry)).toEqual([false, 'on']);
    expect(first.monitors.web).not.toBe(second.monitors.web);
    expect(Object.keys(first.monitors)).toEqual(['web']);
    expect(Object.keys(pgpool.monitors)).toEqual(['highPriority', 'lowPriority', 'admin']);
  });

  test('its tiers stay within totalMax together, and the first is served first', async () => {
    const set = setOf({ tiers: { web: { max: 4, min: 1 }, jobs: { max: 4, min: 1 } }, totalMax: 4 });
    const order = [];
    const run = (name) =>
      set.pools[name].query('SELECT pg_sleep(0.02)').then(() => {
        order.push(name);
        return set.pools.web.totalCount + set.pools.jobs.totalCount;
      });
    const jobs = Array.from({ length: 20 }, () => run('jobs'));
    await until(() => set.pools.jobs.totalCount === 3);
    const web = Array.from({ length: 6 }, () => run('web'));
    for (const total of await Promise.all([...jobs, ...web])) expect(total).toBeLessThanOrEqual(4);
    expect(order.lastIndexOf('web')).toBeLessThan(order.lastIndexOf('jobs'));
  });

  test('switched off leads all names to one pool, but those that are somebody else', async () => {
    const { user, password } = config();
    const set = setOf({ tiers: { web: {}, jobs: {}, owner: { user, password } }, shared: { max: 7 } });
    const web = set.getPool('web');
    set.configure({ tiers: 'off' });
    expect(set.getPool('web')).not.toBe(web);
    expect(set.getPool('jobs')).toBe(set.getPool('web'));
    expect(set.getPool('web').options).toMatchObject({ max: 7, tier: 'shared' });
    expect(set.getPool('owner')).not.toBe(set.getPool('web'));
    expect(await one(set.getPool('jobs'), 'SELECT 1')).toBe(1);
    set.configure({ tiers: 'on' });
    expect(set.getPool('web').options.tier).toBe('web');
  });

  test('sizes change at run time, by the names of the set', () => {
    const set = setOf({ tiers: { web: { max: 4 }, jobs: {} }, totalMax: 8 });
    set.configure({ sizes: { jobs: { max: 2, min: 1 } } });
    expect(set.getPool('jobs').options).toMatchObject({ max: 2, min: 1 });
    set.configure({ sizes: { jobs: { min: 0 }, web: { max: undefined, min: 2 } } });
    expect(set.getPool('jobs').options).toMatchObject({ max: 2, min: 0 });
    expect(set.getPool('web').options).toMatchObject({ max: 4, min: 2 });
    set.configure({ sizes: { jobs: { min: 1 } } });
    expect(() => set.configure({ sizes: { highPriority: { max: 1 }, web: { min: 9 } } })).toThrow(
      'sizes.highPriority is none of web, jobs; sizes.web.min (9) must not exceed max (4)',
    );
    expect(() => set.configure({ sizes: { jobs: { max: 9, min: 9 } } })).toThrow(
      'totalMax (8) must not be below the minimums of the tiers together (11)',
    );
  });

  test('alerts have the limits of their tier, then those of all', async () => {
    const set = setOf({
      tiers: { web: { alerts: { waiting: { above: 1, forMillis: 0 } } }, jobs: {} },
      shared: { max: 1, min: 0 },
    });
    const held = await Promise.all([set.pools.web.connect(), set.pools.jobs.connect()]);
    const waiting = [1, 2, 3].flatMap(() => [
      set.pools.web.query('SELECT 1'),
      set.pools.jobs.query('SELECT 1'),
    ]);
    const alerts = [];
    set.monitors.on('alert', ({ rule }, monitor) => alerts.push([monitor.name, rule]));
    for (const at of [0, 1000]) for (const name of ['web', 'jobs']) set.monitors[name].updateMetrics(at);
    for (const client of held) client.release();
    await Promise.all(waiting);
    expect(alerts).toEqual([['web', 'waiting']]);
  });
});

describe('what makes no sense', () => {
  const problemsOf = (options) => {
    try {
      createTiers(options);
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigurationError);
      return error.problems;
    }
    throw new Error('nothing was refused');
  };

  test('is named all at once', () => {
    const tiers = { web: { max: 0 }, jobs: 5, reports: { max: 2, min: 3 }, mail: { breaker: { modus: 1 } } };
    expect(problemsOf({ tiers, shared: { deadline: -1 }, totalMax: 0, default: 'x', sizes: {} })).toEqual([
      'sizes is none of tiers, shared, default, totalMax',
      'default must be one of web, jobs, reports, mail',
      'totalMax must be a whole number of at least 1',
      'shared: deadline must be a number of at least 0',
      'tiers.web.max must be a whole number of at least 1',
      'tiers.jobs must be an object of options',
      'tiers.reports.min (3) must not exceed max (2)',
      expect.stringContaining('tiers.mail: breaker.modus is none of mode, '),
    ]);
    expect(problemsOf({ tiers: {} })).toEqual(['tiers must have at least one tier']);
    expect(problemsOf({ tiers: { web: { min: 3 }, jobs: {} }, totalMax: 4 })).toEqual([
      'totalMax (4) must not be below the minimums of the tiers together (5)',
    ]);
  });

  test.each([undefined, null, 'web', {}, { tiers: null }])('%j is no set of tiers', (options) => {
    expect(() => createTiers(options)).toThrow(TypeError);
  });

  test('a password is not shown where a pool is printed or told as JSON', () => {
    const { host, port } = server();
    const set = createTiers({
      tiers: {
        web: { password: 'geheim' },
        jobs: { connectionString: `postgres://me:geheim@${host}:${port}/x` },
      },
      shared: { host, port, connectionString: `postgres://me:geheim@${host}:${port}/x`, min: 0 },
    });
    sets.push(set);
    for (const name of ['web', 'jobs']) {
      const { options } = set.getPool(name);
      expect(inspect(options, { depth: 9 }) + JSON.stringify(options)).not.toContain('geheim');
    }
  });
});
