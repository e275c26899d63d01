'use strict';

const { Writable } = require('node:stream');
const { pipeline } = require('node:stream/promises');
const QueryStream = require('pg-query-stream');

module.exports = async function scenario(config, { Pool }) {
  const pool = new Pool(config);
  const client = await pool.connect();
  let sum = 0;
  let count = 0;
  const sink = new Writable({
    objectMode: true,
    highWaterMark: 10,
    write(row, _, done) {
      sum += row.n;
      count++;
      setImmediate(done);
    },
  });
  await pipeline(
    client.query(new QueryStream('SELECT n FROM generate_series(1, $1) n', [5000], { batchSize: 50 })),
    sink,
  );
  const iterated = [];
  for await (const { n } of client.query(
    new QueryStream('SELECT n FROM generate_series(1, 100000) n', [], { batchSize: 10 }),
  )) {
    iterated.push(n);
    if (iterated.length === 25) break;
  }
  const after = (await client.query('SELECT 2 AS two')).rows;
  const failed = await new Promise((resolve) => {
    client
      .query(new QueryStream('SELECT 1 / (n - 3) AS x FROM generate_series(1, 5) n'))
      .on('error', ({ code }) => resolve(code))
      .resume();
  });
  client.release();
  const fromPool = [];
  const stream = new QueryStream('SELECT 1 AS a UNION ALL SELECT 2');
  const released = new Promise((resolve) => pool.once('release', resolve));
  pool.query(stream);
  for await (const row of stream) fromPool.push(row);
  await released;
  await pool.end();
  return { sum, count, iterated: iterated.length, after, failed, fromPool };
};
