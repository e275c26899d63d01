'use strict';

// pg-cursor, and submittables in general: each body runs with node-postgres and with this package.

const Cursor = require('pg-cursor');
const { Query: ForeignQuery } = require('pg');
const { Client, Pool } = require('../..');
const { alike, outcome } = require('../compat/alike');
const { admin, asleep, config } = require('../support/server');

const SERIES = 'SELECT g FROM generate_series(1, $1::int) g';

async function withClient(driver, options, body) {
  const client = new driver.Client(options);
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

describe('a cursor', () => {
  alike('reads in pieces until nothing is left', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const cursor = client.query(new Cursor(SERIES, [10]));
      const sizes = [];
      for (let i = 0; i < 4; i++) sizes.push((await cursor.read(4)).length);
      await cursor.close();
      return [sizes, (await client.query('SELECT 1 AS one')).rows];
    }),
  );

  alike('is closed half way, and the client goes on', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const cursor = client.query(new Cursor(SERIES, [1000]));
      const rows = await cursor.read(2);
      await cursor.close();
      const after = await cursor.read(2);
      return [rows, after, (await client.query('SELECT 2 AS two')).rows, client.getTransactionStatus()];
    }),
  );

  alike('fails with the error of the server', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const cursor = client.query(new Cursor('SELECT 1 / (3 - g) FROM generate_series(1, 9) g'));
      const outcomes = [
        await outcome(cursor.read(1)),
        await outcome(cursor.read(10)),
        await outcome(cursor.read(1)),
      ];
      return [outcomes, (await client.query('SELECT 3 AS three')).rows];
    }),
  );

  alike('tells a failed parse to the reads that wait', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const cursor = client.query(new Cursor('SELECT nonsense FROM nowhere'));
      const outcomes = await Promise.all([outcome(cursor.read(1)), outcome(cursor.read(1))]);
      return [outcomes, (await client.query('SELECT 4 AS four')).rows];
    }),
  );

  alike('is closed while other cursors wait for the connection', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const cursors = [1, 2, 3].map(() => client.query(new Cursor(SERIES, [1000])));
      const read = cursors.map(async (cursor) => {
        const rows = await cursor.read(2);
        await cursor.close();
        return rows.length;
      });
      return [await Promise.all(read), (await client.query('SELECT 2 AS two')).rows];
    }),
  );

  alike('waits for queries before it and holds back those after it', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const order = [];
      const first = client.query('SELECT pg_sleep(0.05)').then(() => order.push('before'));
      const cursor = client.query(new Cursor(SERIES, [3]));
      const last = client.query('SELECT 1').then(() => order.push('after'));
      const rows = await cursor.read(2);
      order.push('cursor');
      await cursor.close();
      await Promise.all([first, last]);
      return [rows, order];
    }),
  );

  alike('two in a transaction, one after the other', (driver, config) =>
    withClient(driver, config(), async (client) => {
      await client.query('BEGIN');
      const first = client.query(new Cursor(SERIES, [5]));
      const a = await first.read(2);
      await first.close();
      const second = client.query(new Cursor(SERIES, [5]));
      const b = await second.read(9);
      await second.close();
      const status = client.getTransactionStatus();
      await client.query('COMMIT');
      return [a, b, status, client.getTransactionStatus()];
    }),
  );

  alike('has the parsers of its client and its own row mode', (driver, config) =>
    withClient(driver, config(), async (client) => {
      client.setTypeParser(23, (text) => `int ${text}`);
      const cursor = client.query(new Cursor('SELECT 7::int AS a, NULL AS b', [], { rowMode: 'array' }));
      const rows = await cursor.read(5);
      await cursor.close();
      return rows;
    }),
  );

  alike('fails when its client is ended', async (driver, config) => {
    const client = new driver.Client(config());
    await client.connect();
    const cursor = client.query(new Cursor('SELECT pg_sleep(30)'));
    const read = outcome(cursor.read(1));
    await client.end();
    return (await read).error.message;
  });

  alike('tells notices and notifications that come meanwhile', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const heard = [];
      client.on('notice', (notice) => heard.push(notice.message));
      client.on('notification', ({ channel, payload }) => heard.push([channel, payload]));
      await client.query('LISTEN aloud');
      await client.query(
        "CREATE FUNCTION pg_temp.tell(i int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'row %', i; RETURN i; END $$",
      );
      const cursor = client.query(new Cursor('SELECT pg_temp.tell(g) FROM generate_series(1, 2) g'));
      await cursor.read(5);
      await cursor.close();
      await client.query("NOTIFY aloud, 'now'");
      return heard;
    }),
  );
});

