'use strict';

// Transactions that write by way of postgres_fdw or dblink: the server gives them no transaction id, so a COMMIT
// whose answer is lost cannot be asked for, and nothing is concluded from that.

const { Pool, CommitOutcomeUnknownError } = require('../..');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase } = require('../support/server');

let database;
let direct;
let proxy;
let pool;
let available;
let runs;
let nextKey = 1;

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
  const { rows } = await direct.query(
    "SELECT count(*)::int AS n FROM pg_available_extensions WHERE name IN ('postgres_fdw', 'dblink')",
  );
  available = rows[0].n === 2;
  if (!available) return;
  const { host, port, user, password, database: name } = database.config();
  const literal = (value) =>
    direct.query('SELECT quote_literal($1) AS l', [String(value)]).then((r) => r.rows[0].l);
  const [quotedHost, quotedPort, quotedUser, quotedPassword] = await Promise.all(
    [host, port, user, password].map(literal),
  );
  await direct.query(`
    CREATE EXTENSION postgres_fdw;
    CREATE EXTENSION dblink;
    CREATE TABLE ledger (key int NOT NULL);
    CREATE SERVER itself FOREIGN DATA WRAPPER postgres_fdw
      OPTIONS (host ${quotedHost}, port ${quotedPort}, dbname '${name}');
    CREATE USER MAPPING FOR CURRENT_USER SERVER itself OPTIONS (user ${quotedUser}, password ${quotedPassword});
    CREATE FOREIGN TABLE far_ledger (key int NOT NULL) SERVER itself OPTIONS (table_name 'ledger')`);
});
afterAll(async () => {
  await direct.end();
  await database.drop();
});

beforeEach(async () => {
  const { host, port } = config();
  proxy = await Proxy.start({ host, port });
  pool = new Pool(database.config({ host: proxy.host, port: proxy.port }));
  runs = 0;
});
afterEach(async () => {
  await pool.end();
  await proxy.stop();
});

async function count(key) {
  const { rows } = await direct.query('SELECT count(*)::int AS count FROM ledger WHERE key = $1', [key]);
  return rows[0].count;
}

/** Runs `work` in a transaction that loses the answer to its first COMMIT. */
const losing = (work, options, nth = 2) =>
  pool.transaction(
    async (client) => {
      runs += 1;
      await work(client);
      // The answer to the question for the id, where one is asked, then that to COMMIT.
      if (runs === 1) proxy.cutOnMessage('toClient', 'C', { nth });
    },
    { retryDelay: 5, ...options },
  );

const failure = (promise) =>
  promise.then(
    () => undefined,
    (error) => error,
  );

const ways = [
  ['postgres_fdw', (key) => (client) => client.query('INSERT INTO far_ledger VALUES ($1)', [key])],
  [
    'dblink',
    (key) => (client) =>
      client.query("SELECT dblink_exec('itself', $1)", [`INSERT INTO ledger VALUES (${key})`]),
  ],
];

describe.each(ways)('a COMMIT whose answer is lost after a write by %s', (_, write) => {
  test('is unknown, and nothing is written twice', async () => {
    if (!available) return;
    const key = nextKey++;
    const error = await failure(losing(write(key)));
    expect(error).toBeInstanceOf(CommitOutcomeUnknownError);
    expect(error.transactionId).toBeUndefined();
    expect(error.cause.message).toBe('Connection terminated unexpectedly');
    expect([runs, await count(key)]).toEqual([1, 1]);
  });

  test('runs again where the caller says that this does no harm', async () => {
    if (!available) return;
    const key = nextKey++;
    await losing(write(key), { idempotent: true });
    expect([runs, await count(key)]).toEqual([2, 2]);
  });

  test('is settled by the id where the transaction has one, too', async () => {
    if (!available) return;
    const key = nextKey++;
    await losing(async (client) => {
      await write(key)(client);
      await client.query('INSERT INTO ledger VALUES ($1)', [-key]);
    });
    expect([runs, await count(key), await count(-key)]).toEqual([1, 1, 1]);
  });
});

test('a COMMIT whose answer is lost after reading is unknown, too', async () => {
  const error = await failure(losing((client) => client.query('SELECT 1')));
  expect(error).toBeInstanceOf(CommitOutcomeUnknownError);
  expect(runs).toBe(1);
});

test.each([
  [{ readOnly: true }, 1],
  [{ idempotent: true }, 2],
])('a COMMIT whose answer is lost after reading runs again with %j', async (options, nth) => {
  await losing((client) => client.query('SELECT 1'), options, nth);
  expect(runs).toBe(2);
});
