'use strict';

// A real primary and a real streaming standby: which of them a pool uses, and what it does when the
// primary dies under writes and the standby is promoted.

const { CircuitOpenError, Pool, metrics } = require('../..');
const { closedPort } = require('../support/ports');
const { startPostgres } = require('../support/postgres');
const { until } = require('../support/until');

let primary;
let standby;
const pools = [];

const role = async (pool) => (await pool.query('SELECT pg_is_in_recovery() AS standby')).rows[0].standby;

function poolOf(options, servers = [primary, standby]) {
  const { user, password, database } = primary;
  const place = {
    host: servers.map(({ host }) => host).join(','),
    port: servers.map(({ port }) => port).join(','),
  };
  const pool = new Pool({ ...place, user, password, database, max: 4, ...options });
  pools.push(pool);
  return pool;
}

const metricsOf = (pool) => metrics().pools.find(({ id }) => id === pool._native.metricsId);

beforeAll(async () => {
  primary = await startPostgres();
  await primary.query('CREATE TABLE ledger (key int PRIMARY KEY)');
  standby = await startPostgres({ standbyOf: primary });
  await until(async () => (await standby.query("SELECT to_regclass('ledger') AS there")).rows[0].there, {
    what: 'the standby to catch up',
  });
});

afterEach(async () => {
  await Promise.all(pools.splice(0).map((pool) => pool.end()));
});

afterAll(async () => {
  await standby?.stop('immediate');
  await primary?.stop('immediate');
});

