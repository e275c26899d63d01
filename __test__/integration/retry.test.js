'use strict';

// Retry against a real server behind a proxy that cuts: reads come back, writes are never doubled, and a
// pool that does not ask for retry behaves as pg's.

const { Pool, RetryBudgetError, metrics } = require('../..');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase, server } = require('../support/server');
const { until } = require('../support/until');

const embedded = server().embedded ? test : test.skip;
let database;
let proxy;
let pools = [];

beforeAll(async () => {
  database = await freshDatabase();
  const pool = new Pool(database.config());
  await pool.query('CREATE TABLE ledger (key int NOT NULL)');
  await pool.end();
});
afterAll(() => database.drop());

beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
});
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.ending || pool.end()));
  pools = [];
  await proxy.stop();
});

/** A pool through the proxy; its retries are gathered in `pool.retries`. */
function proxied(options) {
  const pool = new Pool(database.config({ host: proxy.host, port: proxy.port, retryDelay: 5, ...options }));
  pool.retries = [];
  pool.changes = [];
  pool.on('retry', (retry) => pool.retries.push(retry));
  pool.on('breaker', (change) => pool.changes.push(change));
  pools.push(pool);
  return pool;
}

const failedConnects = (pool) =>
  metrics().pools.find(({ id }) => id === pool._native?.metricsId)?.connectFailures ?? 0;

const count = async (pool, key) =>
  Number((await pool.query('SELECT count(*) FROM ledger WHERE key = $1', [key])).rows[0].count);

