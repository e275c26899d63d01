'use strict';

const { drizzle } = require('drizzle-orm/node-postgres');
const { eq, sql, desc } = require('drizzle-orm');
const { pgTable, serial, text, integer, jsonb, timestamp, bigint } = require('drizzle-orm/pg-core');

const authors = pgTable('authors', { id: serial('id').primaryKey(), name: text('name').notNull() });
const books = pgTable('books', {
  id: serial('id').primaryKey(),
  title: text('title').notNull(),
  author: integer('author').references(() => authors.id),
  sold: bigint('sold', { mode: 'bigint' }),
  meta: jsonb('meta'),
  printed: timestamp('printed', { withTimezone: true }),
});

module.exports = async function scenario(config, { Pool }) {
  const pool = new Pool(config);
  const db = drizzle(pool);
  await db.execute(sql`CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL)`);
  await db.execute(sql`CREATE TABLE books (id serial PRIMARY KEY, title text NOT NULL, author int REFERENCES authors,
    sold bigint, meta jsonb, printed timestamptz)`);
  const [ada] = await db.insert(authors).values({ name: 'Ada' }).returning();
  await db.insert(books).values([
    {
      title: 'Engines',
      author: ada.id,
      sold: 9007199254740993n,
      meta: { pages: [1, 2] },
      printed: new Date(0),
    },
    { title: 'Notes', author: ada.id, meta: null },
  ]);
  const joined = await db
    .select({
      title: books.title,
      author: authors.name,
      sold: books.sold,
      printed: books.printed,
      meta: books.meta,
    })
    .from(books)
    .leftJoin(authors, eq(books.author, authors.id))
    .orderBy(desc(books.id));
  const byTitle = db
    .select()
    .from(books)
    .where(eq(books.title, sql.placeholder('title')))
    .prepare('by_title');
  const prepared = [];
  for (const title of ['Notes', 'Engines', 'Notes'])
    prepared.push((await byTitle.execute({ title })).map(({ id }) => id));
  const broken = await db
    .transaction(async (tx) => {
      await tx.insert(authors).values({ name: 'Bob' });
      await tx.transaction(async (nested) => nested.insert(authors).values({ name: 'Carl' }));
      await tx.insert(books).values({ title: 'x', author: 4711 });
    })
    .catch((error) => (error.cause || error).code);
  const names = await db.select({ name: authors.name }).from(authors);
  await pool.end();
  return { joined: joined.map((row) => ({ ...row, sold: String(row.sold) })), prepared, broken, names };
};