describe('of two hosts', () => {
  test.each([
    ['any', false],
    ['read-write', false],
    ['primary', false],
    ['read-only', true],
    ['standby', true],
    ['prefer-standby', true],
  ])('target_session_attrs=%s finds the one that suits', async (targetSessionAttrs, isStandby) => {
    expect(await role(poolOf({ targetSessionAttrs }))).toBe(isStandby);
    const swapped = poolOf({ targetSessionAttrs }, [standby, primary]);
    expect(await role(swapped)).toBe(targetSessionAttrs === 'any' ? true : isStandby);
  });

  test('a connection string names them', async () => {
    const { user, password, database, host } = primary;
    const hosts = `${host}:${standby.port},${host}:${primary.port}`;
    const pool = new Pool({
      connectionString: `postgres://${user}:${password}@${hosts}/${database}?target_session_attrs=read-write`,
    });
    pools.push(pool);
    expect(await role(pool)).toBe(false);
  });

  test('one that is away is passed over', async () => {
    const nobody = { host: primary.host, port: await closedPort() };
    expect(await role(poolOf({}, [nobody, primary]))).toBe(false);
  });

  test('prefer-standby takes the primary where there is no standby', async () => {
    const nobody = { host: primary.host, port: await closedPort() };
    expect(await role(poolOf({ targetSessionAttrs: 'prefer-standby' }, [nobody, primary]))).toBe(false);
  });

  test('load_balance_hosts=random uses both', async () => {
    const pool = poolOf({ loadBalanceHosts: 'random', maxUses: 1, max: 1 });
    const seen = new Set();
    await until(async () => seen.add(await role(pool)).size === 2, { what: 'both hosts to be used' });
  });

  test('none that suits is an error that names each', async () => {
    const pool = poolOf({ targetSessionAttrs: 'read-write' }, [standby]);
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({
      code: 'NO_SUITABLE_HOST',
      message: `${standby.host}:${standby.port}: session is read-only`,
    });
  });

  test('while the primary is barred, nobody waits for the standby to become one', async () => {
    const away = { host: primary.host, port: await closedPort() };
    const breaker = { failedConnects: 1, failingMillis: 0, firstProbeMillis: 600_000 };
    const pool = poolOf({ targetSessionAttrs: 'primary', breaker }, [away, standby]);
    await until(
      async () => (await pool.query('SELECT 1').catch((error) => error)) instanceof CircuitOpenError,
      { timeout: 30_000 },
    );
    const open = metricsOf(pool).breakers.map(({ state }) => state);
    expect(open).toEqual(['open', 'closed']);
  });

  test('while the primary is barred, the standby reads on where any server will do', async () => {
    const away = { host: primary.host, port: await closedPort() };
    const breaker = { failedConnects: 1, failingMillis: 0, firstProbeMillis: 600_000 };
    const pool = poolOf({ breaker }, [away, standby]);
    expect(await role(pool)).toBe(true);
    for (let i = 0; i < 3; i++) {
      await expect(pool.query('INSERT INTO ledger VALUES (-3)')).rejects.toMatchObject({ code: '25006' });
      expect(await role(pool)).toBe(true);
    }
  });

  test('a standby that is the only server there gives up its connections for the first write only', async () => {
    const away = { host: primary.host, port: await closedPort() };
    const pool = poolOf({ max: 3 }, [away, standby]);
    const write = () =>
      expect(pool.query('INSERT INTO ledger VALUES (-6)')).rejects.toMatchObject({ code: '25006' });
    await write();
    const client = await pool.connect();
    const { processID } = client;
    await write();
    client.release();
    const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
    expect(rows).toEqual([{ pid: processID }]);
  });

  test("unequal numbers of hosts and ports are refused in libpq's words", async () => {
    const pool = poolOf({ port: '1,2,3' });
    expect(() => pool.query('SELECT 1')).toThrow('could not match 3 port numbers to 2 hosts');
  });

  test('a standby that refused a write is left for the primary', async () => {
    const pool = poolOf({ max: 3 }, [standby, primary]);
    const clients = await Promise.all([pool.connect(), pool.connect(), pool.connect()]);
    for (const client of clients) client.release();
    expect(await role(pool)).toBe(true);
    await expect(pool.query('INSERT INTO ledger VALUES (-1)')).rejects.toMatchObject({ code: '25006' });
    expect(await role(pool)).toBe(false);
    await pool.query('INSERT INTO ledger VALUES (-1)');
  });

  test.each([
    ['a write', (pool, key) => pool.query('INSERT INTO ledger VALUES ($1)', [key])],
    [
      'a transaction',
      (pool, key) => pool.transaction((client) => client.query('INSERT INTO ledger VALUES ($1)', [key])),
    ],
  ])('%s that a standby refused runs on the primary where retries are on', async (what, write) => {
    const pool = poolOf({ retryAttempts: 3, retryDelay: 5 }, [standby, primary]);
    const retries = [];
    pool.on('retry', ({ code }) => retries.push(code));
    expect(await role(pool)).toBe(true);
    await write(pool, what === 'a write' ? -4 : -5);
    expect(retries).toEqual(['25006']);
    expect(await role(pool)).toBe(false);
  });

  test('a transaction that was to be read-only moves nobody', async () => {
    const pool = poolOf({ max: 1 });
    const pid = async () => (await pool.query('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const before = await pid();
    const client = await pool.connect();
    await client.query('BEGIN READ ONLY');
    await expect(client.query('INSERT INTO ledger VALUES (-2)')).rejects.toMatchObject({ code: '25006' });
    await client.query('ROLLBACK');
    client.release();
    expect(await pid()).toBe(before);
  });
});

test('the standby is promoted while writes run, and they flow again', async () => {
  const pool = poolOf({
    targetSessionAttrs: 'read-write',
    enhanced: true,
    min: 4,
    failFast: false,
    connectionTimeoutMillis: 2000,
    acquireTimeoutMillis: 30_000,
  });
  // Opens nothing by itself, and its breakers do not wait for the old primary.
  const breaker = { failedConnects: 1, failingMillis: 0, firstProbeMillis: 600_000 };
  const quiet = poolOf({ targetSessionAttrs: 'read-write', breaker });
  expect(await role(quiet)).toBe(false);
  // As pg's pool: without retries, and what it fails with it tells at once.
  const plain = poolOf({ targetSessionAttrs: 'read-write', connectionTimeoutMillis: 60_000 });
  expect(await role(plain)).toBe(false);
  const acknowledged = [];
  let next = 0;
  let running = true;
  const writer = async () => {
    while (running) {
      const key = next++;
      await pool.query('INSERT INTO ledger VALUES ($1)', [key]).then(
        () => acknowledged.push(key),
        () => {},
      );
    }
  };
  // Every acknowledged write has reached the standby.
  await primary.query("ALTER SYSTEM SET synchronous_standby_names = 'standby'");
  await primary.query('SELECT pg_reload_conf()');
  await until(
    async () => (await primary.query("SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'")).rowCount,
    {
      what: 'the standby to be synchronous',
    },
  );
  const writers = Array.from({ length: 8 }, writer);
  await until(() => acknowledged.length > 50, { what: 'writes to flow' });

  primary.kill('SIGKILL');
  await primary.exited();
  await until(async () => (await role(quiet).catch((error) => error)) instanceof CircuitOpenError, {
    timeout: 30_000,
  });
  await until(() => plain.totalCount === 0, { what: 'the plain pool to notice' });
  const waiting = role(plain);
  await until(() => metricsOf(plain).connectFailures > 2);
  await standby.query('SELECT pg_promote()');
  expect(await waiting).toBe(false);
  const before = acknowledged.length;
  const promoted = Date.now();
  await until(() => acknowledged.length > before + 50, { what: 'writes to flow again' });
  process.stderr.write(`writes flowed again ${Date.now() - promoted} ms after the promotion\n`);
  await until(() => pool.totalCount >= 4, { what: 'the pool to be back at its minimum' });
  running = false;
  await Promise.all(writers);
  const isBack = () =>
    role(quiet).then(
      (standby) => !standby,
      () => false,
    );
  await until(isBack, { timeout: 30_000, what: 'the quiet pool to find the new primary' });

  const { rows } = await standby.query('SELECT key FROM ledger WHERE key >= 0');
  const stored = new Set(rows.map(({ key }) => key));
  expect(acknowledged.filter((key) => !stored.has(key))).toEqual([]);
  expect(await role(pool)).toBe(false);
});
