'use strict';

const events = [];
const pgp = require('pg-promise')({
  connect: ({ isFresh }) => events.push(isFresh ? 'connect fresh' : 'connect'),
  disconnect: () => events.push('disconnect'),
  query: ({ query }) => events.push(String(query).slice(0, 12)),
  error: (error) => events.push(`error ${error.code || error.message}`),
});

module.exports = async function scenario(config) {
  const db = pgp({ ...config, max: 3 });
  await db.none('CREATE TABLE users (id serial PRIMARY KEY, name text, meta jsonb)');
  const columns = new pgp.helpers.ColumnSet(['name', { name: 'meta', mod: ':json' }], { table: 'users' });
  await db.none(
    pgp.helpers.insert(
      [1, 2, 3].map((n) => ({ name: `u'${n}`, meta: { n } })),
      columns,
    ),
  );
  const all = await db.any('SELECT * FROM users WHERE id > $<least> ORDER BY id', { least: 1 });
  const none = await db.one('SELECT * FROM users WHERE id = 99').catch(({ name, code }) => [name, code]);
  const prepared = new pgp.PreparedStatement({ name: 'by-id', text: 'SELECT name FROM users WHERE id = $1' });
  const names = [await db.one(prepared, [1]), await db.one(prepared, [2])];
  const rolledBack = await db
    .tx(async (t) => {
      await t.none('DELETE FROM users');
      await t.tx((inner) => inner.none('SELECT nothing FROM users'));
    })
    .catch(({ code }) => code);
  const kept = await db.task(async (t) => (await t.one('SELECT count(*)::int FROM users')).count);
  const multi = await db.multi('SELECT 1 AS a; SELECT 2 AS b');
  const connection = await db.connect();
  const { rows } = await connection.result('SELECT 3 AS three');
  await connection.done();
  await db.$pool.end();
  return { all, none, names, rolledBack, kept, multi, rows, events };
};
