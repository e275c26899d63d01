'use strict';

// Which single statements run again after a conflict (40001, 40P01): those whose error leaves nothing behind. What
// may have committed a part of its work, or cannot be judged, runs once. Each on a pool's own connections, and
// on clients, where a listener wants to see them.

const { Pool } = require('../..');
const { freshDatabase } = require('../support/server');
const { until } = require('../support/until');

let database;
let direct;
let pools = [];

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
  await direct.query('CREATE TABLE ledger (key int NOT NULL)');
  await direct.query('INSERT INTO ledger VALUES (1)');
  await direct.query('CREATE SEQUENCE runs');
  // The first run of each test fails.
  await direct.query(`CREATE FUNCTION flaky() RETURNS int LANGUAGE plpgsql AS $$
    BEGIN
      IF nextval('public.runs') = 1 THEN RAISE EXCEPTION 'conflict' USING ERRCODE = '40001'; END IF;
      RETURN 7;
    END $$`);
  await direct.query('CREATE VIEW view AS SELECT flaky()');
  await direct.query('CREATE MATERIALIZED VIEW kept AS SELECT flaky() WITH NO DATA');
  await direct.query('CREATE PROCEDURE call_flaky() LANGUAGE plpgsql AS $$ BEGIN PERFORM flaky(); END $$');
});
afterAll(async () => {
  await direct.end();
  await database.drop();
});
beforeEach(() => direct.query('ALTER SEQUENCE runs RESTART'));
afterEach(async () => {
  await Promise.all(pools.map((pool) => pool.end()));
  pools = [];
});

function retrying(options) {
  const pool = new Pool(database.config({ max: 1, retryAttempts: 3, retryDelay: 5, ...options }));
  pool.retries = [];
  pool.on('retry', (retry) => pool.retries.push(retry));
  pools.push(pool);
  return pool;
}

const onClients = () => retrying().on('acquire', () => {});

describe.each([
  ['on a pool', retrying],
  ['on a client of a pool', onClients],
])('%s', (_, open) => {
  test.each([
    'SELECT flaky()',
    '-- CALL p()\n /* DO /* ; */ */ ((SELECT flaky()))',
    'VALUES (flaky());',
    'TABLE view',
    "WITH x AS (SELECT flaky(), ';') SELECT * FROM x",
    'INSERT INTO ledger SELECT flaky()',
    'UPDATE ledger SET key = flaky()',
    'DELETE FROM ledger WHERE key = flaky()',
    'MERGE INTO ledger USING (SELECT flaky() AS key) s ON s.key = ledger.key WHEN NOT MATCHED THEN INSERT VALUES (7)',
  ])('runs again: %s', async (text) => {
    const pool = open();
    await pool.query(text);
    expect(pool.retries).toEqual([expect.objectContaining({ code: '40001', phase: 'sent' })]);
  });

  test.each([
    'CALL call_flaky()',
    'DO $$ BEGIN PERFORM flaky(); END $$',
    'EXPLAIN ANALYZE SELECT flaky()',
    'CREATE TABLE copy AS SELECT flaky()',
    'REFRESH MATERIALIZED VIEW kept',
    'ALTER TABLE ledger ADD CHECK (flaky() = 7)',
    'COPY (SELECT flaky()) TO STDOUT',
  ])('runs once: %s', async (text) => {
    const pool = open();
    await expect(pool.query(text)).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toEqual([]);
  });

  test.each(['EXECUTE known', 'EXPLAIN ANALYZE EXECUTE known'])('runs once: %s', async (text) => {
    const pool = open();
    await pool.query('PREPARE known AS SELECT flaky()');
    await expect(pool.query(text)).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toEqual([]);
  });

  test('runs once what is known by its name alone', async () => {
    const pool = open();
    await pool.query({ name: 'known', text: 'CALL call_flaky()' }).catch(() => {});
    await direct.query('ALTER SEQUENCE runs RESTART');
    await expect(pool.query({ name: 'known' })).rejects.toMatchObject({ code: '40001' });
    expect(pool.retries).toEqual([]);
  });
});

test('an index that is built concurrently and loses a deadlock is not reported as built', async () => {
  const pool = retrying({ options: '-c deadlock_timeout=100ms' });
  await direct.query('CREATE TABLE crowded (key int)');
  await direct.query('INSERT INTO crowded VALUES (1), (1)');
  const other = new Pool(database.config({ max: 1, options: '-c deadlock_timeout=10min' }));
  pools.push(other);
  const client = await other.connect();
  await client.query('BEGIN; INSERT INTO crowded VALUES (2)');
  const { rows } = await pool.query('SELECT pg_backend_pid() AS pid');
  const building = pool.query('CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS once ON crowded (key)');
  const failed = expect(building).rejects.toMatchObject({ code: '40P01' });
  // It waits for the transaction, and then the transaction for it.
  await until(async () => {
    const waits = await direct.query('SELECT cardinality(pg_blocking_pids($1)) AS n', [rows[0].pid]);
    return waits.rows[0].n > 0;
  });
  await client.query('LOCK TABLE crowded IN SHARE UPDATE EXCLUSIVE MODE');
  await client.query('ROLLBACK');
  client.release();
  await failed;
  expect(pool.retries).toEqual([]);
  const index = await direct.query("SELECT indisvalid FROM pg_index WHERE indexrelid = 'once'::regclass");
  expect(index.rows).toEqual([{ indisvalid: false }]);
});
