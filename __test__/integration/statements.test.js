'use strict';

// Prepared statements behind the caller's back: they must never be noticed but by their speed.

const { Client, Pool, metrics } = require('../..');
const { config, freshDatabase } = require('../support/server');
const { takeNames } = require('../support/taken-names');
const { until } = require('../support/until');

let database;
let pool;

beforeAll(async () => {
  database = await freshDatabase();
});

afterAll(() => database.drop());

beforeEach(() => {
  pool = new Pool(database.config({ max: 1 }));
});

afterEach(() => pool.end());

const onClient = async (work) => {
  const client = await pool.connect();
  try {
    return await work(client);
  } finally {
    client.release();
  }
};

test('a paged statement that fails at its very end leaves the next one its own answer', async () => {
  await pool.query('create table parent (id int primary key)');
  await pool.query('create table child (parent int references parent deferrable initially deferred)');
  const paged = { text: 'insert into child values ($1) returning parent', values: [1], rows: 10 };
  await expect(pool.query(paged)).rejects.toMatchObject({ code: '23503' });
  const answers = await Promise.all([1, 2, 3].map((n) => pool.query('select $1::int as n', [n])));
  expect(answers.map(({ rows }) => rows[0].n)).toEqual([1, 2, 3]);
});

test('a COPY that nobody feeds, fetched in pages, fails and leaves the connection in step', async () => {
  await pool.query('create table fed (n int)');
  await expect(pool.query({ text: 'copy fed from stdin', rows: 10 })).rejects.toThrow(
    'No source stream defined',
  );
  expect((await pool.query('select $1::int as n', [7])).rows).toEqual([{ n: 7 }]);
});

test('a procedure that raises the error of a stale plan is not run twice', async () => {
  await pool.query('create table ledger (n int)');
  await pool.query(`create procedure book(n int) language plpgsql as $$
    begin
      insert into ledger values (n);
      commit;
      raise exception 'not stale at all' using errcode = '0A000';
    end $$`);
  await pool.query('create procedure warm(n int) language plpgsql as $$ begin end $$');
  for (let n = 0; n < 3; n++) {
    await expect(pool.query('call book($1)', [n])).rejects.toMatchObject({ code: '0A000' });
  }
  expect((await pool.query('select n from ledger order by n')).rows).toEqual([{ n: 0 }, { n: 1 }, { n: 2 }]);
});

test('a statement made stale by a migration fails one transaction at most', async () => {
  await pool.query('create table migrated (a int)');
  await pool.query('insert into migrated values (1)');
  const read = (client) => client.query('select a from migrated where a = $1', [1]);
  await onClient(async (client) => {
    // Found in three later transactions it is trusted in one.
    for (let run = 0; run < 4; run++) await read(client);
    // By another session, of which this one is not told.
    const other = new Pool(database.config({ max: 1 }));
    await other.query('alter table migrated alter a type bigint');
    await other.end();
    await client.query('begin');
    await expect(read(client)).rejects.toMatchObject({ code: '0A000' });
    await client.query('rollback');
    await client.query('begin');
    expect((await read(client)).rows).toEqual([{ a: '1' }]);
    await client.query('commit');
  });
});

test('a stale statement outside a transaction is prepared again unnoticed', async () => {
  await pool.query('create table healed (a int)');
  await pool.query('insert into healed values (1)');
  const read = () => pool.query('select * from healed where a = $1', [1]);
  await read();
  await pool.query('alter table healed add b int');
  expect((await read()).rows).toEqual([{ a: 1, b: null }]);
  await pool.query('deallocate all');
  expect((await read()).rows).toEqual([{ a: 1, b: null }]);
});

test('a named statement made stale is prepared again under its name', async () => {
  await pool.query('create table named (a int)');
  const read = () => pool.query({ name: 'read named', text: 'select * from named where $1', values: [true] });
  await read();
  await pool.query('alter table named add b int');
  for (let n = 0; n < 3; n++) expect((await read()).fields.map(({ name }) => name)).toEqual(['a', 'b']);
});

