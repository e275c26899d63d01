'use strict';

// Transactions in few flights: BEGIN goes out with the first statement, a list with BEGIN. What fails, is lost or refused
// on the way has the results, errors and retries that it has one statement at a time. A sequence is the witness: what has
// taken a number of it has run, rolled back or not.

const { Pool, executeTransactionWithRetry } = require('../..');
const { CountingProxy } = require('../../bench/bad-day/measurements/counting-proxy');
const { Proxy } = require('../support/proxy');
const { config, freshDatabase } = require('../support/server');
const { until } = require('../support/until');

const quick = { retryDelay: 5 };
let database;
let direct;
let proxy;
let pools = [];
let nextKey = 1;

beforeAll(async () => {
  database = await freshDatabase();
  direct = new Pool(database.config());
  await direct.query('CREATE TABLE ledger (key int NOT NULL, word text)');
  await direct.query('CREATE SEQUENCE witness');
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
  await Promise.all(pools.map((pool) => pool.ending || pool.end()));
  pools = [];
  await proxy.stop();
});

/** A pool that has served, so that it knows its server and has a connection; its retries are in `pool.retries`. */
async function warm({ host, port } = proxy, options = {}) {
  const pool = new Pool(database.config({ host, port, max: 1, ...options }));
  pool.retries = [];
  pool.on('retry', (retry) => pool.retries.push(retry));
  pools.push(pool);
  await pool.transaction((client) => client.query('SELECT 1'));
  return pool;
}

async function keys(key) {
  const { rows } = await direct.query('SELECT count(*)::int AS count FROM ledger WHERE key = $1', [key]);
  return rows[0].count;
}

async function witnessed() {
  const { rows } = await direct.query("SELECT nextval('witness')::int AS number");
  return rows[0].number;
}

const WITNESS = "SELECT nextval('witness')";
const insertOf = (key) => ({ text: 'INSERT INTO ledger VALUES ($1, $2)', values: [key, 'word'] });
const insert = (client, key) => client.query(insertOf(key));

/** Makes the text of the next BEGIN one that the server refuses: in a flight, or alone. */
function spoilBegin({ isAlone = false } = {}) {
  const [message, at] = isAlone ? ['Q', 5] : ['P', 6];
  proxy.when({ direction: 'toServer', message }, (link, lane) => lane.editNext((bytes) => (bytes[at] ^= 1)));
}

describe('round trips', () => {
  let counting;
  beforeEach(async () => {
    const { host, port } = config();
    counting = await CountingProxy.start({ host, port }, 0);
  });
  afterEach(() => counting.stop());

  const trips = async (run) => {
    counting.reset();
    await run();
    return counting.most();
  };
  const four = (key) => [insertOf(key), 'SELECT 1', { query: 'SELECT $1::int', values: [2] }, insertOf(key)];

  test('a list of four statements takes two, also with an isolation level and settings', async () => {
    const pool = await warm(counting);
    const key = nextKey++;
    expect(await trips(() => executeTransactionWithRetry(four(key), { pool }))).toBe(2);
    const options = { pool, isolationLevel: 'serializable', set: { 'app.tenant': 7 } };
    expect(await trips(() => executeTransactionWithRetry(four(key), options))).toBe(2);
    expect(await keys(key)).toBe(4);
  });

  test('a function of four statements takes six: BEGIN goes with the first', async () => {
    const pool = await warm(counting);
    const key = nextKey++;
    const work = async (client) => {
      for (const one of four(key)) await client.query(one.query ?? one, one.values);
    };
    expect(await trips(() => pool.transaction(work, { isolationLevel: 'repeatable read' }))).toBe(6);
    expect(await keys(key)).toBe(2);
  });
});

