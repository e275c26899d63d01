'use strict';

const createConnectionPool = require('@databases/pg');

const { sql } = createConnectionPool;
const told = ({ code, constraint, detail }) => [code, constraint, detail];

module.exports = async function scenario({ host, port, user, password, database }) {
  const connectionString = `postgres://${user}:${password}@${host}:${port}/${database}`;
  const db = createConnectionPool({
    connectionString,
    poolSize: 3,
    bigIntMode: 'bigint',
    statementTimeoutMilliseconds: 5000,
  });
  await db.query(sql`CREATE TABLE part (id serial PRIMARY KEY, name text UNIQUE, size int8, made date)`);
  const [made] = await db.query(
    sql`INSERT INTO part (name, size, made) VALUES (${'bolt'}, ${12}, ${'2020-01-02'}) RETURNING *`,
  );
  const twice = await db.query(sql`INSERT INTO part (name) VALUES ('bolt')`).catch(told);
  const several = await db.query([sql`SELECT 1 AS a`, sql`SELECT 2 AS b`]);
  const undone = await db
    .tx(async (tx) => {
      await tx.query(sql`DELETE FROM part`);
      throw new Error('no');
    })
    .catch(({ message }) => message);
  const rows = [];
  for await (const { n } of db.queryStream(sql`SELECT n FROM generate_series(1, 250) n`)) rows.push(n);
  const slow = await db.query(sql`SELECT pg_sleep(30)`).catch(told);
  const [{ count }] = await db.query(sql`SELECT count(*)::int4 AS count FROM part`);
  await db.dispose();
  return {
    made: { ...made, size: String(made.size) },
    twice,
    several,
    undone,
    rows: [rows.length, rows.at(-1)],
    slow,
    count,
  };
};
