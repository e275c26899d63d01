'use strict';

// Replicas of a pool: a real primary, a real standby. Which queries the standby gets, for how long it may be behind,
// and what becomes of queries that it cannot serve.

const { ConfigurationError, Pool, metrics } = require('../..');
const { readEnvironment } = require('../../lib/config/environment');
const { closedPort } = require('../support/ports');
const { startPostgres } = require('../support/postgres');
const { Proxy } = require('../support/proxy');
const { until } = require('../support/until');

const WHERE = 'SELECT pg_is_in_recovery() AS standby';

let primary;
let standby;
const pools = [];

function poolOf(options, replica = {}) {
  const { host, port, user, password, database } = primary;
  const pool = new Pool({
    ...{ host, port, user, password, database, max: 2, application_name: 'replica-test' },
    replica: { host: standby.host, port: standby.port, ...replica },
    ...options,
  });
  pools.push(pool);
  return pool;
}

const ask = async (asked, config) => (await asked.query({ text: WHERE, ...config })).rows[0].standby;
const read = (pool) => ask(pool, { readOnly: true });
const untilReadsOn = (pool, isStandby) => until(async () => (await read(pool)) === isStandby);

beforeAll(async () => {
  primary = await startPostgres();
  await primary.query('CREATE TABLE ledger (key int); CREATE SEQUENCE numbers');
  standby = await startPostgres({ standbyOf: primary });
  await until(async () => (await standby.query("SELECT to_regclass('numbers') AS there")).rows[0].there);
});
afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.ending || pool.end()));
});
afterAll(async () => {
  await standby?.stop('immediate');
  await primary?.stop('immediate');
});

test('queries with readOnly go to the standby, once it is known to be near, and no others', async () => {
  const pool = poolOf();
  expect(await read(pool)).toBe(false);
  await untilReadsOn(pool, true);
  expect(await ask(pool, {})).toBe(false);
  expect(await ask(pool, { idempotent: true })).toBe(false);
  const client = await pool.connect();
  expect(await ask(client, { readOnly: true })).toBe(false);
  client.release();
  expect(await pool.transaction((inside) => ask(inside, { readOnly: true }), { readOnly: true })).toBe(false);
  const { host, port } = standby;
  expect(pool.replicas).toEqual([
    { host, port, isUsed: true, lagMillis: expect.any(Number), queries: expect.any(Number), fallbacks: 0 },
  ]);
});

test('every form of a query is served', async () => {
  const pool = poolOf();
  await untilReadsOn(pool, true);
  const sum = 'SELECT $1::int + 1 AS n, pg_is_in_recovery() AS standby';
  const rows = [{ n: 2, standby: true }];
  expect((await pool.query({ text: sum, values: [1], readOnly: true })).rows).toEqual(rows);
  expect((await pool.query({ text: sum, readOnly: true }, [1])).rows).toEqual(rows);
  const called = (...query) =>
    new Promise((resolve, reject) =>
      pool.query(...query, (error, result) => (error ? reject(error) : resolve(result.rows))),
    );
  expect(await called({ text: sum, readOnly: true }, [1])).toEqual(rows);
  expect(await called({ text: sum, values: [1], readOnly: true })).toEqual(rows);
});

test('a listener of connect sets up connections to the standby, too', async () => {
  const pool = poolOf();
  pool.on('connect', (client) => client.query("SET app.side = 'set up'"));
  await untilReadsOn(pool, true);
  const text = "SELECT current_setting('app.side', true) AS side, pg_is_in_recovery() AS standby";
  expect((await pool.query({ text, readOnly: true })).rows).toEqual([{ side: 'set up', standby: true }]);
});

