'use strict';

// What is kept of the columns of results: bounded in bytes, those used last, and gone with the last connection.

const { Pool } = require('../..');
const { bridge } = require('../../lib/native/bridge');
const { config } = require('../support/server');
const { until } = require('../support/until');

const COLUMNS = 800;
const wide = (query) =>
  `SELECT ${Array.from({ length: COLUMNS }, (_, i) => `${i} AS c${query}_${i}`).join(', ')}`;

test('columns that never come again are forgotten, those that come again are kept', async () => {
  const pool = new Pool(config({ max: 1 }));
  const first = await pool.query('SELECT 1 AS again');
  const known = [...bridge().shapes.keys()];
  for (let query = 0; query < 150; query++) {
    const { rows } = await pool.query(wide(query));
    expect(rows[0][`c${query}_799`]).toBe(799);
    expect((await pool.query('SELECT 1 AS again')).rows).toEqual(first.rows);
  }
  // Of 150 as many as 8 MB hold.
  expect(bridge().shapes.size).toBeLessThan(110);
  expect([...bridge().shapes.keys()]).toEqual(expect.arrayContaining(known));
  await pool.end();
  await until(() => bridge().shapes.size === 0);
});

test('a result that is read while its connection closes keeps its columns', async () => {
  const pool = new Pool(config({ max: 1 }));
  const reading = pool.query('SELECT n AS kept FROM generate_series(1, 100000) n');
  await Promise.all([reading, pool.end()]);
  const { rows } = await reading;
  expect(rows).toHaveLength(100_000);
  expect(rows.at(-1)).toEqual({ kept: 100_000 });
  await until(() => bridge().shapes.size === 0);
});
