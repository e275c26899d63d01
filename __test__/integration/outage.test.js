'use strict';

// Outages of a real server under requests that a plain retry loop around pg would have saved: none of them fails, in the
// tiers, through executeQueryWithRetry, and in a pool that is given retries.

const { Pool, executeQueryWithRetry, metrics } = require('../..');
const { environmentTiers } = require('../../lib/config/environment');
const Tiers = require('../../lib/pool/tiers');
const { freePort } = require('../support/ports');
const { startPostgres } = require('../support/postgres');
const { Proxy } = require('../support/proxy');
const { until } = require('../support/until');

const READ = { text: 'SELECT $1::int AS n', readOnly: true };
// The breaker opens with the first connect that fails: what follows meets an open one.
const AT_ONCE = { DB_BREAKER_FAILED_CONNECTS: '1', DB_BREAKER_FAILING_TIME: '0' };

let server;
let proxy;
let opened = [];

/** The tier highPriority of a process with these variables. */
function tierOf({ host, port }, variables) {
  const { user, password, database } = server;
  const env = {
    DB_HOST: host,
    DB_PORT: String(port),
    DB_USER: user,
    DB_PASSWORD: password,
    DB_NAME: database,
    DB_SSL: 'off',
    ...variables,
  };
  const tiers = new Tiers(Pool, environmentTiers(env), `outage ${opened.length}`);
  opened.push(tiers);
  return tiers.getPool('highPriority');
}

/** A pool as an application makes it by hand. */
function poolOf({ host, port }) {
  const { user, password, database } = server;
  const times = { connectionTimeoutMillis: 2000, acquireTimeoutMillis: 30_000, retryDelay: 1000 };
  const pool = new Pool({
    host,
    port,
    user,
    password,
    database,
    max: 20,
    min: 5,
    retryAttempts: 3,
    ...times,
  });
  opened.push(pool);
  return pool;
}

const tierQuery = (pool) => (config) => pool.query(config);
const withRetry = (pool) => (config) =>
  executeQueryWithRetry(config, config.values, undefined, undefined, { pool });

const WAYS = [
  ['getPool().query', (place) => tierOf(place), tierQuery],
  ['getPool().query with an open breaker', (place) => tierOf(place, AT_ONCE), tierQuery],
  ['executeQueryWithRetry', (place) => tierOf(place), withRetry],
  ['a pool with retries', poolOf, tierQuery],
];

/** Shuts the server down, as `pg_ctl stop` does. */
async function stopped() {
  server.kill('SIGINT');
  await server.exited();
}

const told = (pool) => metrics().pools.find(({ id }) => id === pool._native.metricsId);
const failedConnects = (pool) => told(pool).connectFailures;

/** So many reads at once; resolves to their rows in order. */
const reads = (ask, count) =>
  Promise.all(Array.from({ length: count }, async (_, n) => (await ask({ ...READ, values: [n] })).rows[0].n));
const inOrder = (count) => Array.from({ length: count }, (_, n) => n);

beforeAll(async () => {
  server = await startPostgres({ settings: { max_connections: 60 } });
});
beforeEach(async () => {
  proxy = await Proxy.start(server);
});
afterEach(async () => {
  await Promise.all(opened.map((each) => each.end()));
  opened = [];
  await proxy.stop();
});
afterAll(() => server.stop('immediate'));

