'use strict';

// Makes a server session know the names of statements that this package has yet to prepare on it.

const OWN = /^(pgpool_rs_[0-9a-f]{16}_)(\d+)$/;

/** The next `count` names of statements that `client`, or the one connection of a pool, would prepare. */
async function nextNames(client, count) {
  const mark = `select $1::int as marked_${Math.random().toString(36).slice(2)}`;
  await client.query(mark, [0]);
  const { rows } = await client.query(`select name from pg_prepared_statements where statement = '${mark}'`);
  const [, prefix, serial] = OWN.exec(rows[0].name);
  return Array.from({ length: count }, (_, index) => `${prefix}${Number(serial) + 1 + index}`);
}

/** Takes them. */
async function takeNames(client, count) {
  const names = await nextNames(client, count);
  await client.query(names.map((name) => `prepare ${name} as select 0`).join(';'));
}

module.exports = { takeNames };