test('what the standby refuses, the primary runs', async () => {
  const pool = poolOf();
  await untilReadsOn(pool, true);
  const inherited = Object.assign(Object.create({ text: "SELECT nextval('numbers')" }), { readOnly: true });
  const { rows } = await pool.query(inherited);
  expect(rows).toEqual([{ nextval: expect.any(String) }]);
  expect(pool.replicas[0].fallbacks).toBe(1);
  await expect(pool.query({ text: 'SELECT nonsense', readOnly: true })).rejects.toMatchObject({
    code: '42703',
  });
});

test('a frozen config is served, by the standby or by the primary', async () => {
  const pool = poolOf();
  await untilReadsOn(pool, true);
  const frozen = (text) => Object.freeze({ text, readOnly: true, retryAttempts: 1, deadline: 60_000 });
  expect((await pool.query(frozen(WHERE))).rows).toEqual([{ standby: true }]);
  expect((await pool.query(frozen("SELECT nextval('numbers')"))).rows).toHaveLength(1);
  expect(pool.replicas[0].fallbacks).toBe(1);
});

test('a conflict on the standby is the primary’s at once, whatever retries the query has', async () => {
  await primary.query(`
    CREATE FUNCTION side() RETURNS text LANGUAGE plpgsql AS $$
    BEGIN
      IF pg_is_in_recovery() THEN RAISE 'conflict' USING ERRCODE = '40001'; END IF;
      RETURN 'primary';
    END $$`);
  const pool = poolOf({ retryAttempts: 3 });
  await until(async () => (await standby.query("SELECT to_regproc('side') AS there")).rows[0].there);
  await untilReadsOn(pool, true);
  const retries = [];
  pool._replicas.all[0].pool.on('retry', (retry) => retries.push(retry));
  const { rows } = await pool.query({ text: 'SELECT side()', readOnly: true, retryAttempts: 5 });
  expect([rows, retries]).toEqual([[{ side: 'primary' }], []]);
});

test('questions keep their connection, whatever is said of those of the pool', async () => {
  const connects = [];
  const pool = poolOf(
    { maxUses: 1, idleTimeoutMillis: 10, onConnect: (client) => connects.push(client) },
    { maxLagMillis: 400 },
  );
  await untilReadsOn(pool, true);
  const questions = [pool._replicas, ...pool._replicas.all].map(({ question }) => question.pool);
  expect(questions.map(({ totalCount }) => totalCount)).toEqual([1, 1]);
  const processes = () =>
    Promise.all(
      questions.map(async (one) => (await one.query('SELECT pg_backend_pid() AS pid')).rows[0].pid),
    );
  expect(await processes()).toEqual(await processes());
  expect(connects.length).toBeGreaterThan(0);
});

