'use strict';

// The tiers of a process on a real server: filled ahead, each with its own place and credentials, and
// sharing a budget in which readers come before reports and nobody starves.

const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { promisify } = require('node:util');
const pgpool = require('../..');
const Tiers = require('../../lib/pool/tiers');
const { environmentTiers } = require('../../lib/config/environment');
const { server, admin, config } = require('../support/server');
const { Proxy } = require('../support/proxy');
const { until } = require('../support/until');

const run = promisify(execFile);
const SLEEP = 'SELECT pg_sleep(0.05)';

let opened = [];
let budgets = 0;

function environment(more = {}) {
  const { host, port, user, password, database } = config();
  return {
    DB_HOST: host,
    DB_PORT: String(port),
    DB_NAME: database,
    DB_USER: user,
    DB_PASSWORD: password,
    DB_CONNECTION_TIMEOUT: '60000',
    ...more,
  };
}

function tiersOf(more) {
  const tiers = new Tiers(pgpool.Pool, environmentTiers(environment(more)), `test ${++budgets}`);
  opened.push(tiers);
  return tiers;
}

const totals = (tiers) => [...tiers.open.values()].map((pool) => pool.totalCount);

/** Runs `work` while it watches that the tiers together stay within their budget. */
async function watched(tiers, total, work) {
  let most = 0;
  let over = false;
  const watching = (async () => {
    while (!over) {
      // One after the other is not one moment: a connection may move in between. Twice the same is.
      const [once, again] = [totals(tiers), totals(tiers)];
      if (String(once) === String(again))
        most = Math.max(
          most,
          once.reduce((sum, total) => sum + total, 0),
        );
      await new Promise(setImmediate);
    }
  })();
  try {
    await work();
  } finally {
    over = true;
    await watching;
  }
  expect(most).toBeLessThanOrEqual(total);
  return most;
}

afterEach(async () => {
  await Promise.all(
    opened.flatMap((tiers) => [...tiers.open.values()].map((pool) => pool.ending || pool.end())),
  );
  opened = [];
});

