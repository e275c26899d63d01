'use strict';

const { PrismaPg } = require('@prisma/adapter-pg');

const asText = { scalarType: 'string', arity: 'scalar' };
const statement = (sql, args = [], argTypes = args.map(() => asText)) => ({ sql, args, argTypes });
const cause = (error) => error.cause;

module.exports = async function scenario(config, pg) {
  const adapter = await new PrismaPg({ ...config, max: 3 }).connect();
  await adapter.executeScript(`
    CREATE TABLE part (id serial PRIMARY KEY, name text UNIQUE NOT NULL, price numeric, at timestamptz, cover bytea, data jsonb,
      sizes int[], big bigint, due date);
    INSERT INTO part (name) VALUES ('first')`);
  const types = ['string', 'decimal', 'datetime', 'bytes', 'json', 'bigint', 'date'].map((scalarType) => ({
    scalarType,
    arity: 'scalar',
  }));
  const values = [
    'a',
    '1.50',
    '2020-01-01T00:00:00Z',
    Buffer.from([1, 255]),
    '{"a":1}',
    '9007199254740993',
    '2020-02-03',
  ];
  const insert =
    'INSERT INTO part (name, price, at, cover, data, big, due, sizes) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)';
  const inserted = await adapter.executeRaw(
    statement(insert, [...values, [1, 2]], [...types, { scalarType: 'int', arity: 'list' }]),
  );
  const found = await adapter.queryRaw(statement('SELECT * FROM part ORDER BY id'));
  const errors = [];
  const wrong = [
    "INSERT INTO part (name) VALUES ('a')",
    'INSERT INTO part (id) VALUES (99)',
    'SELECT * FROM nowhere',
    'SELECT nothing FROM part',
  ];
  for (const text of wrong) errors.push(await adapter.queryRaw(statement(text)).catch(cause));
  const undone = await adapter.startTransaction('SERIALIZABLE');
  await undone.executeRaw(statement('DELETE FROM part'));
  await undone.executeRaw(statement('ROLLBACK'));
  await undone.rollback();
  const done = await adapter.startTransaction();
  const updated = await done.executeRaw(statement("UPDATE part SET name = name || '!'"));
  await done.executeRaw(statement('COMMIT'));
  await done.commit();
  const { rows } = await adapter.queryRaw(statement('SELECT name FROM part ORDER BY id'));
  await adapter.dispose();
  const stranger = await new PrismaPg({ ...config, password: 'wrong' }).connect();
  errors.push(await stranger.queryRaw(statement('SELECT 1')).catch(cause));
  await stranger.dispose();
  const pool = new pg.Pool(config);
  const guest = await new PrismaPg(pool).connect();
  const shared = await guest.queryRaw(statement('SELECT 1 AS one'));
  await guest.dispose();
  await pool.end();
  return { inserted, found, errors, updated, rows, shared };
};
