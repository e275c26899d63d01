'use strict';

// What may have taken effect is never reported as if it had not: where an answer was lost, the error
// that comes out says so, whatever became of the attempts after it.

const { Pool, CircuitOpenError, CommitOutcomeUnknownError } = require('../..');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase } = require('../support/server');

let database;
let direct;
let proxy;
let pools = [];
let nextKey = 1;

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
  await direct.query('CREATE TABLE ledger (key int PRIMARY KEY)');
});
afterAll(async () => {
  await direct.end();
  await database.drop();
});

beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
});
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  pools = [];
  await proxy.stop();
});

function proxied(options) {
  const pool = new Pool(
    database.config({ host: proxy.host, port: proxy.port, retryAttempts: 1, retryDelay: 5, ...options }),
  );
  pools.push(pool);
  return pool;
}

const failure = (promise) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

const insert = (key) => ({ text: 'INSERT INTO ledger VALUES ($1)', values: [key], idempotent: true });

async function count(key) {
  const { rows } = await direct.query('SELECT count(*)::int AS n FROM ledger WHERE key = $1', [key]);
  return rows[0].n;
}

// Idempotent where nothing else is said.
describe.each([
  ['on a pool', proxied],
  ['on a client of a pool', (options) => proxied(options).on('acquire', () => {})],
])('a write whose answer was lost, %s', (_, open) => {
  /** The error of an insert that ran; `meanwhile` happens when its answer is lost. */
  const insertLosing = async (pool, key, meanwhile = () => {}) => {
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    const fired = new Promise((resolve) => proxy.once('fired', () => resolve(meanwhile())));
    const error = await failure(pool.query(insert(key)));
    await fired;
    return error;
  };

  test('is not reported as never sent when its second attempt is refused', async () => {
    const key = nextKey++;
    const error = await insertLosing(open(), key, () => proxy.refuse());
    expect(error).toMatchObject({ code: 'ECONNREFUSED', ambiguous: true });
    expect(error.message).toContain('(an earlier attempt may have taken effect)');
    expect(error.cause.message).toBe('Connection terminated unexpectedly');
    expect(await count(key)).toBe(1);
  });

  test('says so when its second attempt meets its own row', async () => {
    const key = nextKey++;
    const error = await insertLosing(open(), key);
    expect(error).toMatchObject({ code: '23505', constraint: 'ledger_pkey', ambiguous: true });
    expect(error.cause.message).toBe('Connection terminated unexpectedly');
  });

  test('says so when the breaker stops its second attempt', async () => {
    const key = nextKey++;
    const pool = open();
    const error = await insertLosing(pool, key, () => pool.configure({ breaker: 'forced-open' }));
    expect(error).toBeInstanceOf(CircuitOpenError);
    expect(error.ambiguous).toBe(true);
    expect(error.cause.message).toBe('Connection terminated unexpectedly');
    expect(await count(key)).toBe(1);
  });

  test('says so when the pool ends before its second attempt', async () => {
    const key = nextKey++;
    const pool = open({ retryDelay: 600_000 });
    const error = await insertLosing(pool, key, () =>
      new Promise((resolve) => pool.once('retry', resolve)).then(() => pool.end()),
    );
    pools = [];
    expect(error.ambiguous).toBe(true);
    expect(error.message).toBe('Connection terminated unexpectedly');
  });

  test('says so when it is lost again, with the first loss behind the second', async () => {
    const key = nextKey++;
    const error = await insertLosing(open(), key, () => proxy.cutOnMessage('toServer', 'P'));
    expect(error.ambiguous).toBe(true);
    let first = error;
    while (first.cause !== undefined) first = first.cause;
    expect(first).not.toBe(error);
    expect(await count(key)).toBe(1);
  });

  test('that does harm twice looks as under pg, and is marked', async () => {
    const pool = open();
    await pool.query('SELECT 1');
    proxy.cutOnMessage('toClient', 'C');
    const error = await failure(pool.query('INSERT INTO ledger VALUES ($1)', [nextKey++]));
    expect([error.message, error.ambiguous]).toEqual(['Connection terminated unexpectedly', true]);
    expect(Object.keys(error)).not.toContain('ambiguous');
  });

  test('is not marked when it was refused in the first place', async () => {
    await proxy.refuse();
    const error = await failure(open().query(insert(nextKey++)));
    expect(error.code).toBe('ECONNREFUSED');
    expect(error).not.toHaveProperty('ambiguous');
  });
});

test('a write of a plain pool whose answer was lost looks as under pg, and is marked', async () => {
  const pool = proxied({ retryAttempts: undefined });
  await pool.query('SELECT 1');
  proxy.cutOnMessage('toClient', 'C');
  const error = await failure(pool.query('INSERT INTO ledger VALUES ($1)', [nextKey++]));
  expect([error.message, error.ambiguous]).toEqual(['Connection terminated unexpectedly', true]);
  expect(Object.keys(error)).not.toContain('ambiguous');
});

test('an idempotent transaction whose COMMIT stays unknown is not reported as never sent', async () => {
  const pool = proxied();
  const refused = new Promise((resolve) => proxy.once('fired', () => resolve(proxy.refuse())));
  const error = await failure(
    pool.transaction(
      async (client) => {
        await client.query('SELECT 1');
        proxy.cutOnMessage('toClient', 'C', { nth: 2 });
      },
      { idempotent: true, retries: 1, retryDelay: 5 },
    ),
  );
  await refused;
  expect(error).toMatchObject({ code: 'ECONNREFUSED', ambiguous: true });
  expect(error.cause).toBeInstanceOf(CommitOutcomeUnknownError);
});