describe("pg's own Query class", () => {
  alike('answers by callback and events, prepared once by name', (driver, config) =>
    withClient(driver, config(), async (client) => {
      const run = (query) =>
        new Promise((resolve) => {
          const rows = [];
          client.query(query);
          query
            .on('row', (row) => rows.push(row))
            .on('end', (result) => resolve([rows, result.command, result.rowCount]));
        });
      const named = { name: 'series', text: SERIES };
      return [
        await run(new ForeignQuery('SELECT 1 AS one')),
        await run(new ForeignQuery({ ...named, values: [2] })),
        await run(new ForeignQuery({ ...named, values: [3] })),
      ];
    }),
  );

  test('a COPY without a source fails and leaves the client usable', () =>
    withClient({ Client }, config(), async (client) => {
      await client.query('CREATE TEMP TABLE copied (a int)');
      const failure = (text, values) =>
        new Promise((resolve) => {
          client.query(new ForeignQuery({ text, queryMode: values }, undefined, resolve));
        });
      expect((await failure('COPY copied FROM STDIN')).message).toContain('No source stream defined');
      expect((await failure('COPY copied FROM STDIN', 'extended')).message).toContain(
        'No source stream defined',
      );
      expect((await client.query('SELECT 5 AS five')).rows).toEqual([{ five: 5 }]);
    }));
});

describe('in a pool', () => {
  test('a client released in answer to the end is idle at once', async () => {
    const pool = new Pool(config({ max: 1 }));
    const client = await pool.connect();
    const cursor = client.query(new Cursor(SERIES, [3]));
    await cursor.read(10);
    await cursor.close();
    client.release();
    expect([pool.idleCount, pool.totalCount]).toEqual([1, 1]);
    await pool.end();
  });

  test('a client released too early is lent again only after its cursor has answered', async () => {
    const pool = new Pool(config({ max: 1 }));
    const client = await pool.connect();
    const reading = client.query(new Cursor(SERIES, [3])).read(10);
    client.release();
    const next = pool.query('SELECT 6 AS six');
    expect(pool.idleCount).toBe(0);
    expect(await reading).toHaveLength(3);
    expect((await next).rows).toEqual([{ six: 6 }]);
    await pool.end();
  });

  alike('leaves its place in the pool when its backend dies after the release', async (driver, config) => {
    const pool = new driver.Pool(config({ max: 1 }));
    const lost = new Promise((resolve) => pool.once('error', resolve));
    const client = await pool.connect();
    const { processID } = client;
    const read = outcome(client.query(new Cursor('SELECT pg_sleep(60)')).read(1));
    await asleep(processID);
    client.release();
    await admin('SELECT pg_terminate_backend($1)', [processID]);
    const { error } = await read;
    await lost;
    const { rows } = await pool.query('SELECT 6 AS six');
    const counts = [pool.totalCount, pool.idleCount];
    await pool.end();
    return [error.code, rows, counts];
  });

  test('a cursor left open ends with the release of its client', async () => {
    const pool = new Pool(config({ max: 1 }));
    const client = await pool.connect();
    const cursor = client.query(new Cursor(SERIES, [3]));
    await cursor.read(1);
    client.release();
    expect((await pool.query('SELECT 6 AS six')).rows).toEqual([{ six: 6 }]);
    await expect(cursor.read(1)).rejects.toThrow('the client was released while its query was still open');
    expect(pool.totalCount).toBe(1);
    await pool.end();
  });

  test('ending closes a connection whose cursor still reads', async () => {
    const pool = new Pool(config({ max: 1 }));
    const client = await pool.connect();
    client.on('error', () => {});
    client
      .query(new Cursor('SELECT pg_sleep(60)'))
      .read(1)
      .catch(() => {});
    client.release();
    await pool.end();
    expect(pool.totalCount).toBe(0);
  });

  test('a submittable that throws in submit does not block its client', async () => {
    const pool = new Pool(config({ max: 1 }));
    const client = await pool.connect();
    const broken = {
      submit() {
        throw new Error('not today');
      },
    };
    expect(() => client.query(broken)).toThrow('not today');
    expect((await client.query('SELECT 7 AS seven')).rows).toEqual([{ seven: 7 }]);
    client.release();
    await pool.end();
  });

  test('past its query_timeout it is told, and cancelled on the server', async () => {
    const pool = new Pool(config({ max: 1, query_timeout: 100 }));
    const client = await pool.connect();
    const cursor = client.query(new Cursor('SELECT pg_sleep(60)'));
    await expect(cursor.read(1)).rejects.toThrow('Query read timeout');
    expect((await client.query({ text: 'SELECT 8 AS eight', query_timeout: 60_000 })).rows).toEqual([
      { eight: 8 },
    ]);
    client.release();
    await pool.end();
  });
});

describe('the connection of a client', () => {
  alike('tells errors and the end of each query', async (driver, config) => {
    const client = new driver.Client(config());
    await client.connect();
    const heard = [];
    client.connection.on('errorMessage', ({ code }) => heard.push(code));
    client.connection.on('readyForQuery', ({ name, status }) => heard.push([name, status]));
    await client.query('SELECT 1');
    await client.query('BEGIN');
    await client.query('SELECT nonsense').catch(() => {});
    await client.query('ROLLBACK');
    await client.query(new Cursor('SELECT 1')).close();
    await client.end();
    return heard;
  });

  alike('tells every message while a cursor has it', async (driver, config) => {
    const client = new driver.Client(config());
    await client.connect();
    const heard = [];
    client.connection.on('message', ({ name }) => heard.push(name));
    const cursor = client.query(new Cursor('SELECT 1 AS one'));
    await cursor.read(10);
    await cursor.close();
    await client.end();
    return heard;
  });
});