test('what has run out of time on the standby does not begin again', async () => {
  const pool = poolOf();
  await untilReadsOn(pool, true);
  const late = { text: 'SELECT pg_sleep(60)', readOnly: true };
  await expect(pool.query({ ...late, query_timeout: 100 })).rejects.toThrow('Query read timeout');
  await expect(pool.query({ ...late, signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
    name: 'TimeoutError',
  });
  const limited = poolOf({ statement_timeout: 100 });
  await untilReadsOn(limited, true);
  await expect(limited.query(late)).rejects.toMatchObject({ code: '57014' });
  expect([pool.replicas[0].fallbacks, limited.replicas[0].fallbacks]).toEqual([0, 0]);
});

test('a standby whose replay is paused is left once it is too far behind, until it has caught up', async () => {
  const pool = poolOf({}, { maxLagMillis: 500 });
  await untilReadsOn(pool, true);
  await standby.query('SELECT pg_wal_replay_pause()');
  try {
    await pool.query('INSERT INTO ledger VALUES (1)');
    await untilReadsOn(pool, false);
    expect(pool.replicas[0]).toMatchObject({ isUsed: false });
    const { rows } = await pool.query({ text: 'SELECT key FROM ledger', readOnly: true });
    expect(rows).toEqual([{ key: 1 }]);
  } finally {
    await standby.query('SELECT pg_wal_replay_resume()');
  }
  await untilReadsOn(pool, true);
});

test('a standby that receives nothing any more is left, although it has replayed all that it has', async () => {
  const pool = poolOf({}, { maxLagMillis: 500 });
  await untilReadsOn(pool, true);
  const { rows } = await standby.query('SHOW primary_conninfo');
  await standby.query("ALTER SYSTEM SET primary_conninfo = ''");
  await standby.query('SELECT pg_reload_conf()');
  try {
    await until(async () => {
      await pool.query('INSERT INTO ledger VALUES (2)');
      return !(await read(pool));
    });
  } finally {
    await standby.query(`ALTER SYSTEM SET primary_conninfo = '${rows[0].primary_conninfo}'`);
    await standby.query('SELECT pg_reload_conf()');
  }
  await untilReadsOn(pool, true);
});

test('of several the ones that are away, or no standbys, are passed over', async () => {
  const place = {
    host: [primary.host, primary.host, standby.host].join(','),
    port: [await closedPort(), primary.port, standby.port].join(','),
  };
  const pool = poolOf({ tier: 'web' }, place);
  await untilReadsOn(pool, true);
  expect(pool.replicas.map(({ isUsed }) => isUsed)).toEqual([false, false, true]);
  const names = metrics().pools.map(({ name }) => name);
  expect(names).toContain(`web replica ${standby.host}:${standby.port}`);
});

test('a standby that falls silent holds no query back', async () => {
  const proxy = await Proxy.start(standby);
  try {
    const pool = poolOf({}, { host: proxy.host, port: proxy.port });
    await untilReadsOn(pool, true);
    proxy.stall();
    expect(await Promise.all([read(pool), read(pool), read(pool)])).toEqual([false, false, false]);
    proxy.resume();
    await untilReadsOn(pool, true);
    await pool.end();
  } finally {
    await proxy.stop();
  }
});

test('a standby that has fallen silent gets no queries any more, however far it may be behind', async () => {
  const proxy = await Proxy.start(standby);
  try {
    const pool = poolOf({}, { host: proxy.host, port: proxy.port, maxLagMillis: Infinity });
    expect(await read(pool)).toBe(false);
    await untilReadsOn(pool, true);
    proxy.stall();
    await until(async () => !(await read(pool)) && !pool.replicas[0].isUsed);
    proxy.resume();
    await untilReadsOn(pool, true);
  } finally {
    await proxy.stop();
  }
});

test('a standby that takes no further connections keeps those that it has', async () => {
  const proxy = await Proxy.start(standby);
  try {
    const pool = poolOf({}, { host: proxy.host, port: proxy.port, maxLagMillis: 400 });
    await untilReadsOn(pool, true);
    const mark = await new Promise((resolve) => {
      proxy.when({ direction: 'toServer', message: 'Q' }, resolve);
      const text = 'SELECT CASE WHEN pg_is_in_recovery() THEN pg_sleep(60) END';
      pool.query({ text, readOnly: true }).catch(() => {});
    });
    await proxy.refuse();
    for (const link of proxy.links) if (link !== mark) link.cut();
    await until(() => pool._replicas.all[0].question.unanswered > 2);
    expect(pool.replicas[0]).toMatchObject({ isUsed: false, fallbacks: 0 });
    await standby.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%sleep(60)%' AND pid <> pg_backend_pid()",
    );
    await until(() => pool.replicas[0].fallbacks === 1);
  } finally {
    await proxy.stop();
  }
});

test('the positions of the primary that are remembered are few', async () => {
  const pool = poolOf({}, { maxLagMillis: Infinity });
  const { question } = pool._replicas;
  const positions = Array.from({ length: 5000 }, (_, index) => BigInt(index >> 1));
  for (const [at, position] of positions.entries()) question.take(position, at);
  const replica = pool._replicas.all[0];
  replica.question.take(positions.at(-1), 0);
  expect(replica.freshAt).toBe(4999);
  expect(pool._replicas.written.length).toBeLessThan(300);
});

