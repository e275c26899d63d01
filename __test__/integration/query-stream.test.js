'use strict';

// pg-query-stream on a client and on a pool.

const QueryStream = require('pg-query-stream');
const { Client, Pool } = require('../..');
const { alike, outcome } = require('../compat/alike');
const { bulk } = require('../support/bulk-run');
const { admin, config } = require('../support/server');

const SERIES = 'SELECT g FROM generate_series(1, $1::int) g';
const GROWTH_LIMIT = 150 * 1024 * 1024;

async function collect(stream) {
  const rows = [];
  for await (const row of stream) rows.push(row);
  return rows;
}

alike('all rows come, in order', async (driver, config) => {
  const client = new driver.Client(config());
  await client.connect();
  const rows = await collect(client.query(new QueryStream(SERIES, [1234], { batchSize: 100 })));
  const after = (await client.query('SELECT 1 AS one')).rows;
  await client.end();
  return [rows, after];
});

alike('a stream that is broken off leaves the client usable', async (driver, config) => {
  const client = new driver.Client(config());
  await client.connect();
  const seen = [];
  for await (const row of client.query(new QueryStream(SERIES, [100000]))) {
    seen.push(row);
    if (seen.length === 5) break;
  }
  const after = (await client.query('SELECT 2 AS two')).rows;
  await client.end();
  return [seen, after];
});

alike('an error of the server ends the stream', async (driver, config) => {
  const client = new driver.Client(config());
  await client.connect();
  const stream = client.query(new QueryStream('SELECT 1 / (500 - g) FROM generate_series(1, 1000) g'));
  const ended = await outcome(collect(stream));
  const after = (await client.query('SELECT 3 AS three')).rows;
  await client.end();
  return [ended, after];
});

test('a stream ends with an error when the connection is lost, where under pg it never ends', async () => {
  const client = new Client(config());
  client.on('error', () => {});
  await client.connect();
  const seen = [];
  const read = async () => {
    for await (const { g } of client.query(new QueryStream(SERIES, [1_000_000], { batchSize: 10 }))) {
      seen.push(g);
      if (seen.length === 5) await admin('SELECT pg_terminate_backend($1)', [client.processID]);
    }
  };
  await expect(read()).rejects.toThrow(/terminat/);
  expect(seen.slice(0, 5)).toEqual([1, 2, 3, 4, 5]);
  await client.end();
});

test('a stream on the pool gives its client back at the end', async () => {
  const pool = new Pool(config({ max: 1 }));
  const stream = new QueryStream(SERIES, [50]);
  const done = new Promise((resolve, reject) => {
    pool.query(stream, (error, result) => (error ? reject(error) : resolve(result)));
  });
  expect(await collect(stream)).toHaveLength(50);
  expect((await done).command).toBe('SELECT');
  expect(pool.idleCount).toBe(1);
  await pool.end();
});

test('a million rows stream in bounded memory', async () => {
  const { rows, sum, growth } = await bulk('queryStream', 1_000_000);
  expect([rows, sum]).toEqual([1_000_000, 499_999_500_000]);
  expect(growth).toBeLessThan(GROWTH_LIMIT);
});
