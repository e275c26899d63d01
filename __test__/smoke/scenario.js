'use strict';

// A small walk through the package, for runtimes on which jest is not run: it prints what it saw, and has to end by
// itself.

const assert = require('node:assert/strict');
const { Pool, Client, DatabaseError, types } = require('../../index.js');

/** The runtime with its version; Bun and Deno tell a version of Node, too. */
function runtime() {
  const { bun, deno, node } = process.versions;
  return bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`;
}

async function main(config) {
  const pool = new Pool({ ...config, max: 3 });
  const { rows } = await pool.query(
    'SELECT $1::int AS n, $2::text[] AS list, now() AS at, $3::jsonb AS json',
    [1, ['a', 'ü'], { a: 1 }],
  );
  assert.deepEqual([rows[0].n, rows[0].list, rows[0].json], [1, ['a', 'ü'], { a: 1 }]);
  assert.ok(rows[0].at instanceof Date);
  const many = await Promise.all(
    Array.from({ length: 30 }, (_, n) => pool.query('SELECT $1::int AS n', [n])),
  );
  assert.deepEqual(
    many.map((result) => result.rows[0].n),
    Array.from({ length: 30 }, (_, n) => n),
  );
  const large = await pool.query('SELECT n, repeat($$x$$, 100) AS text FROM generate_series(1, 20000) n');
  assert.equal(large.rows.length, 20000);
  await assert.rejects(
    pool.query('SELECT 1 / 0'),
    (error) => error instanceof DatabaseError && error.code === '22012',
  );
  const streamed = [];
  for await (const row of pool.stream('SELECT n FROM generate_series(1, 5000) n')) streamed.push(row.n);
  assert.equal(streamed.length, 5000);
  await assert.rejects(
    pool.transaction(async (client) => {
      await client.query('SELECT 1');
      throw new Error('undone');
    }),
    /undone/,
  );
  const client = await pool.connect();
  await client.query('BEGIN');
  assert.equal(client.getTransactionStatus(), 'T');
  await client.query('ROLLBACK');
  client.release();
  assert.equal(typeof types.getTypeParser(20), 'function');
  await pool.end();
  const single = new Client(config);
  await single.connect();
  const told = new Promise((resolve) => single.once('notification', resolve));
  await single.query('LISTEN smoke');
  await single.query("SELECT pg_notify('smoke', 'hello')");
  assert.equal((await told).payload, 'hello');
  await single.end();
  const module = await import('../../index.mjs');
  assert.equal(module.Pool, Pool);
}

main(JSON.parse(process.env.DATABASE_CONFIG)).then(
  () => console.log(`${runtime()}: ok`),
  (error) => {
    console.error(error);
    process.exitCode = 1;
  },
);