test.each(['constructor', '__proto__', 'toString'])('a named statement may be called %s', async (name) => {
  const client = new Client(config());
  await client.connect();
  try {
    for (const value of ['a', 'b']) {
      const { rows } = await client.query({ name, text: 'SELECT $1::text AS a', values: [value] });
      expect(rows).toEqual([{ a: value }]);
    }
  } finally {
    await client.end();
  }
});

test('a named statement may be read as text and in binary', async () => {
  const config = { name: 'both', text: 'select 825373492 as n, $1::text as t', values: ['x'] };
  expect((await pool.query(config)).rows).toEqual([{ n: 825373492, t: 'x' }]);
  expect((await pool.query({ ...config, binary: true })).rows).toEqual([{ n: 825373492, t: 'x' }]);
  expect((await pool.query(config)).rows).toEqual([{ n: 825373492, t: 'x' }]);
});

test('names that are too long are warned of once, as far as they are remembered', async () => {
  const told = jest.spyOn(console, 'error').mockImplementation(() => {});
  const client = new Client(config());
  await client.connect();
  const named = (number) => client.query({ name: `${number}-${'x'.repeat(70)}`, text: 'SELECT 1' });
  const warned = () => told.mock.calls.filter(([line]) => line.startsWith('Warning!')).length;
  for (let number = 0; number < 120; number++) await named(number);
  await named(119);
  expect(warned()).toBe(120);
  // The oldest are forgotten.
  await named(0);
  expect(warned()).toBe(121);
  told.mockRestore();
  await client.end();
});

test('a statement with a long list of values is not kept on the server', async () => {
  const values = Array.from({ length: 500 }, (_, index) => index);
  const list = values.map((_, index) => `($${index + 1}::int)`).join(',');
  await pool.query(`select * from (values ${list}) as list`, values);
  await pool.query('select $1::int', [1]);
  const kept = await pool.query('select statement from pg_prepared_statements');
  expect(kept.rows).toEqual([{ statement: 'select $1::int' }]);
});

test('a notification in an encoding of its own does not cost the connection', async () => {
  await onClient(async (client) => {
    const heard = [];
    client.on('notification', ({ payload }) => heard.push(payload));
    await client.query('listen channel');
    await client.query("set client_encoding to 'LATIN1'");
    await client.query("select pg_notify('channel', chr(228))");
    await client.query("set client_encoding to 'UTF8'");
    await client.query("select pg_notify('channel', 'ä')");
    await until(() => heard.length === 2);
    expect(heard[1]).toBe('ä');
  });
});

test('a client that was given back can still be ended', async () => {
  const client = await pool.connect();
  client.release();
  await client.end();
  expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
});