describe('a connection that is cut after the query was sent', () => {
  test('a write whose answer is lost fails, is there once and is not sent again', async () => {
    const pool = proxied({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    await expect(pool.query('INSERT INTO ledger VALUES ($1)', [1])).rejects.toThrow(
      'Connection terminated unexpectedly',
    );
    expect(pool.retries).toEqual([]);
    expect(await count(pool, 1)).toBe(1);
  });

  test('a write that never reached the server fails as well and is not sent again', async () => {
    const pool = proxied({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toServer', 'P');
    await expect(pool.query('INSERT INTO ledger VALUES ($1)', [2])).rejects.toThrow(
      'Connection terminated unexpectedly',
    );
    expect(pool.retries).toEqual([]);
    expect(await count(pool, 2)).toBe(0);
  });

  test('a SELECT is not taken for a read because of its first word', async () => {
    const pool = proxied({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    await expect(pool.query('SELECT 1 AS one')).rejects.toThrow('Connection terminated unexpectedly');
  });

  test.each([['idempotent'], ['readOnly']])('a query that is %s runs again', async (flag) => {
    const pool = proxied({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    const { rows } = await pool.query({ text: 'SELECT n FROM generate_series(1, 3) n', [flag]: true });
    expect(rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
    expect(pool.retries).toEqual([
      { tier: null, attempt: 1, of: 3, delay: expect.any(Number), code: 'ECONNRESET', phase: 'sent' },
    ]);
  });

  test('rows that came before the cut are not there twice', async () => {
    const pool = proxied({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    const text = 'SELECT n, repeat(md5(n::text), 30) AS text FROM generate_series(1, 3000) n';
    proxy.cutOnMessage('toClient', 'D', { nth: 2500 });
    const { rows } = await pool.query({ text, readOnly: true });
    expect(rows.map((row) => row.n)).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1));
    expect(pool.retries).toHaveLength(1);
  });
});

describe('what the server undid', () => {
  test('a serialization failure of a single statement runs again', async () => {
    const pool = proxied({ retryAttempts: 5, options: '-c default_transaction_isolation=serializable' });
    await pool.query('CREATE SEQUENCE tries');
    await pool.query(`CREATE FUNCTION flaky(code text, n int) RETURNS int LANGUAGE plpgsql AS $$
      BEGIN
        IF nextval('tries') % n <> 0 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = code; END IF;
        RETURN 7;
      END $$`);
    const { rows } = await pool.query('SELECT flaky($1, $2)', ['40001', 3]);
    expect(rows).toEqual([{ flaky: 7 }]);
    expect(pool.retries.map(({ attempt, of, code, phase }) => [attempt, of, code, phase])).toEqual([
      [1, 5, '40001', 'sent'],
      [2, 5, '40001', 'sent'],
    ]);
  });

  test('a deadlock is retried, a unique violation only where the caller lists it', async () => {
    const pool = proxied({ retryAttempts: 5 });
    expect((await pool.query('SELECT flaky($1, $2)', ['40P01', 2])).rows).toEqual([{ flaky: 7 }]);
    await pool.query("SELECT setval('tries', 10)");
    await expect(pool.query('SELECT flaky($1, $2)', ['23505', 2])).rejects.toMatchObject({ code: '23505' });
    const listed = { text: 'SELECT flaky($1, $2)', values: ['23505', 5], retryOn: ['23505'] };
    expect((await pool.query(listed)).rows).toEqual([{ flaky: 7 }]);
  });

  test('it is given up after the attempts', async () => {
    const pool = proxied({ retryAttempts: 2 });
    await expect(pool.query('SELECT flaky($1, $2)', ['40001', 1000000])).rejects.toMatchObject({
      code: '40001',
    });
    expect(pool.retries).toHaveLength(2);
  });

  test('a batch of which a part may have been committed is not run again', async () => {
    const pool = proxied({ retryAttempts: 3 });
    const text = "INSERT INTO ledger VALUES (10); COMMIT; SELECT flaky('40001', 1000000)";
    await expect(pool.query(text)).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toEqual([]);
    expect(await count(pool, 10)).toBe(1);
  });

  test('a procedure that may have committed by itself is not run again', async () => {
    const pool = proxied({ retryAttempts: 3 });
    await pool.query(`CREATE PROCEDURE halves() LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO ledger VALUES (11);
        COMMIT;
        PERFORM flaky('40001', 1000000);
      END $$`);
    await expect(pool.query('/* both */ CALL halves()')).rejects.toMatchObject({ code: '40001' });
    expect(await count(pool, 11)).toBe(1);
  });

  describe('by its code, which decides whether it runs again', () => {
    const RERUN = ['40001', '40P01'];
    const AMBIGUOUS = ['40003', '08007'];
    const ON_DEMAND = ['55P03', '55006', '23505', '23P01'];
    // Those that refuse or end a connection are final, too, where the connection is still there.
    const FINAL = `53000 53100 53200 58000 58030 53300 57P03 08001 08004 08006 57P01 57P02 57P05
      25006 57014 25P03 25P04 08P01 28P01 28000 3D000 42501 22012 23503 42601 XX000 P0001`.split(/\s+/);
    const ALL = [...RERUN, ...AMBIGUOUS, ...ON_DEMAND, ...FINAL];

    test.each([
      ['without a word of the caller', {}, RERUN],
      ['where it does no harm', { idempotent: true }, [...RERUN, ...AMBIGUOUS]],
      ['where the caller lists all codes', { retryOn: ALL }, [...RERUN, ...ON_DEMAND]],
    ])('%s', async (_, wish, expected) => {
      const pool = proxied({ retryAttempts: 1, max: 1 });
      const ran = [];
      for (const code of ALL) {
        await pool.query("SELECT setval('tries', 10)");
        const query = pool.query({ text: 'SELECT flaky($1, $2)', values: [code, 2], ...wish });
        await query.then(
          () => ran.push(code),
          (error) => expect(error.code).toBe(code),
        );
      }
      expect(ran).toEqual(expected);
      expect(pool.retries.map(({ code }) => code)).toEqual(expected);
    });
  });

  test('any other SQL error is final', async () => {
    const pool = proxied({ retryAttempts: 3 });
    await expect(pool.query('SELECT 1 / 0')).rejects.toMatchObject({ code: '22012' });
    expect(pool.retries).toEqual([]);
  });
});

describe('connecting', () => {
  test('goes on to the deadline, and the query succeeds when the server is back', async () => {
    const pool = proxied({ retryAttempts: 3, deadline: 60_000 });
    await proxy.refuse();
    const waiting = pool.query('SELECT 1 AS one');
    await until(() => failedConnects(pool) >= 6);
    await proxy.listen();
    expect((await waiting).rows).toEqual([{ one: 1 }]);
    // The pool tries again, not the request.
    expect(pool.retries).toEqual([]);
  });

  test('to a server that was never reached it ends when a loop of the attempts would', async () => {
    const pool = proxied({ retryAttempts: 2, retryDelay: 100, acquireTimeoutMillis: 600_000 });
    await proxy.refuse();
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    expect(failedConnects(pool)).toBeGreaterThan(1);
  });

  test('the time for waiting ends it whatever happens in between, and the error says why', async () => {
    const pool = proxied({ retryAttempts: 50, acquireTimeoutMillis: 300, connectionTimeoutMillis: 50 });
    await pool.query('SELECT 1');
    proxy.cut();
    proxy.stall('toClient');
    const began = Date.now();
    const error = await pool.query('SELECT 1').catch((reason) => reason);
    expect(error).toMatchObject({ code: 'ACQUIRE_TIMEOUT', cause: { code: 'ETIMEDOUT', port: proxy.port } });
    expect(error.message).toBe(
      `timeout exceeded when trying to connect: connect ETIMEDOUT ${proxy.host}:${proxy.port}`,
    );
    // Each connect that took too long began the wait anew: it was over after as many times 300 ms.
    expect(Date.now() - began).toBeLessThan(5000);
  });

  test('costs no retry budget', async () => {
    const pool = proxied({ max: 5, retryAttempts: 3, retryDelay: 1000 });
    await pool.query('SELECT 1');
    await proxy.refuse();
    proxy.cut();
    const waiting = Array.from({ length: 100 }, () =>
      pool.query({ text: 'SELECT 1 AS one', readOnly: true }),
    );
    await until(() => failedConnects(pool) > 3);
    await proxy.listen();
    await Promise.all(waiting);
    expect(pool.retries.filter(({ phase }) => phase !== 'unsent' && phase !== 'sent')).toEqual([]);
  });

  test('a checkout is retried like a query', async () => {
    const pool = proxied({ retryAttempts: 2, deadline: 60_000 });
    await proxy.refuse();
    const connecting = pool.connect();
    await until(() => failedConnects(pool) > 1);
    await proxy.listen();
    const client = await connecting;
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
    client.release();
  });

  test('a wrong password is not tried again', async () => {
    const pool = proxied({ retryAttempts: 2, user: 'nobody_of_that_name', password: 'x' });
    await expect(pool.query('SELECT 1')).rejects.toThrow();
    expect(pool.retries).toEqual([]);
  });

  embedded('a certificate that does not verify is not tried again', async () => {
    const pool = proxied({ retryAttempts: 2, deadline: 15_000, ssl: { rejectUnauthorized: true } });
    await expect(pool.query('SELECT 1')).rejects.toMatchObject({
      code: expect.stringMatching(/SELF_SIGNED|UNABLE_TO/),
    });
    expect(pool.retries).toEqual([]);
    expect(proxy.accepted).toBe(1);
  });

  test('a pool that ends settles who waits for the server', async () => {
    const pool = proxied({ retryAttempts: 3, retryDelay: 600_000 });
    await proxy.refuse();
    const refused = expect(pool.query('SELECT 1')).rejects.toMatchObject({
      message: 'Cannot use a pool after calling end on the pool',
      cause: { code: 'ECONNREFUSED', port: proxy.port },
    });
    await until(() => failedConnects(pool) > 0);
    await pool.end();
    await refused;
  });
});

test('the deadline covers the time a statement runs', async () => {
  const pool = proxied({});
  await pool.query('SELECT 1');
  await expect(pool.query({ text: 'SELECT pg_sleep(600)', deadline: 500 })).rejects.toThrow(
    'Query read timeout',
  );
  expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
});

describe('limits', () => {
  test('a spent budget fails with the first error and says so', async () => {
    const pool = proxied({ retryAttempts: 100, retryDelay: 1 });
    const failure = pool.query('SELECT flaky($1, $2)', ['40001', 1000000]);
    await expect(failure).rejects.toMatchObject({ code: '40001', cause: expect.any(RetryBudgetError) });
    // One per second over ten seconds, and a tenth of one request.
    expect(pool.retries).toHaveLength(10);
  });

  test('retry options that make no sense are refused', async () => {
    const pool = proxied({});
    await expect(pool.query({ text: 'SELECT 1', deadline: -1 })).rejects.toThrow(TypeError);
    await expect(pool.query({ text: 'SELECT 1', retryAttempts: 'often' })).rejects.toThrow(TypeError);
    await expect(pool.query({ text: 'SELECT 1', retryOn: '23505' })).rejects.toThrow(TypeError);
  });
});

describe('off', () => {
  test('a pool that does not ask for retry has none', async () => {
    const pool = proxied({});
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    await expect(pool.query({ text: 'SELECT 1 AS one', readOnly: true })).rejects.toThrow(
      'Connection terminated',
    );
    await expect(pool.query('SELECT flaky($1, $2)', ['40001', 1000000])).rejects.toMatchObject({
      code: '40001',
    });
    await proxy.refuse();
    proxy.cut();
    await expect(pool.query('SELECT 1')).rejects.toThrow();
    // But for what was never sent: that goes to another connection at once.
    expect(pool.retries.filter(({ phase }) => phase !== 'unsent')).toEqual([]);
  });

  test('a single query may ask for it', async () => {
    const pool = proxied({});
    const query = { text: 'SELECT flaky($1, $2)', values: ['40001', 2], retryAttempts: 4, retryDelay: 1 };
    expect((await pool.query(query)).rows).toEqual([{ flaky: 7 }]);
  });

  test('configure switches it off and on while the pool runs', async () => {
    const pool = proxied({ retryAttempts: 3 });
    const query = { text: 'SELECT flaky($1, $2)', values: ['40001', 1000000] };
    await pool.query('SELECT 1');
    pool.configure({ retry: 'off' });
    await expect(pool.query(query)).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toEqual([]);
    pool.configure({ retry: 'on' });
    await expect(pool.query(query)).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toHaveLength(3);
    expect(() => pool.configure({ retry: 'perhaps' })).toThrow(TypeError);
  });
});

// A listener wants to see the client of each query.
describe('a pool whose queries run on clients', () => {
  const watched = (options) => proxied(options).on('acquire', () => {});

  test('retries a read and never a write', async () => {
    const pool = watched({ retryAttempts: 3 });
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    expect((await pool.query({ text: 'SELECT 1 AS one', readOnly: true })).rows).toEqual([{ one: 1 }]);
    expect(pool.retries).toEqual([expect.objectContaining({ attempt: 1, of: 3, phase: 'sent' })]);
    proxy.cutOnMessage('toClient', 'C');
    await expect(pool.query('INSERT INTO ledger VALUES ($1)', [20])).rejects.toThrow(
      'Connection terminated unexpectedly',
    );
    expect(await count(pool, 20)).toBe(1);
  });

  test('retries what the server undid, unless a part may have stayed', async () => {
    const pool = watched({ retryAttempts: 3 });
    const conflict = { text: 'SELECT flaky($1, $2)', values: ['40001', 1000000] };
    await expect(pool.query(conflict)).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toHaveLength(3);
    const batch = "INSERT INTO ledger VALUES (21); COMMIT; SELECT flaky('40001', 1000000)";
    await expect(pool.query(batch)).rejects.toMatchObject({ code: '40001' });
    await expect(pool.query('CALL halves()')).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toHaveLength(3);
    expect(await count(pool, 21)).toBe(1);
  });

  test('retries nothing when it does not ask for it', async () => {
    const pool = watched({});
    await expect(pool.query('SELECT flaky($1, $2)', ['40001', 1000000])).rejects.toMatchObject({
      code: '40001',
    });
    expect(pool.retries).toEqual([]);
  });
});

test.each([
  ['waits for the server', { failFast: false }],
  ['fails fast', { failFast: true }],
])(
  'reads with a deadline outlive an outage and writes are never doubled, in a pool that %s',
  async (_, options) => {
    const pool = proxied({
      max: 5,
      enhanced: true,
      retryAttempts: 3,
      breaker: { failedConnects: 2, failingMillis: 0 },
      ...options,
    });
    const keys = Array.from({ length: 2000 }, (_, i) => 1000 + i);
    await pool.query('DELETE FROM ledger WHERE key >= 1000');
    const written = new Set();
    let running = true;
    let next = 0;
    let reads = 0;
    const reader = async () => {
      while (running) {
        const { rows } = await pool.query({
          text: 'SELECT $1::int AS n',
          values: [reads],
          readOnly: true,
          deadline: 60_000,
        });
        expect(rows).toHaveLength(1);
        reads += 1;
      }
    };
    const writer = async () => {
      while (running && next < keys.length) {
        const key = keys[next++];
        await pool.query('INSERT INTO ledger VALUES ($1)', [key]).then(
          () => written.add(key),
          () => undefined,
        );
      }
    };
    const workers = Promise.all([
      ...Array.from({ length: 10 }, reader),
      ...Array.from({ length: 5 }, writer),
    ]);
    const reached = (n) => until(() => reads >= n);
    await reached(50);
    await proxy.refuse();
    proxy.cut();
    const before = reads;
    await until(() => pool.changes.length > 0);
    await proxy.listen();
    await until(() => reads > before + 50);
    running = false;
    await workers;
    const { rows } = await pool.query({ text: 'SELECT key FROM ledger WHERE key >= 1000', readOnly: true });
    const there = rows.map(({ key }) => key);
    expect(new Set(there).size).toBe(there.length);
    expect([...written].filter((key) => !there.includes(key))).toEqual([]);
  },
);

test('a retry is logged once, without parameters or passwords', async () => {
  const lines = [];
  const pool = proxied({ retryAttempts: 3, log: (...message) => lines.push(message) });
  const secret = 'a secret of the caller';
  const query = { text: 'SELECT flaky($1, $2), $3::text', values: ['40001', 1000000, secret] };
  await expect(pool.query(query)).rejects.toMatchObject({ code: '40001' });
  const told = lines.filter(([line]) => line.startsWith('retry '));
  expect(told.map(([line]) => line.replace(/\d+ ms/, 'N ms'))).toEqual(
    [1, 2, 3].map((n) => `retry ${n} of 3 in N ms after 40001 while sent`),
  );
  expect(JSON.stringify([lines, pool.retries])).not.toContain(secret);
  expect(JSON.stringify([lines, pool.retries])).not.toContain(config().password);
});