describe('a tier', () => {
  test('is filled to its minimum before anybody asks', async () => {
    const pool = tiersOf({ DB_HIGH_PRIORITY_MIN: '4' }).getPool('highPriority');
    const seen = [];
    let lost = 0;
    pool.on('connect', (client) => seen.push(client.processID));
    pool.on('remove', () => lost++);
    // One that is lost is replaced.
    await until(() => pool.idleCount === 4 && seen.length - lost === 4, { what: 'four idle connections' });
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('fills up again after a connection was lost', async () => {
    const pool = tiersOf({ DB_ADMIN_MIN: '3' }).getPool('admin');
    const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
    await until(() => pool.idleCount === 3, { what: 'three idle connections' });
    const happens = (event) => new Promise((resolve) => pool.once(event, resolve));
    const replaced = Promise.all([happens('remove'), happens('connect')]);
    await admin('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    await replaced;
    await until(() => pool.idleCount === 3, { what: 'three idle connections again' });
  });

  test('that nobody uses keeps no process alive', async () => {
    const script = `
      const pool = require('.').getPool('highPriority');
      const kept = setInterval(() => {
        if (pool.idleCount < 3) return;
        process.stdout.write('filled');
        clearInterval(kept);
      }, 10);
    `;
    const env = { ...process.env, ...environment({ DB_HIGH_PRIORITY_MIN: '3' }) };
    const { stdout } = await run(process.execPath, ['-e', script], {
      env,
      cwd: `${__dirname}/../..`,
      timeout: 60_000,
    });
    expect(stdout).toContain('filled');
  });

  test('goes where it is told, with credentials of its own', async () => {
    const proxy = await Proxy.start(server());
    try {
      await admin("CREATE ROLE tier_admin LOGIN PASSWORD 'of the tier'");
      const tiers = tiersOf({
        DB_LOW_PRIORITY_HOST: proxy.host,
        DB_LOW_PRIORITY_PORT: String(proxy.port),
        DB_ADMIN_USER: 'tier_admin',
        DB_ADMIN_PASSWORD: 'of the tier',
      });
      const who = async (name) => (await tiers.getPool(name).query('SELECT current_user AS who')).rows[0].who;
      expect(await who('highPriority')).toBe(server().user);
      expect(proxy.accepted).toBe(0);
      expect(await who('lowPriority')).toBe(server().user);
      expect(proxy.accepted).toBeGreaterThan(0);
      expect(await who('admin')).toBe('tier_admin');
    } finally {
      await Promise.all([...opened.at(-1).open.values()].map((pool) => pool.end()));
      await proxy.stop();
      await admin('DROP ROLE tier_admin');
    }
  });

  test('logs in with the password that its file has by then', async () => {
    const directory = fs.mkdtempSync(path.join(os.tmpdir(), 'pgpool-tiers-'));
    const file = path.join(directory, 'password');
    fs.writeFileSync(file, 'before\n');
    await admin("CREATE ROLE rotated LOGIN PASSWORD 'before'");
    const tiers = tiersOf({ DB_USER: 'rotated', DB_PASSWORD: '', DB_PASSWORD_FILE: file, DB_ADMIN_MIN: '0' });
    try {
      const pool = tiers.getPool('admin');
      const first = await pool.connect();
      await admin("ALTER ROLE rotated PASSWORD 'after'");
      fs.writeFileSync(file, 'after\n');
      expect((await pool.query('SELECT current_user AS who')).rows).toEqual([{ who: 'rotated' }]);
      first.release();
    } finally {
      await tiers.end();
      await admin('DROP ROLE rotated');
      fs.rmSync(directory, { recursive: true });
    }
  });

  test('goes where DATABASE_URL leads', async () => {
    const { host, port, user, password, database } = config();
    const url = new URL(`postgres://${host}:${port}/${database}?application_name=by_url`);
    Object.assign(url, { username: user, password: encodeURIComponent(password) });
    const tiers = new Tiers(pgpool.Pool, environmentTiers({ DATABASE_URL: String(url), DB_ADMIN_MIN: '0' }));
    opened.push(tiers);
    const { rows } = await tiers.getPool('admin').query("SELECT current_setting('application_name') AS name");
    expect(rows).toEqual([{ name: 'by_url' }]);
  });

  test('gives up a query after DB_QUERY_TIMEOUT, and a wait after DB_DEADLINE', async () => {
    const pool = tiersOf({ DB_QUERY_TIMEOUT: '50', DB_DEADLINE: '500', DB_ADMIN_MAX: '1' }).getPool('admin');
    await expect(pool.query('SELECT pg_sleep(60)')).rejects.toThrow('Query read timeout');
    const client = await pool.connect();
    await expect(pool.query('SELECT 1')).rejects.toBeInstanceOf(pgpool.AcquireTimeoutError);
    client.release();
  });

  test('is ready once it has a connection, and says what keeps it from one', async () => {
    const proxy = await Proxy.start(server());
    const tiers = tiersOf({ DB_HOST: proxy.host, DB_PORT: String(proxy.port), DB_ACQUIRE_TIMEOUT: '300' });
    try {
      await proxy.refuse();
      const pool = tiers.getPool('admin');
      await expect(pool.ready()).rejects.toMatchObject({ code: 'ECONNREFUSED', syscall: 'connect' });
      await proxy.listen();
      await until(
        () =>
          pool.ready().then(
            () => true,
            () => false,
          ),
        { what: 'the tier to be ready' },
      );
      expect(pool.totalCount).toBeGreaterThan(0);
      // Busy is ready.
      const clients = await Promise.all(Array.from({ length: 5 }, () => pool.connect()));
      await pool.ready();
      clients.forEach((client) => client.release());
      await pool.end();
      await expect(pool.ready()).rejects.toThrow('Cannot use a pool after calling end on the pool');
      await expect(new pgpool.Pool(config({ password: 'wrong' })).ready()).rejects.toMatchObject({
        code: '28P01',
      });
    } finally {
      await tiers.end();
      await proxy.stop();
    }
  });

  test('that was ended is made anew when it is asked for', async () => {
    const tiers = tiersOf();
    const first = tiers.getPool('admin');
    await first.end();
    const second = tiers.getPool('admin');
    expect(second).not.toBe(first);
    await second.query('SELECT 1');
  });

  test('refuses who would wait behind too many', async () => {
    const pool = tiersOf({ DB_MAX_WAITING: '5', DB_ADMIN_MAX: '1' }).getPool('admin');
    await pool.query('SELECT 1');
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => pool.query(SLEEP)));
    const refused = outcomes.filter(({ reason }) => reason instanceof pgpool.PoolFullError);
    expect(refused.length).toBeGreaterThan(0);
    expect(refused[0].reason).toMatchObject({ waiting: 5, maxWaiting: 5, tier: 'admin' });
    expect(outcomes.filter(({ status }) => status === 'fulfilled').length).toBe(20 - refused.length);
  });
});

describe('tiers off', () => {
  test('at start: all names lead to one pool', () => {
    const tiers = tiersOf({ DB_TIERS: 'off' });
    expect(tiers.getPool('admin')).toBe(tiers.getPool('lowPriority'));
    expect(tiers.getPool('admin').options.max).toBe(20);
  });

  test.each(['on', 'off'])(
    'all are ended at once, those that were asked for, with DB_TIERS=%s',
    async (position) => {
      const tiers = tiersOf({ DB_TIERS: position });
      await tiers.end();
      const pools = [tiers.getPool('lowPriority'), tiers.getPool('admin')];
      await pools[0].query('SELECT 1');
      await tiers.end();
      expect(pools.map((pool) => [pool.ended, pool.totalCount])).toEqual([
        [true, 0],
        [true, 0],
      ]);
      expect(tiers.open.has('highPriority')).toBe(false);
      await tiers.end();
    },
  );

  test('at run time, and on again', () => {
    const tiers = tiersOf();
    const [high, low] = [tiers.getPool('highPriority'), tiers.getPool('lowPriority')];
    expect(high).not.toBe(low);
    tiers.switch('off');
    expect(tiers.getPool('highPriority')).toBe(tiers.getPool('lowPriority'));
    expect(tiers.getPool('highPriority')).not.toBe(high);
    tiers.switch('on');
    expect(tiers.getPool('highPriority')).toBe(high);
  });

  test('at run time: the pools of before close their connections, and serve who still holds them', async () => {
    const tiers = tiersOf({ DB_LOW_PRIORITY_MIN: '3' });
    const low = tiers.getPool('lowPriority');
    const busy = await low.connect();
    await until(() => low.totalCount === 3, { what: 'the minimum' });
    tiers.switch('off');
    await until(() => low.totalCount === 1, { what: 'idle connections to be closed' });
    busy.release();
    await until(() => low.totalCount === 0, { what: 'the last connection to be closed' });
    expect((await low.query('SELECT 1 AS held')).rows).toEqual([{ held: 1 }]);
    tiers.switch('on');
    await until(() => low.totalCount === 3, { what: 'the minimum again' });
  });

  test('the one pool stays within DB_TOTAL_MAX', async () => {
    const tiers = tiersOf({ DB_TIERS: 'off', DB_TOTAL_MAX: '6' });
    const pool = tiers.getPool();
    await watched(tiers, 6, () => Promise.all(Array.from({ length: 40 }, () => pool.query(SLEEP))));
    expect(pool.totalCount).toBe(6);
    expect(() => tiersOf({ DB_TIERS: 'off', DB_TOTAL_MAX: '4' }).getPool()).toThrow(
      'DB_TOTAL_MAX (4) must not be below the minimums of the tiers together (5)',
    );
  });

  test('admin keeps a user of its own, within the same budget', async () => {
    await admin("CREATE ROLE off_admin LOGIN PASSWORD 'of the tier'");
    const more = {
      DB_TIERS: 'off',
      DB_ADMIN_USER: 'off_admin',
      DB_ADMIN_PASSWORD: 'of the tier',
      DB_TOTAL_MAX: '8',
    };
    const tiers = tiersOf(more);
    try {
      const who = async (name) => (await tiers.getPool(name).query('SELECT current_user AS who')).rows[0].who;
      expect([await who('admin'), await who('lowPriority')]).toEqual(['off_admin', server().user]);
      expect(tiers.getPool('highPriority')).toBe(tiers.getPool('lowPriority'));
      const flood = () =>
        ['admin', 'lowPriority'].flatMap((name) =>
          Array.from({ length: 20 }, () => tiers.getPool(name).query(SLEEP)),
        );
      await watched(tiers, 8, () => Promise.all(flood()));
    } finally {
      await tiers.end();
      await admin('DROP ROLE off_admin');
    }
  });

  test('configure names what makes no sense and changes nothing', () => {
    expect(() => pgpool.configure({ tiers: 'maybe', speed: 'high' })).toThrow(
      /tiers must be one of on, off, not "maybe"; speed is no switch/,
    );
    expect(() => pgpool.configure({ retry: 'perhaps', breaker: 'sometimes' })).toThrow(
      'invalid configuration: retry must be on or off; breaker must be one of off, metrics, enforce, forced-open',
    );
    expect(() => pgpool.configure()).toThrow(TypeError);
    pgpool.configure({ tiers: 'on' });
  });
});

describe('a shared budget', () => {
  const sizes = { DB_TOTAL_MAX: '8', DB_HIGH_PRIORITY_MIN: '2', DB_LOW_PRIORITY_MIN: '1', DB_ADMIN_MIN: '1' };

  test('is never exceeded, and all of it is used', async () => {
    const tiers = tiersOf(sizes);
    const most = await watched(tiers, 8, async () => {
      const floods = ['highPriority', 'lowPriority', 'admin'].map((name) =>
        Promise.all(Array.from({ length: 60 }, () => tiers.getPool(name).query('SELECT pg_sleep(0.01)'))),
      );
      await Promise.all(floods);
    });
    expect(most).toBe(8);
  });

  test('takes an idle connection of a lower tier for a higher one', async () => {
    const tiers = tiersOf(sizes);
    const low = tiers.getPool('lowPriority');
    tiers.getPool('admin');
    const high = tiers.getPool('highPriority');
    await Promise.all(Array.from({ length: 10 }, () => low.query(SLEEP)));
    // What the guarantees of the others leave: 8 - 2 - 1.
    expect(low.totalCount).toBe(5);
    await watched(tiers, 8, () => Promise.all(Array.from({ length: 30 }, () => high.query(SLEEP))));
    expect(low.totalCount).toBe(1);
    expect(high.totalCount).toBe(6);
  });

  test('lets a higher tier have what a lower one returns', async () => {
    const tiers = tiersOf(sizes);
    const [low, high] = [tiers.getPool('lowPriority'), tiers.getPool('highPriority')];
    tiers.getPool('admin');
    let running = true;
    const reports = Array.from({ length: 20 }, async () => {
      while (running) await low.query(SLEEP);
    });
    await until(() => low.totalCount === 5, { what: 'the reports to have spread' });
    let served = 0;
    const readers = Array.from({ length: 20 }, async () => {
      while (running) {
        await high.query('SELECT pg_sleep(0.005)');
        served += 1;
      }
    });
    await until(() => high.totalCount >= 5, { what: 'readers to have taken over' });
    const before = served;
    await until(() => served > before + 50, { what: 'readers to be served' });
    running = false;
    await Promise.all([...reports, ...readers]);
  });

  test('never starves a lower tier that is guaranteed nothing', async () => {
    const tiers = tiersOf({ ...sizes, DB_TOTAL_MAX: '4', DB_LOW_PRIORITY_MIN: '0' });
    const [high, low] = [tiers.getPool('highPriority'), tiers.getPool('lowPriority')];
    tiers.getPool('admin');
    let running = true;
    const readers = Array.from({ length: 20 }, async () => {
      while (running) await high.query('SELECT pg_sleep(0.01)');
    });
    await until(() => high.totalCount === 3, { what: 'the readers to hold everything' });
    const { rows } = await low.query('SELECT 1 AS served');
    expect(rows).toEqual([{ served: 1 }]);
    running = false;
    await Promise.all(readers);
  });

  test('is what utilisation is measured against', async () => {
    const tiers = tiersOf(sizes);
    const high = tiers.getPool('highPriority');
    const monitor = new pgpool.ConnectionHealthMonitor(high, {
      thresholds: { utilisation: { forMillis: 0 } },
    });
    await high.query('SELECT 1');
    // What the guarantees of the others leave: 8 - 1 - 1, of a maximum of 30.
    expect(monitor.updateMetrics(0).connections).toMatchObject({ max: 30, limit: 6 });
    const clients = await Promise.all(Array.from({ length: 6 }, () => high.connect()));
    const { values, firing } = monitor.updateMetrics(1000);
    clients.forEach((client) => client.release());
    monitor.stopMonitoring();
    expect([values.utilisation, firing]).toEqual([1, ['utilisation']]);
  });

  test('is given back by a tier that ends', async () => {
    const tiers = tiersOf(sizes);
    const [high, low] = [tiers.getPool('highPriority'), tiers.getPool('lowPriority')];
    await Promise.all(Array.from({ length: 20 }, () => high.query(SLEEP)));
    expect(high.totalCount).toBe(6);
    await high.end();
    await Promise.all(Array.from({ length: 20 }, () => low.query(SLEEP)));
    // Its guarantee is kept for when it is opened again.
    expect(low.totalCount).toBe(5);
  });
});

describe('sizes at run time', () => {
  test('change the pools that are open and those that are opened later', async () => {
    const tiers = tiersOf({ DB_LOW_PRIORITY_MIN: '1' });
    const low = tiers.getPool('lowPriority');
    await until(() => low.totalCount === 1, { what: 'the minimum' });
    tiers.resize({ lowPriority: { max: 2, min: 2 }, admin: { max: 3, min: 3 } });
    await until(() => low.totalCount === 2, { what: 'the new minimum' });
    await Promise.all(Array.from({ length: 10 }, () => low.query(SLEEP)));
    expect([low.totalCount, low.options.max]).toEqual([2, 2]);
    const other = tiers.getPool('admin');
    await until(() => other.totalCount === 3, { what: 'the minimum of a tier that is opened later' });
    tiers.resize({ admin: { min: 0 } });
    expect(other.options).toMatchObject({ max: 3, min: 0 });
  });

  test('are refused as a whole when one of them makes no sense', () => {
    const tiers = tiersOf({ DB_TOTAL_MAX: '20' });
    const problems = (sizes) => {
      try {
        return tiers.checkSizes(sizes);
      } catch (error) {
        expect(error).toBeInstanceOf(pgpool.ConfigurationError);
        return error.problems;
      }
    };
    expect(problems({ lowPriority: { max: 4 } })).toBeUndefined();
    expect(problems({ lowPriority: { max: 0 }, admin: { min: 6 }, reports: { max: 1 } })).toEqual([
      'sizes.reports is none of highPriority, lowPriority, admin',
      'sizes.lowPriority.max must be a whole number of at least 1',
      'sizes.admin.min (6) must not exceed max (5)',
    ]);
    expect(problems({ highPriority: { min: 18 } })).toEqual([
      'DB_TOTAL_MAX (20) must not be below the minimums of the tiers together (21)',
    ]);
  });

  test('of a pool of its own serve who waits at once', async () => {
    const pool = new pgpool.Pool(config({ max: 1 }));
    try {
      const [first, second] = [await pool.connect(), pool.connect()];
      pool.configure({ max: 2 });
      (await second).release();
      first.release();
      expect(pool.totalCount).toBe(2);
      pool.configure({ max: 1 });
      expect(pool.totalCount).toBe(1);
      expect(() => pool.configure({ max: 0, retry: 'off' })).toThrow(pgpool.ConfigurationError);
      expect(pool.options).toMatchObject({ max: 1 });
    } finally {
      await pool.end();
    }
  });
});

test('a tier without retries at run time fails as with DB_RETRY=off', async () => {
  const proxy = await Proxy.start(server());
  const tiers = tiersOf({
    DB_HOST: proxy.host,
    DB_PORT: String(proxy.port),
    DB_ADMIN_MIN: '0',
    DB_BREAKER: 'off',
  });
  try {
    const pool = tiers.getPool('admin');
    await pool.query('SELECT 1');
    await proxy.refuse();
    proxy.cut();
    await until(() => pool.totalCount === 0, { what: 'the connection to be lost' });
    tiers.configure({ retry: 'off' });
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    tiers.configure({ retry: 'on' });
    const waiting = pool.query('SELECT 1 AS one');
    await until(() => pool.waitingCount === 1, { what: 'the query to wait' });
    await proxy.listen();
    expect((await waiting).rows).toEqual([{ one: 1 }]);
  } finally {
    await tiers.end();
    await proxy.stop();
  }
});

test('measuring stops and goes on at run time', async () => {
  const tiers = tiersOf({ DB_HIGH_PRIORITY_MIN: '0', DB_ADMIN_MIN: '0' });
  const events = [];
  const end = pgpool.onLog(({ pool, event }) => events.push([pool, event]));
  try {
    const pool = tiers.getPool('highPriority');
    await pool.query('SELECT 1');
    const [{ name }] = pgpool.metrics().pools.filter(({ name }) => name.startsWith('highPriority'));
    const seen = (of = name) => pgpool.metrics().pools.find((other) => other.name === of);
    expect(seen()).toMatchObject({ operations: 1 });
    tiers.measure('off');
    await pool.query('SELECT 1');
    const client = await pool.connect();
    client.release(true);
    await tiers.getPool('admin').query('SELECT 1');
    expect(pgpool.metrics().pools.filter((other) => /^(highPriority|admin)/.test(other.name))).toEqual([]);
    expect(pool.totalCount).toBe(0);
    tiers.measure('on');
    await pool.query('SELECT 1');
    expect(seen()).toMatchObject({ operations: 2, connections: { total: 1 } });
    await until(() => events.filter(([of]) => of === name).length === 2, {
      what: 'the second connect to be logged',
    });
    // The close came while it was off.
    expect(events.filter(([of]) => of === name)).toEqual([
      [name, 'opened'],
      [name, 'opened'],
    ]);
  } finally {
    end();
  }
});
