'use strict';

const { createPool, sql } = require('slonik');
const { z } = require('zod');

module.exports = async function scenario({ user, password, host, port, database }) {
  const pool = await createPool(`postgresql://${user}:${password}@${host}:${port}/${database}`, {
    maximumPoolSize: 3,
  });
  await pool.query(
    sql.unsafe`CREATE TABLE note (id int PRIMARY KEY, text text, at timestamptz, tags text[])`,
  );
  const rows = Array.from({ length: 20 }, (_, n) => [n, `note ${n}`]);
  await pool.query(sql.unsafe`
    INSERT INTO note (id, text) SELECT * FROM ${sql.unnest(rows, ['int4', 'text'])}
  `);
  const typed = sql.type(z.object({ id: z.number(), text: z.string() }));
  const some = await pool.many(
    typed`SELECT id, text FROM note WHERE id = ANY(${sql.array([1, 2, 3], 'int4')}) ORDER BY id`,
  );
  const at = await pool.oneFirst(sql.unsafe`SELECT '2026-01-02 03:04:05+00'::timestamptz`);
  const none = await pool.maybeOne(sql.unsafe`SELECT 1 FROM note WHERE id = -1`);
  const missing = await pool.one(sql.unsafe`SELECT 1 FROM note WHERE id = -1`).catch(({ name }) => name);
  const unique = await pool
    .query(sql.unsafe`INSERT INTO note (id) VALUES (1)`)
    .catch(({ name, constraint }) => [name, constraint]);
  const rolledBack = await pool
    .transaction(async (transaction) => {
      await transaction.query(sql.unsafe`DELETE FROM note`);
      await transaction.transaction(async (nested) => {
        await nested.query(sql.unsafe`INSERT INTO note (id) VALUES (99)`);
      });
      throw new Error('no');
    })
    .catch(({ message }) => message);
  const count = await pool.oneFirst(sql.unsafe`SELECT count(*)::int FROM note`);
  const slow = await pool
    .query(sql.unsafe`SET statement_timeout = 20; SELECT pg_sleep(5)`)
    .catch(({ name }) => name);
  await pool.end();
  return { some, at, none, missing, unique, rolledBack, count, slow };
};
