'use strict';

// `stream`: rows as an async iterable in pages; and `maxResultBytes`.

const { Pool } = require('../..');
const { bulk } = require('../support/bulk-run');
const { config } = require('../support/server');

const SERIES = 'SELECT g AS a FROM generate_series(1, $1::int) g';
const GROWTH_LIMIT = 150 * 1024 * 1024;

let pool;

beforeEach(() => {
  pool = new Pool(config({ max: 1 }));
});

afterEach(() => pool.end());

async function collect(rows) {
  const all = [];
  for await (const row of rows) all.push(row.a);
  return all;
}

const upTo = (count) => Array.from({ length: count }, (_, i) => i + 1);

describe('a stream', () => {
  test.each([0, 1, 9, 10, 11, 100])('of %i rows in pages of ten', async (count) => {
    expect(await collect(pool.stream(SERIES, [count], { batchSize: 10 }))).toEqual(upTo(count));
    expect(pool.idleCount).toBe(1);
  });

  test('takes no connection before it is read', async () => {
    const rows = pool.stream(SERIES, [3]);
    expect(pool.totalCount).toBe(0);
    expect(await collect(rows)).toEqual([1, 2, 3]);
  });

  test('answers several calls of next in order', async () => {
    const rows = pool.stream(SERIES, [5], { batchSize: 2 });
    const answers = await Promise.all(Array.from({ length: 7 }, () => rows.next()));
    expect(answers.map(({ value, done }) => (done ? 'end' : value.a))).toEqual([1, 2, 3, 4, 5, 'end', 'end']);
  });

  test('that is left early gives its connection back', async () => {
    for await (const row of pool.stream(SERIES, [1_000_000], { batchSize: 10 })) {
      if (row.a === 15) break;
    }
    expect(pool.idleCount).toBe(1);
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('that is left before it began does nothing', async () => {
    const rows = pool.stream(SERIES, [3]);
    await rows.return();
    expect(await rows.next()).toEqual({ value: undefined, done: true });
    expect(pool.totalCount).toBe(0);
  });

  test('fails with the error of the server, and the connection stays', async () => {
    const rows = pool.stream('SELECT 1 / (25 - g) AS a FROM generate_series(1, 100) g', [], {
      batchSize: 10,
    });
    await expect(collect(rows)).rejects.toMatchObject({ code: '22012' });
    expect([pool.idleCount, pool.totalCount]).toEqual([1, 1]);
    await expect(collect(pool.stream('SELECT nonsense'))).rejects.toMatchObject({ code: '42703' });
  });

  test('fails with the exception of a type parser', async () => {
    const types = {
      getTypeParser: () => () => {
        throw new Error('cannot read that');
      },
    };
    await expect(
      collect(pool.stream({ text: SERIES, values: [100], types }, undefined, { batchSize: 10 })),
    ).rejects.toThrow('cannot read that');
    expect(pool.idleCount).toBe(1);
  });

  test('ends with the reason of its signal', async () => {
    const controller = new AbortController();
    const reason = new Error('enough');
    const seen = [];
    const reading = (async () => {
      for await (const row of pool.stream(SERIES, [1_000_000], {
        batchSize: 10,
        signal: controller.signal,
      })) {
        seen.push(row.a);
        if (row.a === 15) controller.abort(reason);
      }
    })();
    await expect(reading).rejects.toBe(reason);
    expect(seen).toEqual(upTo(15));
    expect((await pool.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }]);
  });

  test('runs inside the transaction of a client', async () => {
    const client = await pool.connect();
    await client.query('BEGIN');
    await client.query(
      'CREATE TEMP TABLE seen ON COMMIT DROP AS SELECT g AS a FROM generate_series(1, 30) g',
    );
    expect(await collect(client.stream('SELECT a FROM seen ORDER BY a', [], { batchSize: 7 }))).toEqual(
      upTo(30),
    );
    for await (const row of client.stream('SELECT a FROM seen ORDER BY a', [], { batchSize: 7 }))
      if (row.a === 9) break;
    expect(client.getTransactionStatus()).toBe('T');
    await client.query('COMMIT');
    client.release();
  });

  test('whose connection is lost fails', async () => {
    const rows = pool.stream(`SELECT pg_backend_pid() AS pid, g AS a FROM generate_series(1, 100000) g`, [], {
      batchSize: 10,
    });
    const { value } = await rows.next();
    const other = new Pool(config());
    await other.query('SELECT pg_terminate_backend($1)', [value.pid]);
    await other.end();
    await expect(collect(rows)).rejects.toThrow(/terminat/);
  });

  test('refuses a batch size that is none', () => {
    expect(() => pool.stream(SERIES, [1], { batchSize: 0 })).toThrow('batchSize must be a positive integer');
  });

  test('of a million rows needs little memory', async () => {
    const { rows, sum, growth } = await bulk('stream', 1_000_000);
    expect([rows, sum]).toEqual([1_000_000, 499_999_500_000]);
    expect(growth).toBeLessThan(GROWTH_LIMIT);
  });
});

describe('maxResultBytes', () => {
  const LARGE = "SELECT repeat('x', 1000) AS a FROM generate_series(1, 1000)";
  const refusal = {
    code: 'RESULT_TOO_LARGE',
    message: 'the result is larger than maxResultBytes (5000 bytes)',
  };

  test('fails a query, and its connection goes on', async () => {
    await expect(pool.query({ text: LARGE, maxResultBytes: 5000 })).rejects.toMatchObject(refusal);
    expect((await pool.query({ text: 'SELECT 1 AS one', maxResultBytes: 5000 })).rows).toEqual([{ one: 1 }]);
    expect(pool.totalCount).toBe(1);
  });

  test('of a pool holds for all its queries, unless they say otherwise', async () => {
    const limited = new Pool(config({ max: 1, maxResultBytes: 5000 }));
    await expect(limited.query(LARGE)).rejects.toMatchObject(refusal);
    const client = await limited.connect();
    await expect(client.query(LARGE)).rejects.toMatchObject(refusal);
    expect((await client.query({ text: LARGE, maxResultBytes: 5_000_000 })).rowCount).toBe(1000);
    client.release();
    expect(await collect(limited.stream(LARGE, [], { batchSize: 10 }))).toHaveLength(1000);
    await limited.end();
  });

  test('counts the results of several statements together', async () => {
    const text = "SELECT repeat('x', 3000); SELECT repeat('x', 3000)";
    await expect(pool.query({ text, maxResultBytes: 5000 })).rejects.toMatchObject(refusal);
  });

  test('must be a positive number', async () => {
    await expect(pool.query({ text: 'SELECT 1', maxResultBytes: -5 })).rejects.toThrow(
      'maxResultBytes must be a positive number',
    );
  });
});
