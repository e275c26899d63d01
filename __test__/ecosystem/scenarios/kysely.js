'use strict';

const { Kysely, PostgresDialect, sql } = require('kysely');
const Cursor = require('pg-cursor');

module.exports = async function scenario(config, { Pool }) {
  const db = new Kysely({ dialect: new PostgresDialect({ pool: new Pool(config), cursor: Cursor }) });
  await db.schema
    .createTable('article')
    .addColumn('id', 'serial', (column) => column.primaryKey())
    .addColumn('title', 'text', (column) => column.notNull().unique())
    .addColumn('tags', sql`text[]`)
    .addColumn('meta', 'jsonb')
    .execute();
  const inserted = await db
    .insertInto('article')
    .values([1, 2, 3, 4].map((n) => ({ title: `t${n}`, tags: ['a', `b"${n}`], meta: JSON.stringify({ n }) })))
    .returning(['id', 'title', 'tags', 'meta'])
    .execute();
  const duplicate = await db
    .insertInto('article')
    .values({ title: 't1' })
    .execute()
    .catch((error) => [error.code, error.constraint]);
  const committed = await db.transaction().execute(async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('article')
      .set({ title: 'changed' })
      .where('id', '=', 1)
      .executeTakeFirst();
    return String(numUpdatedRows);
  });
  await db
    .transaction()
    .setIsolationLevel('serializable')
    .execute(async (trx) => {
      await trx.deleteFrom('article').execute();
      throw new Error('changed my mind');
    })
    .catch(() => {});
  const streamed = [];
  for await (const row of db.selectFrom('article').select(['id', 'title']).orderBy('id').stream(2))
    streamed.push(row);
  const { count } = await db
    .selectFrom('article')
    .select(db.fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  const raw = await sql`SELECT ${[1, 2]}::int[] AS list, ${new Date(0)}::timestamptz AS at`.execute(db);
  const tables = (await db.introspection.getTables()).map(({ name }) => name);
  await db.destroy();
  return { inserted, duplicate, committed, streamed, count, raw: raw.rows, tables };
};