describe.each(WAYS)('%s', (_, open, way) => {
  let pool;
  let ask;

  async function at(place) {
    pool = open(place);
    ask = way(pool);
    await reads(ask, 5);
  }

  afterEach(() => expect(told(pool)).toMatchObject({ breakerRejected: 0, retriesDenied: 0 }));

  test('loses no request while connections are refused', async () => {
    await at(proxy);
    await proxy.refuse();
    proxy.cut();
    const early = reads(ask, 40);
    await until(() => failedConnects(pool) > 4 || told(pool).breaker === 'open');
    const late = reads(ask, 40);
    await proxy.listen();
    expect(await early).toEqual(inOrder(40));
    expect(await late).toEqual(inOrder(40));
  });

  test('loses no request while the server restarts', async () => {
    await at(server);
    await stopped();
    const waiting = reads(ask, 40);
    await until(() => failedConnects(pool) > 2 || told(pool).breaker === 'open');
    await server.start();
    expect(await waiting).toEqual(inOrder(40));
  });

  test('loses no request when the server is killed', async () => {
    await at(server);
    const running = reads(ask, 40);
    server.kill('SIGKILL');
    await server.exited();
    const waiting = reads(ask, 40);
    await server.start();
    expect(await running).toEqual(inOrder(40));
    expect(await waiting).toEqual(inOrder(40));
  });

  test('serves the first request after a restart that nobody saw', async () => {
    await at(server);
    await stopped();
    await until(() => pool.idleCount === 0, { what: 'the pool to notice' });
    await server.start();
    expect(await reads(ask, 1)).toEqual([0]);
  });

  test('loses no request in a burst whose connects are refused for a moment', async () => {
    await at(proxy);
    const client = await pool.connect();
    await proxy.refuse();
    const burst = reads(ask, 20);
    await until(() => failedConnects(pool) > 0 || pool.idleCount > 0);
    await proxy.listen();
    client.release();
    expect(await burst).toEqual(inOrder(20));
    expect(await reads(ask, 20)).toEqual(inOrder(20));
  });
});

describe('connections that are there', () => {
  let serial = 0;

  /** A role of its own, and the variables of a tier that logs in as it. */
  async function role(attributes = '') {
    const name = `outage_${(serial += 1)}`;
    await server.query(`CREATE ROLE ${name} LOGIN PASSWORD 'first' ${attributes}`);
    return { name, variables: { DB_USER: name, DB_PASSWORD: 'first' } };
  }

  test('serve everybody where the server is full', async () => {
    const { variables } = await role('CONNECTION LIMIT 3');
    const pool = tierOf(server, { ...variables, ...AT_ONCE });
    const changes = [];
    pool.on('breaker', (change) => changes.push(change));
    expect(await reads(tierQuery(pool), 200)).toEqual(inOrder(200));
    expect(told(pool).lastConnectError).toContain('53300');
    expect(pool.idleCount).toBeLessThanOrEqual(3);
    expect(changes).toEqual([]);
  });

  test('serve everybody after the password was changed', async () => {
    const { name, variables } = await role();
    const pool = tierOf(server, { ...variables, ...AT_ONCE, DB_HIGH_PRIORITY_MIN: '0' });
    const client = await pool.connect();
    await server.query(`ALTER ROLE ${name} PASSWORD 'second'`);
    const waiting = reads(tierQuery(pool), 40);
    await until(() => failedConnects(pool) > 1);
    client.release();
    expect(await waiting).toEqual(inOrder(40));
    expect(told(pool)).toMatchObject({ breaker: 'closed', breakerRejected: 0 });
  });

  test('serve on while no new connection can be made', async () => {
    const pool = tierOf(proxy, { ...AT_ONCE, DB_HIGH_PRIORITY_MIN: '0' });
    await reads(tierQuery(pool), 1);
    await proxy.refuse();
    for (let round = 0; round < 20; round++) expect(await reads(tierQuery(pool), 20)).toEqual(inOrder(20));
    expect(told(pool).breakerRejected).toBe(0);
  });
});

describe('a server that was never reached', () => {
  test('is told to the caller with its error when the retries are over, and measured at once', async () => {
    const port = await freePort();
    const pool = tierOf({ host: proxy.host, port }, { DB_RETRY_DELAY: '100' });
    const failure = pool.query('SELECT 1').catch((error) => error);
    await until(() => told(pool).lastConnectError !== null);
    expect(told(pool).lastConnectError).toBe(`connect ECONNREFUSED ${proxy.host}:${port}`);
    expect(await failure).toMatchObject({ code: 'ECONNREFUSED', port });
  });

  test('is waited for while it starts', async () => {
    await proxy.refuse();
    const pool = tierOf(proxy, { DB_RETRY_DELAY: '10000' });
    const waiting = reads(tierQuery(pool), 10);
    await until(() => failedConnects(pool) > 2);
    await proxy.listen();
    expect(await waiting).toEqual(inOrder(10));
  });
});
