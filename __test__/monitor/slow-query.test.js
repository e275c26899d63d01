'use strict';

// Slow queries in the log: which are told, and that no value is.

const { onLog } = require('../..');
const { open, undo } = require('../support/undo');
const { until } = require('../support/until');

function slowQueries(tier) {
  const heard = [];
  undo.push(onLog((event) => event.pool === tier && event.target === 'query' && heard.push(event)));
  return heard;
}

test('a query that runs for longer than its limit is told, without values', async () => {
  const heard = slowQueries('slow');
  const pool = open({ tier: 'slow', slowQueryMillis: 50 });
  await pool.query("SELECT pg_sleep(0.1), $1::text, 'written secret' /* noted secret */", ['bound secret']);
  await pool.query('SELECT 1');
  await until(() => heard.length > 0);
  expect(heard).toEqual([
    expect.objectContaining({
      level: 'warn',
      target: 'query',
      event: 'slow',
      fields: {
        millis: expect.any(Number),
        waitedMillis: expect.any(Number),
        rows: 1,
        text: 'SELECT pg_sleep(?.?), $1::text, ?',
      },
    }),
  ]);
  expect(heard[0].fields.millis).toBeGreaterThanOrEqual(100);
  expect(JSON.stringify(heard)).not.toContain('secret');
});

test('a wait for a connection is no slow query', async () => {
  const heard = slowQueries('queued');
  const pool = open({ tier: 'queued', max: 1, slowQueryMillis: 200 });
  const client = await pool.connect();
  const waiting = pool.query('SELECT 2');
  await client.query('SELECT pg_sleep(0.3)');
  client.release();
  await waiting;
  await pool.query('SELECT pg_sleep(0.3)');
  await until(() => heard.length >= 2);
  // The query of the client has not waited; the last one has, for nothing.
  expect(heard.map(({ fields }) => [fields.text, 'waitedMillis' in fields])).toEqual([
    ['SELECT pg_sleep(?.?)', false],
    ['SELECT pg_sleep(?.?)', true],
  ]);
});

test('one that fails is told with the class of its failure, and one known by its name with that', async () => {
  const heard = slowQueries('failing');
  const pool = open({ tier: 'failing', max: 1, slowQueryMillis: 50 });
  const late = pool.query({ text: 'SELECT pg_sleep(60)', query_timeout: 100 });
  await expect(late).rejects.toThrow('Query read timeout');
  const client = await pool.connect();
  await client.query({ name: 'nap', text: 'SELECT pg_sleep($1)', values: [0] });
  await client.query({ name: 'nap', values: [0.1] });
  client.release();
  await until(() => heard.length >= 2);
  expect(heard[0].fields).toMatchObject({ text: 'SELECT pg_sleep(?)', class: expect.any(String) });
  expect(heard[1].fields).toMatchObject({ name: 'nap' });
});

test('of a stream its first page counts, not the time of its reader', async () => {
  const heard = slowQueries('paged');
  const pool = open({ tier: 'paged', max: 1, slowQueryMillis: 150 });
  for await (const { n } of pool.stream('SELECT generate_series(1, 6) AS n', [], { batchSize: 1 })) {
    if (n === 2) await open({ tier: 'paged-reader' }).query('SELECT pg_sleep(0.3)');
  }
  await pool.query('SELECT pg_sleep(0.2)');
  await until(() => heard.length > 0);
  expect(heard.map(({ fields }) => fields.text)).toEqual(['SELECT pg_sleep(?.?)']);
});

test('without a limit nothing is told, nor of a pool that is not measured', async () => {
  const heard = [...['unlimited', 'unmeasured'].map(slowQueries), slowQueries('limited')];
  await open({ tier: 'unlimited' }).query('SELECT pg_sleep(0.1)');
  await open({ tier: 'unmeasured', monitor: false, slowQueryMillis: 10 }).query('SELECT pg_sleep(0.1)');
  await open({ tier: 'limited', slowQueryMillis: 10 }).query('SELECT pg_sleep(0.1)');
  await until(() => heard[2].length > 0);
  expect(heard.slice(0, 2)).toEqual([[], []]);
});
