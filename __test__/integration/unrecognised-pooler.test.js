'use strict';

// A pooler in transaction mode that looks like a server: its process ids are small, or it sends no key at all. It is a
// PgBouncer behind a proxy that rewrites the key.

const { Pool } = require('../..');
const { findPgBouncers, startPgBouncer } = require('../support/pgbouncer');
const { Proxy } = require('../support/proxy');
const { server, freshDatabase } = require('../support/server');

// An old one: a new one gives statements names of its own.
const program = findPgBouncers().find(({ version: [major, minor] }) => major === 1 && minor < 21);
const described = program ? describe : describe.skip;

const DISGUISES = {
  'with small process ids': (bytes) => bytes.writeUInt16BE(0, 5),
  // A parameter in its place.
  'without a key': (bytes) => bytes.write('Sxxxxa\0bcdef\0', 'latin1') && bytes.writeInt32BE(12, 1),
};

const TEXTS = Array.from({ length: 5 }, (_, index) => `SELECT $1::int + ${index} AS sum`);

described.each(Object.entries(DISGUISES))('behind a PgBouncer %s', (_, disguise) => {
  let database;
  let bouncer;
  let proxy;
  let pool;

  async function start(settings) {
    bouncer = await startPgBouncer(program, database.config(), settings);
    proxy = await Proxy.start(bouncer);
    proxy.when({ direction: 'toClient', message: 'K', times: Infinity }, (link, lane) =>
      lane.editNext(disguise),
    );
    const { host, port } = proxy;
    const { user } = server();
    pool = new Pool({
      host,
      port,
      user,
      database: database.database,
      max: 12,
      retryAttempts: 3,
      retryDelay: 1,
    });
  }

  beforeEach(async () => {
    database = await freshDatabase();
  });
  afterEach(async () => {
    await pool.end();
    await proxy.stop();
    await bouncer.stop();
    await database.drop();
  });

  const alone = (count) =>
    Promise.all(Array.from({ length: count }, (_, index) => pool.query(TEXTS[index % 5], [index])));

  const byHand = async (number) => {
    const client = await pool.connect();
    try {
      await client.query('BEGIN');
      for (const text of TEXTS) await client.query(text, [number]);
      const { rows } = await client.query(TEXTS[3], [number]);
      await client.query('COMMIT');
      return rows[0].sum;
    } finally {
      client.release();
    }
  };

  const numbers = Array.from({ length: 100 }, (_, index) => index);
  const sums = numbers.map((number) => number + 3);

  test('transactions succeed from the first on', async () => {
    await start();
    expect(await Promise.all(numbers.map(byHand))).toEqual(sums);
  });

  test('transactions succeed after queries with the same texts', async () => {
    await start();
    await alone(200);
    expect(await Promise.all(numbers.map(byHand))).toEqual(sums);
    await alone(200);
    const whole = (number) =>
      pool.transaction(async (client) => (await client.query(TEXTS[3], [number])).rows[0].sum);
    expect(await Promise.all(numbers.map(whole))).toEqual(sums);
  });

  test('statements that never come again do not pile up on its server', async () => {
    await start({ default_pool_size: 1 });
    const kept = async () => {
      const { rows } = await pool.query(
        "SELECT count(*)::int AS kept FROM pg_prepared_statements WHERE name LIKE 'pgpool%'",
      );
      return rows[0].kept;
    };
    const others = Array.from({ length: 2000 }, (_, index) => `SELECT $1::int + ${index} AS sum`);
    await Promise.all(others.map((text) => pool.query(text, [1])));
    // 64 names for each of 12 connections.
    expect(await kept()).toBeLessThanOrEqual(12 * 64);
  });
});
