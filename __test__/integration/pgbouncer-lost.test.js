'use strict';

// PgBouncer says with one code (08P01) that it has lost the server, or has none to give. A proxy between it and the
// server cuts and refuses.

const { Pool, metrics } = require('../..');
const { findPgBouncers, startPgBouncer } = require('../support/pgbouncer');
const { Proxy } = require('../support/proxy');
const { server, freshDatabase } = require('../support/server');
const { until } = require('../support/until');

const found = findPgBouncers();
const described = found.length > 0 ? describe.each(found) : describe.skip.each([{ name: 'none' }]);

described('PgBouncer $name that loses its server', (program) => {
  let database;
  let direct;
  let proxy;
  let bouncer;
  let pools = [];
  let nextKey = 1;

  beforeAll(async () => {
    database = await freshDatabase();
    direct = new Pool(database.config());
    await direct.query('CREATE TABLE ledger (key int NOT NULL)');
  });
  afterAll(async () => {
    await direct.end();
    await database.drop();
  });

  beforeEach(async () => {
    proxy = await Proxy.start({ host: server().host, port: server().port });
    bouncer = await startPgBouncer(
      program,
      { ...database.config(), host: proxy.host, port: proxy.port },
      {
        server_login_retry: 0.2,
        query_wait_timeout: 1,
        server_connect_timeout: 1,
        server_tls_sslmode: 'disable',
      },
    );
  });
  afterEach(async () => {
    await Promise.all(pools.map((pool) => pool.end()));
    pools = [];
    await bouncer.stop();
    await proxy.stop();
  });

  const opened = (options) => {
    const { host, port } = bouncer;
    const { user } = server();
    const pool = new Pool({ host, port, user, database: database.database, retryDelay: 5, ...options });
    pool.retries = [];
    pool.on('retry', (retry) => pool.retries.push(retry));
    pools.push(pool);
    return pool;
  };

  const count = async (key) =>
    (await direct.query('SELECT count(*)::int AS n FROM ledger WHERE key = $1', [key])).rows[0].n;

  test('costs a read that may run again nothing', async () => {
    const pool = opened({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'D');
    const { rows } = await pool.query({ text: 'SELECT $1::int AS n', values: [7], readOnly: true });
    expect(rows).toEqual([{ n: 7 }]);
    expect(pool.retries).toEqual([expect.objectContaining({ code: '08P01', phase: 'sent' })]);
  });

  test('costs an idempotent write nothing, and another one is told that it may have run', async () => {
    const pool = opened({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    const key = nextKey++;
    const insert = { text: 'INSERT INTO ledger VALUES ($1)', values: [key] };
    proxy.cutOnMessage('toClient', 'C');
    await pool.query({ ...insert, idempotent: true });
    expect(await count(key)).toBe(2);
    proxy.cutOnMessage('toClient', 'C');
    await expect(pool.query(insert)).rejects.toMatchObject({ code: '08P01', ambiguous: true });
  });

  test('costs a transaction that had not come to its COMMIT nothing', async () => {
    const pool = opened();
    const key = nextKey++;
    let runs = 0;
    await pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES ($1)', [key]);
      if (runs === 1) proxy.cut();
      await client.query('SELECT 1');
    });
    expect([runs, await count(key)]).toEqual([2, 1]);
  });

  test('is asked for a lost COMMIT until the server is back', async () => {
    const pool = opened();
    const key = nextKey++;
    let runs = 0;
    let refusals = 0;
    const fired = new Promise((resolve) =>
      proxy.once('fired', () => {
        proxy.cut();
        resolve(proxy.refuse());
      }),
    );
    const committed = pool.transaction(async (client) => {
      runs += 1;
      await client.query('INSERT INTO ledger VALUES ($1)', [key]);
      proxy.cutOnMessage('toClient', 'C', { nth: 2 });
      return 'kept';
    });
    let over = false;
    committed.catch(() => {}).finally(() => (over = true));
    await fired;
    // As others see it, PgBouncer has no server.
    const other = opened({ max: 1 });
    await until(async () => {
      await other.query('SELECT 1').catch(({ code }) => (refusals += code === '08P01' ? 1 : 0));
      return refusals >= 3 || over;
    });
    expect(over).toBe(false);
    await proxy.listen();
    await expect(committed).resolves.toBe('kept');
    expect([runs, await count(key)]).toEqual([1, 1]);
  });

  test('is left for another one while connecting', async () => {
    await proxy.refuse();
    proxy.cut();
    const straight = server();
    const pool = opened({
      host: [bouncer.host, straight.host],
      port: [bouncer.port, straight.port],
      password: straight.password,
    });
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('is connected to again when the server is back', async () => {
    await proxy.refuse();
    proxy.cut();
    const pool = opened({ retryAttempts: 1000, deadline: 30_000 });
    const asked = pool.query({ text: 'SELECT 1 AS one' });
    const failedConnect = () =>
      metrics().pools.find(({ id }) => id === pool._native.metricsId).lastConnectError;
    await until(() => failedConnect() !== null, { what: 'PgBouncer to refuse a connect' });
    await proxy.listen();
    expect((await asked).rows).toEqual([{ one: 1 }]);
  });

  test('refuses a startup parameter that it does not know, once and for all', async () => {
    const pool = opened({ retryAttempts: 3, options: '-c geqo=off' });
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({
      code: '08P01',
      message: expect.stringContaining('unsupported startup parameter'),
    });
    expect(pool.retries).toEqual([]);
  });
});