test('a breaker that is forced open stops the replicas, too, and changes of the pool reach them', async () => {
  const stopped = poolOf({ breaker: 'forced-open' });
  await expect(read(stopped)).rejects.toMatchObject({ code: 'CIRCUIT_OPEN' });
  stopped.configure({ breaker: 'off', adaptive: 'on' });
  await untilReadsOn(stopped, true);
  expect(stopped._replicas.all[0].pool.options.adaptive).toBe(true);
  stopped.configure({ breaker: 'forced-open' });
  await expect(read(stopped)).rejects.toMatchObject({ code: 'CIRCUIT_OPEN' });
  stopped.configure({ breaker: 'metrics' });
  await untilReadsOn(stopped, true);
});

test('a pool that nobody is led to any more keeps no idle connections to replicas', async () => {
  const pool = poolOf({ idleTimeoutMillis: 0 });
  await untilReadsOn(pool, true);
  const replica = pool._replicas.all[0].pool;
  expect(replica.idleCount).toBe(1);
  pool._abandon();
  await until(() => replica.totalCount === 0);
});

test('the end of the pool closes all its connections', async () => {
  const pool = poolOf();
  await untilReadsOn(pool, true);
  await pool.end();
  const text = "SELECT count(*)::int AS n FROM pg_stat_activity WHERE application_name = 'replica-test'";
  for (const server of [primary, standby])
    await until(async () => Number((await server.query(text)).rows[0].n) === 0);
  await expect(read(pool)).rejects.toThrow('after calling end');
});

test('an option that makes no sense is refused by name', () => {
  const problems = (replica) => {
    try {
      new Pool({ replica });
    } catch (error) {
      expect(error).toBeInstanceOf(ConfigurationError);
      return error.problems;
    }
    return [];
  };
  expect(problems({ host: 'r1', maxLag: 1, max: 0, maxLagMillis: 'soon' })).toEqual([
    'replica.maxLag is none of host, port, max, maxLagMillis',
    'replica.max must be a number of at least 1',
    'replica.maxLagMillis must be a number of at least 1',
  ]);
  expect(problems({ host: 'r1,r2', port: '1,2,3' })).toEqual([
    'replica.port: could not match 3 port numbers to 2 hosts',
  ]);
  expect(problems({ host: 'r1', port: 'often' })).toEqual([
    expect.stringContaining('replica.port: Port should be'),
  ]);
  expect(problems('r1')).toEqual(['replica must be an object']);
  expect(problems({})).toEqual(['replica.host must be a host, or several']);
});

test('DB_REPLICA_* give all tiers but admin their replicas', () => {
  const { tiers, shared } = readEnvironment({
    DB_HOST: 'db',
    DB_REPLICA_HOST: 'r1,r2',
    DB_REPLICA_PORT: '5433',
    DB_REPLICA_MAX_LAG: '1000',
  });
  const replica = expect.objectContaining({ host: 'r1,r2', maxLagMillis: 1000 });
  for (const tier of [tiers.highPriority, tiers.lowPriority, shared]) expect(tier.replica).toEqual(replica);
  expect(tiers.admin.replica).toBeUndefined();
  expect(readEnvironment({ DB_HOST: 'db' }).tiers.highPriority.replica).toBeUndefined();
});

test('while the standby dies, no query fails', async () => {
  const pool = poolOf();
  await untilReadsOn(pool, true);
  const failures = [];
  let isOver = false;
  const reading = async () => {
    while (!isOver) await read(pool).catch((error) => failures.push(error));
  };
  const readers = [reading(), reading(), reading()];
  await standby.stop('immediate');
  await untilReadsOn(pool, false);
  isOver = true;
  await Promise.all(readers);
  expect(failures).toEqual([]);
  await until(() => !pool.replicas[0].isUsed);
});