describe('a list in one flight', () => {
  const LIST = [
    'SELECT 1 AS one, NULL AS none',
    { text: 'SELECT n, n::text AS word FROM generate_series(1, $1::int) n', values: [3] },
    { text: 'SELECT $1::jsonb AS json', values: [{ a: [1] }], rowMode: 'array' },
    { query: 'INSERT INTO ledger VALUES ($1, $2) RETURNING word', values: [0, null] },
    { query: { text: 'UPDATE ledger SET word = $1 WHERE key = 0' }, values: ['x'] },
    'SELECT current_setting($$transaction_isolation$$) AS level',
    'DELETE FROM ledger WHERE key = 0',
    'SELECT 1 WHERE false',
  ];
  const shown = ({ command, rowCount, rows, fields }) => ({
    command,
    rowCount,
    rows,
    fields: fields.map(({ name, dataTypeID }) => [name, dataTypeID]),
  });

  test('has the results that its statements have one by one', async () => {
    const pool = await warm();
    const level = { isolationLevel: 'serializable' };
    const listed = await executeTransactionWithRetry(LIST, { pool, ...level });
    const alone = await pool.transaction(async (client) => {
      const results = [];
      for (const one of LIST) results.push(await client.query(one.query ?? one, one.values));
      return results;
    }, level);
    expect(listed.map(shown)).toEqual(alone.map(shown));
    expect(listed[5].rows).toEqual([{ level: 'serializable' }]);
  });

  test('ends with the first statement that fails: none behind it runs', async () => {
    const pool = await warm();
    const key = nextKey++;
    const before = await witnessed();
    const list = [insertOf(key), 'SELECT 1 / (1 - 1)', WITNESS, insertOf(key)];
    await expect(executeTransactionWithRetry(list, { pool })).rejects.toMatchObject({ code: '22012' });
    const misspelt = [insertOf(key), WITNESS, 'SELECT misspelt'];
    await expect(executeTransactionWithRetry(misspelt, { pool })).rejects.toMatchObject({
      code: '42703',
      position: '8',
    });
    // The second list had taken one number when it failed.
    expect(await witnessed()).toBe(before + 2);
    expect(await keys(key)).toBe(0);
    expect(pool.retries).toEqual([]);
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  test('whose BEGIN is refused runs nothing', async () => {
    const pool = await warm();
    const before = await witnessed();
    spoilBegin();
    await expect(executeTransactionWithRetry([WITNESS, WITNESS], { pool })).rejects.toMatchObject({
      code: '42601',
      message: expect.stringContaining('CEGIN'),
    });
    expect(await witnessed()).toBe(before + 1);
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('whose settings are refused runs nothing', async () => {
    const pool = await warm();
    const before = await witnessed();
    const refused = executeTransactionWithRetry([WITNESS], { pool, set: { 'no name': 1 } });
    await expect(refused).rejects.toMatchObject({ code: expect.stringMatching(/^42/) });
    expect(await witnessed()).toBe(before + 1);
  });

  test('that ends the transaction by itself is sent one by one, so that nothing runs outside of it', async () => {
    const pool = await warm();
    const key = nextKey++;
    const list = [insertOf(key), 'SELECT 1 / (1 - 1)', 'ROLLBACK', insertOf(key)];
    await expect(executeTransactionWithRetry(list, { pool })).rejects.toMatchObject({ code: '22012' });
    expect(await keys(key)).toBe(0);
    await expect(
      executeTransactionWithRetry([insertOf(key), 'COMMIT; SELECT 1'], { pool }),
    ).rejects.toMatchObject({ code: 'TRANSACTION_ENDED' });
  });

  test('with a value that cannot be sent fails in its turn', async () => {
    const pool = await warm();
    const circular = {};
    circular.self = circular;
    const unsendable = { text: 'SELECT $1::jsonb', values: [circular] };
    await expect(executeTransactionWithRetry([WITNESS, unsendable], { pool })).rejects.toThrow('circular');
    await expect(
      executeTransactionWithRetry(['SELECT 1 / (1 - 1)', unsendable], { pool }),
    ).rejects.toMatchObject({ code: '22012' });
  });

  test('is limited and timed statement by statement', async () => {
    const pool = await warm();
    const many = 'SELECT repeat($1, 1000) FROM generate_series(1, 10)';
    const limited = { text: many, values: ['x'], maxResultBytes: 15_000 };
    await expect(executeTransactionWithRetry([limited, limited, limited], { pool })).resolves.toHaveLength(3);
    await expect(
      executeTransactionWithRetry([limited, { ...limited, maxResultBytes: 5_000 }], { pool }),
    ).rejects.toMatchObject({ code: 'RESULT_TOO_LARGE' });
    const slow = { text: 'SELECT pg_sleep($1)', values: [600], query_timeout: 100 };
    await expect(executeTransactionWithRetry(['SELECT 1', slow], { pool })).rejects.toThrow(
      'Query read timeout',
    );
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  // In the answer: BEGIN, two inserts, the id; then that of COMMIT.
  test.each([1, 2, 3, 4])('runs again when the connection is lost before answer %i of 4', async (nth) => {
    const pool = await warm();
    const key = nextKey++;
    proxy.cutOnMessage('toClient', 'C', { nth });
    await executeTransactionWithRetry([insertOf(key), insertOf(key)], { pool, ...quick });
    expect(pool.retries).toEqual([expect.objectContaining({ phase: 'transaction', attempt: 1 })]);
    expect(await keys(key)).toBe(2);
  });

  test('runs again when it was lost on its way', async () => {
    const pool = await warm();
    const key = nextKey++;
    proxy.cutOnMessage('toServer', 'P');
    await executeTransactionWithRetry([insertOf(key)], { pool, ...quick });
    expect(pool.retries).toHaveLength(1);
    expect(await keys(key)).toBe(1);
  });

  test('has committed once when the answer to COMMIT is lost', async () => {
    const pool = await warm();
    const key = nextKey++;
    proxy.cutOnMessage('toClient', 'C', { nth: 4 });
    const [{ rowCount }] = await executeTransactionWithRetry([insertOf(key)], { pool, ...quick });
    expect(rowCount).toBe(1);
    expect(await keys(key)).toBe(1);
    expect(pool.retries).toEqual([]);
  });

  test('runs again when COMMIT never reached the server', async () => {
    const pool = await warm();
    const key = nextKey++;
    proxy.cutOnMessage('toServer', 'Q');
    await executeTransactionWithRetry([insertOf(key)], { pool, ...quick });
    expect(pool.retries).toEqual([expect.objectContaining({ phase: 'commit' })]);
    expect(await keys(key)).toBe(1);
  });

  test('runs again after a conflict', async () => {
    const pool = await warm();
    const key = nextKey++;
    await direct.query(insertOf(key));
    const holder = await direct.connect();
    await holder.query('BEGIN');
    await holder.query('UPDATE ledger SET word = $1 WHERE key = $2', ['held', key]);
    const list = [{ query: 'UPDATE ledger SET word = word || $1 WHERE key = $2', values: ['!', key] }];
    const done = executeTransactionWithRetry(list, { pool, isolationLevel: 'repeatable read', ...quick });
    await until(async () => {
      const { rows } = await direct.query("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'");
      return rows.length > 0;
    });
    await holder.query('COMMIT');
    holder.release();
    await done;
    expect(pool.retries).toEqual([expect.objectContaining({ code: '40001' })]);
    const { rows } = await direct.query('SELECT word FROM ledger WHERE key = $1', [key]);
    expect(rows).toEqual([{ word: 'held!' }]);
  });
});

describe('a function whose BEGIN goes with its first statement', () => {
  test('that throws before it has sent anything sends nothing', async () => {
    const pool = await warm();
    const error = new Error('not today');
    let messages = 0;
    for (const message of ['P', 'Q'])
      proxy.when({ direction: 'toServer', message, times: Infinity }, () => (messages += 1));
    let status;
    const failed = pool.transaction(async (client) => {
      status = client.getTransactionStatus();
      throw error;
    });
    await expect(failed).rejects.toBe(error);
    expect(status).toBe('T');
    expect(messages).toBe(0);
    const client = await pool.connect();
    expect(client.getTransactionStatus()).toBe('I');
    client.release();
  });

  test('that sends nothing at all commits', async () => {
    const pool = await warm();
    await expect(pool.transaction(async () => 'done')).resolves.toBe('done');
    await expect(pool.transaction(async () => 'read', { readOnly: true })).resolves.toBe('read');
  });

  test('is refused with the error of BEGIN, and nothing that it sends runs', async () => {
    const pool = await warm();
    const before = await witnessed();
    spoilBegin();
    const codes = [];
    const sent = (client, query) => client.query(query).catch(({ code }) => codes.push(code));
    const swallowed = pool.transaction(async (client) => {
      await Promise.all([sent(client, WITNESS), sent(client, WITNESS), sent(client, 'LISTEN x')]);
      await sent(client, WITNESS);
      return 'all is well';
    });
    await expect(swallowed).rejects.toMatchObject({ code: '42601' });
    expect(codes).toEqual(['42601', '42601', '42601', '42601']);
    expect(await witnessed()).toBe(before + 1);
    expect(await pool.transaction((client) => client.query('SELECT 1 AS one'))).toMatchObject({
      rowCount: 1,
    });
    expect([pool.totalCount, pool.idleCount]).toEqual([1, 1]);
  });

  test('is refused with the error of BEGIN, whatever it throws', async () => {
    const pool = await warm();
    spoilBegin();
    const failed = pool.transaction(async (client) => {
      await client.query(WITNESS).catch(() => {});
      throw new Error('its own');
    });
    await expect(failed).rejects.toMatchObject({ code: '42601' });
  });

  test('is refused where BEGIN goes alone, too', async () => {
    const pool = await warm();
    const before = await witnessed();
    spoilBegin({ isAlone: true });
    const failed = pool.transaction((client) => client.query(`${WITNESS}; ${WITNESS}`));
    await expect(failed).rejects.toMatchObject({ code: '42601' });
    expect(await witnessed()).toBe(before + 1);
  });

  test.each([1, 2])('runs again when the connection is lost before answer %i of 2', async (nth) => {
    const pool = await warm();
    const key = nextKey++;
    proxy.cutOnMessage('toClient', 'C', { nth });
    let runs = 0;
    await pool.transaction(async (client) => {
      runs += 1;
      await insert(client, key);
    }, quick);
    expect(runs).toBe(2);
    expect(await keys(key)).toBe(1);
    expect(pool.retries).toEqual([expect.objectContaining({ phase: 'transaction' })]);
  });

  test('calls back once where the connection is lost behind the last answer', async () => {
    const pool = await warm();
    proxy.cutOnMessage('toClient', 'Z');
    const calls = [];
    await pool.transaction((client) => {
      client.query('SELECT 1', (error) => calls.push(error?.message));
      return calls.length > 0 ? undefined : new Promise((resolve) => client.once('end', resolve));
    }, quick);
    expect(calls).toEqual([expect.stringMatching(/ECONNRESET|terminated/), undefined]);
  });

  test('gives values as text where the statement has none of its own, also to a binary pool', async () => {
    const pool = await warm(config(), { binary: true });
    const sum = 'SELECT sum(n) AS sum, array_agg(n::int8) AS all FROM generate_series(1, 3) AS n';
    const [first, second] = await pool.transaction(async (client) => [
      (await client.query(sum)).rows,
      (await client.query(sum)).rows,
    ]);
    expect(first).toEqual(second);
  });

  test('runs nothing of what the conversion of a value sends where BEGIN is refused', async () => {
    const pool = await warm();
    const before = await witnessed();
    spoilBegin();
    const inner = [];
    const failed = pool.transaction(async (client) => {
      const value = {
        toPostgres() {
          for (let index = 0; index < 2; index++) inner.push(client.query(WITNESS));
          throw new Error('no value');
        },
      };
      await client.query('SELECT $1::text', [value]).catch(() => {});
      await Promise.allSettled(inner);
    });
    await expect(failed).rejects.toMatchObject({ code: '42601' });
    expect(inner).toHaveLength(2);
    expect(await witnessed()).toBe(before + 1);
  });

  test('runs nothing that it sends after it was given up', async () => {
    const pool = await warm();
    const before = await witnessed();
    spoilBegin();
    let late;
    const failed = pool.transaction((client) => {
      late = client
        .query(WITNESS)
        .catch(() => client.query(WITNESS))
        .catch(({ code }) => code);
      return client.query(WITNESS);
    });
    await expect(failed).rejects.toMatchObject({ code: '42601' });
    expect(await late).toBe('42601');
    expect(await witnessed()).toBe(before + 1);
  });

  test('runs again when its first statement is lost, and the function swallowed that', async () => {
    const pool = await warm();
    const key = nextKey++;
    proxy.cutOnMessage('toClient', 'C');
    await pool.transaction((client) => insert(client, key).catch(() => {}), quick);
    expect(await keys(key)).toBe(1);
    expect(pool.retries).toHaveLength(1);
  });

  test('goes on after a first statement that failed before it was sent', async () => {
    const pool = await warm();
    const key = nextKey++;
    const circular = {};
    circular.self = circular;
    await pool.transaction(async (client) => {
      await expect(client.query('SELECT $1::jsonb', [circular])).rejects.toThrow('circular');
      await insert(client, key);
    });
    expect(await keys(key)).toBe(1);
  });

  test('sends what the conversion of a value sends, though the value cannot be sent', async () => {
    const pool = await warm();
    const key = nextKey++;
    await pool.transaction(async (client) => {
      let inner;
      const value = {
        toPostgres() {
          inner = insert(client, key);
          throw new Error('no value');
        },
      };
      await expect(client.query('SELECT $1::text', [value])).rejects.toThrow('no value');
      await inner;
    });
    expect(await keys(key)).toBe(1);
  });

  test('fails as ever where a parameter has no value', async () => {
    const pool = await warm();
    const first = pool.transaction((client) => client.query('SELECT $1'));
    await expect(first).rejects.toMatchObject({ code: '42P02' });
    await expect(executeTransactionWithRetry(['SELECT $1'], { pool })).rejects.toMatchObject({
      code: '42P02',
    });
  });

  test('keeps the order of what it sends at once', async () => {
    const pool = await warm();
    const texts = ['SELECT 1 AS n', 'SELECT 2 AS n; SELECT 3 AS n', 'SELECT 4 AS n', 'SELECT 5 AS n'];
    const results = await pool.transaction((client) => Promise.all(texts.map((text) => client.query(text))));
    expect(results.flat().map(({ rows }) => rows[0].n)).toEqual([1, 2, 3, 4, 5]);
  });

  test.each([
    ['several statements', (client, key) => client.query(`INSERT INTO ledger VALUES (${key}); SELECT 1`)],
    ['a utility statement', (client) => client.query('CREATE TEMPORARY TABLE t (a int) ON COMMIT DROP')],
    ['a named statement', (client, key) => client.query({ ...insertOf(key), name: 'named' })],
    [
      'a statement with a signal',
      (client, key) => client.query({ ...insertOf(key), signal: AbortSignal.timeout(60_000) }),
    ],
    ['a nested transaction', (client, key) => client.transaction((inner) => insert(inner, key))],
    [
      'a stream',
      async (client) => {
        for await (const row of client.stream('SELECT 1 AS one')) expect(row.one).toBe(1);
      },
    ],
    [
      'a cursor',
      (client) => {
        const Cursor = require('pg-cursor');
        const cursor = client.query(new Cursor('SELECT 1'));
        return cursor.read(10).then(() => cursor.close());
      },
    ],
  ])('may begin with %s', async (_, first) => {
    const pool = await warm();
    const key = nextKey++;
    const statuses = await pool.transaction(async (client) => {
      await first(client, key);
      await insert(client, key);
      return client.getTransactionStatus();
    });
    expect(statuses).toBe('T');
    const kept = await keys(key);
    expect(kept).toBeGreaterThan(0);
    const undone = pool.transaction(async (client) => {
      await first(client, key);
      throw new Error('undone');
    });
    await expect(undone).rejects.toThrow('undone');
    expect(await keys(key)).toBe(kept);
  });
});
