'use strict';

// A test file as an application has it. Run by ../jest.test.js in a jest of its own, twice at once.

const { Pool, Client } = require('../../..');
const { config } = require('../../support/server');

const pool = new Pool(config({ max: 3 }));
afterAll(() => pool.end());

test('a pool answers', async () => {
  const results = await Promise.all(
    Array.from({ length: 50 }, (_, n) => pool.query('SELECT $1::int AS n', [n])),
  );
  expect(results.map(({ rows }) => rows[0].n)).toEqual(Array.from({ length: 50 }, (_, n) => n));
});

test('a client answers', async () => {
  const client = new Client(config());
  await client.connect();
  expect((await client.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  await client.end();
});