describe('a name of ours that is taken', () => {
  let next = 0;

  const open = (options) => {
    const tier = `taken-${next++}`;
    const opened = new Pool({ ...config({ database: database.name }), tier, ...options });
    return Object.assign(opened, {
      retired: () => metrics().pools.find(({ name }) => name === tier).closed.retired,
    });
  };

  const using = async (options, work) => {
    const opened = open(options);
    try {
      await work(opened);
    } finally {
      await opened.end();
    }
  };

  const kept = async (asked) =>
    (await asked.query("select name from pg_prepared_statements where name like 'pgpool%'")).rowCount;

  test('costs its connection and not the query, and nothing is prepared on that server any more', () =>
    using({ max: 1 }, async (taken) => {
      await takeNames(taken, 1);
      const { rows } = await taken.query('select $1::int as answer', [42]);
      expect(rows).toEqual([{ answer: 42 }]);
      expect([taken.totalCount, taken.retired()]).toEqual([0, 1]);
      await taken.query('select $1::int as answer', [43]);
      expect([taken.totalCount, taken.retired(), await kept(taken)]).toEqual([1, 1, 0]);
    }));

  test('costs a lent client its connection when it comes back', () =>
    using({ max: 1 }, async (taken) => {
      const client = await taken.connect();
      await takeNames(client, 1);
      for (const answer of [1, 2])
        expect((await client.query('select $1::int as answer', [answer])).rows).toEqual([{ answer }]);
      expect((await client.query('select pg_backend_pid() as pid')).rows).toEqual([
        { pid: client.processID },
      ]);
      expect([taken.totalCount, taken.retired()]).toEqual([1, 0]);
      client.release();
      expect([taken.totalCount, taken.retired()]).toEqual([0, 1]);
    }));

  test('fails the transaction it is met in, as any error does, and no other', () =>
    using({ max: 1 }, async (taken) => {
      const client = await taken.connect();
      for (let run = 0; run < 4; run++) await client.query('select $1::int as proof', [run]);
      await takeNames(client, 1);
      const transaction = async () => {
        await client.query('begin');
        return client.query('select $1::int as answer', [1]).finally(() => client.query('rollback'));
      };
      await expect(transaction()).rejects.toMatchObject({
        code: '42P05',
        message: 'prepared statement "" already exists',
      });
      expect((await transaction()).rows).toEqual([{ answer: 1 }]);
      client.release();
      expect([taken.totalCount, taken.retired()]).toEqual([0, 1]);
    }));

  test('fails a statement with others behind it in a pipeline, and none of those', () =>
    using({ max: 1, pipeline: true }, async (taken) => {
      const client = await taken.connect();
      await takeNames(client, 1);
      // Until all are sent, the server is busy with what is before them.
      await pool.query('select pg_advisory_lock(42)');
      const held = client.query('select pg_advisory_lock(42)');
      const batch = Promise.allSettled(
        ['a', 'b', 'a', 'c'].map((name) => client.query(`select $1::int as ${name}`, [1])),
      );
      await pool.query('select pg_advisory_unlock(42)');
      await held;
      const ends = await batch;
      expect(ends.map(({ reason, value }) => reason?.code ?? value.rows)).toEqual([
        '42P05',
        [{ b: 1 }],
        [{ a: 1 }],
        [{ c: 1 }],
      ]);
      expect(taken.retired()).toBe(0);
      client.release();
      expect([taken.totalCount, taken.retired()]).toEqual([0, 1]);
    }));

  test('is not counted on by other connections to that server, whatever they have prepared', () =>
    using({ max: 2 }, async (taken) => {
      const [first, second] = await Promise.all([taken.connect(), taken.connect()]);
      const ask = () => second.query('select $1::int as answer', [1]);
      await ask();
      await takeNames(first, 1);
      await first.query('select $1::int as other', [1]);
      // Gone unnoticed: whoever counted on it would fail the transaction.
      await second.query("do $$ begin execute 'deallocate all'; end $$");
      await second.query('begin');
      expect((await ask()).rows).toEqual([{ answer: 1 }]);
      await second.query('commit');
      for (const client of [first, second]) client.release();
      expect([taken.totalCount, taken.retired()]).toEqual([1, 1]);
    }));

  test('costs each connection at most once, and a storm nothing', () =>
    using({ max: 8 }, async (taken) => {
      const clients = await Promise.all(Array.from({ length: 8 }, () => taken.connect()));
      await Promise.all(clients.map((client) => takeNames(client, 30)));
      for (const client of clients) client.release();
      const storm = async () => {
        const asked = Array.from({ length: 400 }, (_, index) => index);
        const answers = await Promise.all(
          asked.map((index) => taken.query(`select $1::int + ${index % 20} as sum`, [index])),
        );
        expect(answers.map(({ rows }) => rows[0].sum)).toEqual(asked.map((index) => index + (index % 20)));
        return taken.retired();
      };
      const retired = await storm();
      expect(retired).toBeGreaterThan(0);
      expect(retired).toBeLessThanOrEqual(8);
      expect(await storm()).toBe(retired);
    }));

  test("is the application's own affair where it gave the name", () =>
    using({ max: 1 }, async (taken) => {
      await taken.query('prepare own as select 0');
      const { rows } = await taken.query('select pg_backend_pid() as pid');
      const named = { name: 'own', text: 'select $1::int as answer', values: [1] };
      await expect(taken.query(named)).rejects.toMatchObject({
        code: '42P05',
        message: 'prepared statement "own" already exists',
      });
      expect((await taken.query('select pg_backend_pid() as pid')).rows).toEqual(rows);
      await taken.query('select $1::int as answer', [1]);
      expect([taken.retired(), await kept(taken)]).toEqual([0, 1]);
    }));
});
