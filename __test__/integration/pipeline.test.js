'use strict';

// `pipeline: true`: each body runs with node-postgres and with this package.

const Cursor = require('pg-cursor');
const { Client, Pool } = require('../..');
const { alike, outcome } = require('../compat/alike');
const { config } = require('../support/server');

async function withPipeline(driver, options, body) {
  const client = new driver.Client({ ...options, pipeline: true });
  await client.connect();
  try {
    return await body(client);
  } finally {
    await client.end();
  }
}

const settled = (promises) =>
  Promise.all(promises.map((promise) => outcome(promise.then(({ rows }) => rows))));

alike('one failure leaves the others alone', (driver, config) =>
  withPipeline(driver, config(), (client) =>
    settled([
      client.query('SELECT 1 AS a'),
      client.query('SELECT 1 / 0'),
      client.query('SELECT $1::int AS b', [2]),
      client.query('SELECT nonsense'),
      client.query('SELECT $1::int AS b', [3]),
      client.query('SELECT $1::int AS b', ['not a number']),
      client
        .query('SELECT 4 AS c; SELECT 5 AS d')
        .then((results) => ({ rows: results.map(({ rows }) => rows) })),
    ]),
  ),
);

alike('results come in order, drain comes when all is done', (driver, config) =>
  withPipeline(driver, config(), async (client) => {
    const order = [];
    client.on('drain', () => order.push('drain'));
    const queries = ['SELECT pg_sleep(0.05)', 'SELECT 1', 'SELECT $1::text'].map((text, i) =>
      client.query(text, i === 2 ? ['x'] : []).then(() => order.push(i)),
    );
    await Promise.all(queries);
    await new Promise(setImmediate);
    // Where the drain comes among the promises depends on how the answers were cut into packets.
    return [order.filter((note) => note !== 'drain'), order.includes('drain'), client.pipeline];
  }),
);

alike('a named statement is parsed once, even in flight', (driver, config) =>
  withPipeline(driver, config(), async (client) => {
    const named = (value) => client.query({ name: 'echo', text: 'SELECT $1::int AS a', values: [value] });
    const outcomes = await settled([named(1), named(2), named(3)]);
    const { rows } = await client.query(
      "SELECT count(*)::int AS n FROM pg_prepared_statements WHERE name = 'echo'",
    );
    return [outcomes, rows];
  }),
);

alike('a failed parse frees its name', (driver, config) =>
  withPipeline(driver, config(), async (client) => {
    const first = await outcome(client.query({ name: 'later', text: 'SELECT nonsense' }));
    return [first, (await client.query({ name: 'later', text: 'SELECT 1 AS a' })).rows];
  }),
);

alike('a name in flight belongs to its text', (driver, config) =>
  withPipeline(driver, config(), async (client) =>
    settled([
      client.query({ name: 'mine', text: 'SELECT 1 AS a' }),
      client.query({ name: 'mine', text: 'SELECT 2 AS a' }),
    ]),
  ),
);

alike('statements of a transaction follow one another', (driver, config) =>
  withPipeline(driver, config(), async (client) => {
    const texts = [
      'CREATE TEMP TABLE noted (a int)',
      'BEGIN',
      'INSERT INTO noted VALUES (1)',
      'SELECT 1 / 0',
      'INSERT INTO noted VALUES (2)',
      'ROLLBACK',
      'INSERT INTO noted VALUES (3)',
      'SELECT a FROM noted',
    ];
    return settled(texts.map((text) => client.query(text)));
  }),
);

alike('end waits for what was sent', async (driver, config) => {
  const client = new driver.Client(config({ pipeline: true }));
  await client.connect();
  const queries = settled([client.query('SELECT pg_sleep(0.05)'), client.query('SELECT 1 AS a')]);
  await client.end();
  return queries;
});

alike('queries asked for before the connection is there', async (driver, config) => {
  const client = new driver.Client(config({ pipeline: true }));
  const connected = client.connect();
  const queries = settled([client.query('SELECT 1 AS a'), client.query('SELECT 2 AS a')]);
  await connected;
  const outcomes = await queries;
  await client.end();
  return outcomes;
});

alike('a lost connection fails all', async (driver, config) => {
  const client = new driver.Client(config({ pipeline: true }));
  client.on('error', () => {});
  await client.connect();
  const queries = [
    client.query('SELECT pg_terminate_backend(pg_backend_pid())'),
    client.query('SELECT 1'),
    client.query('SELECT 2'),
  ];
  const messages = await Promise.all(queries.map((query) => query.catch((error) => error.message)));
  await client.end();
  // Under pg it depends on the moment what is seen: the server's last words, a reset, a failed write, or the end.
  return messages.map((message) =>
    /administrator command|ECONNRESET|EPIPE|Connection terminated/.test(message),
  );
});

alike("a server's error with the words of a query timeout leaves the connection open", (driver, config) =>
  withPipeline(driver, config(), async (client) => {
    const failed = await settled([client.query("DO $$ BEGIN RAISE 'Query read timeout'; END $$")]);
    return [failed, await settled([client.query('SELECT 1 AS a')])];
  }),
);

test('a query past its query_timeout takes the connection along', async () => {
  const client = new Client(config({ pipeline: true, query_timeout: 200 }));
  client.on('error', () => {});
  await client.connect();
  const queries = [
    client.query('SELECT pg_sleep(60)'),
    client.query({ text: 'SELECT 1', query_timeout: 60_000 }),
  ];
  const [first, second] = await Promise.allSettled(queries);
  expect(first.reason.message).toBe('Query read timeout');
  expect(second.reason.message).toMatch(/Connection terminated/);
  await client.end();
});

test('refuses what needs the connection for itself', async () => {
  const client = new Client(config({ pipeline: true }));
  await client.connect();
  const cursor = client.query(new Cursor('SELECT 1'));
  await expect(cursor.read(1)).rejects.toThrow(
    'Custom query classes such as pg-cursor and pg-query-stream are not supported in pipeline mode',
  );
  await expect(client.query({ text: 'SELECT 1', rows: 5 })).rejects.toThrow(
    'The `rows` option is not supported in pipeline mode',
  );
  expect((await client.query('SELECT 1 AS a')).rows).toEqual([{ a: 1 }]);
  await client.end();
});

test('a pipeline does not wait for answers', async () => {
  const client = new Client(config({ pipeline: true }));
  await client.connect();
  const {
    rows: [{ pid }],
  } = await client.query('SELECT pg_backend_pid() AS pid');
  const queries = Array.from({ length: 1000 }, (_, i) => client.query('SELECT $1::int AS i', [i]));
  const results = await Promise.all(queries);
  expect(results.map(({ rows }) => rows[0].i)).toEqual(queries.map((_, i) => i));
  expect((await client.query('SELECT pg_backend_pid() AS pid')).rows[0].pid).toBe(pid);
  await client.end();
});

test('a pooled client that is released early is lent again after its answers', async () => {
  const pool = new Pool(config({ max: 1, pipeline: true }));
  const client = await pool.connect();
  const queries = [client.query('SELECT pg_sleep(0.05)'), client.query('SELECT 1 AS a')];
  client.release();
  const { rows } = await pool.query('SELECT 2 AS b');
  expect([rows, (await queries[1]).rows]).toEqual([[{ b: 2 }], [{ a: 1 }]]);
  await pool.end();
});
