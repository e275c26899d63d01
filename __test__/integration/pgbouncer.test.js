'use strict';

// Behind PgBouncer in transaction mode, where every transaction may meet another server session:
// prepared statements would fail there, so they are given up, and nothing fails.

const pg = require('pg');
const { Pool, metrics } = require('../..');
const { findPgBouncers, startPgBouncer } = require('../support/pgbouncer');
const { Proxy } = require('../support/proxy');
const { server, admin, freshDatabase } = require('../support/server');
const { takeNames } = require('../support/taken-names');
const { until } = require('../support/until');

const found = findPgBouncers();
const described = found.length > 0 ? describe.each(found) : describe.skip.each([{ name: 'none' }]);

/** Whether it hands named statements on to whichever server connection runs them. */
const keepsStatements = ({ version: [major, minor] }) => major > 1 || minor >= 21;

described('behind PgBouncer $name in transaction mode', (program) => {
  let database;
  let bouncer;
  let pool;

  beforeAll(async () => {
    database = await freshDatabase();
    bouncer = await startPgBouncer(program, database.config());
  });

  afterAll(async () => {
    await bouncer?.stop();
    await database?.drop();
  });

  const through = (options) => ({
    host: bouncer.host,
    port: bouncer.port,
    user: server().user,
    database: database.database,
    ...options,
  });

  beforeEach(() => {
    pool = new Pool(through({ max: 12 }));
  });

  afterEach(() => pool.end());

  /** The same texts on many connections. */
  const storm = async (asker) => {
    const texts = Array.from({ length: 20 }, (_, index) => `SELECT $1::int + ${index} AS sum`);
    const asked = Array.from({ length: 2000 }, (_, index) => index);
    const answers = await Promise.all(asked.map((index) => asker.query(texts[index % 20], [index])));
    expect(answers.map(({ rows }) => rows[0].sum)).toEqual(asked.map((index) => index + (index % 20)));
  };

  test('every query of a storm succeeds', () => storm(pool));

  test('settings of a transaction hold in it, whichever session serves it', async () => {
    const read = async (client) => (await client.query("SELECT current_setting('app.n') AS n")).rows[0].n;
    const asked = Array.from({ length: 200 }, (_, index) => index);
    const seen = await Promise.all(
      asked.map((index) => pool.transaction(read, { set: { 'app.n': index }, retries: 0 })),
    );
    expect(seen).toEqual(asked.map(String));
  });

  // A new one gives statements names of its own.
  if (!keepsStatements(program))
    test('every query of a storm succeeds where it looks like a server and our names are taken', async () => {
      const lone = await startPgBouncer(program, server(), { default_pool_size: 1 });
      const proxy = await Proxy.start(lone);
      // Process ids as a kernel hands them out.
      proxy.when({ direction: 'toClient', message: 'K', times: Infinity }, (link, lane) =>
        lane.editNext((bytes) => bytes.writeUInt16BE(0, 5)),
      );
      const { user, database } = server();
      const disguised = new Pool({
        host: proxy.host,
        port: proxy.port,
        user,
        database,
        max: 12,
        tier: 'disguised',
      });
      const retired = () => metrics().pools.find(({ name }) => name === 'disguised').closed.retired;
      try {
        const clients = await Promise.all(Array.from({ length: 12 }, () => disguised.connect()));
        await Promise.all(clients.map((client) => takeNames(client, 30)));
        for (const client of clients) client.release();
        await storm(disguised);
        const evicted = retired();
        expect(evicted).toBeGreaterThan(0);
        expect(evicted).toBeLessThanOrEqual(12);
        await storm(disguised);
        expect(retired()).toBe(evicted);
      } finally {
        await disguised.end();
        await proxy.stop();
        await lone.stop();
      }
    });

  test('transactions run the texts that were run outside of them', async () => {
    const texts = Array.from({ length: 5 }, (_, index) => `SELECT $1::int * ${index} AS product`);
    const transaction = async (factor) => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        for (const text of texts) await client.query(text, [factor]);
        const { rows } = await client.query(texts[3], [factor]);
        await client.query('COMMIT');
        return rows[0].product;
      } finally {
        client.release();
      }
    };
    const factors = Array.from({ length: 100 }, (_, index) => index);
    const alone = factors.map((factor) => pool.query(texts[factor % 5], [factor]));
    expect(await Promise.all(factors.map(transaction))).toEqual(factors.map((factor) => factor * 3));
    await Promise.all(alone);
  });

  test('transactions handed over as a whole commit', async () => {
    const work = (value) => async (client) =>
      (await client.query('SELECT $1::int AS kept', [value])).rows[0].kept;
    const values = Array.from({ length: 40 }, (_, index) => index);
    expect(await Promise.all(values.map((value) => pool.transaction(work(value))))).toEqual(values);
  });

  test('no statement of ours stays prepared on the server', async () => {
    await Promise.all(Array.from({ length: 50 }, (_, index) => pool.query('SELECT $1::int', [index])));
    const { rows } = await pool.query(
      "SELECT count(*)::int AS left FROM pg_prepared_statements WHERE name LIKE 'pgpool%'",
    );
    expect(rows[0].left).toBe(0);
  });

  test('statements that the application names fail in an old one as with pg, and work in a new one', async () => {
    const rivals = new pg.Pool(through({ max: 12 }));
    const codes = async (tested) => {
      const text = `SELECT $1::int AS ${tested === rivals ? 'theirs' : 'ours'}`;
      const ask = (value) =>
        tested.query({ name: text, text, values: [value] }).then(
          () => undefined,
          ({ code }) => code,
        );
      const ends = [];
      for (let round = 0; round < 5; round++)
        ends.push(...(await Promise.all(Array.from({ length: 40 }, (_, value) => ask(value)))));
      return [...new Set(ends)].sort();
    };
    try {
      const expected = await codes(rivals);
      if (keepsStatements(program)) expect(expected).toEqual([undefined]);
      else expect(expected).toContain('42P05');
      const got = await codes(pool);
      if (keepsStatements(program)) expect(got).toEqual([undefined]);
      for (const code of got) expect([undefined, '42P05', '26000']).toContain(code);
    } finally {
      await rivals.end();
    }
  });

  test('lost server connections are replaced, unseen by what may run again, and the pool goes on', async () => {
    const patient = new Pool(through({ max: 12, retryAttempts: 3, retryDelay: 1 }));
    const echo = (tested, value, wish) =>
      tested.query({ text: 'SELECT $1::int AS echo', values: [value], ...wish });
    const asked = Array.from({ length: 40 }, (_, index) => index);
    const echoes = async (tested, wish) =>
      (await Promise.all(asked.map((value) => echo(tested, value, wish)))).map(({ rows }) => rows[0].echo);
    try {
      await Promise.all(Array.from({ length: 12 }, () => patient.query('SELECT pg_sleep(0.05)')));
      // Only PgBouncer has connections to this database.
      const { rows } = await admin(
        'SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1',
        [database.database],
      );
      const pids = rows.map(({ pid }) => pid);
      expect(pids.length).toBeGreaterThan(0);
      // It may hand out a connection that dies, and each of them once.
      expect(await echoes(patient, { readOnly: true })).toEqual(asked);
      await until(
        async () =>
          (await admin('SELECT 1 FROM pg_stat_activity WHERE pid = ANY($1)', [pids])).rowCount === 0,
      );
      // By the time it answers this it has read the end of those that nobody asked.
      await echo(patient, 0, { readOnly: true });
      expect(await echoes(patient)).toEqual(asked);
      expect(await echoes(pool)).toEqual(asked);
    } finally {
      await patient.end();
    }
  });
});

describe('straight to the server', () => {
  test('statements are kept prepared', async () => {
    const { host, port, user, password, database } = server();
    const pool = new Pool({ host, port, user, password, database, max: 1 });
    try {
      for (const value of [1, 2, 3]) await pool.query('SELECT $1::int AS kept', [value]);
      const { rows } = await pool.query(
        "SELECT count(*)::int AS kept FROM pg_prepared_statements WHERE statement LIKE '%AS kept'",
      );
      expect(rows[0].kept).toBeGreaterThan(0);
    } finally {
      await pool.end();
    }
  });

  test('statements that the application threw away are prepared again', async () => {
    const { host, port, user, password, database } = server();
    const pool = new Pool({ host, port, user, password, database, max: 1 });
    try {
      for (const statement of [
        'DISCARD ALL',
        'DEALLOCATE ALL',
        "DO $$ BEGIN EXECUTE 'DEALLOCATE ALL'; END $$",
      ]) {
        await pool.query('SELECT $1::int AS kept', [1]);
        await pool.query(statement);
        const { rows } = await pool.query('SELECT $1::int AS kept', [2]);
        expect(rows).toEqual([{ kept: 2 }]);
      }
    } finally {
      await pool.end();
    }
  });
});
